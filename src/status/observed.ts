/** What of a goal is seen in `Live`: counts, and the state of each unit. Nothing here is concluded from intent. */
import type { Live, LiveUnit } from '../plan/live.ts';
import type { Goal, ReplicasGoal } from '../plan/plan.ts';
import { available, doneOf, reached } from '../plan/reached.ts';
import { oneLine } from './words.ts';

type UnitState = 'Pending' | 'TakingOut' | 'Updating' | 'Verifying' | 'Succeeded' | 'Failed';

export interface UnitDocument {
  name: string;
  state: UnitState;
  message?: string;
}

/** Beyond this many units only those that are not simply done or pending are listed. */
const LISTED_UNITS = 200;

/** How many things a goal counts: replicas of the wanted revisions; 1 for traffic and for `none are left`. */
export const totalOf = (goal: Goal): number => (goal.kind === 'traffic' ? 1 : Math.max(1, wantedCount(goal)));

/**
 *   want {new: 5}, live 3 new and available, 1 new and starting, 2 old → 3
 *   want {},       live 2 → 0; none → 1
 */
export function seenOf(goal: Goal, live: Live): number {
  if (goal.kind === 'replicas' && wantedCount(goal) > 0) return doneOf(goal, live, live.observedAt);
  return reached(goal, live, live.observedAt) ? 1 : 0;
}

export const wantedCount = (goal: ReplicasGoal): number =>
  Object.values(goal.want).reduce((sum, count) => sum + count, 0);

/** The units of the goal's version, by name. */
export function unitsOf(goal: ReplicasGoal, live: Live): UnitDocument[] {
  const units = live.units
    .filter((unit) => unit.version === goal.version)
    .map((unit) => unitDocument(unit, goal, live))
    .sort((a, b) => byName(a.name, b.name));
  if (units.length <= LISTED_UNITS) return units;
  return units.filter(({ state, message }) => message !== undefined || (state !== 'Succeeded' && state !== 'Pending'));
}

function unitDocument(unit: LiveUnit, goal: ReplicasGoal, live: Live): UnitDocument {
  const message = unitMessage(unit);
  return { name: unit.id, state: unitState(unit, goal, live), ...(message !== undefined && { message }) };
}

/** A unit of a revision that is not wanted has still to be replaced (`Pending`) until it is seen to go (`TakingOut`). */
function unitState(unit: LiveUnit, goal: ReplicasGoal, live: Live): UnitState {
  if (unit.phase === 'stopping') return 'TakingOut';
  if ((goal.want[unit.revision] ?? 0) === 0) return unit.phase === 'dead' ? 'TakingOut' : 'Pending';
  if (unit.phase === 'dead') return 'Failed';
  if (unit.phase === 'starting') return 'Updating';
  return available(unit, goal.minReadySeconds, live.observedAt) ? 'Succeeded' : 'Verifying';
}

function unitMessage(unit: LiveUnit): string | undefined {
  const said = unit.message === undefined ? '' : oneLine(unit.message);
  const again = unit.restarts === 0 ? '' : `started again ${unit.restarts === 1 ? 'once' : `${unit.restarts} times`}`;
  const parts = [said, again].filter((part) => part !== '');
  return parts.length === 0 ? undefined : parts.join('; ');
}

const collator = new Intl.Collator('en', { numeric: true });
/** `web-2` before `web-10`; the same on every machine. */
export const byName = (a: string, b: string): number => collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
