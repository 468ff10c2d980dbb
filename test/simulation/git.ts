/** A Git remote in memory, which refuses, forgets to answer and is down when it is told to; and clones of it. */
import type { Clone } from '../../src/git/clone.ts';
import { GitError } from '../../src/git/errors.ts';
import {
  formatCommit,
  formatTree,
  hashObject,
  type ObjectType,
  parseCommit,
  parseTree,
  type RawObject,
} from '../../src/git/object-format.ts';
import { openObjects } from '../../src/git/objects.ts';
import { openTransport, type Wire } from '../../src/git/transport.ts';
import type { RefUpdate, TreeEntry } from '../../src/git/types.ts';
import type { Oid } from '../../src/manifest/resource.ts';
import type { Process } from './process.ts';
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

export const MAIN = 'refs/heads/main';

export interface RemoteFaults {
  /** So many pushes from now are refused by a hook. */
  refuse: number;
  /** So many pushes from now take effect and are not answered. */
  lose: number;
  /** Until then nothing is answered. */
  downUntil: number;
  /** The longest that a request takes, in milliseconds. */
  slow: number;
}

export interface RefMove {
  ref: string;
  old: Oid | undefined;
  new: Oid | undefined;
}

export interface Remote {
  objects: Map<Oid, RawObject>;
  refs: Map<string, Oid>;
  faults: RemoteFaults;
  /** What goes wrong on purpose with what is pushed to a status file. */
  spoil?: (text: string) => string;
  /** Operators that are to be told at once when somebody pushes. */
  hints: Set<() => void>;
  /** Called after each ref that moved, whoever moved it; `by` is absent for people. */
  moved: (moves: RefMove[], by: Process | undefined) => void;
  /** A person's commit: these files and no others, on `parents`. No ref moves. */
  commit(files: ReadonlyMap<string, string>, parents: Oid[], message: string): Oid;
  /** A person moves a ref, by force where need be. */
  force(ref: string, oid: Oid | undefined): void;
  /** The text of a file at the tip of a branch. */
  read(ref: string, path: string): Buffer | undefined;
}

export function createRemote(timeline: Timeline): Remote {
  const objects = new Map<Oid, RawObject>();
  const refs = new Map<string, Oid>();

  const put = (type: ObjectType, content: Buffer): Oid => {
    const oid = hashObject(type, content);
    objects.set(oid, { type, content });
    return oid;
  };

  /** Most files of a commit are those of the one before. */
  const blobs = new Map<string, Oid>();
  const blob = (text: string): Oid => {
    const oid = blobs.get(text) ?? put('blob', Buffer.from(text));
    blobs.set(text, oid);
    return oid;
  };

  function tree(files: ReadonlyMap<string, string>): Oid {
    const entries: TreeEntry[] = [];
    const folders = new Map<string, Map<string, string>>();
    for (const [path, text] of files) {
      const slash = path.indexOf('/');
      if (slash < 0) {
        entries.push({ name: path, mode: 'file', oid: blob(text) });
        continue;
      }
      const folder = folders.get(path.slice(0, slash)) ?? new Map<string, string>();
      folders.set(path.slice(0, slash), folder.set(path.slice(slash + 1), text));
    }
    for (const [name, inner] of folders) entries.push({ name, mode: 'tree', oid: tree(inner) });
    return put('tree', formatTree(entries));
  }

  const remote: Remote = {
    objects,
    refs,
    hints: new Set(),
    faults: { refuse: 0, lose: 0, downUntil: 0, slow: 0 },
    moved: () => {},
    commit: (files, parents, message) =>
      put(
        'commit',
        formatCommit({
          ...{ tree: tree(files), parents, message, at: timeline.now() },
          author: { name: 'Somebody', email: 'somebody@example.org' },
        }),
      ),
    force(ref, oid) {
      const move = { ref, old: refs.get(ref), new: oid };
      if (oid === undefined) refs.delete(ref);
      else refs.set(ref, oid);
      remote.moved([move], undefined);
      for (const hint of [...remote.hints]) hint();
    },
    read(ref, path) {
      let oid = refs.get(ref);
      const commit = oid === undefined ? undefined : objects.get(oid);
      if (oid === undefined || commit === undefined) return undefined;
      oid = parseCommit(oid, commit.content).tree;
      for (const name of path.split('/')) {
        const object: RawObject | undefined = objects.get(oid);
        const entry: TreeEntry | undefined =
          object && parseTree(oid, object.content).find((candidate) => candidate.name === name);
        if (entry === undefined) return undefined;
        oid = entry.oid;
      }
      return objects.get(oid)?.content;
    },
  };
  return remote;
}

/** What an operator keeps in its state folder. */
export interface Disk {
  refs: Map<string, Oid>;
  notes: Map<string, string>;
  objects: Map<Oid, RawObject>;
}

export const emptyDisk = (): Disk => ({ refs: new Map(), notes: new Map(), objects: new Map() });

/** A clone of `remote` as `process` works with it; all else of it is what the operator uses. */
export function openSimulatedClone(
  remote: Remote,
  disk: Disk,
  process: Process,
  timeline: Timeline,
  random: Random,
): Clone {
  const store = openObjects(
    'clone.git',
    { read: async (oid) => disk.objects.get(oid) ?? remote.objects.get(oid), close() {} },
    {
      async keep(objects) {
        for (const [oid, object] of objects) disk.objects.set(oid, object);
      },
      shallow: Promise.resolve(new Set()),
    },
  );
  const latency = () => (remote.faults.slow === 0 ? 0 : random.below(remote.faults.slow));
  const answers = <T>(work: () => T): T => {
    if (timeline.now() < remote.faults.downUntil) throw new GitError('unreachable', 'remote: does not answer');
    return work();
  };
  const ask = <T>(name: string, work: () => T) => process.effect(name, latency(), () => answers(work));

  const wire: Wire = {
    head: (ref) => ask('head', () => remote.refs.get(ref)),
    refs: (prefixes) =>
      ask('refs', () => new Map([...remote.refs].filter(([ref]) => prefixes.some((prefix) => ref.startsWith(prefix))))),
    download: (ref) => ask('fetch', () => remote.refs.get(ref)),
    async send({ updates, objects }) {
      return ask('push', () => receive(remote, updates, objects, process));
    },
    close: async () => {},
  };
  const refs = {
    read: async (ref: string) => disk.refs.get(ref),
    set: (ref: string, oid: Oid | undefined) =>
      process.effect('note', 0, () => {
        if (oid === undefined) disk.refs.delete(ref);
        else disk.refs.set(ref, oid);
      }),
  };
  return {
    ...{ gitdir: 'clone.git', objects: store, refs },
    transport: openTransport(wire, store, 'clone.git', refs),
    notes: {
      read: async (name) => disk.notes.get(name),
      write: (name, text) => process.effect('note', 0, () => void disk.notes.set(name, text)),
    },
    address: { kind: 'http', url: 'http://remote/', display: 'http://remote/' },
    tidy: { committed() {}, packed() {}, pushed() {}, idle: async () => {}, close: async () => {} },
    async watch(moved) {
      const hint = () => process.clock.soon(moved);
      remote.hints.add(hint);
      process.onDeath(() => remote.hints.delete(hint));
      return async () => void remote.hints.delete(hint);
    },
    defaultBranch: async () => MAIN,
    async renew() {
      disk.refs.clear();
      disk.objects.clear();
      store.forget();
    },
    close: async () => {},
  };
}

/** One atomic request: all refs or none, each by compare-and-swap. */
function receive(
  remote: Remote,
  updates: readonly RefUpdate[],
  objects: ReadonlyMap<Oid, RawObject>,
  by: Process,
): Map<string, string> {
  const { faults, refs } = remote;
  if (faults.refuse > 0) {
    faults.refuse--;
    return new Map(updates.map(({ ref }) => [ref, 'pre-receive hook declined']));
  }
  const stale = updates.filter(({ ref, old }) => refs.get(ref) !== old);
  if (stale.length > 0) {
    const guilty = new Set(stale.map(({ ref }) => ref));
    return new Map(updates.map(({ ref }) => [ref, guilty.has(ref) ? 'stale info' : 'atomic push failed']));
  }
  for (const [oid, object] of objects) {
    const { type, content } = object;
    const spoilt = type === 'blob' ? remote.spoil?.(content.toString()) : undefined;
    remote.objects.set(oid, spoilt === undefined ? object : { type, content: Buffer.from(spoilt) });
  }
  for (const { ref, new: oid } of updates) {
    if (oid === undefined) refs.delete(ref);
    else if (remote.objects.has(oid)) refs.set(ref, oid);
    else throw new Error(`${ref}: ${oid} was pushed without its object`);
  }
  remote.moved([...updates], by);
  if (faults.lose > 0) {
    faults.lose--;
    throw new GitError('timeout', 'remote: the answer to a push was lost');
  }
  return new Map();
}
