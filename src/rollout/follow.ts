/** Follows what is declared: begins rollouts, supersedes, plans anew, takes up how-only commits. */
import { isInstances } from '../manifest/kinds.ts';
import type { InstanceResource, Resource, Revision } from '../manifest/resource.ts';
import { type Instant, type Live, type LiveInstance, membersOf } from '../plan/live.ts';
import { type Plan, type Stage, settledRevision } from '../plan/plan.ts';
import { direction, planRollout, stepsAhead } from '../plan/planner.ts';
import { rescale, resettle } from '../plan/settle.ts';
import { samePolicy, shareOf } from '../plan/traffic.ts';
import { close } from './closing.ts';
import type { Conditions } from './decide.ts';
import type { Declaration } from './decision.ts';
import { finish } from './finish.ts';
import { replanUnits } from './instances.ts';
import { scaledNow, takeScale } from './scaled.ts';
import type { Rollout, State, UnitRecord } from './state.ts';
import { active, move } from './transitions.ts';
import { entriesOf, withRecords } from './unit-list.ts';
import { underWay } from './units.ts';

interface Followed {
  state: State;
  pushFirst: boolean;
  wakeAt?: Instant;
}

export function follow(
  declaration: Declaration,
  resource: Resource,
  before: State,
  live: Live,
  now: Instant,
  conditions: Conditions,
): Followed {
  const known = takeUp(before, declaration, resource, now);
  const state = takeScale(known, scaledNow(resource, before, live));
  const { rollout } = state;
  const changed = state.digest !== resource.digest || state !== known;
  if (active(rollout)) {
    if (isInstances(resource)) return followUnits(state, rollout, resource, declaration, live, now, conditions);
    if (wantsOther(rollout, state, resource)) return supersede(state, rollout, resource, declaration, now, conditions);
    if (changed && rollout.turned) return followBack(state, resource);
    if (changed && rollout.plan.to === resource.revision) return replan(state, rollout, resource);
    return { state: { ...state, digest: resource.digest }, pushFirst: false };
  }
  if (needsRollout(state, resource)) {
    if (isInstances(resource) && !live.complete) return { state, pushFirst: false };
    return { state: begin(state, resource, declaration, now, conditions, undefined, live), pushFirst: false };
  }
  if (!changed) return { state, pushFirst: false };
  if (resource.spec.kind === 'Service' && stepsAhead(resource.spec, resource.revision, state.settled)) {
    return { state: begin(state, resource, declaration, now, conditions), pushFirst: false };
  }
  const settled = resettle(state.settled, resource);
  // Who scales beside the manifest has done so already: then nothing follows from it.
  const pushFirst = settled !== state.settled && state.digest !== resource.digest;
  return { state: { ...state, settled, digest: resource.digest }, pushFirst };
}

/** A manifest that is back is not deleted; what was tried in vain is forgotten as soon as something else is declared. */
function takeUp(before: State, declaration: Declaration, resource: Resource, now: Instant): State {
  const { deletion, attempted, ...known } = before;
  const kept =
    deletion !== undefined && active(known.rollout) ? { ...known, rollout: afterWait(known.rollout, now) } : known;
  const state: State = { ...kept, commit: declaration.commit };
  return attempted === resource.revision ? { ...state, attempted } : state;
}

/** While its deletion waited nothing could come of it: no clock ran. */
function afterWait({ units, ...rollout }: Rollout, now: Instant): Rollout {
  const moving = units && entriesOf(units).filter(([, record]) => underWay(record));
  const since = moving?.map(([id, record]): [string, UnitRecord] => [id, { ...record, since: now }]);
  const progress = { ...rollout.progress, at: now };
  return { ...rollout, progress, ...(units && { units: withRecords(units, since ?? []) }) };
}

/** A rollout that has turned goes to what is settled: declaring that is what it does already. */
function wantsOther(rollout: Rollout, state: State, resource: Resource): boolean {
  if (rollout.turned)
    return resource.revision !== rollout.plan.to && resource.revision !== settledRevision(state.settled);
  return resource.revision !== rollout.plan.to;
}

function needsRollout(state: State, resource: Resource): boolean {
  if (state.attempted === resource.revision) return false;
  return settledRevision(state.settled) !== resource.revision || state.settled.partial !== undefined;
}

function supersede(
  state: State,
  rollout: Rollout,
  resource: Resource,
  declaration: Declaration,
  now: Instant,
  conditions: Conditions,
): Followed {
  const closed = finish(state, rollout, 'Superseded', now, `superseded by ${resource.revision}`, resource);
  return { state: begin(closed, resource, declaration, now, conditions, rollout.plan.to), pushFirst: false };
}

/** Of units that remember more than a repository that was made anew: an attempt's id must never come again. */
function lastRollout({ attempt, drain }: LiveInstance): number {
  const ids = [attempt, drain].map((last) => Number(last?.id.split('.').at(-2)));
  return Math.max(0, ...ids.filter(Number.isSafeInteger));
}

function begin(
  state: State,
  resource: Resource,
  declaration: Declaration,
  now: Instant,
  conditions: Conditions,
  towards?: string,
  live?: Live,
): State {
  const highest = Math.max(conditions.highestId, state.rollout?.id ?? 0, ...state.history.map((entry) => entry.id));
  const id = 1 + (live?.instances ?? []).reduce((most, instance) => Math.max(most, lastRollout(instance)), highest);
  const cause = direction(state.settled, resource.revision, towards);
  const rollout: Rollout = {
    id,
    cause,
    commit: declaration.commit,
    phase: 'Pending',
    message: 'not begun',
    startedAt: now,
    prechecks: [],
    plan: planRollout(
      { resource, settled: state.settled, id, generation: 1, instances: live === undefined ? [] : membersOf(live) },
      cause,
    ),
    stage: 0,
    times: [],
    checks: { failures: 0 },
    progress: { mark: '', at: now },
    continued: false,
    held: false,
    turned: false,
  };
  return { ...state, digest: resource.digest, rollout };
}

/** On the way back the numbers follow at once, what else is declared once it is over: until then its digest is not taken up. */
function followBack(state: State, resource: Resource): Followed {
  const next = takeNumbers(state, resource);
  return { state: next, pushFirst: next !== state };
}

/** With the declared numbers in what is settled; the same state where they are there already. */
function takeNumbers(state: State, resource: Resource): State {
  const settled = rescale(state.settled, resource);
  return JSON.stringify(settled.goals) === JSON.stringify(state.settled.goals) ? state : { ...state, settled };
}

/**
 * A how-only commit while a rollout is under way: the settled versions take up what concerns them, the stages left are
 * planned anew. Stages that are done stay as they were, but for their numbers of replicas; steps that traffic has
 * passed are left out.
 */
function replan(state: State, rollout: Rollout, resource: Resource): Followed {
  const settled = rescale(state.settled, resource);
  const generation = rollout.plan.generation + 1;
  const fresh = planRollout({ resource, settled, id: rollout.id, generation }, rollout.cause);
  const begun = rollout.phase !== 'Pending' && rollout.phase !== 'Checking';
  // Under way it keeps its name, and whether it is in place or beside what runs.
  if (begun && fresh.version !== rollout.plan.version)
    return { state: { ...state, settled, digest: resource.digest }, pushFirst: true };
  const done = rollout.plan.stages.slice(0, rollout.stage).map((stage) => rescaled(stage, fresh));
  const left = fresh.stages.filter((stage) => ahead(stage, done, fresh));
  const plan: Plan = { ...fresh, stages: [...done, ...left] };
  const times = rollout.times.slice(0, done.length);
  const same = sameGoal(plan.stages[rollout.stage], rollout.plan.stages[rollout.stage]);
  if (same)
    return { state: { ...state, settled, digest: resource.digest, rollout: { ...rollout, plan } }, pushFirst: true };
  const { reachedAt: _, ...kept } = rollout;
  const next: Rollout = { ...kept, plan, times, checks: { failures: 0 }, continued: false };
  return { state: { ...state, settled, digest: resource.digest, rollout: next }, pushFirst: true };
}

/**
 * Of units: another revision takes over once its prechecks hold and what is under way has finished; a cluster's own
 * version, declared again, cancels: nothing is ever downgraded.
 */
function followUnits(
  before: State,
  rollout: Rollout,
  resource: InstanceResource,
  declaration: Declaration,
  live: Live,
  now: Instant,
  conditions: Conditions,
): Followed {
  const changed = before.digest !== resource.digest;
  const state: State = { ...before, digest: resource.digest };
  if (!wantsOther(rollout, state, resource)) {
    const { successor: _, ...alone } = rollout;
    const follows = changed && rollout.plan.to === resource.revision && !rollout.turned && rollout.units !== undefined;
    const next = follows ? replanUnits(resource, alone, live) : alone;
    const counted = changed ? takeNumbers(state, resource) : state;
    return { state: { ...counted, rollout: next }, pushFirst: follows || counted !== state };
  }
  const untouched = rollout.phase === 'Pending' || rollout.phase === 'Checking';
  if (untouched) return supersede(state, rollout, resource, declaration, now, conditions);
  if (rollout.closing !== undefined) return { state, pushFirst: false };
  if (resource.spec.kind === 'Cluster' && resource.revision === settledRevision(state.settled)) {
    return { state: close(state, rollout, 'Canceled', 'canceled by a revert; what is done stays'), pushFirst: true };
  }
  return { state: succession(state, rollout, resource.revision, now), pushFirst: false };
}

function succession(state: State, rollout: Rollout, revision: Revision, now: Instant): State {
  const successor = rollout.successor?.revision === revision ? rollout.successor : { revision, prechecks: [] };
  const failed = successor.prechecks.filter(({ result }) => result === 'fail');
  if (successor.prechecks.length === 0) return { ...state, rollout: { ...rollout, successor } };
  if (failed.length === 0) return close(state, { ...rollout, successor }, 'Superseded', `superseded by ${revision}`);
  const what = failed.map(({ name, message }) => `${name}: ${message}`).join('; ');
  const message = `${revision} was declared, but its prechecks fail: ${what}`;
  const canPause = rollout.phase === 'Progressing' || rollout.phase === 'RollingBack';
  const paused = canPause ? move(rollout, 'Paused', now, message, 'Failure') : rollout;
  return { ...state, rollout: { ...paused, successor } };
}

function rescaled(stage: Stage, fresh: Plan): Stage {
  const { goal } = stage;
  if (goal.kind !== 'replicas') return stage;
  const again = fresh.stages.find((other) => other.goal.kind === 'replicas' && other.goal.version === goal.version);
  return again ? { ...stage, goal: again.goal } : stage;
}

function ahead(stage: Stage, done: Stage[], fresh: Plan): boolean {
  if (stage.goal.kind !== 'traffic') return !done.some((other) => other.name === stage.name);
  const last = done.filter((other) => other.goal.kind === 'traffic').at(-1)?.goal;
  if (last?.kind !== 'traffic') return true;
  if (samePolicy(last.policy, stage.goal.policy)) return false;
  const isLast = stage === fresh.stages.at(-1);
  return isLast || shareOf(stage.goal.policy, fresh.version) > shareOf(last.policy, fresh.version);
}

function sameGoal(a: Stage | undefined, b: Stage | undefined): boolean {
  return JSON.stringify(a?.goal) === JSON.stringify(b?.goal);
}
