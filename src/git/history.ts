/** Questions to the history: ancestry, and the commit that changed something last. */
import type { Oid } from '../manifest/resource.ts';
import { compareTrees } from './compare.ts';
import type { CommitData, Objects, PathChange } from './types.ts';

/** Commits that `newestChange` walks at most. */
const MAX_WALK = 1000;

/**
 * Whether `descendant` is `ancestor` or follows it. Newest commits are looked at first, so that a yes is near; a no walks
 * the whole history, which no clock that jumped can make wrong. An `ancestor` that the clone does not have is none.
 */
export const isAncestor = (objects: Pick<Objects, 'commit'>, ancestor: Oid, descendant: Oid): Promise<boolean> =>
  reaches(objects, [descendant], ancestor);

/** Whether any of `heads` is `commit` or follows it; heads that the clone does not have reach nothing. `most`: so many commits are looked at. */
export async function reaches(
  objects: Pick<Objects, 'commit'>,
  heads: readonly Oid[],
  commit: Oid,
  most = Number.POSITIVE_INFINITY,
): Promise<boolean> {
  if (heads.includes(commit)) return true;
  const seen = new Set(heads);
  const open: CommitData[] = [];
  for (const head of seen) {
    const found = await (heads.length === 1 ? objects.commit(head) : objects.commit(head).catch(() => undefined));
    if (found !== undefined) open.push(found);
  }
  for (let looked = 0; open.length > 0 && looked < most; looked++) {
    const newest = open.reduce((best, { at }, index) => (at > (open[best]?.at ?? 0) ? index : best), 0);
    const [next] = open.splice(newest, 1);
    for (const parent of next?.parents ?? []) {
      if (parent === commit) return true;
      if (seen.has(parent)) continue;
      seen.add(parent);
      open.push(await objects.commit(parent));
    }
  }
  return false;
}

export interface NewestChangeOptions {
  /** A commit to stop at, exclusive: groups that nothing changed since are left out of the answer. */
  stop?: Oid;
}

/**
 * For each named group of paths (files or directories), the newest commit along first parents from `head` that changed
 * any of them. Without `stop`, what nothing changed within the walk gets the oldest commit walked.
 */
export async function newestChange(
  objects: Objects,
  head: Oid,
  groups: ReadonlyMap<string, readonly string[]>,
  options: NewestChangeOptions = {},
): Promise<Map<string, Oid>> {
  const interested = byPath(groups);
  const found = new Map<string, Oid>();
  let oid: Oid | undefined = head;
  let oldest = head;
  for (let step = 0; step < MAX_WALK && oid !== undefined && oid !== options.stop && found.size < groups.size; step++) {
    const commit: CommitData = await objects.commit(oid);
    oldest = oid;
    const parent: Oid | undefined = commit.parents[0];
    // All that are left came with the first commit.
    if (parent === undefined && options.stop === undefined) break;
    for (const group of await groupsChanged(objects, commit, parent, interested()))
      if (!found.has(group)) found.set(group, oid);
    oid = parent;
  }
  if (options.stop === undefined) for (const group of groups.keys()) if (!found.has(group)) found.set(group, oldest);
  return found;
}

async function groupsChanged(
  objects: Objects,
  { tree }: CommitData,
  parent: Oid | undefined,
  interested: ReadonlyMap<string, string[]>,
): Promise<string[]> {
  const changes: PathChange[] = [];
  const before = parent === undefined ? undefined : (await objects.commit(parent)).tree;
  await compareTrees(objects, before, tree, '', changes);
  return changes.flatMap(({ path }) => [...groupsOf(interested, path)]);
}

/** Made when it is first needed. */
function byPath(groups: ReadonlyMap<string, readonly string[]>): () => ReadonlyMap<string, string[]> {
  let known: Map<string, string[]> | undefined;
  return () => {
    known ??= pathsOf(groups);
    return known;
  };
}

function pathsOf(groups: ReadonlyMap<string, readonly string[]>): Map<string, string[]> {
  const interested = new Map<string, string[]>();
  for (const [group, paths] of groups) {
    for (const path of paths) {
      const there = interested.get(path);
      if (there === undefined) interested.set(path, [group]);
      else there.push(group);
    }
  }
  return interested;
}

/** The groups that name `a/b/c`, `a/b` or `a`. */
function* groupsOf(interested: ReadonlyMap<string, string[]>, path: string): Generator<string> {
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1))
    yield* interested.get(path.slice(0, end)) ?? [];
}
