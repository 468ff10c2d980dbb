/** A commit that restores one resource's inputs, for the branch that `onFailure: revert` proposes. */
import { entryAt } from '../git/compare.ts';
import { editTree } from '../git/edit-tree.ts';
import type { Objects, Person, TreeEntry } from '../git/types.ts';
import type { Oid, Resource, ResourceId } from '../manifest/resource.ts';

export interface Revert {
  id: ResourceId;
  /** The config branch's head: the commit goes on top of it. */
  tip: Oid;
  /** The commit whose inputs are to be restored. */
  to: Oid;
  /** As it is declared now, and as `to` declares it. */
  resources: (Resource | undefined)[];
  /** Why, for the message. */
  reason: string;
  author: Person;
  at: number;
}

/** Only the paths that the resource was or is made from; another resource in the same file comes along. */
export async function revertCommit(objects: Objects, revert: Revert): Promise<Oid> {
  const paths = new Set(revert.resources.flatMap((resource) => resource?.inputs.map(({ path }) => path) ?? []));
  const changes = new Map<string, TreeEntry | null>();
  for (const path of paths) changes.set(path, (await entryAt(objects, revert.to, path)) ?? null);
  const { tree } = await objects.commit(revert.tip);
  const message = [
    `Revert ${revert.id} to ${revert.to.slice(0, 10)}`,
    revert.reason,
    `This restores ${[...paths].sort().join(', ')} as commit ${revert.to} had them.`,
  ].join('\n\n');
  return objects.writeCommit({
    tree: await editTree(objects, tree, changes),
    parents: [revert.tip],
    message: `${message}\n`,
    author: revert.author,
    at: revert.at,
  });
}
