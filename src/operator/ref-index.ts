/** What the remote's refs hold, as far as Sluice writes them; by resource, so that nothing is searched for. */
import type { Oid, ResourceId, Revision } from '../manifest/resource.ts';
import { revisionOfKeepRef, rolloutOfTagRef } from '../status/names.ts';

export interface RefIndex {
  get(ref: string): Oid | undefined;
  /** `oid` undefined: the ref is gone. */
  set(ref: string, oid: Oid | undefined): void;
  /** Ids of rollouts that have a tag. */
  tags(id: ResourceId): ReadonlySet<number>;
  /** Revisions whose commit is held. */
  keeps(id: ResourceId): ReadonlySet<Revision>;
}

const NONE: ReadonlySet<never> = new Set();

export function createRefIndex(refs: ReadonlyMap<string, Oid>): RefIndex {
  const known = new Map<string, Oid>();
  const tags = new Map<ResourceId, Set<number>>();
  const keeps = new Map<ResourceId, Set<Revision>>();
  const index: RefIndex = {
    get: (ref) => known.get(ref),
    set(ref, oid) {
      if (oid === undefined) known.delete(ref);
      else known.set(ref, oid);
      const tag = rolloutOfTagRef(ref);
      if (tag) note(tags, tag.resource, tag.rollout, oid !== undefined);
      const keep = revisionOfKeepRef(ref);
      if (keep) note(keeps, keep.resource, keep.revision, oid !== undefined);
    },
    tags: (id) => tags.get(id) ?? NONE,
    keeps: (id) => keeps.get(id) ?? NONE,
  };
  for (const [ref, oid] of refs) index.set(ref, oid);
  return index;
}

function note<T>(map: Map<ResourceId, Set<T>>, id: ResourceId, value: T, present: boolean): void {
  const values = map.get(id) ?? new Set<T>();
  if (present) values.add(value);
  else values.delete(value);
  map.set(id, values);
}
