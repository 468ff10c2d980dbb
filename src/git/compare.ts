/** Reads and compares commits tree by tree: equal object ids are never opened. */
import type { Oid } from '../manifest/resource.ts';
import { compareEntries } from './object-format.ts';
import type { Objects, PathChange, TreeEntry } from './types.ts';

/** A file, link or submodule of a commit, by its whole path. */
export interface ListedEntry extends TreeEntry {
  path: string;
}

/**
 * Every file, link and submodule that differs between two commits, in Git's order; `before` undefined: everything is new.
 * `under` is a directory (`apps/shop`) to look into alone. A directory that became a file (or the reverse) shows as what went and what came.
 */
export async function compare(
  objects: Objects,
  before: Oid | undefined,
  after: Oid,
  under = '',
): Promise<PathChange[]> {
  const changes: PathChange[] = [];
  const [left, right] = await Promise.all([
    before === undefined ? undefined : treeAt(objects, before, under),
    treeAt(objects, after, under),
  ]);
  await compareTrees(objects, left, right, prefixOf(under), changes);
  return changes;
}

/** What a commit holds at a path, a directory included; undefined: nothing. `''` is the root. */
export async function entryAt(objects: Objects, commit: Oid, path: string): Promise<TreeEntry | undefined> {
  let entry: TreeEntry = { name: '', mode: 'tree', oid: (await objects.commit(commit)).tree };
  for (const name of segments(path)) {
    if (entry.mode !== 'tree') return undefined;
    const next = (await objects.tree(entry.oid)).find((candidate) => candidate.name === name);
    if (next === undefined) return undefined;
    entry = next;
  }
  return entry;
}

/**
 * All files, links and submodules of a commit below `under`. `enter` may leave directories out by their whole path,
 * which are then never read.
 */
export async function list(
  objects: Objects,
  commit: Oid,
  under = '',
  enter: (directory: string) => boolean = () => true,
): Promise<ListedEntry[]> {
  const found: ListedEntry[] = [];
  async function walk(tree: Oid, prefix: string): Promise<void> {
    for (const entry of await objects.tree(tree)) {
      const path = prefix + entry.name;
      if (entry.mode !== 'tree') found.push({ ...entry, path });
      else if (enter(path)) await walk(entry.oid, `${path}/`);
    }
  }
  const root = await treeAt(objects, commit, under);
  if (root !== undefined) await walk(root, prefixOf(under));
  return found;
}

/** As `compare`, of two trees; paths are prefixed with `prefix`. */
export async function compareTrees(
  objects: Objects,
  before: Oid | undefined,
  after: Oid | undefined,
  prefix: string,
  changes: PathChange[],
): Promise<void> {
  if (before === after) return;
  const [left, right] = await Promise.all([
    before === undefined ? [] : objects.tree(before),
    after === undefined ? [] : objects.tree(after),
  ]);
  for (const [was, is] of pairs(left, right)) {
    const path = prefix + (is ?? was)?.name;
    const change = { ...fileOf('before', was), ...fileOf('after', is), path };
    if (change.before !== undefined || change.after !== undefined) changes.push(change);
    const [wasTree, isTree] = [treeOf(was), treeOf(is)];
    if (wasTree !== isTree) await compareTrees(objects, wasTree, isTree, `${path}/`, changes);
  }
}

function treeOf(entry: TreeEntry | undefined): Oid | undefined {
  return entry?.mode === 'tree' ? entry.oid : undefined;
}

function fileOf(key: 'before' | 'after', entry: TreeEntry | undefined): { before?: TreeEntry; after?: TreeEntry } {
  return entry === undefined || entry.mode === 'tree' ? {} : { [key]: entry };
}

/** Merges two sorted trees, leaving out what is equal. */
function* pairs(
  left: readonly TreeEntry[],
  right: readonly TreeEntry[],
): Generator<[TreeEntry | undefined, TreeEntry | undefined]> {
  let [l, r] = [0, 0];
  while (l < left.length || r < right.length) {
    const order = orderOf(left[l], right[r]);
    const was = order <= 0 ? left[l++] : undefined;
    const is = order >= 0 ? right[r++] : undefined;
    if (was?.oid !== is?.oid || was?.mode !== is?.mode) yield [was, is];
  }
}

function orderOf(was: TreeEntry | undefined, is: TreeEntry | undefined): number {
  if (was === undefined) return 1;
  return is === undefined ? -1 : compareEntries(was, is);
}

async function treeAt(objects: Objects, commit: Oid, under: string): Promise<Oid | undefined> {
  const entry = await entryAt(objects, commit, under);
  return entry?.mode === 'tree' ? entry.oid : undefined;
}

function segments(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

function prefixOf(under: string): string {
  const names = segments(under);
  return names.length === 0 ? '' : `${names.join('/')}/`;
}
