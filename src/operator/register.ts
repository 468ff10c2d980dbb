/** What each resource was told last, and what must be known of it for the next commit, which costs with what it changes. */
import { changedKeys } from '../manifest/persistent-map.ts';
import type { Declared, Resource, ResourceId } from '../manifest/resource.ts';
import type { State } from '../rollout/state.ts';
import { type KnownResource, mayBeIn, type Told, tell } from './declarations.ts';
import type { Site } from './site.ts';
import type { Snapshots } from './snapshots.ts';

export interface Register {
  /** A resource that is remembered from the status branch; before the first commit. */
  restore(id: ResourceId, state: State): void;
  /**
   * What a commit tells the resources that it changes, and all that are not as declared: of all others it is what they were told.
   * When it throws, the commit before stands. `stateOf`: what is remembered of a resource.
   */
  takeUp(declared: Declared, stateOf: (id: ResourceId) => State | undefined): Promise<Map<ResourceId, Told>>;
  told(id: ResourceId): Told | undefined;
}

export function createRegister({ resourceAt }: Pick<Snapshots, 'resourceAt'>, commitsOf: Site['commitsOf']): Register {
  const known = new Map<ResourceId, KnownResource>();
  const told = new Map<ResourceId, Told>();
  let taken: Declared | undefined;
  /** Known, but gone or held when the last commit was taken up: what they are told depends on every commit. */
  let adrift: ResourceId[] = [];

  function toLookAt(declared: Declared): ResourceId[] {
    const ids =
      taken === undefined
        ? [...declared.resources.keys(), ...known.keys()]
        : [...changedKeys(taken.resources, declared.resources), ...adrift];
    return [...new Set([...ids, ...declared.invalid])].sort();
  }

  /** After a restart the last valid declaration of what is invalid now is read from the commit that the status names. */
  async function recall(id: ResourceId, declared: Declared): Promise<void> {
    const before = known.get(id);
    if (before?.commit === undefined || before.resource !== undefined) return;
    if (!declared.invalid.has(id) && declared.unreadable.size === 0) return;
    const resource = await resourceAt(before.commit, id).catch(() => undefined);
    if (resource !== undefined) known.set(id, { ...before, resource, file: resource.place.file });
  }

  /**
   * What a commit deleted becomes durable one resource after the other: after a restart those that it also deleted, and that nothing
   * tells of, wait as the others do. Counted anew, what is left of a deletion of nearly all would need nobody's consent.
   */
  async function rejoin(ids: readonly ResourceId[], declared: Declared): Promise<void> {
    const waiting = new Set(
      [...known.values()].flatMap(({ deletion }) => (deletion?.confirmed === false ? deletion.commit : [])),
    );
    const gone = ids.filter((id) => !declared.resources.has(id) && !declared.invalid.has(id));
    for (const id of waiting.size === 0 ? [] : gone) {
      const before = known.get(id);
      if (before === undefined || before.deletion !== undefined || mayBeIn(declared.unreadable, before)) continue;
      for (const commit of waiting) {
        const isThere = await resourceAt(commit, id).catch(() => undefined);
        if (isThere !== undefined) continue;
        known.set(id, { ...before, deletion: { commit, confirmed: false } });
        break;
      }
    }
  }

  return {
    restore(id, { commit, digest, deletion }) {
      known.set(id, { kind: kindOf(id), commit, digest, ...(deletion !== undefined && { deletion }) });
    },
    async takeUp(declared, stateOf) {
      const ids = toLookAt(declared);
      for (const id of ids) if (!declared.resources.has(id)) await recall(id, declared);
      if (taken === undefined) await rejoin(ids, declared);
      const isNew = ({ id, digest }: Resource) =>
        known.get(id)?.digest !== digest || known.get(id)?.deletion !== undefined;
      const commits = await commitsOf(
        declared.commit,
        ids.flatMap((id) => declared.resources.get(id) ?? []).filter(isNew),
      );
      const commitOf = (id: ResourceId) => commits.get(id) ?? known.get(id)?.commit ?? declared.commit;
      const next = tell(declared, known, commitOf, told, ids);
      for (const [id, say] of next) {
        if (told.get(id) === say) continue;
        told.set(id, say);
        remember(known, id, say, stateOf(id));
      }
      adrift = ids.filter((id) => known.has(id) && !declared.resources.has(id));
      taken = declared;
      return next;
    },
    told: (id) => told.get(id),
  };
}

const kindOf = (id: ResourceId): string => id.slice(0, id.indexOf('/'));

function remember(known: Map<ResourceId, KnownResource>, id: ResourceId, say: Told, state: State | undefined): void {
  const { deletion: _, ...before }: Partial<KnownResource> = known.get(id) ?? {};
  const resource = say.declaration?.resource ?? before.resource;
  const isDeleted = say.declaration !== undefined && say.declaration.resource === undefined;
  if (isDeleted && state === undefined) known.delete(id);
  else
    known.set(id, {
      ...before,
      kind: kindOf(id),
      ...(resource !== undefined && { resource, digest: resource.digest, file: resource.place.file }),
      // A commit that deletes it declares nothing that could be read again.
      ...(!isDeleted && { commit: say.commit }),
      ...(isDeleted && { deletion: { commit: say.commit, confirmed: say.declaration?.deletionConfirmed === true } }),
    });
}
