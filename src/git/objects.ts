/** `Objects` over any way to read bytes by id. Trees and commits that were read stay at hand, within bounds. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Oid } from '../manifest/resource.ts';
import { GitError } from './errors.ts';
import { writeLoose } from './loose.ts';
import { type Lru, lru } from './lru.ts';
import {
  formatCommit,
  formatTag,
  formatTree,
  hashObject,
  type ObjectType,
  parseCommit,
  parseTree,
  type RawObject,
} from './object-format.ts';
import { keepPack } from './pack.ts';
import type { CommitData, Objects, TreeEntry } from './types.ts';

/** Where bytes come from: a `git cat-file` process, or isomorphic-git. */
export interface ObjectReader {
  /** Undefined: no such object. */
  read(oid: Oid): Promise<RawObject | undefined>;
  close(): void;
}

/** Where bytes go to, and which commits are there without their parents. */
export interface ObjectStorage {
  /** On disk when it resolves. */
  keep(objects: ReadonlyMap<Oid, RawObject>): Promise<void>;
  shallow: Promise<ReadonlySet<Oid>>;
}

/** Fewer stay loose, as git itself has it of what it receives (receive.unpackLimit): a folder of many small packs is slow to search. */
const UNPACK_LIMIT = 100;

/** `packed` is told of each pack that it makes. */
export const storageOf = (gitdir: string, packed = () => {}): ObjectStorage => ({
  async keep(objects) {
    if (objects.size < UNPACK_LIMIT) {
      await Promise.all([...objects].map(([oid, object]) => writeLoose(gitdir, oid, object)));
    } else {
      await keepPack(gitdir, objects);
      packed();
    }
  },
  shallow: readShallow(gitdir),
});

/** The clone's objects, and what was written here that the remote may not have yet. */
export interface ObjectStore extends Objects {
  /** Written by this process and not pushed so far. */
  unsent: Set<Oid>;
  /** What was written is in memory until this: on disk when it resolves. */
  settle(): Promise<void>;
  /** What was written and not pushed was never written. */
  forget(): void;
  raw(oid: Oid): Promise<RawObject>;
  has(oid: Oid): Promise<boolean>;
  close(): void;
}

/** Entries of trees, over all cached trees: some 150 bytes each. */
const TREE_CACHE_ENTRIES = 50_000;
const COMMIT_CACHE = 5_000;

/** `storage` absent: the folder of a clone. */
export function openObjects(gitdir: string, reader: ObjectReader, storage = storageOf(gitdir)): ObjectStore {
  const trees: Lru<TreeEntry[]> = lru(TREE_CACHE_ENTRIES);
  const commits: Lru<CommitData> = lru(COMMIT_CACHE);
  const unsent = new Set<Oid>();
  const gathered = new Map<Oid, RawObject>();
  const { shallow } = storage;

  async function raw(oid: Oid): Promise<RawObject> {
    const object = gathered.get(oid) ?? (await reader.read(oid));
    if (object === undefined) throw missing(oid);
    return object;
  }

  async function typed(oid: Oid, type: ObjectType): Promise<Buffer> {
    const object = await raw(oid);
    if (object.type !== type) throw new GitError('missing-object', `object ${oid} is a ${object.type}, not a ${type}`);
    return object.content;
  }

  async function write(type: ObjectType, content: Buffer): Promise<Oid> {
    const oid = hashObject(type, content);
    // Else it is gathered already, or on disk since a push that failed.
    if (!unsent.has(oid)) gathered.set(oid, { type, content });
    unsent.add(oid);
    return oid;
  }

  async function settle(): Promise<void> {
    const now = new Map(gathered);
    if (now.size === 0) return;
    await storage.keep(now);
    for (const [oid, object] of now) if (gathered.get(oid) === object) gathered.delete(oid);
  }

  return {
    unsent,
    settle,
    forget() {
      unsent.clear();
      gathered.clear();
    },
    raw,
    has: async (oid) => gathered.has(oid) || (await reader.read(oid)) !== undefined,
    async tree(oid) {
      const known = trees.get(oid);
      if (known !== undefined) return known;
      const entries = parseTree(oid, await typed(oid, 'tree'));
      trees.set(oid, entries, entries.length + 1);
      return entries;
    },
    blob: (oid) => typed(oid, 'blob'),
    async blobs(oids, each) {
      // One window at a time, so that memory holds a window, not all blobs; `each` is never called after the end.
      for (let at = 0; at < oids.length; at += 256) {
        const reading = oids.slice(at, at + 256).map(async (oid) => each(oid, await typed(oid, 'blob')));
        await Promise.allSettled(reading);
        await Promise.all(reading);
      }
    },
    async commit(oid) {
      const known = commits.get(oid);
      if (known !== undefined) return known;
      const commit = parseCommit(oid, await typed(oid, 'commit'));
      const whole = (await shallow).has(oid) ? { ...commit, parents: [] } : commit;
      commits.set(oid, whole, 1);
      return whole;
    },
    writeBlob: (content) => write('blob', content),
    async writeTree(entries) {
      const content = formatTree(entries);
      return await write('tree', content);
    },
    writeCommit: (commit) => write('commit', formatCommit(commit)),
    async writeTag(tag) {
      const { type } = await raw(tag.object);
      return await write('tag', formatTag(tag, type));
    },
    close: () => reader.close(),
  };
}

/** Commits whose parents a shallow repository lacks by design. */
async function readShallow(gitdir: string): Promise<Set<Oid>> {
  const text = await readFile(join(gitdir, 'shallow'), 'utf8').catch(() => '');
  return new Set(text.split('\n').filter((line) => line !== ''));
}

function missing(oid: Oid): GitError {
  return new GitError('missing-object', `object ${oid} is not in the clone; fetch what it belongs to first`);
}
