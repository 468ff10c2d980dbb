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
  type ObjectType,
  parseCommit,
  parseTree,
  type RawObject,
} from './object-format.ts';
import type { CommitData, Objects, TreeEntry } from './types.ts';

/** Where bytes come from: a `git cat-file` process, or isomorphic-git. */
export interface ObjectReader {
  /** Undefined: no such object. */
  read(oid: Oid): Promise<RawObject | undefined>;
  close(): void;
}

/** Where bytes go to, and which commits are there without their parents. */
export interface ObjectStorage {
  write(type: ObjectType, content: Buffer): Promise<Oid>;
  shallow: Promise<ReadonlySet<Oid>>;
}

const storageOf = (gitdir: string): ObjectStorage => ({
  write: (type, content) => writeLoose(gitdir, type, content),
  shallow: readShallow(gitdir),
});

/** The clone's objects, and what was written here that the remote may not have yet. */
export interface ObjectStore extends Objects {
  /** Written by this process and not pushed so far. */
  unsent: Set<Oid>;
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
  const { shallow } = storage;

  async function raw(oid: Oid): Promise<RawObject> {
    const object = await reader.read(oid);
    if (object === undefined) throw missing(oid);
    return object;
  }

  async function typed(oid: Oid, type: ObjectType): Promise<Buffer> {
    const object = await raw(oid);
    if (object.type !== type) throw new GitError('missing-object', `object ${oid} is a ${object.type}, not a ${type}`);
    return object.content;
  }

  async function write(type: ObjectType, content: Buffer): Promise<Oid> {
    const oid = await storage.write(type, content);
    unsent.add(oid);
    return oid;
  }

  return {
    unsent,
    raw,
    has: async (oid) => (await reader.read(oid)) !== undefined,
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
