/** A simulated target and the smallest operator around the engine: every effect is immediate but readiness, which takes time. */
import type { Operation, OperationAction, Resource } from '../../src/manifest/resource.ts';
import type { Instant, Live, LiveUnit, Scaled, TrafficPolicy } from '../../src/plan/live.ts';
import { trafficNames } from '../../src/plan/versions.ts';
import { apply } from '../../src/rollout/apply.ts';
import { decide } from '../../src/rollout/decide.ts';
import type { Action, Decision, Event, Question } from '../../src/rollout/decision.ts';
import type { PrecheckResult, State } from '../../src/rollout/state.ts';

export interface World {
  now: Instant;
  state: State | undefined;
  declared: Resource | undefined;
  commit: string;
  deletionConfirmed: boolean;
  operatorPaused: boolean;
  units: LiveUnit[];
  traffic: TrafficPolicy | undefined;
  /** What whoever divides the traffic says against the policy that it is asked for; while it does, traffic stays as it is. */
  refusal: string | undefined;
  asked: { policy: TrafficPolicy; since: Instant } | undefined;
  complete: boolean;
  /** Somebody who scales it beside the manifest. */
  scaled: Scaled | undefined;
  /** Milliseconds from start to ready by revision; absent: never. */
  startTime: Record<string, number>;
  /** Revisions whose units exit as soon as they are started. */
  exits: Set<string>;
  prechecks: PrecheckResult[];
  checkPasses: boolean;
  /** What was seen at any time. */
  seen: { maxTotal: number; minAvailable: number; phases: string[]; proposals: number; pushes: number; gone: boolean };
  last: Decision | undefined;
}

export function world(declared: Resource, over: Partial<World> = {}): World {
  return {
    now: Date.UTC(2026, 0, 5, 12),
    state: undefined,
    declared,
    commit: 'c1',
    deletionConfirmed: false,
    operatorPaused: false,
    units: [],
    traffic: undefined,
    refusal: undefined,
    asked: undefined,
    complete: true,
    scaled: undefined,
    startTime: {},
    exits: new Set(),
    prechecks: [{ name: 'target', result: 'pass', message: 'answers', remedy: '' }],
    checkPasses: true,
    seen: { maxTotal: 0, minAvailable: Number.POSITIVE_INFINITY, phases: [], proposals: 0, pushes: 0, gone: false },
    last: undefined,
    ...over,
  };
}

/** Decides and carries out, again and again, until nothing changes without time passing. */
export function settleNow(w: World): void {
  for (let round = 0; round < 500; round++) {
    age(w);
    const live = look(w);
    const declaration = { commit: w.commit, deletionConfirmed: w.deletionConfirmed };
    const decision = decide(w.declared ? { ...declaration, resource: w.declared } : declaration, w.state, live, w.now, {
      operatorPaused: w.operatorPaused,
      highestId: 0,
    });
    const before = JSON.stringify(w.state);
    w.state = decision.next;
    w.last = decision;
    note(w, decision);
    for (const action of decision.actions) act(w, action);
    for (const question of decision.questions) answer(w, question);
    if (decision.gone) return;
    const quiet = decision.actions.length === 0 && decision.questions.length === 0;
    if (quiet && JSON.stringify(w.state) === before) return;
  }
  throw new Error(`it does not come to rest: ${w.last?.why}`);
}

/** Lets time pass in steps of at most 100 ms until `until` holds; throws when it does not within `limit`. */
export function run(w: World, until: (w: World) => boolean, limit = 3_600_000): void {
  const deadline = w.now + limit;
  settleNow(w);
  while (!until(w)) {
    if (w.now >= deadline) throw new Error(`not reached: ${w.last?.why} ${JSON.stringify(w.state?.rollout)}`);
    const next = Math.min(
      ...w.units.map((unit) => readyAt(w, unit)).filter((at) => at > w.now),
      w.last?.wakeAt ?? w.now + 1000,
    );
    w.now = Math.max(w.now + 1, Math.min(next, w.now + 60_000));
    settleNow(w);
  }
}

export const phase = (name: string) => (w: World) => w.state?.rollout?.phase === name;
export const rested = (w: World) => w.state?.settled.observed === true && phase('Succeeded')(w);

/** The outcome of an operation on the last rollout, or on the one that is named. */
export function operate(w: World, action: OperationAction, over: Partial<Operation> = {}): string {
  const name = `${action}-${w.now}-${Math.random()}`;
  const operation: Operation = {
    name,
    digest: name,
    action,
    resource: w.declared?.id ?? 'Workload/tomcat',
    rollout: w.state?.rollout?.id ?? 1,
    place: { file: 'o.yaml', line: 1, column: 1 },
    ...over,
  };
  send(w, { kind: 'operation', operation });
  const outcome = w.state?.operations[operation.name];
  settleNow(w);
  return `${outcome?.outcome}: ${outcome?.message}`;
}

export function send(w: World, event: Event): void {
  if (w.state) w.state = apply(w.state, event, w.declared, look(w), w.now);
}

/** A new commit. */
export function commit(w: World, resource: Resource | undefined, name = `c${w.now}`): void {
  w.now += 1000;
  w.declared = resource;
  w.commit = name;
  settleNow(w);
}

export function kill(w: World, id: string): void {
  const unit = w.units.find((candidate) => candidate.id === id);
  if (unit) Object.assign(unit, { phase: 'dead', ready: false, diedAt: w.now, message: 'exited with code 1' });
}

export const revisions = (w: World) =>
  w.units
    .map((unit) => unit.revision)
    .sort()
    .join(' ');

const look = (w: World): Live => ({
  observedAt: w.now,
  complete: w.complete,
  units: w.units.map((unit) => ({ ...unit })),
  ...(w.scaled && { scaled: w.scaled }),
  ...(w.traffic === undefined ? {} : { traffic: w.traffic }),
  ...(w.asked && { routing: w.asked.policy }),
  ...(w.asked && w.refusal !== undefined && { refused: { message: w.refusal, since: w.asked.since } }),
});

const startedAt = (unit: LiveUnit) => Number.parseInt(unit.attempt.slice(unit.attempt.indexOf('.') + 1), 36);
const readyAt = (w: World, unit: LiveUnit) =>
  unit.phase === 'starting'
    ? startedAt(unit) + (w.startTime[unit.revision] ?? Number.POSITIVE_INFINITY)
    : Number.POSITIVE_INFINITY;

function age(w: World): void {
  if (w.asked !== undefined && w.refusal === undefined) {
    w.traffic = w.asked.policy;
    w.asked = undefined;
  }
  for (const unit of w.units) {
    if (unit.phase === 'starting' && readyAt(w, unit) <= w.now) {
      Object.assign(unit, { phase: 'running', ready: true, readySince: w.now });
    }
  }
}

function act(w: World, action: Action): void {
  if (action.kind === 'route') {
    for (const name of trafficNames(action.policy)) {
      if (!w.units.some((unit) => unit.version === name && unit.ready))
        throw new Error(`traffic to ${name}, which is not ready`);
    }
    if (w.refusal !== undefined && action.policy !== undefined) w.asked = { policy: action.policy, since: w.now };
    else w.traffic = action.policy;
  } else if (action.kind === 'stop') {
    w.units = w.units.filter((unit) => unit.id !== action.unit);
  } else if (action.kind === 'start') {
    const { unit: id, revision, version, attempt, restarts } = action;
    w.units = w.units.filter((unit) => unit.id !== id);
    const exits = w.exits.has(revision);
    w.units.push({
      id,
      revision,
      version,
      attempt,
      restarts,
      ready: false,
      phase: exits ? 'dead' : 'starting',
      ...(exits ? { diedAt: w.now, message: 'exited with code 1' } : {}),
    });
  }
}

function answer(w: World, question: Question): void {
  const rollout = w.state?.rollout;
  if (!rollout) return;
  if (question.kind === 'precheck')
    send(w, { kind: 'prechecked', rollout: rollout.id, revision: question.plan.to, results: w.prechecks });
  else if (question.kind === 'check')
    send(w, {
      kind: 'checked',
      rollout: rollout.id,
      stage: question.stage,
      pass: w.checkPasses,
      message: 'GET /health',
    });
}

function note(w: World, decision: Decision): void {
  const rollout = decision.next.rollout;
  const label = rollout ? `${rollout.id} ${rollout.phase}${rollout.reason ? ` ${rollout.reason}` : ''}` : '';
  if (label !== '' && w.seen.phases.at(-1) !== label) w.seen.phases.push(label);
  if (decision.proposeRevert) w.seen.proposals++;
  if (decision.pushFirst) w.seen.pushes++;
  w.seen.gone ||= decision.gone;
  w.seen.maxTotal = Math.max(w.seen.maxTotal, w.units.length);
  w.seen.minAvailable = Math.min(w.seen.minAvailable, w.units.filter((unit) => unit.ready).length);
}
