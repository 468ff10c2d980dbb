/** Walks the active rollout as far as what is live, the gates and the clock let it go. */
import type { Resource } from '../manifest/resource.ts';
import { goalsInEffect } from '../plan/effect.ts';
import type { Instant, Live } from '../plan/live.ts';
import { doneOf, reached } from '../plan/reached.ts';
import { nameVersion } from '../plan/settle.ts';
import type { Conditions } from './decide.ts';
import type { Question } from './decision.ts';
import { finish, succeed } from './finish.ts';
import { askGates } from './gates.ts';
import type { PauseReason, Rollout, State } from './state.ts';
import { active, move } from './transitions.ts';
import { nextMinute, windowOpen } from './windows.ts';

export interface Walk {
  state: State;
  pushFirst: boolean;
  proposeRevert: boolean;
  questions: Question[];
  wakeAt?: Instant;
  why: string;
}

interface Context {
  resource: Resource;
  live: Live;
  now: Instant;
  conditions: Conditions;
}

/** One step gives the next state, and whether there may be another one at the same instant. */
type Step = Partial<Omit<Walk, 'state'>> & { state: State; again?: boolean };

export function walk(resource: Resource, state: State, live: Live, now: Instant, conditions: Conditions): Walk {
  const context: Context = { resource, live, now, conditions };
  const result: Walk = { state, pushFirst: false, proposeRevert: false, questions: [], why: 'nothing to do' };
  for (;;) {
    const { rollout } = result.state;
    if (!active(rollout)) return result;
    const step = stepOf(rollout)(context, result.state, rollout);
    result.state = step.state;
    result.pushFirst ||= step.pushFirst ?? false;
    result.proposeRevert ||= step.proposeRevert ?? false;
    result.questions = step.questions ?? [];
    result.why = step.why ?? step.state.rollout?.message ?? '';
    if (step.wakeAt === undefined) delete result.wakeAt;
    else result.wakeAt = step.wakeAt;
    if (!step.again) return result;
  }
}

function stepOf({ phase, turned }: Rollout): (context: Context, state: State, rollout: Rollout) => Step {
  if (phase === 'Pending') return pending;
  if (phase === 'Checking') return checking;
  if (phase === 'RollingBack') return rollingBack;
  if (phase === 'Paused') return turned ? pausedBack : paused;
  return progressing;
}

interface Hold {
  reason: PauseReason;
  message: string;
  wakeAt?: Instant;
}

/** What keeps a rollout from starting or going on by itself. A rollback waits for no window. */
function holdOf({ resource, conditions, now }: Context, rollout: Rollout): Hold | undefined {
  if (rollout.held) return { reason: 'Operator', message: 'paused by an operation' };
  if (resource.spec.paused)
    return { reason: 'Operator', message: 'paused by spec.paused; commit paused: false to go on' };
  if (conditions.operatorPaused) return { reason: 'Operator', message: 'the operator starts nothing new (--paused)' };
  if (rollout.cause === 'upgrade' && !windowOpen(resource.spec.windows, now)) {
    const windows = resource.spec.windows.map(
      ({ cron, duration, timezone }) => `${cron} for ${duration} (${timezone})`,
    );
    return { reason: 'Window', message: `waits for a window: ${windows.join(', ')}`, wakeAt: nextMinute(now) };
  }
  return undefined;
}

const waking = (wakeAt: Instant | undefined) => (wakeAt === undefined ? {} : { wakeAt });

function pending(context: Context, state: State, rollout: Rollout): Step {
  const hold = holdOf(context, rollout);
  if (hold) return { state: { ...state, rollout: { ...rollout, message: hold.message } }, ...waking(hold.wakeAt) };
  return { state: { ...state, rollout: move(rollout, 'Checking', context.now, 'prechecks are asked') }, again: true };
}

function checking(context: Context, state: State, rollout: Rollout): Step {
  const { now, resource } = context;
  if (rollout.prechecks.length === 0) {
    return { state, questions: [{ kind: 'precheck', plan: rollout.plan }] };
  }
  const failed = rollout.prechecks.filter((check) => check.result === 'fail');
  if (failed.length > 0) {
    const message = `precheck failed: ${failed.map((check) => `${check.name}: ${check.message}`).join('; ')}`;
    return { state: finish(state, rollout, 'Failed', now, message, resource) };
  }
  if (holdOf(context, rollout)) {
    const { prechecks: _, ...unchecked } = rollout;
    return { state: { ...state, rollout: move({ ...unchecked, prechecks: [] }, 'Pending', now, '') }, again: true };
  }
  const versions = nameVersion(state.settled, rollout.plan, rollout.commit, rollout.id);
  const named: State =
    resource.spec.kind === 'Service' && resource.spec.upgrade === 'newVersion'
      ? { ...state, settled: { ...state.settled, versions } }
      : state;
  const begun = move({ ...rollout, progress: { mark: '', at: now } }, 'Progressing', now, 'begun');
  return { state: { ...named, rollout: begun }, pushFirst: true, again: true };
}

function progressing(context: Context, state: State, rollout: Rollout): Step {
  const { now } = context;
  const hold = holdOf(context, rollout);
  if (hold) {
    return { state: pause(state, rollout, hold.reason, hold.message, now), ...waking(hold.wakeAt) };
  }
  const stage = rollout.plan.stages[rollout.stage];
  if (stage === undefined) return { state: succeed(state, rollout, context.resource, now) };
  const timed = begun(rollout, now);
  if (!stageReached(context, state, timed)) return waitForGoal(context, state, timed);
  const arrived: Rollout = timed.reachedAt === undefined ? { ...timed, reachedAt: now } : timed;
  const verdict = askGates(stage, arrived, now);
  if (verdict.kind === 'failed') return fail(context, state, arrived, verdict.message);
  if (verdict.kind === 'pause') return { state: pause(state, arrived, 'Step', verdict.message, now) };
  if (verdict.kind === 'waits') {
    const asked = verdict.ask ? { ...arrived, checks: { ...arrived.checks, askedAt: now } } : arrived;
    return {
      state: { ...state, rollout: { ...asked, message: verdict.message } },
      questions: verdict.ask ? [verdict.ask] : [],
      ...waking(verdict.wakeAt),
    };
  }
  return { state: { ...state, rollout: nextStage(arrived, now) }, again: true };
}

/** The stage's goal is seen, and traffic goes where it should at this point. */
function stageReached({ resource, live, now }: Context, state: State, rollout: Rollout): boolean {
  const goals = goalsInEffect(resource.spec.kind, state.settled, rollout.plan.stages, rollout.stage);
  const stage = rollout.plan.stages[rollout.stage];
  return goals.every((goal) => (goal.kind === 'replicas' && goal !== stage?.goal) || reached(goal, live, now));
}

function begun(rollout: Rollout, now: Instant): Rollout {
  if (rollout.times[rollout.stage] !== undefined) return rollout;
  return { ...rollout, times: [...rollout.times.slice(0, rollout.stage), { begun: now }] };
}

function nextStage(rollout: Rollout, now: Instant): Rollout {
  const { reachedAt: _, ...rest } = rollout;
  const times = rest.times.map((time, index) => (index === rest.stage ? { ...time, done: now } : time));
  const stage = rest.stage + 1;
  return { ...rest, stage, times, checks: { failures: 0 }, continued: false, progress: { mark: '', at: now } };
}

/** The progress clock starts anew whenever more is done than before; it does not run while the goal is reached. */
function waitForGoal(context: Context, state: State, rollout: Rollout): Step {
  const { now, live, resource } = context;
  const { reachedAt: _, ...waiting } = rollout;
  const mark = progressMark(waiting, live, now);
  const progress = mark === waiting.progress.mark ? waiting.progress : { mark, at: now };
  const deadline = progress.at + resource.spec.progressDeadlineSeconds * 1000;
  const next: Rollout = { ...waiting, progress, message: `${mark}${trouble(live)}` };
  if (now >= deadline) {
    return fail(context, state, next, `no progress for ${resource.spec.progressDeadlineSeconds} s${trouble(live)}`);
  }
  return { state: { ...state, rollout: next }, wakeAt: deadline };
}

function progressMark(rollout: Rollout, live: Live, now: Instant): string {
  const stage = rollout.plan.stages[rollout.stage];
  if (stage === undefined) return 'all stages are done';
  if (stage.goal.kind === 'traffic') return 'traffic is being moved';
  const total = Object.values(stage.goal.want).reduce((sum, n) => sum + n, 0);
  const others = live.units.filter(
    (unit) => unit.version === (stage.goal.kind === 'replicas' ? stage.goal.version : ''),
  );
  const old = others.filter((unit) => unit.revision !== rollout.plan.to).length;
  const left = old === 0 ? '' : `, ${old} of earlier revisions left`;
  return `${doneOf(stage.goal, live, now)} of ${total} ready${left}`;
}

/** What is wrong with the units, in their own words. */
function trouble(live: Live): string {
  const unit =
    live.units.find((candidate) => candidate.phase === 'dead' && candidate.message !== undefined) ??
    live.units.find((candidate) => !candidate.ready && candidate.message !== undefined);
  return unit ? `; ${unit.id}: ${unit.message}` : '';
}

function pause(state: State, rollout: Rollout, reason: PauseReason, message: string, now: Instant): State {
  return { ...state, rollout: move(rollout, 'Paused', now, message, reason) };
}

/** `onFailure`. A rollback that fails, and a first rollout, have nothing to go back to: they wait for a person. */
function fail({ resource, now }: Context, state: State, rollout: Rollout, message: string): Step {
  const canTurn = rollout.cause === 'upgrade' && state.settled.goals.length > 0;
  if (resource.spec.onFailure === 'pause' || !canTurn) {
    return { state: pause(state, rollout, 'Failure', message, now) };
  }
  const turned = turn(rollout, now, message);
  return {
    state: { ...state, rollout: turned },
    pushFirst: true,
    proposeRevert: resource.spec.onFailure === 'revert',
    again: true,
  };
}

/** The same rollout turns: the settled goals are the way back. */
export function turn(rollout: Rollout, now: Instant, message: string): Rollout {
  const { reachedAt: _, ...rest } = rollout;
  return { ...move(rest, 'RollingBack', now, `rolls back: ${message}`), turned: true, held: false };
}

function paused(context: Context, state: State, rollout: Rollout): Step {
  const { now } = context;
  const hold = holdOf(context, rollout);
  const stage = rollout.plan.stages[rollout.stage];
  const seen = stage !== undefined && stageReached(context, state, rollout);
  const noted: Rollout = seen && rollout.reachedAt === undefined ? { ...rollout, reachedAt: now } : rollout;
  if (hold) {
    const keeps = noted.reason === 'Failure' || noted.reason === 'Unknown';
    const next = keeps ? noted : move(noted, 'Paused', now, hold.message, hold.reason);
    return { state: { ...state, rollout: next }, ...waking(hold.wakeAt) };
  }
  if (noted.reason === 'Failure' || noted.reason === 'Unknown') return { state: { ...state, rollout: noted } };
  const stillAsked = noted.reason === 'Step' && stage !== undefined && askGates(stage, noted, now).kind === 'pause';
  if (stillAsked) return { state: { ...state, rollout: noted } };
  return { state: { ...state, rollout: move(noted, 'Progressing', now, 'goes on') }, again: true };
}

/** Only an unknown tip pauses a way back; nothing but a continue ends it. */
function pausedBack(_context: Context, state: State): Step {
  return { state };
}

function rollingBack({ resource, live, now }: Context, state: State, rollout: Rollout): Step {
  const goals = goalsInEffect(resource.spec.kind, state.settled, [], -1);
  const back = goals.every((goal) => reached(goal, live, now));
  if (!back) return { state, why: `rolls back${trouble(live)}` };
  const settled = { ...state.settled, observed: true };
  const to = rollout.plan.from ?? 'nothing';
  return {
    state: finish({ ...state, settled }, rollout, 'RolledBack', now, `${rollout.message}; ${to} runs again`, resource),
  };
}
