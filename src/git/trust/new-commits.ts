/** The commits that a head reaches and another commit does not. */
import type { Oid } from '../../manifest/resource.ts';
import type { ObjectStore } from '../objects.ts';
import { type SignedCommit, signedCommit } from './signed-commit.ts';

export interface NewCommits {
  /** The newest that is left; undefined: none is. */
  next(): Promise<{ oid: Oid; commit: SignedCommit } | undefined>;
  /** Goes on to its parents, which are old where it `isOld`. */
  enter(oid: Oid, commit: SignedCommit, isOld: boolean): Promise<void>;
}

/**
 * Newest first, as Git tells the commits of two branches apart: what `good` reaches is marked old as it is met. A commit
 * whose clock was wrong may be given although it is old; one that is new is never left out.
 */
export async function newCommits(
  objects: Pick<ObjectStore, 'raw' | 'has'>,
  good: Oid | undefined,
  head: Oid,
): Promise<NewCommits> {
  const read = async (oid: Oid) => signedCommit((await objects.raw(oid)).content);
  const open = new Map<Oid, SignedCommit>([[head, await read(head)]]);
  const met = new Set([head]);
  const old = new Set<Oid>();
  /** Behind the edge of a shallow clone there is nothing that could be new. */
  async function meet(oid: Oid, isOld: boolean): Promise<void> {
    if (isOld ? old.has(oid) : met.has(oid)) return;
    met.add(oid);
    if (isOld) old.add(oid);
    if (!isOld || (await objects.has(oid))) open.set(oid, await read(oid));
  }

  async function enter(oid: Oid, commit: SignedCommit, isOld: boolean): Promise<void> {
    if (isOld) old.add(oid);
    for (const parent of commit.parents) await meet(parent, isOld);
  }

  async function next() {
    while ([...open.keys()].some((oid) => !old.has(oid))) {
      const [oid, commit] = newest(open);
      open.delete(oid);
      if (!old.has(oid)) return { oid, commit };
      await enter(oid, commit, true);
    }
    return undefined;
  }

  if (good !== undefined) await meet(good, true);
  return { next, enter };
}

function newest(open: ReadonlyMap<Oid, SignedCommit>): [Oid, SignedCommit] {
  const [first, ...others] = open;
  if (first === undefined) throw new Error('no commit is left');
  return others.reduce((best, entry) => (entry[1].committedAt > best[1].committedAt ? entry : best), first);
}
