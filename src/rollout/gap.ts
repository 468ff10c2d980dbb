/** Closes the gap between goals and what is live: surge, repair, prune, supersede and rollback are all this. */
import type { Revision } from '../manifest/resource.ts';
import type { Instant, Live, LiveUnit, TrafficPolicy } from '../plan/live.ts';
import type { Goal, ReplicasGoal } from '../plan/plan.ts';
import { available } from '../plan/reached.ts';
import { samePolicy } from '../plan/traffic.ts';
import { trafficNames } from '../plan/versions.ts';
import type { Action } from './decision.ts';

export interface Gap {
  actions: Action[];
  /** When a delay ends that keeps an action back. */
  wakeAt?: Instant;
}

export interface GapOptions {
  /** The resource's name: units are named after it. */
  name: string;
  now: Instant;
  /** Only what died is started again, as what it was; nothing moves. */
  hold: boolean;
  /** Deleted: traffic is taken away although no goal says where it should go. */
  unroute: boolean;
  /** Units that died before this are started again without a delay. */
  retriedAt?: Instant;
}

const LONGEST_DELAY = 60_000;
/** A unit that was ready for so long has lasted: its next death counts as the first. */
const LASTED = 60_000;

/** 0 s, 1 s, 2 s, 4 s … 60 s. */
export function restartDelay(restarts: number): number {
  return restarts === 0 ? 0 : Math.min(2 ** (restarts - 1) * 1000, LONGEST_DELAY);
}

export function closeGap(goals: Goal[], live: Live, options: GapOptions): Gap {
  if (!live.complete) return { actions: [] };
  const wanted = goals.find((goal) => goal.kind === 'traffic')?.policy;
  const gap: Gap = { actions: [] };
  if (options.unroute ? live.traffic !== undefined : routable(wanted, live, goals)) {
    const told = [live.traffic, live.routing].some((policy) => samePolicy(wanted, policy));
    if (options.unroute || !told) gap.actions.push({ kind: 'route', policy: wanted });
  }
  const goalOf = new Map(goals.flatMap((goal) => (goal.kind === 'replicas' ? [[goal.version, goal] as const] : [])));
  const versions = new Set([...goalOf.keys(), ...live.units.map((unit) => unit.version)]);
  for (const version of versions) {
    const goal = goalOf.get(version) ?? nothing(version);
    const units = live.units.filter((unit) => unit.version === version);
    if (options.hold) restartDead(units, options, gap);
    else moveVersion(goal, units, live, wanted, options, gap);
  }
  return gap;
}

const nothing = (version: string): ReplicasGoal => ({
  kind: 'replicas',
  version,
  want: {},
  maxTotal: 0,
  minAvailable: 0,
  minReadySeconds: 0,
});

/** No traffic to what is not ready: every version that would get some has an available unit. */
function routable(policy: TrafficPolicy | undefined, live: Live, goals: Goal[]): boolean {
  if (policy === undefined) return false;
  return trafficNames(policy).every((version) => {
    const goal = goals.find((candidate) => candidate.kind === 'replicas' && candidate.version === version);
    const minReady = goal?.kind === 'replicas' ? goal.minReadySeconds : 0;
    return live.units.some((unit) => unit.version === version && available(unit, minReady, live.observedAt));
  });
}

/**
 * One version's units towards its goal.
 *
 * replicas 5, surge 1, unavailable 0, all of revision A and ready, B wanted: one B is started (6); when it is ready one A
 * is stopped (5); and so on. Never under 5 ready, never over 6.
 */
function moveVersion(
  goal: ReplicasGoal,
  units: LiveUnit[],
  live: Live,
  wanted: TrafficPolicy | undefined,
  options: GapOptions,
  gap: Gap,
): void {
  const staying = units.filter((unit) => unit.phase !== 'stopping');
  const { kept, missing } = keep(goal, staying, live.observedAt);
  const surplus = staying.filter((unit) => !kept.has(unit));
  restartDead([...kept], options, gap);
  startMissing(goal, missing, units.length, live, options, gap);
  const leaving = trafficNames(live.traffic).includes(goal.version) && !trafficNames(wanted).includes(goal.version);
  if (leaving) return;
  for (const unit of stoppable(goal, surplus, [...kept], live.observedAt)) {
    gap.actions.push({ kind: 'stop', unit: unit.id, attempt: unit.attempt });
  }
}

/** The units that fill what is wanted of each revision, the most useful first; and how many are missing. */
function keep(goal: ReplicasGoal, units: LiveUnit[], seenAt: Instant) {
  const kept = new Set<LiveUnit>();
  const missing: [Revision, number][] = [];
  for (const [revision, want] of Object.entries(goal.want)) {
    const candidates = units.filter((unit) => unit.revision === revision).sort(byUse(goal, seenAt));
    for (const unit of candidates.slice(0, want)) kept.add(unit);
    if (candidates.length < want) missing.push([revision, want - candidates.length]);
  }
  return { kept, missing };
}

/** Available before ready before starting before dead; then by name, so that the choice is stable. */
function byUse(goal: ReplicasGoal, seenAt: Instant) {
  const rank = (unit: LiveUnit) => {
    if (available(unit, goal.minReadySeconds, seenAt)) return 0;
    return unit.ready ? 1 : unit.phase === 'dead' ? 3 : 2;
  };
  return (a: LiveUnit, b: LiveUnit) => rank(a) - rank(b) || slotOf(a) - slotOf(b);
}

const slotOf = (unit: LiveUnit) => Number(unit.id.slice(unit.id.lastIndexOf('-') + 1));

/** Units being stopped still take up room: the total is what is there, not what should be. */
function startMissing(
  goal: ReplicasGoal,
  missing: [Revision, number][],
  present: number,
  live: Live,
  { name, now }: GapOptions,
  gap: Gap,
): void {
  let room = goal.maxTotal - present;
  const prefix = goal.version === '' ? name : `${name}-${goal.version}`;
  const taken = new Set(live.units.map((unit) => unit.id));
  for (const [revision, count] of missing) {
    for (let n = 0; n < count && room > 0; n++, room--) {
      const unit = freeSlot(prefix, taken);
      taken.add(unit);
      gap.actions.push(start(unit, revision, goal.version, now, 0));
    }
  }
}

function freeSlot(prefix: string, taken: Set<string>): string {
  for (let slot = 1; ; slot++) {
    const id = `${prefix}-${slot}`;
    if (!taken.has(id)) return id;
  }
}

/**
 * What may go now: the dead at once; of the others so many that never fewer than `minAvailable` stay available, units of
 * the wanted revisions that are not available yet counted as missing; the unready first, then those that are ready for too short a time.
 */
function stoppable(goal: ReplicasGoal, surplus: LiveUnit[], kept: LiveUnit[], seenAt: Instant): LiveUnit[] {
  const isAvailable = (unit: LiveUnit) => available(unit, goal.minReadySeconds, seenAt);
  const dead = surplus.filter((unit) => unit.phase === 'dead');
  const alive = surplus
    .filter((unit) => unit.phase !== 'dead')
    .sort((a, b) => Number(a.ready) - Number(b.ready) || slotOf(b) - slotOf(a));
  const unready = alive.filter((unit) => !isAvailable(unit));
  const ready = alive.filter(isAvailable);
  const keptUnavailable = kept.filter((unit) => !isAvailable(unit)).length;
  const budget = Math.max(0, alive.length + kept.length - goal.minAvailable - keptUnavailable);
  const first = unready.slice(0, budget);
  const keptAvailable = kept.length - keptUnavailable;
  const spare = Math.max(0, keptAvailable + ready.length - goal.minAvailable);
  return [...dead, ...first, ...ready.slice(0, Math.min(budget - first.length, spare))];
}

/** A unit that died is started again as what it was, after a delay that grows with each start that did not last. */
function restartDead(units: LiveUnit[], options: GapOptions, gap: Gap): void {
  for (const unit of units) {
    if (unit.phase !== 'dead') continue;
    const diedAt = unit.diedAt ?? options.now;
    const restarts = unit.readySince !== undefined && diedAt - unit.readySince >= LASTED ? 0 : unit.restarts;
    const retried = options.retriedAt !== undefined && diedAt < options.retriedAt;
    const dueAt = retried ? options.now : diedAt + restartDelay(restarts);
    if (dueAt > options.now) {
      gap.wakeAt = Math.min(gap.wakeAt ?? dueAt, dueAt);
    } else {
      gap.actions.push(start(unit.id, unit.revision, unit.version, options.now, retried ? 0 : restarts + 1));
    }
  }
}

function start(unit: string, revision: Revision, version: string, now: Instant, restarts: number): Action {
  return { kind: 'start', unit, revision, version, attempt: `${unit}.${now.toString(36)}`, restarts };
}
