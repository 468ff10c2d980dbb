/** What both transports share: what a fetched commit must fulfil, what may never be pushed, what a rejection tells. */
import type { Oid } from '../manifest/resource.ts';
import { compareTrees } from './compare.ts';
import { GitError, PushRejected, type RejectedRef } from './errors.ts';
import { isAncestor } from './history.ts';
import { type RawObject, taggedObject } from './object-format.ts';
import type { ObjectStore } from './objects.ts';
import { unsentObjects } from './pack.ts';
import { isRefName, type OwnRefs, refsOf } from './refs.ts';
import type { RefUpdate, Transport } from './types.ts';

/** Updates of refs, and what the remote lacks for them. It lies in the clone, too. */
export interface Sending {
  updates: readonly RefUpdate[];
  objects: ReadonlyMap<Oid, RawObject>;
}

/** One way over the wire. */
export interface Wire {
  head(ref: string, signal: AbortSignal): Promise<Oid | undefined>;
  refs(prefixes: string[], signal: AbortSignal): Promise<Map<string, Oid>>;
  /** What a remote ref holds, where that can be seen without asking; undefined: it cannot be told. */
  peek?(ref: string): Promise<Oid | undefined>;
  /** Brings the objects of a remote ref into the clone; `fresh` as if the clone had none. Undefined: there is no such ref. */
  download(ref: string, fresh: boolean, signal: AbortSignal): Promise<Oid | undefined>;
  /** Asks for all updates or none; the refused refs with the remote's reasons. */
  send(sending: Sending, signal: AbortSignal): Promise<Map<string, string>>;
  close(): Promise<void>;
}

export interface ClosableTransport extends Transport {
  close(): Promise<void>;
}

/** Where the clone notes what a fetch brought last. Escaped, so that a branch `a` gone and `a/b` come are no conflict. */
export function trackedRef(ref: string): string {
  return `refs/sluice-internal/fetched/${encodeURIComponent(ref)}`;
}

export const TRACKED = 'refs/sluice-internal/';

export function openTransport(
  wire: Wire,
  store: ObjectStore,
  gitdir: string,
  own: OwnRefs = refsOf(gitdir),
): ClosableTransport {
  return {
    head: wire.head,
    refs: wire.refs,
    close: wire.close,
    fetch: (ref, signal) => inClone(gitdir, () => fetchReadable(ref, signal)),
    async push(updates, signal) {
      if (updates.length === 0) return;
      await refuseRewrites(store, updates);
      const tips = updates.flatMap((update) => update.new ?? []);
      const objects = await unsentObjects(store, tips);
      await inClone(gitdir, () => store.settle());
      await sendAll(wire, { updates, objects }, signal);
      for (const oid of objects.keys()) store.unsent.delete(oid);
    },
  };

  async function fetchReadable(ref: string, signal: AbortSignal): Promise<Oid | undefined> {
    const before = await own.read(trackedRef(ref));
    const there = await wire.peek?.(ref);
    // Fetched before, or made here.
    if (there !== undefined && (await isReadable(store, there, before))) {
      if (there !== before) await own.set(trackedRef(ref), there);
      return there;
    }
    for (const fresh of [false, true]) {
      const tip = await wire.download(ref, fresh, signal);
      if (tip === undefined || (await isReadable(store, tip, fresh ? undefined : before))) {
        await own.set(trackedRef(ref), tip);
        return tip;
      }
      await own.set(trackedRef(ref), undefined);
    }
    throw new GitError(
      'broken-clone',
      `${ref} was fetched but cannot be read; the clone is thrown away and cloned again`,
    );
  }
}

/** A clone whose folder is gone fails with the system's words: they mean that it must be made again. */
async function inClone<T>(gitdir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw new GitError('broken-clone', `${gitdir}: is not whole (${(error as Error).message}); it is cloned again`);
  }
}

/** Whether the commit and all of its trees that `known` does not share can be read. */
export async function isReadable(store: ObjectStore, tip: Oid, known: Oid | undefined): Promise<boolean> {
  try {
    const commit = await peel(store, tip);
    if (commit === undefined) return true;
    const before = known === undefined ? undefined : await peel(store, known).catch(() => undefined);
    await compareTrees(store, before, commit, '', []);
    return true;
  } catch (error) {
    if (error instanceof GitError) return false;
    throw error;
  }
}

/** The tree of a commit, or of what a tag names; undefined for a tag of something else. */
async function peel(store: ObjectStore, oid: Oid): Promise<Oid | undefined> {
  const { type, content } = await store.raw(oid);
  if (type === 'commit') return (await store.commit(oid)).tree;
  const target = type === 'tag' ? taggedObject(content) : undefined;
  return target === undefined ? undefined : await peel(store, target);
}

/** History that somebody may have read is never taken back: a tag never moves, a branch goes forward and is not deleted. */
async function refuseRewrites(store: ObjectStore, updates: readonly RefUpdate[]): Promise<void> {
  for (const { ref, old, new: oid } of updates) {
    if (!isRefName(ref)) throw new GitError('failed', `${JSON.stringify(ref)} is not a name that a ref can have`);
    const refuse = (reason: string) => {
      throw new PushRejected([{ ref, expected: old, reason }]);
    };
    if (oid === undefined) {
      if (ref.startsWith('refs/heads/')) refuse('a branch is never deleted');
    } else if (old !== undefined && old !== oid) {
      if (ref.startsWith('refs/tags/')) refuse('a tag is never moved');
      if (!(await isAncestor(store, old, oid)))
        refuse(`${oid.slice(0, 10)} does not follow what the ref holds: no fast-forward`);
    }
  }
}

/** A ref that holds its new value already counts as moved: an earlier push whose answer was lost is simply repeated. */
async function sendAll(wire: Wire, { updates, objects }: Sending, signal: AbortSignal): Promise<void> {
  const refused = await wire.send({ updates, objects }, signal);
  if (refused.size === 0) return;
  const rejected = await rejection(wire, updates, refused, signal);
  const done = new Set(rejected.refs.filter((ref) => 'actual' in ref && isDone(ref, updates)).map(({ ref }) => ref));
  if (done.size === 0 || done.size < rejected.refs.length) throw rejected;
  const left = updates.filter((update) => !done.has(update.ref));
  if (left.length > 0) await sendAll(wire, { updates: left, objects }, signal);
}

function isDone({ ref, actual }: RejectedRef, updates: readonly RefUpdate[]): boolean {
  return updates.some((update) => update.ref === ref && update.new === actual);
}

async function rejection(
  wire: Wire,
  updates: readonly RefUpdate[],
  refused: Map<string, string>,
  signal: AbortSignal,
): Promise<PushRejected> {
  const byRef = new Map(updates.map((update) => [update.ref, update]));
  const prefixes = refused.size > 100 ? ['refs/'] : [...refused.keys()];
  const now = await wire.refs(prefixes, signal).catch(() => undefined);
  const rejected = [...refused].map(([ref, reason]): RejectedRef => {
    const expected = byRef.get(ref)?.old;
    return now === undefined ? { ref, expected, reason } : { ref, expected, actual: now.get(ref), reason };
  });
  // In an atomic push the innocent fall with the guilty, which are named alone where they can be told apart.
  const moved = rejected.filter((ref) => 'actual' in ref && ref.actual !== ref.expected);
  const guilty = rejected.filter((ref) => !/atomic (push|transaction) fail/i.test(ref.reason));
  return new PushRejected([moved, guilty, rejected].find((refs) => refs.length > 0) ?? []);
}
