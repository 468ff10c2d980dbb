import t from 'tap';
import type { TrafficStep } from '../../src/manifest/resource.ts';
import { service } from '../support/resources.ts';
import { commit, operate, phase, rested, run, settleNow, type World, world } from '../support/world.ts';

const times = { a: 1000, b: 1000, c: 1000 };
const steps: TrafficStep[] = [
  { percent: 10, soak: '10m', check: [{ http: { path: '/health' } }] },
  { percent: 50, pause: true },
  { percent: 100 },
];
const canary = { traffic: { steps } };

/** Version v1 of revision a, at 100 %. */
function running(spec = {}): World {
  const w = world(service('a', spec), { startTime: { ...times } });
  run(w, rested);
  return w;
}

const weights = (w: World) => (w.traffic?.kind === 'percent' ? w.traffic.weights : w.traffic);
const versions = (w: World) => [...new Set(w.units.map((unit) => unit.version))].sort().join(' ');

t.test('the very first version gets 100 % whatever is declared', async (t) => {
  for (const traffic of [
    { onDeploy: 'none' as const },
    { percent: { latest: 20, stable: 80 } },
    { match: { rules: [{ version: 'latest' as const, query: { beta: '1' } }], default: 'stable' as const } },
    { steps },
  ]) {
    const w = running({ traffic });
    t.same(weights(w), { v1: 100 });
    t.same(w.units.map((unit) => unit.id).sort(), ['shop-v1-1', 'shop-v1-2']);
  }
});

t.test('onDeploy all: 100 % once the new version is ready; the earlier one is kept', async (t) => {
  const w = running();
  commit(w, service('b'));
  t.same(weights(w), { v1: 100 });
  run(w, rested);
  t.same(weights(w), { v2: 100 });
  t.equal(versions(w), 'v1 v2');
  commit(w, service('c'));
  run(w, (at) => rested(at) && versions(at) === 'v2 v3');
  t.same(weights(w), { v3: 100 });
});

t.test(
  'traffic that will not be moved fails the rollout long before its deadline, in the words of whoever refuses it',
  async (t) => {
    const w = running();
    w.refusal = 'Gateway public refuses the route: UnsupportedValue: a regular expression';
    commit(w, service('b'));
    run(w, (at) => at.asked !== undefined);
    const began = w.now;
    run(w, phase('Paused'));
    t.match(w.state?.rollout, { reason: 'Failure', message: /^no progress, and none to come; Gateway public refuses/ });
    t.equal(w.now - began, 10_000);
    t.same(weights(w), { v1: 100 }, 'what served serves on');
    w.refusal = undefined;
    operate(w, 'continue');
    run(w, rested);
    t.same(weights(w), { v2: 100 });
  },
);

t.test('keepVersions 0 stops the earlier version after its traffic is gone', async (t) => {
  const w = running({ keepVersions: 0 });
  commit(w, service('b', { keepVersions: 0 }));
  run(w, (at) => rested(at) && versions(at) === 'v2');
  t.same(weights(w), { v2: 100 });
});

t.test('onDeploy none leaves the new version at 0 %', async (t) => {
  const w = running();
  commit(w, service('b', { traffic: { onDeploy: 'none' } }));
  run(w, rested);
  t.same(weights(w), { v1: 100 });
  t.equal(versions(w), 'v1 v2');
  commit(w, service('b', { traffic: { onDeploy: 'all' } }));
  t.same(weights(w), { v2: 100 }, 'other traffic acts at once');
  t.equal(w.state?.rollout?.id, 2);
});

t.test('steps: deploy at 0 %, then each percent with its gates', async (t) => {
  const w = running(canary);
  commit(w, service('b', canary));
  t.same(
    w.state?.rollout?.plan.stages.map((stage) => stage.name),
    ['deploy v2', '10 %', '50 %', '100 %'],
  );
  run(w, (at) => at.state?.rollout?.stage === 1);
  t.same(weights(w), { v2: 10, v1: 90 });
  const from = w.now;
  run(w, phase('Paused'));
  t.ok(w.now - from >= 600_000, 'it soaked');
  t.match(w.state?.rollout, { reason: 'Step', stage: 2 });
  t.same(weights(w), { v2: 50, v1: 50 });
  operate(w, 'continue');
  run(w, rested);
  t.same(weights(w), { v2: 100 });
});

t.test('a check that fails three times in a row fails the stage', async (t) => {
  const w = running({ ...canary, onFailure: 'rollback' });
  w.checkPasses = false;
  commit(w, service('b', { ...canary, onFailure: 'rollback' }));
  const from = w.now;
  run(w, phase('RolledBack'));
  t.ok(w.now - from < 60_000, 'it does not soak to the end');
  t.same(weights(w), { v1: 100 });
  run(w, (at) => versions(at) === 'v1', 1000);
  t.match(w.state?.history.at(-1)?.message, /check failed 3 times/);
});

t.test('percent: integers to latest and to what stable was when it was first deployed', async (t) => {
  const percent = { traffic: { percent: { latest: 20, stable: 80 } } };
  const w = running(percent);
  commit(w, service('b', percent));
  run(w, rested);
  t.same(weights(w), { v2: 20, v1: 80 });
  commit(w, service('c', percent));
  run(w, rested);
  t.same(weights(w), { v3: 20, v1: 80 }, 'v2 never was at 100 %');
  t.equal(w.state?.settled.full, 'v1');
});

t.test('match: rules in version names', async (t) => {
  const match = {
    traffic: {
      match: { rules: [{ version: 'latest' as const, query: { beta: '1*' } }], default: 'stable' as const },
    },
  };
  const w = running(match);
  commit(w, service('b', match));
  run(w, rested);
  t.same(w.traffic, { kind: 'match', rules: [{ version: 'v2', query: { beta: '1*' } }], default: 'v1' });
});

t.test("a superseded canary's share goes back to stable at once, then its units go", async (t) => {
  const w = running(canary);
  commit(w, service('b', canary));
  run(w, (at) => at.state?.rollout?.stage === 1);
  t.same(weights(w), { v2: 10, v1: 90 });
  commit(w, service('c', canary));
  t.same(weights(w), { v1: 100 });
  t.notOk(w.units.some((unit) => unit.version === 'v2'));
  run(w, phase('Paused'));
  t.same(weights(w), { v3: 50, v1: 50 });
});

t.test('a revert is only traffic where that version still runs, without soak or pause', async (t) => {
  const w = running(canary);
  commit(w, service('b', canary));
  run(w, phase('Paused'));
  operate(w, 'continue');
  run(w, rested);
  const units = w.units.map((unit) => unit.attempt).sort();
  commit(w, service('a', canary));
  t.match(w.state?.rollout, { id: 3, cause: 'rollback', phase: 'Succeeded' });
  t.same(
    w.state?.rollout?.plan.stages.map((stage) => stage.name),
    ['100 %'],
  );
  t.same(weights(w), { v1: 100 });
  t.same(w.units.map((unit) => unit.attempt).sort(), units, 'no unit was touched');
});

t.test('a revert to a version that was stopped deploys it again under its own name', async (t) => {
  const w = running({ keepVersions: 0 });
  commit(w, service('b', { keepVersions: 0 }));
  run(w, (at) => rested(at) && versions(at) === 'v2');
  commit(w, service('a', { keepVersions: 0 }));
  run(w, (at) => rested(at) && versions(at) === 'v1');
  t.match(w.state?.rollout, { cause: 'rollback', plan: { version: 'v1' } });
});

t.test('a revert in the middle of the steps takes the canary away', async (t) => {
  const w = running(canary);
  commit(w, service('b', canary));
  run(w, phase('Paused'));
  commit(w, service('a', canary));
  t.same(weights(w), { v1: 100 });
  run(w, rested);
  t.match(w.state?.rollout, { id: 3, cause: 'rollback', phase: 'Succeeded' });
});

t.test('in place: the version keeps its name, traffic stays; on failure it goes back by itself', async (t) => {
  const inPlace = { upgrade: 'inPlace' as const, onFailure: 'rollback' as const };
  const w = running(inPlace);
  commit(w, service('b', inPlace));
  t.same(
    w.state?.rollout?.plan.stages.map((stage) => stage.name),
    ['update v1'],
  );
  t.equal(w.state?.settled.versions.v1?.revision, 'a', 'changes only after success');
  run(w, rested);
  t.equal(versions(w), 'v1');
  t.equal(w.state?.settled.versions.v1?.revision, 'b');
  t.same(weights(w), { v1: 100 });
  delete w.startTime.c;
  commit(w, service('c', inPlace));
  run(w, phase('RolledBack'));
  run(w, (at) => at.units.every((unit) => unit.revision === 'b' && unit.ready), 10_000);
  t.equal(w.state?.settled.versions.v1?.revision, 'b');
  commit(w, service('a', inPlace));
  run(w, rested);
  t.match(w.state?.rollout, { cause: 'rollback', plan: { version: 'v1', to: 'a' } });
});

t.test('how-only commits', async (t) => {
  t.test('a name that is declared before the rollout begins is that of its version', async (t) => {
    const w = running();
    commit(w, service('b', { paused: true }));
    t.match(w.state?.rollout, { id: 2, phase: 'Pending', plan: { version: 'v2' } });
    commit(w, service('b', { version: 'v8' }));
    run(w, rested);
    t.same(weights(w), { v8: 100 });
    t.equal(versions(w), 'v1 v8');
  });
  t.test('what is begun in place stays in place, though it is declared otherwise meanwhile', async (t) => {
    const w = running({ upgrade: 'inPlace', traffic: { percent: { latest: 100, stable: 0 } } });
    commit(w, service('b', { upgrade: 'inPlace', traffic: { percent: { latest: 100, stable: 0 } } }));
    t.match(w.state?.rollout, { id: 2, phase: 'Progressing', plan: { version: 'v1' } });
    commit(w, service('b', { traffic: { percent: { latest: 100, stable: 0 } } }));
    run(w, rested);
    t.same(weights(w), { v1: 100 });
    t.equal(versions(w), 'v1');
    t.ok(w.units.every(({ revision }) => revision === 'b'));
  });
  t.test('steps that are added are a rollout', async (t) => {
    const w = running();
    commit(w, service('b', { traffic: { onDeploy: 'none' } }));
    run(w, rested);
    commit(w, service('b', canary));
    t.match(w.state?.rollout, { id: 3, phase: 'Progressing' });
    t.same(
      w.state?.rollout?.plan.stages.map((stage) => stage.name),
      ['10 %', '50 %', '100 %'],
    );
    run(w, phase('Paused'));
    operate(w, 'continue');
    run(w, rested);
    t.same(weights(w), { v2: 100 });
  });
  t.test('during a rollout the steps left are planned anew; those that are behind stay behind', async (t) => {
    const w = running(canary);
    commit(w, service('b', canary));
    run(w, phase('Paused'));
    const fewer = { traffic: { steps: [{ percent: 5 }, { percent: 30 }, { percent: 80 }, { percent: 100 }] } };
    commit(w, service('b', fewer));
    t.equal(w.state?.rollout?.plan.generation, 2);
    run(w, rested);
    t.same(
      w.state?.rollout?.plan.stages.map((stage) => stage.name),
      ['deploy v2', '10 %', '30 %', '80 %', '100 %'],
    );
    t.same(weights(w), { v2: 100 });
  });
  t.test('a pause that is taken away lets it go on', async (t) => {
    const w = running(canary);
    commit(w, service('b', canary));
    run(w, phase('Paused'));
    commit(w, service('b', { traffic: { steps: [{ percent: 10 }, { percent: 50 }, { percent: 100 }] } }));
    run(w, rested, 5000);
    t.same(weights(w), { v2: 100 });
  });
  t.test('replicas change for every version that runs, also during a rollout', async (t) => {
    const w = running(canary);
    commit(w, service('b', canary));
    run(w, phase('Paused'));
    commit(w, service('b', { ...canary, replicas: 3 }));
    run(w, (at) => at.units.length === 6 && at.units.every((unit) => unit.ready));
    t.match(w.state?.rollout, { phase: 'Paused', reason: 'Step' });
  });
});

t.test('traffic that somebody changed at the router is put back, as a repair', async (t) => {
  const w = running();
  w.traffic = { kind: 'percent', weights: {} };
  settleNow(w);
  t.same(weights(w), { v1: 100 });
  t.equal(w.state?.repairs.count, 1);
});

t.test('canceled at 10 % it stays at 10 %; a revert takes it back', async (t) => {
  const w = running(canary);
  commit(w, service('b', canary));
  run(w, (at) => at.state?.rollout?.stage === 1);
  operate(w, 'cancel');
  w.now += 100_000;
  settleNow(w);
  t.same(weights(w), { v2: 10, v1: 90 });
  commit(w, service('a', canary));
  run(w, rested);
  t.same(weights(w), { v1: 100 });
  t.equal(w.state?.rollout?.cause, 'rollback');
});

t.test('a version that a cancel left, and that never got ready, goes with the next one that succeeds', async (t) => {
  const w = world(service('broken'), { startTime: { b: 1000 } });
  settleNow(w);
  operate(w, 'cancel');
  settleNow(w);
  t.equal(versions(w), 'v1');
  commit(w, service('b'));
  run(w, rested);
  t.equal(versions(w), 'v2');
  t.same(weights(w), { v2: 100 });
});

t.test('a service that is deleted loses its traffic first', async (t) => {
  const w = running();
  w.deletionConfirmed = true;
  commit(w, undefined);
  t.equal(w.traffic, undefined);
  t.equal(w.units.length, 0);
  t.ok(w.seen.gone);
});
