/** ReplicaSets and their pods as they are now, by resource: what the watches know, and what this operator has asked for besides. */
import type { ResourceId } from '../../manifest/resource.ts';
import type { LiveUnit } from '../../plan/live.ts';
import { type Cache, openCache } from './cache.ts';
import type { Kube, KubeObject } from './client.ts';
import type { Marked } from './fence.ts';
import { corePath, type Scope, scopeSelector, setsPath } from './names.ts';
import { byWorth, type PodView, podView, type SetView, setView } from './view.ts';

export interface StoreOptions {
  kube: Kube;
  scope: Scope;
  changed(resource: ResourceId): void;
  turned(up: boolean, message: string): void;
}

export interface Store {
  ready: Promise<void>;
  up(): boolean;
  sets(resource: ResourceId): SetView[];
  set(name: string): SetView | undefined;
  pods(set: SetView): PodView[];
  resources(): Set<ResourceId>;
  marked(): Marked[];
  /** What the API answered to a write. */
  put(set: KubeObject): void;
  close(): void;
}

export function openStore({ kube, scope, changed, turned }: StoreOptions): Store {
  const byOwner = new Map<string, Map<string, PodView>>();
  const setsOf = new Map<ResourceId, Map<string, SetView>>();
  const resourceByUid = new Map<string, ResourceId>();
  const tell = (owner: string | undefined) => {
    const resource = owner === undefined ? undefined : resourceByUid.get(owner);
    if (resource !== undefined) changed(resource);
  };
  const common = { kube, selector: scopeSelector(scope), turned };

  const sets: Cache<SetView> = openCache({
    ...common,
    path: setsPath(scope),
    keep: setView,
    changed(now, old) {
      if (old !== undefined) {
        setsOf.get(old.resource)?.delete(old.name);
        if (setsOf.get(old.resource)?.size === 0) setsOf.delete(old.resource);
        if (old.uid !== now?.uid) resourceByUid.delete(old.uid);
      }
      if (now !== undefined) {
        const those = setsOf.get(now.resource) ?? new Map<string, SetView>();
        setsOf.set(now.resource, those.set(now.name, now));
        resourceByUid.set(now.uid, now.resource);
      }
      const resource = now?.resource ?? old?.resource;
      if (resource !== undefined) changed(resource);
    },
  });

  const pods: Cache<PodView> = openCache({
    ...common,
    path: corePath(scope, 'pods'),
    keep(object, before) {
      const now = podView(object, before, Date.now());
      return before === undefined || differs(now, before) ? now : before;
    },
    changed(now, old) {
      if (old?.owner !== undefined && old.owner !== now?.owner) byOwner.get(old.owner)?.delete(old.name);
      if (now?.owner !== undefined) {
        const those = byOwner.get(now.owner) ?? new Map<string, PodView>();
        byOwner.set(now.owner, those.set(now.name, now));
      }
      if (old?.owner !== undefined && byOwner.get(old.owner)?.size === 0) byOwner.delete(old.owner);
      if (now !== old) tell(now?.owner ?? old?.owner);
    },
  });

  return {
    ready: Promise.all([sets.ready, pods.ready]).then(() => {}),
    up: () => sets.up() && pods.up(),
    sets: (resource) => [...(setsOf.get(resource)?.values() ?? [])],
    set: (name) => sets.get(name),
    pods: ({ uid }) => [...(byOwner.get(uid)?.values() ?? [])],
    resources: () => new Set(setsOf.keys()),
    marked: () => [...sets.all()].map(({ name, epoch }) => ({ path: setsPath(scope, name), epoch, put: sets.put })),
    put: sets.put,
    close() {
      sets.close();
      pods.close();
    },
  };
}

/** Of what is kept: much of what changes about a pod changes nothing for its unit. */
const differs = (now: PodView, old: PodView): boolean =>
  (Object.keys(now) as (keyof PodView)[]).some((key) => now[key] !== old[key]);

/** A pod whose node does not answer is deleted, and stays: so long after it should be gone, nobody waits for it. */
export const LOST_MS = 60_000;
const isLost = ({ goneAt }: PodView, now: number) => goneAt !== undefined && now > goneAt + LOST_MS;

/**
 * The units of one ReplicaSet that is to have `wanted` pods. Those that are not made yet are there as starting; those that are too many, as
 * stopping: the ones that the cluster gives up first.
 *
 * wanted 3, pods a (ready), b (ready), c (pulls), d (ready, deleted): d is stopping; a, b are running, c starting. With wanted 2, c is stopping.
 */
export function unitsOf(set: SetView, pods: PodView[], wanted: number, now: number): LiveUnit[] {
  const there = pods.filter((pod) => !pod.over && !isLost(pod, now));
  const staying = there.filter(({ goneAt }) => goneAt === undefined).sort(byWorth);
  const leaving = there.filter(({ goneAt }) => goneAt !== undefined);
  const missing = Array.from({ length: Math.max(0, wanted - staying.length) }, (_, index) => index + 1);
  return [
    ...staying.map((pod, index) => podUnit(set, pod, index >= wanted)),
    ...leaving.map((pod) => podUnit(set, pod, true)),
    ...missing.map((index) => missingUnit(set, index)),
  ];
}

const made = new WeakMap<PodView | SetView, Map<number, LiveUnit>>();
/** Thousands of them are looked at several times a second, and few have changed since. */
function kept(of: PodView | SetView, which: number, make: () => LiveUnit): LiveUnit {
  const those = made.get(of) ?? new Map<number, LiveUnit>();
  if (those.size === 0) made.set(of, those);
  const unit = those.get(which) ?? make();
  those.set(which, unit);
  return unit;
}

function podUnit({ revision, version }: SetView, pod: PodView, leaves: boolean): LiveUnit {
  const { readySince, unreadySince, message, address, stuckSince } = pod;
  return kept(pod, Number(leaves), () => ({
    ...{ id: pod.name, revision, version, attempt: attemptOf(pod), restarts: pod.restarts },
    phase: leaves ? 'stopping' : pod.ready ? 'running' : 'starting',
    ready: pod.ready && !leaves,
    ...(readySince !== undefined && { readySince }),
    ...(unreadySince !== undefined && !leaves && { unreadySince }),
    ...(message !== undefined && { message }),
    ...(address !== undefined && { address }),
    ...(stuckSince !== undefined && !leaves && { stuckSince }),
  }));
}

const attemptOf = ({ name, uid }: Pick<PodView, 'name' | 'uid'>): string => `${name}.${uid.slice(0, 8)}`;

function missingUnit(set: SetView, index: number): LiveUnit {
  const { name, revision, version, refused } = set;
  const id = `${name}-new-${index}`;
  return kept(set, index, () => ({
    ...{ id, revision, version, attempt: `${id}.0`, restarts: 0 },
    ...{ phase: 'starting', ready: false, message: refused?.message ?? 'its pod is not made yet' },
    ...(refused !== undefined && { stuckSince: refused.since }),
  }));
}
