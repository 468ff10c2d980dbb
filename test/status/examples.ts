/** States to test with: one worked example, and arbitrary ones. */
import fc from 'fast-check';
import type { Live, LiveAttempt, LiveInstance, LiveUnit, TrafficPolicy } from '../../src/plan/live.ts';
import type { Gate, Goal, MembersGoal, Plan, Settled, Stage, Version } from '../../src/plan/plan.ts';
import type {
  HistoryEntry,
  OperationOutcome,
  PrecheckResult,
  Rollout,
  State,
  UnitRecord,
} from '../../src/rollout/state.ts';
import { unitList } from '../../src/rollout/unit-list.ts';

export const AT = Date.parse('2026-11-20T22:22:03.125Z');
export const OLD = 'ab12cd34ef';
export const NEW = '12e4567890';
export const C1 = '1'.repeat(40);
export const C2 = 'c2'.repeat(20);

const replicas = (version: string, revision: string, count: number): Goal => ({
  kind: 'replicas',
  version,
  want: count === 0 ? {} : { [revision]: count },
  maxTotal: count,
  minAvailable: 0,
  minReadySeconds: 0,
});
const percent = (weights: Record<string, number>): Goal => ({ kind: 'traffic', policy: { kind: 'percent', weights } });

/** Service/shop goes from v7 to v8 in three stages; stage 2 is reached and waits for a person. */
export const shop = (): State & { rollout: Rollout } => ({
  commit: C2,
  digest: 'd1',
  settled: {
    goals: [replicas('v7', OLD, 2), percent({ v7: 100 })],
    lineage: [{ revision: OLD, commit: C1 }],
    versions: {
      v7: { revision: OLD, commit: C1, rollout: 6, stable: 'v7' },
      v8: { revision: NEW, commit: C2, rollout: 7, stable: 'v7' },
    },
    full: 'v7',
    observed: true,
  },
  rollout: {
    id: 7,
    cause: 'upgrade',
    commit: C2,
    phase: 'Paused',
    reason: 'Step',
    message: '10 % is reached and waits for a continue',
    startedAt: AT,
    prechecks: [{ name: 'images', result: 'pass', message: 'shop:8 exists', remedy: '' }],
    plan: {
      generation: 1,
      from: OLD,
      to: NEW,
      version: 'v8',
      stages: [
        { name: 'deploy v8', goal: replicas('v8', NEW, 2), gates: [] },
        { name: '10 %', goal: percent({ v8: 10, v7: 90 }), gates: [{ kind: 'soak', seconds: 600 }, { kind: 'pause' }] },
        { name: '100 %', goal: percent({ v8: 100 }), gates: [] },
      ],
    },
    stage: 1,
    times: [{ begun: AT + 1000, done: AT + 4000 }, { begun: AT + 4000 }],
    reachedAt: AT + 4500,
    checks: { failures: 0 },
    progress: { mark: '10 %: traffic is being moved', at: AT + 4000 },
    continued: false,
    held: false,
    turned: false,
  },
  operations: {
    'shop-7-pause-k2f9': { digest: 'o1', outcome: 'refused', message: 'rollout 7 is paused already', at: AT + 5000 },
  },
  repairs: { count: 1, last: AT - 1000 },
  history: [
    {
      id: 6,
      cause: 'upgrade',
      commit: C1,
      revision: OLD,
      phase: 'Succeeded',
      startedAt: AT - 9000,
      finishedAt: AT - 5000,
      stages: [{ name: 'deploy v7', seconds: 2.5 }],
      message: `rolled out ${OLD}`,
    },
  ],
});

export const unit = (id: string, revision: string, more: Partial<LiveUnit> = {}): LiveUnit => ({
  id,
  revision,
  version: '',
  phase: 'running',
  ready: true,
  readySince: AT,
  attempt: `${id}.1`,
  restarts: 0,
  ...more,
});

export const shopLive = (): Live => ({
  observedAt: AT + 60_000,
  complete: true,
  units: [
    unit('shop-v7-1', OLD, { version: 'v7' }),
    unit('shop-v7-2', OLD, { version: 'v7' }),
    unit('shop-v8-1', NEW, { version: 'v8' }),
    unit('shop-v8-2', NEW, { version: 'v8', phase: 'dead', ready: false, message: 'exited with code 1' }),
  ],
  traffic: { kind: 'percent', weights: { v7: 90, v8: 10 } },
});

/** Workload/tomcat at rest: three replicas settled. */
export const tomcat = (): State => ({
  commit: C1,
  digest: 'd2',
  settled: {
    goals: [replicas('', OLD, 3)],
    lineage: [{ revision: OLD, commit: C1 }],
    versions: {},
    observed: true,
  },
  operations: {},
  repairs: { count: 0 },
  history: [],
});

export const tomcatLive = (...units: LiveUnit[]): Live => ({ observedAt: AT + 60_000, complete: true, units });

const instance = (id: string, more: Partial<LiveInstance> = {}): LiveInstance => ({
  ...{ id, created: false, controlPlane: false, applied: [OLD], ready: true, service: 'in', weight: 100 },
  ...{ cordoned: false, restarts: 0 },
  ...more,
});

const unitsGoal = (...names: string[]): Goal => ({
  kind: 'units',
  want: Object.fromEntries(names.map((name) => [name, { to: NEW, undo: [] }])),
  maxInFlight: names.length,
});

const unitAt = (state: UnitRecord['state'], at: number, more: Partial<UnitRecord> = {}): UnitRecord => ({
  ...{ state, since: AT + at, message: '', tries: 1 },
  before: { inService: true, weight: 100, cordoned: false },
  checks: { failures: 0, passed: false },
  ...more,
});

/** Fleet/web, five instances in three batches: the first is done, of the second one has failed. */
export const web = (): State & { rollout: Rollout } => ({
  commit: C2,
  digest: 'd3',
  settled: {
    goals: [{ kind: 'members', revision: OLD }],
    lineage: [{ revision: OLD, commit: C1 }],
    versions: {},
    observed: true,
  },
  rollout: {
    id: 7,
    cause: 'upgrade',
    commit: C2,
    phase: 'Paused',
    reason: 'Failure',
    message: '1 failed: web-3: exited with code 1: disk full',
    startedAt: AT,
    prechecks: [],
    plan: {
      generation: 1,
      from: OLD,
      to: NEW,
      version: '',
      stages: [
        { name: 'batch 1 of 3', goal: unitsGoal('web-1', 'web-2'), gates: [{ kind: 'pause' }] },
        { name: 'batch 2 of 3', goal: unitsGoal('web-3', 'web-4'), gates: [] },
        { name: 'batch 3 of 3', goal: unitsGoal('web-5'), gates: [] },
      ],
    },
    stage: 1,
    times: [{ begun: AT + 1000, done: AT + 4000 }, { begun: AT + 4000 }],
    checks: { failures: 0 },
    progress: { mark: '2 of 5 done, 1 under way, 1 failed', at: AT + 9000 },
    continued: false,
    held: false,
    turned: false,
    units: unitList(
      Object.entries({
        'web-1': unitAt('Succeeded', 3000),
        'web-2': unitAt('Succeeded', 3000),
        'web-3': unitAt('Failed', 9000, { message: 'exited with code 1: disk full', tries: 2 }),
        'web-4': unitAt('Verifying', 8000, {
          message: 'GET /health: 503',
          checks: { failures: 1, askedAt: AT + 9000, passed: false },
        }),
        'web-5': unitAt('Pending', 1000, { before: { inService: true, weight: 50, cordoned: false } }),
      }),
    ),
    pausedAt: AT + 9000,
  },
  operations: {},
  repairs: { count: 0 },
  history: [],
});

export const webLive = (): Live => ({
  observedAt: AT + 10_000,
  complete: true,
  units: [],
  instances: [
    instance('web-1', { applied: [OLD, NEW] }),
    instance('web-2', { applied: [OLD, NEW] }),
    instance('web-3', { applied: [OLD, NEW], ready: false, service: 'out', weight: 0, message: 'does not answer' }),
    instance('web-4', { applied: [OLD, NEW], service: 'out', weight: 0 }),
    instance('web-5', { weight: 50 }),
  ],
  suspended: ['scaleIn', 'scaleOut'],
});

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });
const oid = hex(40);
const revision = hex(10);
const name = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?$/);
/** Some in a row, some with leading zeros: runs of them are written short. */
export const unitName = fc.oneof(
  name,
  fc.nat({ max: 12 }).map((n) => `web-${n}`),
  fc.nat({ max: 12 }).map((n) => `web-${String(n).padStart(2, '0')}`),
);
const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 30 }), fc.string({ maxLength: 30 }), fc.lorem());
const instant = fc.integer({ min: 0, max: 4_000_000_000_000 });
const count = fc.nat({ max: 10_000 });
const cause = fc.constantFrom('upgrade' as const, 'rollback' as const);
const phase = fc.constantFrom(
  ...(['Pending', 'Checking', 'Progressing', 'Paused', 'RollingBack'] as const),
  ...(['Succeeded', 'RolledBack', 'Canceled', 'Failed', 'Superseded', 'Expired'] as const),
);

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, { noNullPrototype: true });

/** A record whose keys in `optional` may be absent. */
function some<T extends object>(
  model: { [K in keyof T]-?: fc.Arbitrary<NonNullable<T[K]>> },
  ...optional: (keyof T)[]
) {
  const requiredKeys = (Object.keys(model) as (keyof T)[]).filter((key) => !optional.includes(key));
  return fc.record(model, { requiredKeys, noNullPrototype: true }).map((value) => value as unknown as T);
}
const mapOf = <V>(keys: fc.Arbitrary<string>, values: fc.Arbitrary<V>) =>
  fc.dictionary(keys, values, { maxKeys: 4, noNullPrototype: true });

const policy: fc.Arbitrary<TrafficPolicy> = fc.oneof(
  record({ kind: fc.constant('percent' as const), weights: mapOf(name, fc.nat({ max: 100 })) }),
  record({
    kind: fc.constant('match' as const),
    rules: fc.array(
      record({
        version: name,
        query: mapOf(
          text.filter((key) => key !== '__proto__'),
          text,
        ),
      }),
      { maxLength: 3 },
    ),
    default: name,
  }),
);
const goal: fc.Arbitrary<Goal> = fc.oneof(
  record({
    kind: fc.constant('replicas' as const),
    version: fc.oneof(fc.constant(''), name),
    want: mapOf(revision, count),
    maxTotal: count,
    minAvailable: count,
    minReadySeconds: count,
  }),
  record({ kind: fc.constant('traffic' as const), policy }),
  record({
    kind: fc.constant('units' as const),
    want: mapOf(unitName, record({ to: revision, undo: fc.array(revision, { maxLength: 2 }) })),
    maxInFlight: count,
  }),
  some<MembersGoal>(
    { kind: fc.constant('members' as const), size: count, controlPlane: count, revision },
    'size',
    'controlPlane',
  ),
);
const gate: fc.Arbitrary<Gate> = fc.oneof(
  fc.constant({ kind: 'pause' as const }),
  record({ kind: fc.constant('soak' as const), seconds: count }),
  record({
    kind: fc.constant('check' as const),
    check: fc.oneof(
      record({
        http: fc.record({ path: text, port: fc.oneof(count, text) }, { requiredKeys: [], noNullPrototype: true }),
      }),
      record({ command: fc.array(text, { maxLength: 3 }) }),
    ),
    version: fc.oneof(fc.constant(''), name),
  }),
);
const stage: fc.Arbitrary<Stage> = record({ name: text, goal, gates: fc.array(gate, { maxLength: 3 }) });
const plan = some<Plan>(
  {
    generation: count.map((n) => n + 1),
    from: revision,
    to: revision,
    version: fc.oneof(fc.constant(''), name),
    stages: fc.array(stage, { maxLength: 4 }),
  },
  'from',
);
const stageTime = some<Rollout['times'][number]>({ begun: instant, done: instant }, 'done');
const precheck: fc.Arbitrary<PrecheckResult> = record({
  name: text,
  result: fc.constantFrom('pass' as const, 'warn' as const, 'fail' as const),
  message: text,
  remedy: text,
});
const unitRecord: fc.Arbitrary<UnitRecord> = some<UnitRecord>(
  {
    state: fc.constantFrom(
      ...(['Pending', 'TakingOut', 'Updating', 'Verifying', 'PuttingBack'] as const),
      ...(['Succeeded', 'Failed', 'Skipped', 'Canceled', 'Unknown'] as const),
    ),
    since: fc.oneof(fc.constant(AT), instant),
    message: fc.oneof(fc.constant(''), text),
    tries: fc.nat({ max: 3 }),
    before: some<UnitRecord['before']>(
      { inService: fc.boolean(), weight: fc.nat({ max: 256 }), cordoned: fc.boolean() },
      'weight',
    ),
    as: fc.constantFrom('Skipped' as const, 'Canceled' as const, 'Failed' as const),
    checks: some<UnitRecord['checks']>(
      { failures: fc.nat({ max: 3 }), askedAt: instant, passed: fc.boolean() },
      'askedAt',
    ),
  },
  'as',
);
const rollout: fc.Arbitrary<Rollout> = plan.chain((planned) =>
  some<Rollout>(
    {
      id: count.map((n) => n + 1),
      cause,
      commit: oid,
      phase,
      reason: fc.constantFrom(...(['Batch', 'Step', 'Failure', 'Operator', 'Window', 'Unknown'] as const)),
      message: text,
      startedAt: instant,
      finishedAt: instant,
      prechecks: fc.array(precheck, { maxLength: 3 }),
      plan: fc.constant(planned),
      stage: fc.nat({ max: planned.stages.length }),
      times: fc.array(stageTime, { maxLength: planned.stages.length }),
      reachedAt: instant,
      checks: some<Rollout['checks']>(
        { passedAt: instant, askedAt: instant, failures: count, message: text },
        'passedAt',
        'askedAt',
        'message',
      ),
      progress: record({ mark: text, at: instant }),
      continued: fc.boolean(),
      held: fc.boolean(),
      turned: fc.boolean(),
      retriedAt: instant,
      units: fc
        .uniqueArray(fc.tuple(unitName, unitRecord), { maxLength: 12, selector: ([name]) => name })
        .map(unitList),
      back: fc.constant(true),
      tampered: fc.constant(true),
      closing: record({
        phase: fc.constantFrom('Canceled' as const, 'Superseded' as const, 'Expired' as const, 'Failed' as const),
        message: text,
      }),
      successor: record({ revision, prechecks: fc.array(precheck, { maxLength: 2 }) }),
      pausedAt: instant,
    },
    ...(['units', 'back', 'tampered', 'closing', 'successor', 'pausedAt'] as const),
    'reason',
    'finishedAt',
    'reachedAt',
    'retriedAt',
  ),
);
const version: fc.Arbitrary<Version> = record({ revision, commit: oid, rollout: count, stable: name });
const settled = some<Settled>(
  {
    goals: fc.array(goal, { maxLength: 3 }),
    lineage: fc.array(record({ revision, commit: oid }), { maxLength: 4 }),
    versions: mapOf(name, version),
    full: name,
    partial: revision,
    observed: fc.boolean(),
  },
  'full',
  'partial',
);
const operation: fc.Arbitrary<OperationOutcome> = record({
  digest: hex(20),
  outcome: fc.constantFrom('applied' as const, 'refused' as const),
  message: text,
  at: instant,
});
const historyEntry: fc.Arbitrary<HistoryEntry> = record({
  id: count.map((n) => n + 1),
  cause,
  commit: oid,
  revision,
  phase,
  startedAt: instant,
  finishedAt: instant,
  stages: fc.array(record({ name: text, seconds: fc.double({ min: 0, max: 1e6, noNaN: true }).map((n) => n + 0) }), {
    maxLength: 3,
  }),
  message: text,
});

const scaled = record({ replicas: count, by: text });

export const anyState: fc.Arbitrary<State> = some<State>(
  {
    commit: oid,
    digest: hex(64),
    settled,
    rollout,
    operations: mapOf(name, operation),
    scaled,
    repairs: some<State['repairs']>({ count, last: instant }, 'last'),
    history: fc.array(historyEntry, { maxLength: 3 }),
    attempted: revision,
    deletion: record({ commit: oid, confirmed: fc.boolean() }),
  },
  'rollout',
  'scaled',
  'attempted',
  'deletion',
);

const liveUnit = some<LiveUnit>(
  {
    id: name,
    revision,
    version: fc.oneof(fc.constant(''), name),
    phase: fc.constantFrom(...(['starting', 'running', 'stopping', 'dead'] as const)),
    ready: fc.boolean(),
    readySince: instant,
    unreadySince: instant,
    attempt: text,
    restarts: fc.nat({ max: 5 }),
    diedAt: instant,
    message: text,
    address: text,
    stuckSince: instant,
  },
  'unreadySince',
  'stuckSince',
  'readySince',
  'diedAt',
  'message',
  'address',
);
const attempt: fc.Arbitrary<LiveAttempt> = record({
  id: text,
  state: fc.constantFrom('running' as const, 'succeeded' as const, 'failed' as const, 'unknown' as const),
  message: text,
});
const liveInstance = some<LiveInstance>(
  {
    id: unitName,
    created: fc.boolean(),
    former: fc.boolean(),
    controlPlane: fc.boolean(),
    applied: fc.array(revision, { maxLength: 3 }),
    ready: fc.boolean(),
    service: fc.constantFrom('in' as const, 'leaving' as const, 'out' as const),
    weight: fc.nat({ max: 256 }),
    cordoned: fc.boolean(),
    cordonedBefore: fc.boolean(),
    attempt,
    drain: attempt,
    version: text,
    address: text,
    diedAt: instant,
    restarts: fc.nat({ max: 5 }),
    message: text,
  },
  ...(['former', 'weight', 'cordonedBefore', 'attempt', 'drain', 'version', 'address', 'diedAt', 'message'] as const),
);
export const anyLive = some<Live>(
  {
    observedAt: instant,
    complete: fc.boolean(),
    unseen: text,
    units: fc.array(liveUnit, { maxLength: 5 }),
    scaled,
    traffic: policy,
    routing: policy,
    refused: record({ message: text, since: instant }),
    instances: fc.array(liveInstance, { maxLength: 8 }),
    suspended: fc.subarray(['scaleIn' as const, 'scaleOut' as const, 'healthCheck' as const]),
  },
  ...(['unseen', 'scaled', 'traffic', 'routing', 'refused', 'instances', 'suspended'] as const),
);
