/** One unit of a fleet or a cluster through a rollout: out of service, updated, verified, back. */
import type { InstanceSpec, Revision } from '../manifest/resource.ts';
import type { Instant, LiveAttempt, LiveInstance } from '../plan/live.ts';
import type { UnitChange } from '../plan/plan.ts';
import type { Action, Question } from './decision.ts';
import type { UnitRecord, UnitState } from './state.ts';

/** Legal states of a unit: a retry begins again at `Pending`. */
export const UNIT_TRANSITIONS: Record<UnitState, readonly UnitState[]> = {
  Pending: ['TakingOut', 'Skipped', 'Canceled'],
  TakingOut: ['Updating', 'Failed', 'PuttingBack'],
  Updating: ['Verifying', 'Failed', 'Unknown'],
  Verifying: ['PuttingBack', 'Failed'],
  PuttingBack: ['Succeeded', 'Skipped', 'Canceled', 'Failed'],
  Succeeded: ['Pending'],
  Failed: ['Pending', 'PuttingBack', 'Skipped', 'Canceled'],
  Skipped: ['Pending', 'PuttingBack'],
  Canceled: ['Pending', 'PuttingBack'],
  Unknown: ['Pending', 'PuttingBack', 'Skipped', 'Canceled'],
};

const UNDER_WAY: readonly UnitState[] = ['TakingOut', 'Updating', 'Verifying', 'PuttingBack'];
export const underWay = ({ state }: UnitRecord): boolean => UNDER_WAY.includes(state);
export const done = ({ state }: UnitRecord): boolean => state === 'Succeeded' || state === 'Skipped';
/** Nothing more happens to it by itself. */
export const atEnd = (record: UnitRecord): boolean => !underWay(record) && record.state !== 'Pending';

/** What an earlier rollout left out of service goes back in: what it had stands beside it, not in what is seen of it now. */
export function freshRecord(instance: LiveInstance, now: Instant): UnitRecord {
  const { service, weight, cordonedBefore = false } = instance;
  const inService = service === 'in';
  const cordoned = inService ? instance.cordoned : cordonedBefore;
  const before = { inService, ...(inService && weight !== undefined && { weight }), cordoned };
  return { state: 'Pending', since: now, message: '', tries: 1, before, checks: { failures: 0, passed: false } };
}

/** Throws on an illegal transition: that is a defect of the engine. */
export function moveUnit(record: UnitRecord, state: UnitState, now: Instant, message = ''): UnitRecord {
  if (!UNIT_TRANSITIONS[record.state].includes(state)) {
    throw new Error(`unit: ${record.state} → ${state} is no legal transition`);
  }
  return { ...record, state, since: now, message };
}

/** It only goes back in service, and counts as `as` then; one that was not begun passes through what is not done to it. */
export function goingBack(record: UnitRecord, as: UnitRecord['as'] & string, now: Instant, message = ''): UnitRecord {
  const from = record.state === 'Pending' ? moveUnit(record, 'TakingOut', now) : record;
  return { ...moveUnit(from, 'PuttingBack', now, message), as };
}

/** Another try: another attempt, from the start; what it had before it was first touched stays. */
export function again(record: UnitRecord, now: Instant): UnitRecord {
  const { as: _, ...fresh } = moveUnit(record, 'Pending', now);
  return { ...fresh, tries: record.tries + 1, checks: { failures: 0, passed: false } };
}

export interface UnitContext {
  id: string;
  /** As they are declared now: the rollout may be on its way to what was declared before. */
  spec: InstanceSpec;
  revision: Revision;
  rollout: number;
  change: UnitChange;
  instance: LiveInstance | undefined;
  /** It was looked for where all is seen, and is not there. */
  gone: boolean;
  now: Instant;
}

export interface UnitStep {
  record: UnitRecord;
  action?: Action;
  question?: Question;
  wakeAt?: Instant;
}

/** As far as what is live lets the unit go; then what has to be done or asked for it to go on. */
export function stepUnit(context: UnitContext, before: UnitRecord): UnitStep {
  if (context.gone) return { record: missed(before, context.now) };
  let record = before;
  for (;;) {
    const step = STEPS[record.state]?.(context, record) ?? { record };
    if (step.record.state === record.state) return overdue(context, step);
    record = step.record;
  }
}

const STEPS: Partial<Record<UnitState, (context: UnitContext, record: UnitRecord) => UnitStep>> = {
  TakingOut: takingOut,
  Updating: updating,
  Verifying: verifying,
  PuttingBack: puttingBack,
};

/** The same after a crash, another after a retry: `web-3.7.1`. */
export const attemptOf = (
  { id, rollout }: Pick<UnitContext, 'id' | 'rollout'>,
  { tries }: Pick<UnitRecord, 'tries'>,
): string => `${id}.${rollout}.${tries}`;

/** What stands beside the unit is right: it may not have answered when the rollout began. */
function withCordonBefore(record: UnitRecord, { cordonedBefore }: Pick<LiveInstance, 'cordonedBefore'>): UnitRecord {
  const { before } = record;
  if (cordonedBefore === undefined || cordonedBefore === before.cordoned) return record;
  return { ...record, before: { ...before, cordoned: cordonedBefore } };
}

function takingOut(context: UnitContext, begun: UnitRecord): UnitStep {
  const { id, instance, spec, now } = context;
  const record = withCordonBefore(begun, instance ?? {});
  const attempt = attemptOf(context, record);
  const isCluster = spec.kind === 'Cluster';
  const drain = instance?.drain?.id === attempt ? instance.drain : undefined;
  if (drain?.state === 'failed') return { record: moveUnit(record, 'Failed', now, `drain: ${drain.message}`) };
  // Looked up after a crash: it was taken out and begun already, and may even be back.
  if (instance?.attempt?.id === attempt) return { record: moveUnit(record, 'Updating', now) };
  const drained = !isCluster || drain?.state === 'succeeded';
  if (instance?.service === 'out' && drained && (instance.cordoned || !isCluster)) {
    return { record: moveUnit(record, 'Updating', now) };
  }
  const message = instance?.service === 'leaving' ? 'finishes what is under way' : 'is taken out of service';
  return { record: { ...record, message }, action: { kind: 'takeOut', unit: id, attempt, cordon: isCluster } };
}

function updating(context: UnitContext, record: UnitRecord): UnitStep {
  const { id, instance, change, now } = context;
  const attempt = attemptOf(context, record);
  const seen = instance?.attempt?.id === attempt ? instance.attempt : undefined;
  const outcome = seen && OUTCOMES[seen.state];
  if (seen === undefined) return { record, action: { kind: 'update', unit: id, attempt, change } };
  if (outcome === undefined) return { record: { ...record, message: seen.message } };
  return { record: moveUnit(record, outcome, now, outcome === 'Verifying' ? '' : seen.message) };
}

const OUTCOMES: Record<LiveAttempt['state'], UnitState | undefined> = {
  running: undefined,
  succeeded: 'Verifying',
  failed: 'Failed',
  unknown: 'Unknown',
};

const AGAIN_MS = 5_000;
const CHECK_FAILURES = 3;

/** It answers, a node reports the version that was asked for, and the manifest's checks pass. */
function verifying(context: UnitContext, record: UnitRecord): UnitStep {
  const { id, instance, spec, revision, change, now } = context;
  if (!instance?.ready) return { record: { ...record, message: instance?.message ?? 'does not answer yet' } };
  // Another version may be declared by now: that which it was to get is then not known any more.
  if (spec.kind === 'Cluster' && change.to === revision && instance.version !== spec.version) {
    const message = `reports version ${instance.version ?? 'nothing'}; ${spec.version} is wanted`;
    return { record: { ...record, message } };
  }
  const checks = spec.kind === 'Fleet' ? spec.check : [];
  const { failures, askedAt, passed } = record.checks;
  if (checks.length === 0 || passed) return { record: moveUnit(record, 'PuttingBack', now) };
  if (failures >= CHECK_FAILURES) return { record: moveUnit(record, 'Failed', now, record.message) };
  const dueAt = askedAt === undefined ? now : askedAt + AGAIN_MS;
  if (now < dueAt) return { record, wakeAt: dueAt };
  const asked = { ...record, checks: { failures, passed, askedAt: now } };
  return { record: asked, question: { kind: 'verify', unit: id, checks }, wakeAt: now + AGAIN_MS };
}

function puttingBack({ id, instance, now }: UnitContext, record: UnitRecord): UnitStep {
  const { weight, cordoned } = record.before;
  const back =
    instance?.service === 'in' &&
    (weight === undefined || instance.weight === weight) &&
    instance.cordoned === cordoned;
  if (back) return { record: moveUnit(record, record.as ?? 'Succeeded', now, record.message) };
  return { record, action: { kind: 'putBack', unit: id, ...(weight !== undefined && { weight }), cordoned } };
}

/** Without an outcome within the deadline the unit failed; while a script runs, its own timeout counts. */
function overdue({ spec, instance, now }: UnitContext, step: UnitStep): UnitStep {
  const { record } = step;
  const runs = record.state === 'Updating' && instance?.attempt?.state === 'running';
  if (!underWay(record) || runs) return step;
  const deadline = record.since + spec.progressDeadlineSeconds * 1000;
  if (now < deadline) return { ...step, wakeAt: Math.min(step.wakeAt ?? deadline, deadline) };
  const what = record.message === '' ? '' : `: ${record.message}`;
  return {
    record: moveUnit(
      record,
      lostAs(record),
      now,
      `${WORDS[record.state]} for ${spec.progressDeadlineSeconds} s${what}`,
    ),
  };
}

/** Somebody removed it, or it is of the resource no more: nothing can be done to it, and nobody need wait. */
function missed(record: UnitRecord, now: Instant): UnitRecord {
  if (!underWay(record)) return record;
  return moveUnit(record, lostAs(record), now, 'is not there any more');
}

/** What an update has done is not known. */
const lostAs = ({ state }: UnitRecord): UnitState => (state === 'Updating' ? 'Unknown' : 'Failed');

const WORDS: Partial<Record<UnitState, string>> = {
  TakingOut: 'was being taken out of service',
  Updating: 'was not seen to begin its update',
  Verifying: 'was not well',
  PuttingBack: 'was being put back',
};
