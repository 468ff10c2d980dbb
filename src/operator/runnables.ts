/** What a revision runs, from the commit that holds it. */
import type { AnyRunnable, Resource, ResourceId, Revision } from '../manifest/resource.ts';
import { runnableOf } from '../manifest/runnable.ts';
import type { State } from '../rollout/state.ts';
import { commitOfRevision } from './refs.ts';
import type { Snapshots } from './snapshots.ts';

export interface Runnables {
  /** Throws when no commit that is still there holds the revision. */
  of(id: ResourceId, revision: Revision, state: State): Promise<AnyRunnable>;
}

export function createRunnables(snapshots: Snapshots, declared: (id: ResourceId) => Resource | undefined): Runnables {
  const read = new Map<string, Resource>();

  async function fromCommit(id: ResourceId, revision: Revision, state: State): Promise<Resource> {
    const commit = commitOfRevision(state, revision);
    const resource = commit === undefined ? undefined : await snapshots.resourceAt(commit, id);
    if (resource?.revision === revision) return resource;
    const where =
      commit === undefined
        ? 'no commit is known for it'
        : `commit ${commit.slice(0, 10)} declares ${resource?.revision ?? 'nothing'}`;
    throw new Error(`revision ${revision} of ${id} cannot be read: ${where}; commit a manifest to go forward`);
  }

  return {
    async of(id, revision, state) {
      const now = declared(id);
      if (now?.revision === revision) return runnableOf(now);
      const key = `${id} ${revision}`;
      const known = read.get(key) ?? (await fromCommit(id, revision, state));
      read.delete(key);
      read.set(key, known);
      const [oldest] = read.keys();
      if (read.size > 1000 && oldest !== undefined) read.delete(oldest);
      return runnableOf(known);
    },
  };
}
