/** A simulated fleet or cluster and the smallest operator around the engine. Scripts take a second, all else is immediate. */
import type {
  ClusterResource,
  ClusterSpec,
  FleetResource,
  FleetSpec,
  Operation,
  OperationAction,
  ScalingProcess,
} from '../../src/manifest/resource.ts';
import type { Instant, Live, LiveInstance } from '../../src/plan/live.ts';
import { apply } from '../../src/rollout/apply.ts';
import { decide } from '../../src/rollout/decide.ts';
import type { Action, Decision, Event, Question } from '../../src/rollout/decision.ts';
import type { PrecheckResult, State, UnitState } from '../../src/rollout/state.ts';
import { entriesOf } from '../../src/rollout/unit-list.ts';

interface Machine extends LiveInstance {
  endsAt?: Instant;
  /** What it had before it was first taken out, as it is kept beside a unit. */
  kept?: number;
}

export interface FleetWorld {
  /** The target does not answer. */
  silent?: boolean;
  now: Instant;
  state: State | undefined;
  /** As it was when something had to be durable last: what a new operator finds. */
  durable: State | undefined;
  declared: FleetResource | ClusterResource | undefined;
  commit: string;
  /** Of a cluster: by the revision that asks for it. */
  versions: Map<string, string>;
  deletionConfirmed: boolean;
  machines: Machine[];
  suspended: ScalingProcess[];
  /** `unit revision` whose script fails; whose outcome is lost; machines whose checks fail. */
  fails: Set<string>;
  loses: Set<string>;
  unwell: Set<string>;
  prechecks: PrecheckResult[];
  /** Every act, in order: `takeOut web-1`, `run web-1 r2`, `undo web-1 r2`, `putBack web-1 100`. */
  acts: string[];
  phases: string[];
  /** The most machines that were out of service at once. */
  mostOut: number;
  last: Decision | undefined;
}

const versionOf = ({ revision, spec }: FleetResource | ClusterResource): [string, string] => [
  revision,
  spec.kind === 'Cluster' ? spec.version : '',
];

export function fleetWorld(declared: FleetResource | ClusterResource, machines: Machine[]): FleetWorld {
  return {
    versions: new Map([versionOf(declared)]),
    now: Date.UTC(2026, 0, 5, 12),
    state: undefined,
    durable: undefined,
    ...{
      declared,
      commit: 'c1',
      deletionConfirmed: true,
      machines,
      suspended: [],
      fails: new Set<string>(),
      loses: new Set<string>(),
    },
    unwell: new Set(),
    prechecks: [{ name: 'target', result: 'pass', message: 'answers', remedy: '' }],
    ...{ acts: [], phases: [], mostOut: 0, last: undefined },
  };
}

export function machine(id: string, over: Partial<Machine> = {}): Machine {
  return {
    ...{ id, created: false, controlPlane: false, applied: [], ready: true, service: 'in', weight: 100 },
    ...{ cordoned: false, restarts: 0 },
    ...over,
  };
}

const common = {
  target: 'web-hosts',
  paused: false,
  onFailure: 'pause' as const,
  progressDeadlineSeconds: 600,
  revisionHistoryLimit: 5,
  windows: [],
};

export function fleet(revision: string, over: Partial<FleetSpec> = {}): FleetResource {
  const spec: FleetSpec = {
    ...common,
    kind: 'Fleet',
    members: { selector: { role: 'web' } },
    host: 'web.localhost',
    ...{ batches: 2, pause: 'never', maxFailures: 0, check: [] },
    suspend: ['healthCheck', 'scaleIn', 'scaleOut', 'scheduledAction'],
    ...{ suspended: [], schedules: [] },
    ...over,
  };
  const id = 'Fleet/web' as const;
  return { ...named(id, revision, spec), spec, runnable: { resource: id, revision } };
}

export function cluster(revision: string, version: string, over: Partial<ClusterSpec> = {}): ClusterResource {
  const spec: ClusterSpec = {
    ...common,
    kind: 'Cluster',
    version,
    upgrade: { maxBatchPercent: 50, drain: { timeout: '10m' }, expireAfter: '15d' },
    prechecks: [],
    ...over,
  };
  const id = 'Cluster/prod' as const;
  return { ...named(id, revision, spec), spec, runnable: { resource: id, revision, version } };
}

const named = <I>(id: I, revision: string, spec: unknown) => ({
  ...{ id, revision, digest: `${revision} ${JSON.stringify(spec)}`, inputs: [] },
  place: { file: 'x.yaml', line: 1, column: 1 },
});

/** Decides and carries out, again and again, until nothing changes without time passing. */
export function settleNow(w: FleetWorld): void {
  for (let round = 0; round < 1000; round++) {
    age(w);
    const declaration = { commit: w.commit, deletionConfirmed: w.deletionConfirmed };
    const decision = decide(
      w.declared ? { ...declaration, resource: w.declared } : declaration,
      w.state,
      look(w),
      w.now,
      {
        operatorPaused: false,
        highestId: 0,
      },
    );
    const before = JSON.stringify(w.state);
    w.state = decision.next;
    w.last = decision;
    if (decision.pushFirst) w.durable = decision.next;
    const { rollout } = decision.next;
    const label = rollout ? `${rollout.id} ${rollout.phase}${rollout.reason ? ` ${rollout.reason}` : ''}` : '';
    if (label !== '' && w.phases.at(-1) !== label) w.phases.push(label);
    for (const action of decision.actions) act(w, action);
    w.mostOut = Math.max(w.mostOut, w.machines.filter(({ service }) => service !== 'in').length);
    for (const question of decision.questions) answer(w, question);
    const quiet = decision.actions.length === 0 && decision.questions.length === 0;
    if (decision.gone || (quiet && JSON.stringify(w.state) === before)) return;
  }
  throw new Error(`it does not come to rest: ${w.last?.why}`);
}

/** Lets time pass until `until` holds; throws when it does not within the hour. */
export function run(w: FleetWorld, until: (w: FleetWorld) => boolean): void {
  const end = w.now + 3_600_000;
  settleNow(w);
  while (!until(w)) {
    if (w.now >= end)
      throw new Error(`not within the hour: ${w.last?.why}; ${JSON.stringify(w.state?.rollout?.units)}`);
    w.now += 500;
    settleNow(w);
  }
}

export const phase = (wanted: string) => (w: FleetWorld) => w.phases.at(-1) === wanted;

export function commit(w: FleetWorld, resource: FleetResource | ClusterResource | undefined, oid: string): void {
  w.declared = resource;
  if (resource !== undefined) w.versions.set(...versionOf(resource));
  w.commit = oid;
}

let operations = 0;
export function operate(w: FleetWorld, action: OperationAction, unit?: string): { outcome: string; message: string } {
  const id = w.declared?.id ?? 'Fleet/web';
  const name = `op-${++operations}`;
  const operation: Operation = {
    ...{ name, digest: name, action, resource: id, rollout: w.state?.rollout?.id ?? 0 },
    ...(unit !== undefined && { unit }),
    place: { file: 'op.yaml', line: 1, column: 1 },
  };
  send(w, { kind: 'operation', operation });
  w.durable = w.state;
  const { outcome = '', message = '' } = w.state?.operations[name] ?? {};
  return { outcome, message };
}

function send(w: FleetWorld, event: Event): void {
  if (w.state) w.state = apply(w.state, event, w.declared, look(w), w.now);
}

export const states = (w: FleetWorld): Record<string, UnitState> =>
  Object.fromEntries(entriesOf(w.state?.rollout?.units).map(([id, { state }]) => [id, state]));

const look = (w: FleetWorld): Live => ({
  ...{ observedAt: w.now, complete: !w.silent, units: [] },
  instances: w.silent ? [] : w.machines.map(({ endsAt: _, kept: _kept, ...instance }) => structuredClone(instance)),
  suspended: [...w.suspended],
});

function age(w: FleetWorld): void {
  for (const machine of w.machines) {
    if (machine.attempt?.state !== 'running' || (machine.endsAt ?? 0) > w.now) continue;
    const key = `${machine.id} ${machine.applied.at(-1)}`;
    const state = w.fails.has(key) ? 'failed' : w.loses.has(key) ? 'unknown' : 'succeeded';
    machine.attempt = { ...machine.attempt, state, message: state === 'failed' ? 'exited with code 1' : '' };
    const version = w.versions.get(machine.applied.at(-1) ?? '') ?? '';
    if (state === 'succeeded' && version !== '') machine.version = version;
  }
}

function act(w: FleetWorld, action: Action): void {
  if (action.kind === 'suspend') {
    w.suspended = action.processes;
    w.acts.push(`suspend ${action.processes.join(' ')}`.trim());
    return;
  }
  if (action.kind === 'create') {
    const controlPlane = action.unit.includes('-cp-');
    const version = w.declared?.spec.kind === 'Cluster' ? { version: w.declared.spec.version } : {};
    w.machines.push(machine(action.unit, { created: true, controlPlane, applied: [action.revision], ...version }));
    w.acts.push(`create ${action.unit} ${action.revision}`);
    return;
  }
  if (action.kind === 'remove') {
    w.machines = w.machines.filter(({ id }) => id !== action.unit);
    w.acts.push(`remove ${action.unit}`);
    return;
  }
  const it = 'unit' in action ? w.machines.find(({ id }) => id === action.unit) : undefined;
  if (it === undefined) return;
  if (action.kind === 'heal') {
    delete it.diedAt;
    it.ready = true;
    w.acts.push(`heal ${it.id}`);
  } else if (action.kind === 'takeOut') {
    if (it.weight !== undefined) it.kept ??= it.weight;
    Object.assign(it, { service: 'out', weight: it.weight === undefined ? undefined : 0 });
    if (action.cordon)
      Object.assign(it, { cordoned: true, drain: { id: action.attempt, state: 'succeeded', message: '' } });
    w.acts.push(`takeOut ${it.id}`);
  } else if (action.kind === 'putBack') {
    Object.assign(it, { service: 'in', cordoned: action.cordoned });
    const weight = action.weight ?? it.kept;
    if (weight !== undefined) it.weight = weight;
    delete it.kept;
    w.acts.push(
      `putBack ${it.id}${action.weight === undefined ? '' : ` ${action.weight}`}${action.cordoned ? ' cordoned' : ''}`,
    );
  } else if (action.kind === 'update' && it.attempt?.id !== action.attempt) {
    if (it.service !== 'out') throw new Error(`${it.id} is updated while it is in service`);
    const { undo, to } = action.change;
    for (const revision of undo) {
      if (it.applied.at(-1) !== revision) throw new Error(`${it.id}: ${revision} is not on top`);
      it.applied.pop();
      w.acts.push(`undo ${it.id} ${revision}`);
    }
    if (undo.length === 0) {
      if (it.applied.at(-1) !== to) it.applied.push(to);
      w.acts.push(`run ${it.id} ${to}`);
    }
    it.attempt = { id: action.attempt, state: 'running', message: 'runs' };
    it.endsAt = w.now + 1000;
  }
}

function answer(w: FleetWorld, question: Question): void {
  const rollout = w.state?.rollout;
  if (!rollout) return;
  if (question.kind === 'precheck') {
    send(w, { kind: 'prechecked', rollout: rollout.id, revision: question.plan.to, results: w.prechecks });
  } else if (question.kind === 'verify') {
    const { unit } = question;
    send(w, { kind: 'verified', rollout: rollout.id, unit, pass: !w.unwell.has(unit), message: 'GET /health: 503' });
  }
}
