import assert from 'node:assert/strict';
import t from 'tap';
import type { Live, LiveInstance } from '../../src/plan/live.ts';
import type { Rollout, State, UnitRecord } from '../../src/rollout/state.ts';
import { recordOf, unitList } from '../../src/rollout/unit-list.ts';
import { fromDocument, toDocument } from '../../src/status/document.ts';
import { instancesFromDocument, runsText } from '../../src/status/instances.ts';
import { StatusFileError, toText } from '../../src/status/text.ts';
import { fromText } from '../../src/status/yaml.ts';
import {
  cluster,
  commit,
  type FleetWorld,
  fleet,
  fleetWorld,
  machine,
  operate,
  phase,
  run,
} from '../support/fleet-world.ts';
import { AT, C1, C2, NEW, OLD, web, webLive } from './examples.ts';

const documentOf = (state: State, live?: Live) =>
  toDocument({ id: 'Fleet/web', state, live, health: 'Progressing', message: '' });
const PENDING = '      - state: Pending\n        since: "2026-11-20T22:22:04.125Z"\n';
const text = () => toText(documentOf(web(), webLive()));

t.test('the stages show the record, done or skipped counts', async (t) => {
  const state = web();
  Object.assign(recordOf(state.rollout.units, 'web-3') ?? {}, { state: 'Skipped', message: '' });
  const stages = documentOf(state).rollout?.stages ?? [];
  t.strictSame(
    stages.map(({ done, total, phase }) => [done, total, phase]),
    [
      [2, 2, 'Done'],
      [1, 2, 'Stopped'],
      [0, 1, 'Pending'],
    ],
  );
  t.strictSame(stages[1]?.units, [
    { name: 'web-3', state: 'Skipped' },
    { name: 'web-4', state: 'Verifying', message: 'GET /health: 503' },
  ]);
  const { units: _, ...unbegun } = state.rollout;
  t.equal(documentOf({ ...state, rollout: unbegun }).rollout?.stages[0]?.units, undefined, 'not frozen yet');
});

t.test('a way back that is walked has stages that move', async (t) => {
  const back = (more: Partial<Rollout>) => {
    const state = web();
    Object.assign(state.rollout, { phase: 'RollingBack', turned: true, ...more });
    return documentOf(state).rollout?.stages[1]?.phase;
  };
  t.equal(back({}), 'Stopped', 'units under way finish; the way back is not planned');
  t.equal(back({ back: true }), 'Progressing');
  t.equal(back({ back: true, phase: 'Paused', reason: 'Batch', reachedAt: AT }), 'Waiting');
});

/** A world whose operator remembers nothing but what stands in the file, at every decision. */
function forgetful(w: FleetWorld): FleetWorld {
  const id = w.declared?.id ?? 'Fleet/web';
  let kept: State | undefined;
  return Object.defineProperty(w, 'state', {
    get: () => kept,
    set(state: State | undefined) {
      const document = state && toDocument({ id, state, health: 'Progressing', message: '' });
      kept = document && fromDocument(fromText(id, Buffer.from(toText(document))));
    },
  });
}

t.test('an operator that begins anew from the file at every decision does the same', async (t) => {
  const hosts = () => Array.from({ length: 7 }, (_, at) => machine(`web-${at + 1}`, { weight: 10 * (at % 3) }));
  const nodes = () => [
    machine('cp-1', { controlPlane: true }),
    machine('node-2', { cordoned: true }),
    machine('node-1'),
  ];
  const stories: [string, () => FleetWorld, (w: FleetWorld) => void][] = [
    [
      'a fleet that pauses, fails, is retried and goes back',
      () => fleetWorld(fleet(OLD), hosts()),
      (w) => {
        commit(w, fleet(NEW, { batches: 3, pause: 'firstBatch', check: [{ command: ['true'] }] }), C2);
        run(w, phase('2 Paused Batch'));
        operate(w, 'continue');
        w.fails.add(`web-5 ${NEW}`);
        run(w, phase('2 Paused Failure'));
        operate(w, 'retry', 'web-5');
        run(w, phase('2 Paused Failure'));
        operate(w, 'rollback');
        run(w, phase('2 Paused Batch'));
        operate(w, 'continue');
        run(w, phase('2 RolledBack'));
        operate(w, 'retry');
        w.fails.clear();
        run(w, (w) => w.acts.filter((act) => act === `run web-2 ${NEW}`).length === 2);
        commit(w, fleet(OLD), C1);
        run(w, (w) => w.phases.at(-1)?.endsWith('Succeeded') === true);
      },
    ],
    [
      'a cluster that is canceled on its way and upgraded later',
      () => fleetWorld(cluster(OLD, '1.35.0'), nodes()),
      (w) => {
        commit(w, cluster(NEW, '1.36.0'), C2);
        w.loses.add(`node-1 ${NEW}`);
        run(w, phase('2 Paused Unknown'));
        operate(w, 'skip', 'node-1');
        run(w, (w) => w.phases.at(-1) === '2 Succeeded');
      },
    ],
  ];
  for (const [name, begin, tell] of stories) {
    const told = (w: FleetWorld) => {
      w.commit = C1;
      run(w, phase('1 Succeeded'));
      tell(w);
      return { acts: w.acts, phases: w.phases, machines: w.machines };
    };
    assert.deepStrictEqual(told(forgetful(begin())), told(begin()), name);
    t.pass(name);
  }
});

/** So many units in four batches, the first of them done, each with a name that no other follows. */
function many(count: number, nameOf: (index: number) => string): State {
  const state = web();
  const names = Array.from({ length: count }, (_, index) => nameOf(index));
  const quarter = Math.ceil(count / 4);
  state.rollout.plan.stages = [0, 1, 2, 3].map((batch) => ({
    name: `batch ${batch + 1} of 4`,
    goal: {
      kind: 'units',
      want: Object.fromEntries(
        names.slice(batch * quarter, (batch + 1) * quarter).map((name) => [name, { to: NEW, undo: [] }]),
      ),
      maxInFlight: quarter,
    },
    gates: [],
  }));
  const record = (index: number): UnitRecord => ({
    ...{ state: index < quarter ? 'Succeeded' : 'Pending', since: index < quarter ? AT + index : AT, message: '' },
    ...{ tries: 1, before: { inService: true, weight: index % 3, cordoned: false } },
    checks: { failures: 0, passed: false },
  });
  state.rollout.units = unitList(names.map((name, index) => [name, record(index)]));
  return state;
}

const manyMachines = (id: string, index: number): LiveInstance => ({
  ...{ id, created: false, controlPlane: false, applied: index % 2 === 0 ? [OLD] : [OLD, NEW], ready: true },
  ...{ service: 'in', cordoned: false, restarts: 0 },
});

t.test('ten thousand units are a file of sensible size, and all come back', async (t) => {
  const sizes: [string, (index: number) => string, number][] = [
    ['in a row', (index) => `web-${index + 1}`, 1_000_000],
    ['in no row', (index) => `h${((index * 7919) % 10_007).toString(36)}-${index % 2 ? 'a' : 'b'}`, 2_000_000],
  ];
  for (const [what, nameOf, most] of sizes) {
    const state = many(10_000, nameOf);
    const instances = (state.rollout?.units?.ids ?? []).map(manyMachines);
    const live: Live = { observedAt: AT, complete: true, units: [], instances };
    const written = toText(documentOf(state, live));
    t.ok(written.length < most, `${what}: ${written.length} bytes`);
    const read = fromText('Fleet/web', Buffer.from(written));
    assert.deepStrictEqual(fromDocument(read), state);
    t.equal(read.instances?.listed.length, 200);
    t.equal(read.rollout?.stages[0]?.units?.length, 0, 'simply done or pending: not listed');
    t.equal(read.instances && instancesFromDocument(read.instances).length, 10_000, 'enough for a plan');
  }
});

t.test('of many units only those worth a look are listed, wherever they are', async (t) => {
  const state = many(300, (index) => `web-${index}`);
  const { units } = state.rollout ?? {};
  Object.assign(recordOf(units, 'web-10') ?? {}, { message: 'took two tries' });
  Object.assign(recordOf(units, 'web-299') ?? {}, { state: 'Updating' });
  const stages = documentOf(state).rollout?.stages ?? [];
  t.strictSame(
    stages.map(({ units }) => units),
    [
      [{ name: 'web-10', state: 'Succeeded', message: 'took two tries' }],
      [],
      [],
      [{ name: 'web-299', state: 'Updating' }],
    ],
  );
});

t.test('records that do not fit together are refused, with their place', async (t) => {
  const cases: [string, string, string, string, RegExp][] = [
    [
      'a unit told twice',
      '          - web-5\n  pausedAt',
      '          - web-4\n  pausedAt',
      'records',
      /names web-4 twice/,
    ],
    ['a unit that is lost', `${PENDING}        units:\n          - web-5\n`, '', 'records', /does not name web-5/],
    ['a stranger', '- web-1..4\n', '- web-1..4\n          - db\n', 'before', /names db, which is not in order/],
    ['one twice', '- web-1..5\n', '- web-1..5\n      - web-2\n', 'order', /names a unit twice/],
  ];
  for (const [name, from, to, path, problem] of cases) {
    t.ok(text().includes(from), `${name}: is in the example`);
    const error = errorOf(text().replace(from, to));
    t.equal(error.path, `rollout.units.${path}`, name);
    t.match(error.message, problem, name);
  }
});
t.test('a few letters do not stand for a billion units', async (t) => {
  const bomb = errorOf(text().replaceAll('web-1..5', 'web-1..999999999'));
  t.match(bomb.message, /names 10000000\d\d units, at most 200000/);
  for (const bad of ['web-5..1', 'web..5', 'Web-1', '../x', 'web-1..', '__proto__']) {
    const error = errorOf(text().replace('      - web-1..5\n', `      - "${bad}"\n`));
    t.match(error.message, /must be the name of a unit, or a run of them such as web-1\.\.10/, bad);
  }
});

function errorOf(content: string): StatusFileError {
  try {
    fromText('Fleet/web', Buffer.from(content));
  } catch (error) {
    if (error instanceof StatusFileError) return error;
    throw error;
  }
  throw new Error('was read without an error');
}

t.test('instances: counts, what is not right first, and enough for a plan', async (t) => {
  const live = webLive();
  const [first] = live.instances ?? [];
  live.instances = [
    ...(first ? [{ ...first, id: 'cp-1', controlPlane: true, version: '1.36.0' }] : []),
    ...(live.instances ?? []),
  ];
  const { instances } = toDocument({
    ...{ id: 'Cluster/prod', state: web(), live, health: 'Healthy', message: '', version: '1.36.0' },
  });
  t.match(instances, { total: 6, ready: 5, inService: 4, wanted: '1.36.0' });
  t.strictSame(instances?.runs, [
    { revision: NEW, count: 4 },
    { revision: NEW, version: '1.36.0', count: 1 },
    { revision: OLD, count: 1 },
  ]);
  t.strictSame(
    instances?.listed.map(({ name }) => name),
    ['web-3', 'web-4', 'web-5', 'cp-1', 'web-1', 'web-2'],
    'not ready, out of service, outdated, then as they come',
  );
  t.equal(instances && runsText(instances), `${NEW} on web-1..4; 1.36.0 on cp-1; ${OLD} on web-5`);
  const read = instances ? instancesFromDocument(instances) : [];
  t.strictSame(
    read.map(({ id, applied, ready, controlPlane }) => [id, applied, ready, controlPlane]),
    [
      ['cp-1', [OLD, NEW], true, true],
      ['web-1', [OLD, NEW], true, false],
      ['web-2', [OLD, NEW], true, false],
      ['web-3', [OLD, NEW], false, false],
      ['web-4', [OLD, NEW], true, false],
      ['web-5', [OLD], true, false],
    ],
  );
  t.equal(documentOf(web()).instances, undefined, 'not observed: nothing is said');
});

t.test('the revision is shown while an instance is seen to have it, ready', async (t) => {
  const revisionOf = (live: Live) => documentOf(web(), live).revision;
  t.equal(revisionOf(webLive()), OLD);
  const none = { ...webLive(), instances: webLive().instances?.filter(({ id }) => id !== 'web-5') ?? [] };
  t.equal(revisionOf(none), undefined);
});
