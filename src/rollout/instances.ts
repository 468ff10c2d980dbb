/** What a rollout of a fleet or a cluster does besides the walk that all kinds share: its units, its way back, its ends. */
import type { InstanceResource, Revision } from '../manifest/resource.ts';
import { clusterStagesLeft, fleetStagesAnew, fleetStagesBack } from '../plan/instances.ts';
import type { Instant, Live, LiveInstance } from '../plan/live.ts';
import type { Stage, UnitChange } from '../plan/plan.ts';
import type { Action, Question } from './decision.ts';
import type { Rollout, UnitRecord, Units } from './state.ts';
import { tallyOf } from './tally.ts';
import { earliest } from './times.ts';
import { active } from './transitions.ts';
import { entriesOf, placeOf, recordOf, unitList, withRecords } from './unit-list.ts';
import { again, atEnd, attemptOf, freshRecord, goingBack, moveUnit, stepUnit } from './units.ts';

/** Every unit of the plan as it is before anything is done to it. */
export function freeze(stages: Stage[], live: Live, now: Instant): Units {
  const planned = new Set(stages.flatMap(({ goal }) => (goal.kind === 'units' ? Object.keys(goal.want) : [])));
  const there = (live.instances ?? []).filter(({ id }) => planned.has(id));
  return unitList(there.map((instance) => [instance.id, freshRecord(instance, now)]));
}

export interface Advanced {
  rollout: Rollout;
  actions: Action[];
  questions: Question[];
  wakeAt?: Instant;
}

/** Units under way go as far as they can; others of the stage begin, if they may and as many as there is room for. */
export function advance(
  { spec, revision }: InstanceResource,
  rollout: Rollout,
  live: Live,
  now: Instant,
  mayStart: boolean,
): Advanced {
  const moving = [...tallyOf(rollout).underWay, ...(mayStart ? toBegin(rollout) : [])];
  const result: Advanced = { rollout, actions: [], questions: [] };
  const { units } = rollout;
  if (moving.length === 0 || units === undefined) return result;
  const changed: [string, UnitRecord][] = [];
  const wakes: (Instant | undefined)[] = [];
  for (const id of moving) {
    const found = recordOf(units, id);
    const change = changeOf(rollout, id);
    if (found === undefined) continue;
    const instance = instanceOf(live, units, id);
    const record = found.state === 'Pending' ? moveUnit(found, 'TakingOut', now) : found;
    const gone = live.complete && instance === undefined;
    const step = stepUnit({ id, spec, revision, rollout: rollout.id, change, instance, gone, now }, record);
    changed.push([id, step.record]);
    if (step.action !== undefined && live.complete) result.actions.push(step.action);
    if (step.question !== undefined) result.questions.push(step.question);
    wakes.push(step.wakeAt);
  }
  const wakeAt = earliest(wakes);
  const moved = { ...rollout, units: withRecords(units, changed) };
  return { ...result, rollout: moved, ...(wakeAt !== undefined && { wakeAt }) };
}

/** Of the stage under way, as many as there is room for beside what moves already. */
function toBegin(rollout: Rollout): string[] {
  const goal = rollout.plan.stages[rollout.stage]?.goal;
  const { underWay, pending } = tallyOf(rollout);
  if (goal?.kind !== 'units' || pending === 0) return [];
  const room = goal.maxInFlight - underWay.length;
  if (room <= 0) return [];
  const waiting = Object.keys(goal.want).filter((id) => recordOf(rollout.units, id)?.state === 'Pending');
  return waiting.slice(0, room);
}

/** A unit that is tried again may be of an earlier stage; one that only goes back in service is of none. */
function changeOf({ plan, stage }: Rollout, id: string): UnitChange {
  const wanted = ({ goal }: Stage) => (goal.kind === 'units' ? goal.want[id] : undefined);
  const current = plan.stages[stage];
  const own = current && wanted(current);
  if (own !== undefined) return own;
  for (const other of plan.stages) {
    const found = wanted(other);
    if (found !== undefined) return found;
  }
  return { to: plan.to, undo: [] };
}

const byId = new WeakMap<Live, Map<string, LiveInstance>>();

/** Most often they stand in the order in which they were frozen: then only those are looked at that move. */
function instanceOf(live: Live, units: Units, id: string): LiveInstance | undefined {
  const there = live.instances?.[placeOf(units, id) ?? -1];
  if (there?.id === id) return there;
  const known = byId.get(live) ?? new Map((live.instances ?? []).map((instance) => [instance.id, instance]));
  byId.set(live, known);
  return known.get(id);
}

const NONE: readonly string[] = [];

/** With these the rollout that is under way goes on, whatever is selected meanwhile; the same list until it is over. */
export const frozenUnits = (rollout: Rollout | undefined): readonly string[] =>
  (active(rollout) && rollout.units?.ids) || NONE;

export const unitsOf = (rollout: Rollout): [string, UnitRecord][] => entriesOf(rollout.units);

export const anyUnderWay = (rollout: Rollout): boolean => tallyOf(rollout).underWay.length > 0;

/** All units of the stage under way have come to an end, one way or another. */
export function stageEnded(rollout: Rollout): boolean {
  const goal = rollout.plan.stages[rollout.stage]?.goal;
  if (goal?.kind !== 'units') return false;
  return Object.keys(goal.want).every((id) => {
    const record = recordOf(rollout.units, id);
    return record === undefined || atEnd(record);
  });
}

export interface Trouble {
  reason: 'Failure' | 'Unknown';
  message: string;
}

/** What keeps other units from being begun; a unit that was skipped or canceled does not. */
export function troubleOf({ spec }: InstanceResource, rollout: Rollout): Trouble | undefined {
  const told = (ids: string[]) =>
    ids
      .map((id) => `${id}${messageOf(rollout, id)}`)
      .slice(0, TOLD)
      .join('; ') + (ids.length > TOLD ? ' …' : '');
  const { unknown, failed } = tallyOf(rollout);
  if (unknown.length > 0) return { reason: 'Unknown', message: `nothing tells how it ended: ${told(unknown)}` };
  const most = spec.kind === 'Fleet' ? spec.maxFailures : 0;
  if (failed.length <= most) return undefined;
  const allowed = most === 0 ? '' : ` (maxFailures is ${most})`;
  return { reason: 'Failure', message: `${failed.length} failed${allowed}: ${told(failed)}` };
}
const TOLD = 5;

function messageOf(rollout: Rollout, id: string): string {
  const message = recordOf(rollout.units, id)?.message ?? '';
  return message === '' ? '' : `: ${message}`;
}

/** `3 of 10 done, 2 under way`. */
export function countText(rollout: Rollout): string {
  const { total, done, underWay, failed, canceled, unknown } = tallyOf(rollout);
  const lost = failed.length + canceled.length + unknown.length;
  const parts = [`${done} of ${total} done`];
  if (underWay.length > 0) parts.push(`${underWay.length} under way`);
  if (lost > 0) parts.push(`${lost} failed`);
  return parts.join(', ');
}

const anotherTry = (record: UnitRecord, now: Instant): UnitRecord =>
  record.state === 'Pending' ? { ...record, tries: record.tries + 1 } : again(record, now);

/** What did not answer when it was skipped or canceled may answer by now. */
const GOES_BACK_AS: Partial<Record<UnitRecord['state'], UnitRecord['as']>> = {
  Failed: 'Failed',
  Unknown: 'Failed',
  Skipped: 'Skipped',
  Canceled: 'Canceled',
};

/** Before it ends: what is out of service goes back, if it answers. The same record where nothing is to be done. */
export function putBackLeft(rollout: Rollout, live: Live, now: Instant): Rollout {
  const changed: [string, UnitRecord][] = [];
  for (const instance of live.instances ?? []) {
    const record = recordOf(rollout.units, instance.id);
    if (record?.state === 'Pending') {
      const found = begunUnrecorded(rollout, record, instance, now);
      if (found !== undefined) changed.push([instance.id, found]);
    }
    const as = record && GOES_BACK_AS[record.state];
    if (record === undefined || as === undefined) continue;
    const isBack = instance.service === 'in' && instance.cordoned === record.before.cordoned;
    if (isBack || !instance.ready || record.as !== undefined) continue;
    changed.push([instance.id, goingBack(record, as, now, record.message)]);
  }
  if (changed.length === 0 || rollout.units === undefined) return rollout;
  return { ...rollout, units: withRecords(rollout.units, changed) };
}

/** An operator that died had begun with it, and what it pushed last did not say so yet. */
function begunUnrecorded({ id }: Rollout, record: UnitRecord, instance: LiveInstance, now: Instant) {
  const attempt = attemptOf({ id: instance.id, rollout: id }, record);
  // Looked up from there on, it finishes.
  if (instance.attempt?.id === attempt) return moveUnit(record, 'TakingOut', now);
  if (!record.before.inService || instance.service === 'in') return undefined;
  const message = 'was only taken out of service';
  if (!instance.ready) return moveUnit(record, 'Canceled', now, message);
  return goingBack(record, 'Canceled', now, message);
}

const notUpdated = (rollout: Rollout): string[] => {
  const { failed, canceled, unknown } = tallyOf(rollout);
  return [...failed, ...canceled, ...unknown];
};

/**
 * Units that did not get there, for the message of the end; of those that were not come to, what was out of service already; of those
 * that were skipped, what is not there, and so was not put back.
 */
export function leftOver(rollout: Rollout, { instances = [] }: Live): string {
  const what = rollout.turned ? 'not taken back' : 'not updated';
  const there = new Map(instances.map(({ id, service }) => [id, service]));
  const isOut = (id: string) => there.has(id) && there.get(id) !== 'in';
  const others = unitsOf(rollout).filter(
    ([id, { state }]) => (state === 'Pending' && isOut(id)) || (state === 'Skipped' && !there.has(id)),
  );
  const named = [...notUpdated(rollout), ...others.map(([id]) => id)].map((id) => {
    if (!there.has(id)) return `${id} (not there)`;
    return isOut(id) ? `${id} (out of service)` : id;
  });
  return named.length === 0 ? '' : `; ${what}: ${named.join(', ')}`;
}

/** Whether the units that are there came through. */
export const cameThrough = (rollout: Rollout): boolean => notUpdated(rollout).length === 0;

/**
 * The way back, once nothing is under way: over every unit on which the revision was begun, in batches of its own; what
 * was only taken out goes back in service; what was not touched is left.
 */
export function planBack(resource: InstanceResource, rollout: Rollout, live: Live, now: Instant): Rollout {
  const { to, from } = rollout.plan;
  const updated = new Set((live.instances ?? []).filter(({ applied }) => applied.at(-1) === to).map(({ id }) => id));
  // An earlier rollout may have begun on it what this one had not come to yet.
  const undone = unitsOf(rollout).flatMap(([id, record]): [string, UnitRecord][] =>
    updated.has(id) ? [[id, anotherTry(record, now)]] : [],
  );
  const stages = backStages(
    resource,
    undone.map(([id]) => id),
    to,
    from ?? to,
  );
  const plan = { ...rollout.plan, generation: rollout.plan.generation + 1, stages };
  const left = unitsOf(putBackLeft(rollout, live, now)).filter(
    ([id, record]) => !updated.has(id) && record.state !== 'Pending',
  );
  const units = unitList([...undone, ...left]);
  const { reachedAt: _, ...rest } = rollout;
  return { ...rest, plan, units, stage: 0, times: [], checks: { failures: 0 }, continued: false, back: true };
}

function backStages({ spec }: InstanceResource, touched: string[], undone: Revision, to: Revision): Stage[] {
  return spec.kind === 'Fleet' ? fleetStagesBack(spec, touched, { to, undo: [undone] }) : [];
}

/** The batches that are left, made anew: of a how-only commit, and of a cluster after a continue, which starts again at 1. */
export function replanUnits({ spec }: InstanceResource, rollout: Rollout, live: Live): Rollout {
  const { plan, stage } = rollout;
  const current = plan.stages[stage];
  const begun = current?.goal.kind === 'units' && Object.keys(current.goal.want).some((id) => !isPending(rollout, id));
  const kept = plan.stages.slice(0, begun ? stage + 1 : stage);
  const keptUnits = new Set(kept.flatMap(({ goal }) => (goal.kind === 'units' ? Object.keys(goal.want) : [])));
  const creating = plan.stages.slice(kept.length).filter(({ goal }) => goal.kind === 'members');
  const left = Object.fromEntries(
    plan.stages
      .flatMap(({ goal }) => (goal.kind === 'units' ? Object.entries(goal.want) : []))
      .filter(([id]) => !keptUnits.has(id)),
  );
  const stages =
    spec.kind === 'Fleet'
      ? fleetStagesAnew(spec, left, [...kept, ...creating])
      : [...kept, ...clusterStagesLeft(spec, left, kept, live.instances ?? []), ...creating];
  return { ...rollout, plan: { ...plan, generation: plan.generation + 1, stages } };
}

const isPending = ({ units }: Rollout, id: string): boolean => (recordOf(units, id)?.state ?? 'Pending') === 'Pending';
