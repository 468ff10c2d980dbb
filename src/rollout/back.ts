/** The way back of a rollout that has turned. */
import { isInstances, isReplicas } from '../manifest/kinds.ts';
import type { InstanceResource } from '../manifest/resource.ts';
import { goalsInEffect } from '../plan/effect.ts';
import type { Instant, Live } from '../plan/live.ts';
import type { Goal } from '../plan/plan.ts';
import { doneOf, reached } from '../plan/reached.ts';
import { UNSEEN, withPartial } from './closing.ts';
import { finish } from './finish.ts';
import { askGates } from './gates.ts';
import {
  anyUnderWay,
  cameThrough,
  countText,
  leftOver,
  planBack,
  putBackLeft,
  stageEnded,
  troubleOf,
} from './instances.ts';
import type { Rollout, State } from './state.ts';
import { begun, type Context, nextStage, pause, type Step, trouble } from './step.ts';
import { move } from './transitions.ts';

/** The same rollout turns: the settled goals are the way back; of units, what was updated goes back. */
export function turn(rollout: Rollout, now: Instant, message: string): Rollout {
  const { reachedAt: _, ...rest } = rollout;
  const turned = { ...move(rest, 'RollingBack', now, `rolls back: ${message}`), turned: true, held: false };
  return { ...turned, progress: { mark: '', at: now } };
}

/** Only an unknown tip, a fleet's pause, a unit that failed or replicas that do not come up pause a way back. */
export function pausedBack(context: Context, state: State, rollout: Rollout): Step {
  const { resource, now } = context;
  if (isReplicas(resource)) return { state };
  const stage = rollout.plan.stages[rollout.stage];
  const asked = rollout.reason === 'Batch' && stage !== undefined && askGates(stage, rollout, now).kind !== 'pause';
  if (!asked) return { state };
  return { state: { ...state, rollout: move(rollout, 'RollingBack', now, 'goes on') }, again: true };
}

/** Units under way finish first; then the way back is planned over what was updated, and walked with the same pauses. */
function unitsBack(context: Context, state: State, rollout: Rollout, resource: InstanceResource): Step {
  const { live, now } = context;
  if (rollout.held) return { state: pause(state, rollout, 'Operator', 'paused by an operation', now) };
  if (!rollout.back) {
    if (anyUnderWay(rollout)) return { state, why: `units under way finish: ${countText(rollout)}` };
    if (!live.complete) return { state, why: UNSEEN };
    const planned = planBack(resource, rollout, live, now);
    return { state: { ...state, rollout: planned }, pushFirst: true, again: true };
  }
  const trouble = troubleOf(resource, rollout);
  if (trouble !== undefined) return { state: pause(state, rollout, trouble.reason, trouble.message, now) };
  const stage = rollout.plan.stages[rollout.stage];
  if (stage === undefined) {
    if (anyUnderWay(rollout)) return { state, why: countText(rollout) };
    if (!live.complete) return { state, why: UNSEEN };
    const left = putBackLeft(rollout, live, now);
    if (anyUnderWay(left)) return { state: { ...state, rollout: left }, again: true };
    const message = `${rollout.message}; ${rollout.plan.from ?? 'nothing'} runs again${leftOver(left, live)}`;
    const settled = cameThrough(left) ? state : withPartial(state, left);
    return { state: finish(settled, left, 'RolledBack', now, message, resource) };
  }
  const timed = begun(rollout, now);
  if (!stageEnded(timed)) return { state: { ...state, rollout: timed }, why: `rolls back: ${countText(timed)}` };
  const arrived: Rollout = timed.reachedAt === undefined ? { ...timed, reachedAt: now } : timed;
  const verdict = askGates(stage, arrived, now);
  if (verdict.kind === 'pause') return { state: pause(state, arrived, 'Batch', verdict.message, now) };
  return { state: { ...state, rollout: nextStage(arrived, now) }, again: true };
}

export function rollingBack(context: Context, state: State, rollout: Rollout): Step {
  const { resource, live, now } = context;
  if (isInstances(resource)) return unitsBack(context, state, rollout, resource);
  const goals = goalsInEffect(resource.spec.kind, state.settled, [], -1);
  const back = goals.every((goal) => reached(goal, live));
  if (!back) return waitForReplicas(context, state, rollout, goals);
  const settled = { ...state.settled, observed: true };
  const to = rollout.plan.from ?? 'nothing';
  return {
    state: finish({ ...state, settled }, rollout, 'RolledBack', now, `${rollout.message}; ${to} runs again`, resource),
  };
}

/** What runs is gone back to, but does not come up: a person has to look, as on the way forward. */
function waitForReplicas({ resource, live, now }: Context, state: State, rollout: Rollout, goals: Goal[]): Step {
  const mark = backMark(goals, live);
  const progress = mark === rollout.progress.mark ? rollout.progress : { mark, at: now };
  const next: Rollout = { ...rollout, progress };
  const deadline = progress.at + resource.spec.progressDeadlineSeconds * 1000;
  if (now >= deadline) {
    const message = `no progress for ${resource.spec.progressDeadlineSeconds} s on the way back${trouble(live)}`;
    return { state: pause(state, next, 'Failure', message, now) };
  }
  return { state: { ...state, rollout: next }, why: `rolls back: ${mark}${trouble(live)}`, wakeAt: deadline };
}

/** `2 of 3 ready, 1 of others left`: it changes whenever more is done than before. */
function backMark(goals: Goal[], live: Live): string {
  const replicas = goals.filter((goal) => goal.kind === 'replicas');
  const wanted = replicas.reduce((sum, { want }) => sum + Object.values(want).reduce((a, b) => a + b, 0), 0);
  const done = replicas.reduce((sum, goal) => sum + doneOf(goal, live), 0);
  const others = live.units.filter((unit) => !replicas.some(({ want }) => (want[unit.revision] ?? 0) > 0)).length;
  return `${done} of ${wanted} ready${others === 0 ? '' : `, ${others} of others left`}`;
}
