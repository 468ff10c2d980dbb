/** What next, for one resource: a pure function of what is declared, remembered, live, and of the time. */
import { isInstances } from '../manifest/kinds.ts';
import type { InstanceResource, Resource } from '../manifest/resource.ts';
import { goalsInEffect } from '../plan/effect.ts';
import type { Instant, Live } from '../plan/live.ts';
import { type Goal, nothingSettled, type Settled } from '../plan/plan.ts';
import { overdueAt, reached } from '../plan/reached.ts';
import type { Action, Decision, Declaration } from './decision.ts';
import { follow } from './follow.ts';
import { closeGap, type Gap } from './gap.ts';
import { closeMembers } from './members.ts';
import { atScale, scaledNow } from './scaled.ts';
import { followSchedules, scheduleWake } from './schedules.ts';
import type { State } from './state.ts';
import { tallyOf } from './tally.ts';
import { earliest } from './times.ts';
import { active, ended, historyEntry, move } from './transitions.ts';
import { recordOf } from './unit-list.ts';
import { type Walk, walk } from './walk.ts';

/** What holds rollouts back from outside: `--paused`, or a file `PAUSED` in the data folder. */
export interface Conditions {
  operatorPaused: boolean;
  /** Ids start above this: the highest that tags and units know. */
  highestId: number;
}

export function newState(declaration: Declaration): State {
  return {
    commit: declaration.commit,
    digest: '',
    settled: nothingSettled,
    operations: {},
    repairs: { count: 0 },
    history: [],
  };
}

/**
 * Decides for one resource. The same arguments give the same decision. `state` absent: never seen before.
 * `next.settled.observed` and `reachedAt` are only set from what `live` shows.
 */
export function decide(
  declaration: Declaration,
  state: State | undefined,
  live: Live,
  now: Instant,
  conditions: Conditions,
): Decision {
  const before = state ?? newState(declaration);
  if (declaration.resource === undefined) return decideDeletion(declaration, before, live, now);
  const resource = atScale(declaration.resource, scaledNow(declaration.resource, before, live));
  const followed = follow(declaration, resource, before, live, now, conditions);
  const walked = walk(resource, followed.state, live, now, conditions);
  const rest = atRest(resource, followSchedules(resource, walked.state, now), live);
  const gap = isInstances(resource)
    ? closeUnitsGap(resource, rest, live, now)
    : closeRolloutGap(resource, rest, live, now);
  const next = countRepairs(rest, gap.actions, now);
  const wakes = [
    walked.wakeAt,
    followed.wakeAt,
    gap.wakeAt,
    minReadyWake(next, live),
    overdueWake(resource, next, live),
    scheduleWake(resource, now),
  ];
  const wakeAt = earliest(wakes);
  return {
    next,
    pushFirst: followed.pushFirst || walked.pushFirst,
    actions: [...gap.actions, ...walked.actions],
    questions: walked.questions,
    proposeRevert: walked.proposeRevert,
    gone: false,
    ...(wakeAt === undefined ? {} : { wakeAt }),
    why: why(walked, gap, next),
  };
}

function why(walked: Walk, gap: Gap, state: State): string {
  if (active(state.rollout)) return `rollout ${state.rollout.id} ${state.rollout.phase}: ${walked.why}`;
  if (gap.actions.length > 0) return 'live differs from the settled goal';
  return state.settled.observed ? 'settled and observed' : walked.why;
}

/** What surrounds the units: how many there are, and that they live. */
function closeUnitsGap({ id, spec }: InstanceResource, state: State, live: Live, now: Instant): Gap {
  const { rollout } = state;
  const rolling = active(rollout) && rollout.phase !== 'Pending' && rollout.phase !== 'Checking';
  const staged = rollout?.phase === 'Progressing' ? rollout.plan.stages[rollout.stage]?.goal : undefined;
  const asked = staged?.kind === 'members' ? staged : undefined;
  const settled = state.settled.goals.find((goal) => goal.kind === 'members');
  const busy = new Set(active(rollout) ? tallyOf(rollout).underWay : []);
  const options = { name: id.slice(id.indexOf('/') + 1), now, rolling, asked: asked !== undefined, busy };
  return closeMembers(spec, asked ?? settled, live, options);
}

/**
 * Goals of the moment. Turned, ended or not begun: the settled ones; else with the stages walked so far laid over them. While prechecks
 * are asked units stay where a superseded rollout left them: what comes next goes on from there.
 */
function goalsNow(resource: Resource, state: State): { goals: Goal[]; hold: boolean } {
  const { rollout, settled } = state;
  const kind = resource.spec.kind;
  const walking = rollout?.phase === 'Progressing' || (rollout?.phase === 'Paused' && !rollout.turned);
  if (!walking || rollout === undefined) {
    const hold = rollout?.phase === 'Paused' || (rollout?.phase === 'Checking' && settled.goals.length > 0);
    return { goals: goalsInEffect(kind, settled, [], -1), hold };
  }
  const hold = rollout.phase === 'Paused' && rollout.reachedAt === undefined;
  const upTo = hold ? rollout.stage - 1 : rollout.stage;
  return { goals: goalsInEffect(kind, settled, rollout.plan.stages, upTo), hold };
}

function closeRolloutGap(resource: Resource, state: State, live: Live, now: Instant): Gap {
  const { goals, hold } = goalsNow(resource, state);
  // Nothing was ever settled: what a superseded rollout left, or what nobody remembers, is kept as it is until one goes on.
  if (goals.length === 0 && !hold) return { actions: [] };
  const retriedAt = state.rollout?.retriedAt;
  // Scaled to nothing it serves nothing: its traffic goes before its last replica does.
  const none = resource.spec.kind === 'Workload' && goals.length > 0 && !goals.some(({ kind }) => kind === 'traffic');
  return closeGap(goals, live, {
    name: nameOf(resource),
    now,
    hold,
    unroute: none && !hold,
    ...(retriedAt === undefined ? {} : { retriedAt }),
  });
}

const nameOf = (resource: Resource) => resource.id.slice(resource.id.indexOf('/') + 1);

/** Without an active rollout: once live was seen to hold the goals, a later difference is a repair. */
function atRest(resource: Resource, state: State, live: Live): State {
  if (active(state.rollout)) return state;
  const { settled } = state;
  const goals = goalsInEffect(resource.spec.kind, settled, [], -1);
  const holds = goals.length > 0 && goals.every((goal) => reached(goal, live));
  return settled.observed || !holds ? state : { ...state, settled: { ...settled, observed: true } };
}

const MENDING: Action['kind'][] = ['start', 'route', 'create', 'heal'];

/** Starting and routing repair; stopping what is too many does not. */
function countRepairs(state: State, actions: Action[], now: Instant): State {
  if (active(state.rollout) || !state.settled.observed) return state;
  const mended = actions.filter(({ kind }) => MENDING.includes(kind)).length;
  if (mended === 0) return state;
  return { ...state, repairs: { count: state.repairs.count + mended, last: now } };
}

/** When the next unit that is ready will have been so for `minReadySeconds`. */
function minReadyWake({ settled, rollout }: State, live: Live): Instant | undefined {
  const stages = active(rollout) ? rollout.plan.stages.map((stage) => stage.goal) : [];
  const longest = [...settled.goals, ...stages].reduce(
    (most, goal) => (goal.kind === 'replicas' ? Math.max(most, goal.minReadySeconds * 1000) : most),
    0,
  );
  if (longest === 0) return undefined;
  const due = live.units.flatMap((unit) => (unit.readySince === undefined ? [] : [unit.readySince + longest]));
  // Not those after now: one may be due since it was looked, and counts only once it is seen again.
  return earliest(due.filter((at) => at > live.observedAt));
}

/** When it has to be told that a unit does not get ready: a rollout has a clock of its own for that. */
function overdueWake({ spec }: Resource, { rollout }: State, { units, observedAt }: Live): Instant | undefined {
  if (active(rollout)) return undefined;
  const due = units.map((unit) => overdueAt(unit, spec.progressDeadlineSeconds));
  return earliest(due.filter((at) => at > observedAt && at < Number.POSITIVE_INFINITY));
}

/** Traffic away, then every unit; then nothing of it is left. */
function decideDeletion(declaration: Declaration, before: State, live: Live, now: Instant): Decision {
  const confirmed = declaration.deletionConfirmed;
  const waiting: State = { ...before, deletion: { commit: declaration.commit, confirmed } };
  const known = before.deletion?.confirmed === confirmed && before.deletion.commit === declaration.commit;
  const base = { pushFirst: !known, questions: [], proposeRevert: false };
  if (!confirmed) {
    // Nothing moves, and what dies is started again; the rollout goes on from where it is when the manifest is back.
    const held = closeGap(waiting.settled.goals, live, { name: '', now, hold: true, unroute: false });
    const next = countRepairs(waiting, held.actions, now);
    const wakeAt = held.wakeAt === undefined ? {} : { wakeAt: held.wakeAt };
    const why = `deletion by ${declaration.commit} waits for confirmDeletion`;
    return { ...base, next, actions: held.actions, ...wakeAt, gone: false, why };
  }
  const state = closeRollout(waiting, now);
  const gap = closeGap([], live, { name: '', now, hold: false, unroute: true });
  const left = releaseUnits(state, live);
  const gone = live.complete && live.units.length === 0 && live.traffic === undefined && left.length === 0;
  return {
    ...base,
    next: state,
    actions: gone ? [{ kind: 'forget' }] : [...gap.actions, ...left],
    gone,
    why: gone ? 'deleted' : 'being deleted',
  };
}

/** What the target created goes; a host that was taken out of service goes back, and is let go as it is. */
function releaseUnits({ rollout }: State, { instances = [] }: Live): Action[] {
  return instances.flatMap((instance): Action[] => {
    if (instance.created) return [{ kind: 'remove', unit: instance.id }];
    const before = recordOf(rollout?.units, instance.id)?.before;
    if (before === undefined) return [];
    const { weight, cordoned } = before;
    const isWeightBack = weight === undefined || instance.weight === weight;
    const isBack = instance.service === 'in' && isWeightBack && instance.cordoned === cordoned;
    return isBack ? [] : [{ kind: 'putBack', unit: instance.id, ...(weight !== undefined && { weight }), cordoned }];
  });
}

function closeRollout(state: State, now: Instant): State {
  const { rollout } = state;
  if (rollout === undefined || ended(rollout)) return state;
  const closed = move(rollout, 'Canceled', now, 'its manifest was deleted');
  const settled: Settled = { ...state.settled, observed: false };
  return { ...state, settled, rollout: closed, history: [...state.history, historyEntry(closed)] };
}
