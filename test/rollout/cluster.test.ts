import t from 'tap';
import { freshRecord } from '../../src/rollout/units.ts';
import {
  cluster,
  commit,
  fleetWorld,
  machine,
  operate,
  phase,
  run,
  settleNow,
  states,
} from '../support/fleet-world.ts';

const nodes = (masters: number, workers: number) => [
  ...Array.from({ length: masters }, (_, index) => machine(`cp-${index + 1}`, { controlPlane: true })),
  ...Array.from({ length: workers }, (_, index) => machine(`node-${index + 1}`)),
];

function settled(masters: number, workers: number) {
  const w = fleetWorld(cluster('r1', '1.35.0'), nodes(masters, workers));
  run(w, phase('1 Succeeded'));
  w.acts = [];
  w.mostOut = 0;
  return w;
}

t.test(
  'the control plane node by node, then nodes in doubling batches, each cordoned, drained and put back',
  async (t) => {
    const w = settled(3, 4);
    Object.assign(w.machines[5] ?? {}, { cordoned: true });
    commit(w, cluster('r2', '1.36.0'), 'c2');
    run(w, phase('2 Succeeded'));
    t.strictSame(
      w.state?.rollout?.plan.stages.map(({ name, goal }) => [
        name,
        goal.kind === 'units' && Object.keys(goal.want).length,
      ]),
      [
        ['control plane 1 of 3: cp-1', 1],
        ['control plane 2 of 3: cp-2', 1],
        ['control plane 3 of 3: cp-3', 1],
        ['batch 1 of 3', 1],
        ['batch 2 of 3', 2],
        ['batch 3 of 3', 1],
      ],
    );
    t.equal(w.mostOut, 2);
    t.strictSame(
      w.machines.map(({ id, version, cordoned, weight }) => [id, version, cordoned, weight]),
      ['cp-1', 'cp-2', 'cp-3', 'node-1', 'node-2', 'node-3', 'node-4'].map((id) => [
        id,
        '1.36.0',
        id === 'node-3',
        100,
      ]),
      'who was cordoned before stays so',
    );
  },
);

t.test('a node that fails pauses; retried it goes on; the doubling starts again at 1 after a continue', async (t) => {
  const w = settled(1, 8);
  commit(w, cluster('r2', '1.36.0'), 'c2');
  run(w, (w) => states(w)['node-3'] === 'Updating');
  t.match(operate(w, 'cancel'), { outcome: 'refused', message: /only while it is paused/ });
  t.equal(operate(w, 'pause').outcome, 'applied');
  run(w, (w) => states(w)['node-3'] === 'Succeeded');
  t.equal(states(w)['node-4'], 'Pending', 'others do not start');
  t.equal(operate(w, 'continue').outcome, 'applied');
  t.strictSame(
    w.state?.rollout?.plan.stages.map(({ goal }) => goal.kind === 'units' && Object.keys(goal.want).length),
    [1, 1, 2, 1, 2, 2],
  );
  run(w, phase('2 Succeeded'));
});

t.test('canceled from a pause, done nodes stay; nothing is downgraded by a rollback', async (t) => {
  const w = settled(1, 3);
  w.fails.add('node-1 r2');
  commit(w, cluster('r2', '1.36.0', { onFailure: 'rollback' }), 'c2');
  run(w, phase('2 Paused Failure'));
  t.match(operate(w, 'rollback'), { outcome: 'refused', message: /never downgraded/ });
  t.equal(operate(w, 'cancel').outcome, 'applied');
  run(w, phase('2 Canceled'));
  t.ok(w.machines.every(({ service, cordoned }) => service === 'in' && !cordoned));
  t.equal(w.machines[0]?.version, '1.36.0');
});

const created = (version: string, controlPlane: number, nodes: number) =>
  cluster(`r${version}`, version, { create: { image: 'node', controlPlane, nodes } });

t.test(
  'on a target that creates nodes: the control plane first, then the nodes; held to their number after',
  async (t) => {
    const w = fleetWorld(created('1.35.0', 2, 2), []);
    settleNow(w);
    const creations = () => w.acts.filter((act) => act.startsWith('create')).map((act) => act.split(' ')[1]);
    t.strictSame(creations(), ['prod-cp-1', 'prod-cp-2', 'prod-node-1', 'prod-node-2']);
    t.equal(w.phases.at(-1), '1 Succeeded');
    t.strictSame(
      w.machines.map(({ id, controlPlane }) => [id, controlPlane]),
      [
        ['prod-cp-1', true],
        ['prod-cp-2', true],
        ['prod-node-1', false],
        ['prod-node-2', false],
      ],
    );
    w.machines = w.machines.filter(({ id }) => id !== 'prod-node-1');
    settleNow(w);
    t.equal(creations().at(-1), 'prod-node-1', 'what is gone is created again');
    t.equal(w.state?.repairs.count, 1);
    commit(w, created('1.35.0', 2, 4), 'c2');
    settleNow(w);
    t.equal(w.machines.length, 6);
    commit(w, created('1.35.0', 1, 1), 'c3');
    settleNow(w);
    t.strictSame(w.machines.map(({ id }) => id).sort(), ['prod-cp-1', 'prod-node-1']);
    commit(w, undefined, 'c4');
    settleNow(w);
    t.strictSame(w.machines, []);
  },
);

t.test('nodes wait until their control plane is ready; while it rolls none comes or goes', async (t) => {
  const w = fleetWorld(created('1.35.0', 1, 1), [
    machine('prod-cp-1', {
      ...{ controlPlane: true, ready: false, created: true, applied: ['r1.35.0'] },
    }),
  ]);
  settleNow(w);
  t.strictSame(w.acts, []);
  Object.assign(w.machines[0] ?? {}, { ready: true });
  run(w, phase('1 Succeeded'));
  t.ok(w.acts.includes('create prod-node-1 r1.35.0'));
  w.acts = [];
  commit(w, created('1.36.0', 1, 3), 'c2');
  run(w, (w) => states(w)['prod-node-1'] === 'Updating');
  t.notOk(
    w.acts.some((act) => act.startsWith('create')),
    'a node is never newer than the control plane',
  );
  run(w, phase('2 Succeeded'));
  t.strictSame(
    w.acts.filter((act) => act.startsWith('create')),
    ['create prod-node-2 r1.36.0', 'create prod-node-3 r1.36.0'],
  );
});

t.test('a node that died is started again, but not the one that the rollout is at work on', async (t) => {
  const w = fleetWorld(created('1.35.0', 1, 1), []);
  run(w, phase('1 Succeeded'));
  commit(w, created('1.36.0', 1, 1), 'c2');
  run(w, (w) => states(w)['prod-cp-1'] === 'Updating');
  for (const it of w.machines) Object.assign(it, { ready: false, diedAt: w.now });
  settleNow(w);
  t.strictSame(
    w.acts.filter((act) => act.startsWith('heal')),
    ['heal prod-node-1'],
  );
});

t.test('what a rollout left out of service goes back once it answers', async (t) => {
  const w = fleetWorld(created('1.35.0', 1, 1), []);
  run(w, phase('1 Succeeded'));
  Object.assign(w.machines[1] ?? {}, { service: 'out', cordoned: true, ready: false });
  settleNow(w);
  t.equal(w.machines[1]?.service, 'out');
  Object.assign(w.machines[1] ?? {}, { ready: true });
  settleNow(w);
  t.match(w.machines[1], { service: 'in', cordoned: false });
});

t.test('a revert while it rolls cancels', async (t) => {
  const w = settled(1, 4);
  commit(w, cluster('r2', '1.36.0'), 'c2');
  run(w, (w) => states(w)['node-1'] === 'Updating');
  commit(w, cluster('r1', '1.35.0'), 'c3');
  w.prechecks = [{ name: 'version', result: 'fail', message: 'never down', remedy: '' }];
  run(w, phase('3 Failed'));
  t.ok(w.phases.includes('2 Canceled'));
  t.strictSame(
    w.machines.map(({ applied }) => applied.at(-1)),
    ['r2', 'r2', 'r1', 'r1', 'r1'],
  );
  settleNow(w);
  t.equal(w.phases.at(-1), '3 Failed');
});

t.test(
  'a node under way finishes at the version of its rollout, though another one is declared meanwhile',
  async (t) => {
    const w = settled(1, 2);
    commit(w, cluster('r2', '1.35.1'), 'c2');
    run(w, () => states(w)['node-1'] === 'Updating');
    commit(w, cluster('r3', '1.35.2'), 'c3');
    run(w, phase('3 Succeeded'));
    t.ok(w.phases.includes('2 Superseded'));
    t.notMatch(w.state?.history.find(({ id }) => id === 2)?.message, /not updated/);
  },
);

t.test('what a killed operator had begun unrecorded is put back as it was when its rollout ends', async (t) => {
  const w = settled(1, 3);
  Object.assign(w.machines[3] ?? {}, { cordoned: true });
  commit(w, cluster('r2', '1.35.1'), 'c2');
  run(w, () => states(w)['node-3'] === 'Updating');
  w.state = structuredClone(w.durable);
  t.equal(states(w)['node-3'], 'Pending');
  commit(w, cluster('r3', '1.35.2'), 'c3');
  run(w, phase('3 Succeeded'));
  t.ok(w.phases.includes('2 Superseded'));
  t.strictSame(
    w.machines.map(({ cordoned, service }) => [cordoned, service]),
    [false, false, false, true].map((cordoned) => [cordoned, 'in']),
  );
});

t.test('a node that an earlier rollout left out goes back as it was found, where that is remembered', async (t) => {
  const { weight: _, ...node } = machine('n', { service: 'out', cordoned: true });
  const before = (more: object) => freshRecord({ ...node, ...more }, 0).before.cordoned;
  t.equal(before({}), false, 'it is Sluice that cordoned it');
  t.equal(before({ cordonedBefore: true }), true);
  t.equal(before({ service: 'in' }), true, 'cordoned by whoever did');
});
