/** What of a goal is seen in `Live`: counts, and the state of each unit. Nothing here is concluded from intent. */
import type { Live, LiveUnit } from '../plan/live.ts';
import type { Goal, ReplicasGoal, UnitsGoal } from '../plan/plan.ts';
import { available, doneOf, reached } from '../plan/reached.ts';
import type { Rollout, UnitState } from '../rollout/state.ts';
import { recordOf } from '../rollout/unit-list.ts';
import { done } from '../rollout/units.ts';
import { oneLine } from './words.ts';

export interface UnitDocument {
  name: string;
  state: UnitState;
  message?: string;
}

/** A unit that was started again so often does not come up by itself. */
export const STARTS_IN_VAIN = 3;

/** Beyond this many units only those that are not simply done or pending are listed. */
const LISTED_UNITS = 200;

/** How many things a goal counts: units; replicas of the wanted revisions; 1 for traffic and for `none are left`. */
export function totalOf(goal: Goal): number {
  switch (goal.kind) {
    case 'units':
      return Object.keys(goal.want).length;
    case 'replicas':
      return Math.max(1, wantedCount(goal));
    case 'members':
      return goal.size ?? 1;
    case 'traffic':
      return 1;
  }
}

/**
 *   want {new: 5}, live 3 new and available, 1 new and starting, 2 old → 3
 *   want {},       live 2 → 0; none → 1
 *   size 3,        live 2 ready, 1 not → 2
 */
export function seenOf(goal: Goal, live: Live): number {
  if (goal.kind === 'replicas' && wantedCount(goal) > 0) return doneOf(goal, live);
  if (goal.kind === 'members' && goal.size !== undefined) {
    return Math.min(goal.size, (live.instances ?? []).filter(({ ready }) => ready).length);
  }
  return reached(goal, live) ? 1 : 0;
}

/** By the record: updated and back, or skipped. */
export const doneUnits = ({ want }: UnitsGoal, { units }: Rollout): number =>
  Object.keys(want).filter((name) => {
    const record = recordOf(units, name);
    return record !== undefined && done(record);
  }).length;

/** The units of a batch as the record has them, in their order; undefined: not begun. */
export function recordsOf({ want }: UnitsGoal, { units }: Rollout): UnitDocument[] | undefined {
  if (units === undefined) return undefined;
  const all = Object.keys(want).flatMap((name) => {
    const record = recordOf(units, name);
    if (record === undefined) return [];
    const message = oneLine(record.message);
    return [{ name, state: record.state, ...(message !== '' && { message }) }];
  });
  return units.ids.length <= LISTED_UNITS ? all : all.filter(worthALook);
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
  return units.filter(worthALook);
}

const worthALook = ({ state, message }: UnitDocument): boolean =>
  message !== undefined || (state !== 'Succeeded' && state !== 'Pending');

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
