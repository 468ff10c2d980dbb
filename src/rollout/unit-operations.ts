/** Operations on one unit of a fleet or a cluster: retry, skip, cancel. */
import type { InstanceResource, Operation } from '../manifest/resource.ts';
import type { Instant, Live } from '../plan/live.ts';
import type { Outcome } from './apply.ts';
import { troubleOf } from './instances.ts';
import type { Rollout, State, UnitRecord } from './state.ts';
import { ended, move } from './transitions.ts';
import { recordOf, withRecords } from './unit-list.ts';
import { again, goingBack, moveUnit, underWay } from './units.ts';

export interface UnitHandling {
  state: State;
  rollout: Rollout;
  resource: InstanceResource;
  live: Live;
  now: Instant;
  unit: string;
}

/** What was done about a unit lets a rollout that waited for it go on. */
export function operateUnit(handling: UnitHandling, action: Operation['action']): Outcome {
  const { state, rollout, unit, now } = handling;
  if (ended(rollout)) return { refused: `rollout ${rollout.id} has ended: ${rollout.phase}` };
  const record = recordOf(rollout.units, unit);
  if (rollout.units === undefined || record === undefined)
    return { refused: `rollout ${rollout.id} has no unit ${unit}: ${unitNames(rollout)}` };
  const next = unitAfter(handling, record, action);
  if ('refused' in next) return next;
  const units = withRecords(rollout.units, [[unit, next.record]]);
  return { applied: next.applied, state: { ...state, rollout: freed({ ...rollout, units }, handling.resource, now) } };
}

function unitNames({ units }: Rollout): string {
  const names = units?.ids ?? [];
  return names.length === 0
    ? 'its units are not frozen yet'
    : `it has ${names.slice(0, 10).join(', ')}${names.length > 10 ? ' …' : ''}`;
}

type After = { refused: string } | { applied: string; record: UnitRecord };

function unitAfter({ rollout, live, unit, now }: UnitHandling, record: UnitRecord, action: Operation['action']): After {
  const { state } = record;
  if (underWay(record)) return { refused: `${unit} is under way (${state}); wait until it has come to an end` };
  if (action === 'retry') {
    if (state !== 'Failed' && state !== 'Unknown') return { refused: `${unit} has not failed: ${state}` };
    const why = noWayBack(rollout, unit);
    if (why !== undefined) return { refused: why };
    return { applied: `${unit} is tried again`, record: moveUnit(again(record, now), 'TakingOut', now) };
  }
  const as = action === 'skip' ? 'Skipped' : 'Canceled';
  if (state !== 'Failed' && state !== 'Unknown' && state !== 'Pending')
    return { refused: `${unit} is ${state} already` };
  const word = as.toLowerCase();
  const { ready = false, service = 'in' } = live.instances?.find(({ id }) => id === unit) ?? {};
  if (state === 'Pending' && (service === 'in' || !ready))
    return { applied: `${unit} is ${word}; it was not touched`, record: moveUnit(record, as, now) };
  if (ready) return { applied: `${unit} is ${word}`, record: goingBack(record, as, now) };
  const message = 'does not answer, so it stays out of service';
  return { applied: `${unit} is ${word}; it ${message}`, record: moveUnit(record, as, now, message) };
}

/** On the way back nothing is done to a unit that has nothing to be taken back, and nothing is begun before the way is planned. */
function noWayBack({ id, turned, back, plan }: Rollout, unit: string): string | undefined {
  if (!turned) return undefined;
  if (back !== true) return `rollout ${id} is rolling back; its units under way finish first`;
  if (plan.stages.some(({ goal }) => goal.kind === 'units' && goal.want[unit] !== undefined)) return undefined;
  return `rollout ${id} is rolling back, and nothing of ${plan.to} is on ${unit}; skip or cancel it`;
}

/** Paused for a unit, it goes on as soon as none is in trouble; paused for anything else it stays so. */
function freed(rollout: Rollout, resource: InstanceResource, now: Instant): Rollout {
  const forUnit = rollout.reason === 'Failure' || (rollout.reason === 'Unknown' && !rollout.tampered);
  if (rollout.phase !== 'Paused' || !forUnit || troubleOf(resource, rollout) !== undefined) return rollout;
  return move(rollout, rollout.turned ? 'RollingBack' : 'Progressing', now, 'goes on');
}
