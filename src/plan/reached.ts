/** What is seen of a goal: whether it is reached, and how much of it is done. */
import type { Revision } from '../manifest/resource.ts';
import type { Instant, Live, LiveInstance, LiveUnit } from './live.ts';
import type { Goal, MembersGoal, ReplicasGoal } from './plan.ts';
import { samePolicy } from './traffic.ts';

/** At the moment in which it was seen: ready without a break for at least `minReadySeconds`, and not on its way out. */
export function available(unit: LiveUnit, minReadySeconds: number, seenAt: Instant): boolean {
  if (!unit.ready || unit.phase === 'stopping' || unit.phase === 'dead') return false;
  return minReadySeconds === 0 || (unit.readySince !== undefined && seenAt - unit.readySince >= minReadySeconds * 1000);
}

/** From when on it counts as one that does not get ready: by what its target says, or by what its resource allows for that. */
export function overdueAt(unit: LiveUnit, progressDeadlineSeconds: number): Instant {
  const { ready, phase, unreadySince = Number.POSITIVE_INFINITY, stuckSince = Number.POSITIVE_INFINITY } = unit;
  if (ready || phase === 'stopping' || phase === 'dead') return Number.POSITIVE_INFINITY;
  return Math.min(stuckSince, unreadySince + progressDeadlineSeconds * 1000);
}

/** True only when all of it was observed: every wanted replica available, and nothing else of that version left. */
export function reached(goal: Goal, live: Live): boolean {
  if (!live.complete) return false;
  if (goal.kind === 'traffic') return samePolicy(goal.policy, live.traffic);
  const instances = live.instances ?? [];
  if (goal.kind === 'members') return membersReached(goal, instances);
  if (goal.kind === 'units') {
    return Object.entries(goal.want).every(([id, { to }]) => isAt(instances, id, to));
  }
  const mine = live.units.filter((unit) => unit.version === goal.version);
  const wanted = Object.values(goal.want).reduce((sum, n) => sum + n, 0);
  return mine.length === wanted && doneOf(goal, live) === wanted;
}

const isAt = (instances: LiveInstance[], id: string, revision: Revision): boolean =>
  instances.some((instance) => instance.id === id && instance.applied.at(-1) === revision && instance.ready);

/** Hosts come and go by themselves; what the target creates is all there, in service. */
function membersReached({ size, controlPlane }: MembersGoal, instances: LiveInstance[]): boolean {
  if (size === undefined) return true;
  const masters = instances.filter((instance) => instance.controlPlane).length;
  const counted = instances.length === size && (controlPlane === undefined || masters === controlPlane);
  return counted && instances.every(({ ready }) => ready);
}

/** Available units of the wanted revisions, each counted up to what is wanted of it. */
export function doneOf(goal: ReplicasGoal, live: Live): number {
  let done = 0;
  for (const [revision, want] of Object.entries(goal.want)) {
    const have = live.units.filter(
      (unit) =>
        unit.version === goal.version &&
        unit.revision === revision &&
        available(unit, goal.minReadySeconds, live.observedAt),
    ).length;
    done += Math.min(have, want);
  }
  return done;
}
