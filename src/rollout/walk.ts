/** Walks the active rollout as far as what is live, the gates and the clock let it go. */
import { isInstances, isReplicas } from '../manifest/kinds.ts';
import type { Resource } from '../manifest/resource.ts';
import type { Instant, Live } from '../plan/live.ts';
import { planRollout } from '../plan/planner.ts';
import { doneOf } from '../plan/reached.ts';
import { nameVersion } from '../plan/settle.ts';
import { pausedBack, rollingBack, turn } from './back.ts';
import { close, closingDown, UNSEEN } from './closing.ts';
import type { Conditions } from './decide.ts';
import type { Action, Question } from './decision.ts';
import { finish, succeed } from './finish.ts';
import { askGates } from './gates.ts';
import { advance, anyUnderWay, cameThrough, countText, freeze, putBackLeft, troubleOf } from './instances.ts';
import { paused } from './paused.ts';
import type { Rollout, State } from './state.ts';
import { begun, type Context, holdOf, nextStage, pause, type Step, stageReached, trouble, waking } from './step.ts';
import { earliest } from './times.ts';
import { active, move } from './transitions.ts';

export interface Walk {
  state: State;
  pushFirst: boolean;
  proposeRevert: boolean;
  questions: Question[];
  /** Of units: replicas are moved by closing the gap. */
  actions: Action[];
  wakeAt?: Instant;
  why: string;
}

export function walk(resource: Resource, state: State, live: Live, now: Instant, conditions: Conditions): Walk {
  const context: Context = { resource, live, now, conditions };
  const result: Walk = {
    ...{ state, pushFirst: false, proposeRevert: false },
    ...{ questions: [], actions: [], why: 'nothing to do' },
  };
  for (;;) {
    const { rollout } = result.state;
    if (!active(rollout)) return result;
    const advanced = advanceUnits(context, rollout);
    const step = stepOf(advanced.rollout)(context, { ...result.state, rollout: advanced.rollout }, advanced.rollout);
    result.state = step.state;
    result.pushFirst ||= step.pushFirst ?? false;
    result.proposeRevert ||= step.proposeRevert ?? false;
    result.questions = [...advanced.questions, ...successorQuestion(advanced.rollout), ...(step.questions ?? [])];
    result.actions = advanced.actions;
    result.why = step.why ?? step.state.rollout?.message ?? '';
    const wakeAt = earliest([advanced.wakeAt, step.wakeAt]);
    if (wakeAt === undefined) delete result.wakeAt;
    else result.wakeAt = wakeAt;
    if (!step.again) return result;
  }
}

/** What was declared meanwhile is asked first whether it could start. */
function successorQuestion({ successor, plan, closing }: Rollout): Question[] {
  if (successor === undefined || successor.prechecks.length > 0 || closing !== undefined) return [];
  return [{ kind: 'precheck', plan: { ...plan, to: successor.revision } }];
}

/** Units under way finish whatever the rollout waits for; others begin only where nothing holds it. */
function advanceUnits(context: Context, rollout: Rollout): ReturnType<typeof advance> {
  const { resource, live, now } = context;
  if (isReplicas(resource) || rollout.units === undefined) return { rollout, actions: [], questions: [] };
  const moves = rollout.turned
    ? rollout.phase === 'RollingBack' && rollout.back === true
    : rollout.phase === 'Progressing';
  const held = rollout.turned ? rollout.held : holdOf(context, rollout) !== undefined;
  const mayStart = moves && !held && rollout.closing === undefined && troubleOf(resource, rollout) === undefined;
  return advance(resource, rollout, live, now, mayStart);
}

function stepOf({ phase, turned, closing }: Rollout): (context: Context, state: State, rollout: Rollout) => Step {
  if (closing !== undefined) return (context, state, rollout) => closingDown(context, state, rollout, closing);
  if (phase === 'Pending') return pending;
  if (phase === 'Checking') return checking;
  if (phase === 'RollingBack') return rollingBack;
  if (phase === 'Paused') return turned ? pausedBack : paused;
  return progressing;
}

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
  if (isInstances(resource) && !context.live.complete) return { state, why: UNSEEN };
  const frozen = isInstances(resource) ? frozenNow(context, state, rollout) : rollout;
  const begun = move({ ...frozen, progress: { mark: '', at: now } }, 'Progressing', now, 'begun');
  return { state: { ...named, rollout: begun }, pushFirst: true, again: true };
}

/** What is there may have changed since the rollout was made: its units are those of the moment at which it begins. */
function frozenNow({ resource, live, now }: Context, { settled }: State, rollout: Rollout): Rollout {
  const { id, cause } = rollout;
  const plan = planRollout({ resource, settled, id, generation: 1, instances: live.instances ?? [] }, cause);
  return { ...rollout, plan, units: freeze(plan.stages, live, now) };
}

function progressing(context: Context, state: State, rollout: Rollout): Step {
  const { now } = context;
  const hold = holdOf(context, rollout);
  if (hold) {
    return { state: pause(state, rollout, hold.reason, hold.message, now), ...waking(hold.wakeAt) };
  }
  const stage = rollout.plan.stages[rollout.stage];
  if (stage === undefined) return atLast(context, state, rollout);
  const trouble = isInstances(context.resource) ? troubleOf(context.resource, rollout) : undefined;
  if (trouble?.reason === 'Unknown') return { state: pause(state, rollout, 'Unknown', trouble.message, now) };
  if (trouble !== undefined) return fail(context, state, rollout, trouble.message);
  const timed = begun(rollout, now);
  if (!stageReached(context, state, timed)) return waitForGoal(context, state, timed);
  const arrived: Rollout = timed.reachedAt === undefined ? { ...timed, reachedAt: now } : timed;
  const verdict = askGates(stage, arrived, now);
  if (verdict.kind === 'failed') return fail(context, state, arrived, verdict.message);
  if (verdict.kind === 'pause') {
    const reason = stage.goal.kind === 'units' ? 'Batch' : 'Step';
    return { state: pause(state, arrived, reason, verdict.message, now) };
  }
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

/** All stages are walked. With a unit that did not get there it has failed; what is out of service goes back first. */
function atLast({ resource, live, now }: Context, state: State, rollout: Rollout): Step {
  if (isReplicas(resource)) return { state: succeed(state, rollout, resource, now) };
  if (!live.complete) return { state, why: UNSEEN };
  const left = putBackLeft(rollout, live, now);
  if (anyUnderWay(left)) return { state: { ...state, rollout: left }, again: left !== rollout };
  if (cameThrough(rollout)) return { state: succeed(state, rollout, resource, now) };
  return { state: close(state, rollout, 'Failed', 'not every unit was updated'), again: true };
}

/** The progress clock starts anew whenever more is done than before; it does not run while the goal is reached. */
function waitForGoal(context: Context, state: State, rollout: Rollout): Step {
  const { now, live, resource } = context;
  const { reachedAt: _, ...waiting } = rollout;
  const mark = progressMark(waiting, live);
  const progress = mark === waiting.progress.mark ? waiting.progress : { mark, at: now };
  const deadline = progress.at + resource.spec.progressDeadlineSeconds * 1000;
  const hopeless = hopelessAt(live, rollout, progress.at);
  const next: Rollout = { ...waiting, progress, message: `${mark}${trouble(live)}` };
  // Each unit has a deadline of its own, and a script a timeout.
  if (rollout.plan.stages[rollout.stage]?.goal.kind === 'units') return { state: { ...state, rollout: next } };
  if (hopeless !== undefined && now >= hopeless)
    return fail(context, state, next, `no progress, and none to come${trouble(live)}`);
  if (now >= deadline) {
    return fail(context, state, next, `no progress for ${resource.spec.progressDeadlineSeconds} s${trouble(live)}`);
  }
  return { state: { ...state, rollout: next }, wakeAt: Math.min(deadline, hopeless ?? deadline) };
}

/** A moment in which it may yet turn out otherwise: a registry answers again, a quota is raised. */
const HOPE = 10_000;

/** When a rollout that makes no progress has failed before its deadline, since the target says that waiting will not help. */
function hopelessAt(live: Live, { plan, stage }: Rollout, since: Instant): Instant | undefined {
  const isTraffic = plan.stages[stage]?.goal.kind === 'traffic';
  const refused = isTraffic && live.refused !== undefined ? [live.refused.since] : [];
  const units = live.units.flatMap(({ revision, stuckSince }) =>
    revision === plan.to && stuckSince !== undefined ? [stuckSince] : [],
  );
  const stuck = [...refused, ...units];
  return stuck.length === 0 ? undefined : Math.max(since, Math.min(...stuck)) + HOPE;
}

function progressMark(rollout: Rollout, live: Live): string {
  const stage = rollout.plan.stages[rollout.stage];
  if (stage === undefined) return 'all stages are done';
  if (stage.goal.kind === 'traffic') return 'traffic is being moved';
  if (stage.goal.kind === 'units') return countText(rollout);
  if (stage.goal.kind === 'members') {
    const ready = (live.instances ?? []).filter((instance) => instance.ready).length;
    return `${ready} of ${stage.goal.size} instances are ready`;
  }
  const { want, version } = stage.goal;
  const total = Object.values(want).reduce((sum, n) => sum + n, 0);
  const others = live.units.filter((unit) => unit.version === version);
  const old = others.filter((unit) => unit.revision !== rollout.plan.to).length;
  const left = old === 0 ? '' : `, ${old} of earlier revisions left`;
  return `${doneOf(stage.goal, live)} of ${total} ready${left}`;
}

/** `onFailure`. A rollback that fails, and a first rollout, have nothing to go back to: they wait for a person. */
function fail({ resource, now }: Context, state: State, rollout: Rollout, message: string): Step {
  const isCluster = resource.spec.kind === 'Cluster';
  const canTurn = !isCluster && rollout.cause === 'upgrade' && state.settled.goals.length > 0;
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
