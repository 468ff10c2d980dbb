import t from 'tap';
import type { Live } from '../../src/plan/live.ts';
import { nothingSettled } from '../../src/plan/plan.ts';
import { frozenUnits } from '../../src/rollout/instances.ts';
import { builtinPrechecks } from '../../src/rollout/prechecks.ts';
import { commit, fleet, fleetWorld, machine, operate, phase, run, settleNow, states } from '../support/fleet-world.ts';

const hosts = (count: number) =>
  Array.from({ length: count }, (_, index) => machine(`web-${index + 1}`, { weight: 10 * (index + 1) }));

/** Rolled out to r1, with the record of acts cleared. */
function settled(count: number, over: Parameters<typeof fleet>[1] = {}) {
  const w = fleetWorld(fleet('r1', { ...over, pause: 'never', onFailure: 'pause' }), hosts(count));
  run(w, phase('1 Succeeded'));
  w.acts = [];
  w.mostOut = 0;
  return w;
}

t.test('instances go batch by batch, the larger first, and get back the weight that they had', async (t) => {
  const w = settled(5);
  commit(w, fleet('r2'), 'c2');
  run(w, phase('2 Succeeded'));
  t.equal(w.mostOut, 3);
  t.strictSame(
    w.machines.map(({ applied, weight, service }) => [applied, weight, service]),
    [10, 20, 30, 40, 50].map((weight) => [['r1', 'r2'], weight, 'in']),
  );
  t.strictSame(w.acts.filter((act) => act.startsWith('takeOut')).slice(0, 3), [
    'takeOut web-1',
    'takeOut web-2',
    'takeOut web-3',
  ]);
  t.ok(
    w.acts.indexOf('putBack web-1 10') < w.acts.indexOf('takeOut web-4'),
    'the second batch begins after the first is back',
  );
  t.strictSame(
    w.state?.rollout?.plan.stages.map(({ name }) => name),
    ['batch 1 of 2', 'batch 2 of 2'],
  );
});

t.test(
  'what goes on by itself is held during a rollout and let go after; what the user holds stays held',
  async (t) => {
    const w = fleetWorld(fleet('r1', { suspended: ['scaleIn'], suspend: ['healthCheck'] }), hosts(2));
    run(w, phase('1 Succeeded'));
    t.strictSame(
      w.acts.filter((act) => act.startsWith('suspend')),
      ['suspend scaleIn', 'suspend healthCheck scaleIn', 'suspend scaleIn'],
    );
    t.equal(w.acts.indexOf('suspend healthCheck scaleIn'), 1, 'before anything is touched');
  },
);

t.test('only instances in service are taken; the others stay as they are', async (t) => {
  const w = settled(3);
  Object.assign(w.machines[1] ?? {}, { ready: false });
  commit(w, fleet('r2'), 'c2');
  run(w, phase('2 Succeeded'));
  t.strictSame(states(w), { 'web-1': 'Succeeded', 'web-3': 'Succeeded' });
  t.strictSame(w.machines[1]?.applied, ['r1']);
});

t.test(
  'what a rollout left out of service goes back in with the next, with the weight that it had at first',
  async (t) => {
    const w = settled(2, { batches: 1 });
    const [first] = w.machines;
    w.fails.add('web-1 r2');
    commit(w, fleet('r2', { batches: 1 }), 'c2');
    run(w, phase('2 Paused Failure'));
    Object.assign(first ?? {}, { ready: false });
    t.equal(operate(w, 'cancel').outcome, 'applied');
    run(w, phase('2 Canceled'));
    t.match(first, { service: 'out', weight: 0 }, 'its host does not answer when it ends');
    Object.assign(first ?? {}, { ready: true });
    commit(w, fleet('r3', { batches: 1 }), 'c3');
    run(w, phase('3 Succeeded'));
    t.match(first, { service: 'in', weight: 10, applied: ['r1', 'r2', 'r3'] });
  },
);

t.test('pauses after the first or after every batch wait for a continue', async (t) => {
  const w = settled(4, { batches: 4, pause: 'firstBatch' });
  commit(w, fleet('r2', { batches: 4, pause: 'firstBatch' }), 'c2');
  run(w, phase('2 Paused Batch'));
  t.strictSame(states(w), { 'web-1': 'Succeeded', 'web-2': 'Pending', 'web-3': 'Pending', 'web-4': 'Pending' });
  t.equal(operate(w, 'continue').outcome, 'applied');
  run(w, phase('2 Succeeded'));
  const every = settled(3, { batches: 3, pause: 'everyBatch' });
  commit(every, fleet('r2', { batches: 3, pause: 'everyBatch' }), 'c2');
  for (const _ of [1, 2]) {
    run(every, phase('2 Paused Batch'));
    operate(every, 'continue');
  }
  run(every, phase('2 Succeeded'));
});

t.test('what the target created, and a bad revision brought down, is taken by a revert and by a fix', async (t) => {
  for (const [next, act] of [
    ['r1', 'undo web-1 r2'],
    ['r3', 'run web-1 r3'],
  ] as const) {
    const w = settled(2, { batches: 1 });
    for (const it of w.machines) it.created = true;
    commit(w, fleet('r2', { batches: 1 }), 'c2');
    run(w, () => w.machines[0]?.attempt?.state === 'running');
    for (const it of w.machines) it.ready = false;
    run(w, phase('2 Paused Failure'));
    commit(w, fleet(next, { batches: 1 }), 'c3');
    run(w, () => w.acts.includes(act));
    for (const it of w.machines) it.ready = true;
    run(w, phase('3 Succeeded'));
    t.match(w.machines, [
      { service: 'in', weight: 10 },
      { service: 'in', weight: 20 },
    ]);
  }
});

t.test('on the way back a unit on which nothing was begun goes back in service, and is told', async (t) => {
  const w = settled(2, { batches: 1 });
  commit(w, fleet('r2', { batches: 1 }), 'c2');
  run(w, () => w.machines[0]?.attempt?.state === 'running');
  for (const it of w.machines) {
    it.applied.pop();
    it.attempt = { id: it.attempt?.id ?? '', state: 'failed', message: 'exited with code 1' };
  }
  operate(w, 'rollback');
  run(w, phase('2 Paused Failure'));
  t.match(w.machines, [
    { service: 'in', weight: 10 },
    { service: 'in', weight: 20 },
  ]);
  t.match(w.state?.rollout?.message, /2 failed: web-1: exited with code 1/);
});

t.test('a unit that is not there any more is not waited for, and keeps no other back', async (t) => {
  const w = settled(3, { batches: 1 });
  commit(w, fleet('r2', { batches: 1 }), 'c2');
  run(w, () => w.machines[0]?.attempt?.state === 'running');
  const before = w.now;
  w.machines.splice(0, 1);
  run(w, phase('2 Paused Unknown'));
  t.ok(w.now - before < 60_000, 'long before its deadline');
  t.match(w.state?.rollout?.message, /web-1: is not there any more/);
  run(w, () => w.machines.every(({ service }) => service === 'in'));
  t.match(w.machines, [
    { id: 'web-2', service: 'in', applied: ['r1', 'r2'] },
    { id: 'web-3', service: 'in', applied: ['r1', 'r2'] },
  ]);
});

t.test('a unit that fails pauses the rollout', async (t) => {
  const failed = () => {
    const w = settled(4, { batches: 2 });
    w.fails.add('web-2 r2');
    commit(w, fleet('r2'), 'c2');
    run(w, phase('2 Paused Failure'));
    return w;
  };
  t.test('those of its batch finish, others do not start', async (t) => {
    const w = failed();
    t.strictSame(states(w), { 'web-1': 'Succeeded', 'web-2': 'Failed', 'web-3': 'Pending', 'web-4': 'Pending' });
    t.match(w.state?.rollout?.message, /1 failed: web-2: exited with code 1/);
    t.equal(w.machines[1]?.service, 'out');
    t.match(operate(w, 'continue'), { outcome: 'refused', message: /retry, skip or cancel/ });
  });
  t.test('a retry runs it again, as another attempt, and goes on', async (t) => {
    const w = failed();
    w.fails.clear();
    t.equal(operate(w, 'retry', 'web-2').outcome, 'applied');
    run(w, phase('2 Succeeded'));
    t.equal(w.acts.filter((act) => act === 'run web-2 r2').length, 2);
    t.strictSame(
      w.machines.map(({ weight }) => weight),
      [10, 20, 30, 40],
    );
  });
  t.test('a retry that fails again pauses again', async (t) => {
    const w = failed();
    operate(w, 'retry', 'web-2');
    run(w, (w) => w.acts.filter((act) => act === 'run web-2 r2').length === 2 && phase('2 Paused Failure')(w));
    t.equal(states(w)['web-3'], 'Pending');
  });
  t.test('skipped it counts as success and reads Skipped', async (t) => {
    const w = failed();
    operate(w, 'skip', 'web-2');
    run(w, phase('2 Succeeded'));
    t.equal(states(w)['web-2'], 'Skipped');
    t.equal(w.machines[1]?.service, 'in', 'it answers, so it is back');
  });
  t.test('canceled it counts as failure: the others go on, the rollout fails', async (t) => {
    const w = failed();
    operate(w, 'cancel', 'web-2');
    run(w, phase('2 Failed'));
    t.strictSame(states(w), { 'web-1': 'Succeeded', 'web-2': 'Canceled', 'web-3': 'Succeeded', 'web-4': 'Succeeded' });
    t.match(w.state?.rollout?.message, /not updated: web-2/);
  });
  t.test('skipped without answering it stays out of service, and is named', async (t) => {
    const w = failed();
    Object.assign(w.machines[1] ?? {}, { ready: false });
    t.match(operate(w, 'skip', 'web-2').message, /does not answer/);
    run(w, phase('2 Succeeded'));
    t.equal(w.machines[1]?.service, 'out');
  });
  t.test('skipped while it is not there it was not put back, and is named', async (t) => {
    const w = settled(2, { batches: 2 });
    commit(w, fleet('r2', { batches: 2 }), 'c2');
    run(w, () => w.machines[0]?.service === 'out');
    w.machines.shift();
    run(w, phase('2 Paused Unknown'));
    operate(w, 'skip', 'web-1');
    operate(w, 'cancel');
    run(w, phase('2 Canceled'));
    t.match(w.state?.rollout?.message, /not updated: web-1 \(not there\)/);
  });
  t.test('skipped without answering it goes back at the end, if it answers by then', async (t) => {
    const w = failed();
    Object.assign(w.machines[1] ?? {}, { ready: false });
    operate(w, 'skip', 'web-2');
    Object.assign(w.machines[1] ?? {}, { ready: true });
    run(w, phase('2 Succeeded'));
    t.equal(states(w)['web-2'], 'Skipped');
    t.match(w.machines[1], { service: 'in', weight: 20 });
  });
  t.test('skipped while its target does not answer, the rollout ends only once it does', async (t) => {
    const w = failed();
    for (const unit of ['web-3', 'web-4']) operate(w, 'skip', unit);
    w.silent = true;
    operate(w, 'skip', 'web-2');
    w.now += 60_000;
    settleNow(w);
    t.equal(w.phases.at(-1), '2 Progressing');
    w.silent = false;
    run(w, phase('2 Succeeded'));
    t.equal(w.machines[1]?.service, 'in');
  });
  t.test(
    'what an earlier rollout left out of service goes back when it is skipped, and is named where it is not',
    async (t) => {
      const w = failed();
      Object.assign(w.machines[1] ?? {}, { ready: false });
      operate(w, 'cancel');
      run(w, phase('2 Canceled'));
      t.match(w.state?.rollout?.message, /not updated: web-2 \(out of service\)/);
      Object.assign(w.machines[1] ?? {}, { ready: true });
      commit(w, fleet('r3', { pause: 'everyBatch', batches: 4 }), 'c3');
      run(w, phase('3 Paused Batch'));
      t.equal(states(w)['web-2'], 'Pending');
      const left = structuredClone(w);
      operate(w, 'skip', 'web-2');
      operate(w, 'continue');
      run(w, () => w.machines[1]?.service === 'in');
      t.equal(states(w)['web-2'], 'Skipped');
      operate(left, 'cancel');
      run(left, phase('3 Canceled'));
      t.match(left.state?.rollout?.message, /not updated: web-2 \(out of service\)/);
    },
  );
  t.test('operations on what is under way, done or not there are refused', async (t) => {
    const w = failed();
    t.match(operate(w, 'retry', 'web-1'), { outcome: 'refused', message: 'web-1 has not failed: Succeeded' });
    t.match(operate(w, 'skip', 'web-9'), { outcome: 'refused', message: /has no unit web-9/ });
    t.match(operate(w, 'rollback', 'web-2'), { outcome: 'refused', message: /works on the whole rollout/ });
    t.match(operate(w, 'retry'), { outcome: 'refused', message: /name the unit/ });
  });
});

t.test(
  'up to maxFailures units may fail; the rollout goes on and ends as Failed, all that answers in service',
  async (t) => {
    const w = settled(4, { maxFailures: 1 });
    w.fails.add('web-1 r2');
    commit(w, fleet('r2', { maxFailures: 1 }), 'c2');
    run(w, phase('2 Failed'));
    t.strictSame(states(w), { 'web-1': 'Failed', 'web-2': 'Succeeded', 'web-3': 'Succeeded', 'web-4': 'Succeeded' });
    t.ok(w.machines.every(({ service }) => service === 'in'));
    t.strictSame(w.suspended, []);
  },
);

t.test('a check is asked of each updated instance; three failures in a row fail it', async (t) => {
  const check = [{ http: { path: '/health', port: 80 } }];
  const w = settled(2, { check });
  w.unwell.add('web-2');
  commit(w, fleet('r2', { check }), 'c2');
  run(w, phase('2 Paused Failure'));
  t.match(w.state?.rollout?.message, /web-2: GET \/health: 503/);
});

t.test('an outcome that nothing tells pauses as Unknown, and is never run again by itself', async (t) => {
  const w = settled(2, { batches: 2 });
  w.loses.add('web-1 r2');
  commit(w, fleet('r2'), 'c2');
  run(w, phase('2 Paused Unknown'));
  w.now += 3_600_000;
  settleNow(w);
  t.equal(w.acts.filter((act) => act.startsWith('run')).length, 1);
  operate(w, 'skip', 'web-1');
  run(w, phase('2 Succeeded'));
});

t.test('rollback', async (t) => {
  t.test('a revert undoes what is above, in batches, top first', async (t) => {
    const w = settled(2);
    commit(w, fleet('r2'), 'c2');
    run(w, phase('2 Succeeded'));
    commit(w, fleet('r3'), 'c3');
    run(w, phase('3 Succeeded'));
    w.acts = [];
    commit(w, fleet('r1'), 'c4');
    run(w, phase('4 Succeeded'));
    t.equal(w.state?.rollout?.cause, 'rollback');
    t.strictSame(
      w.acts.filter((act) => act.includes('web-1') && act.startsWith('undo')),
      ['undo web-1 r3', 'undo web-1 r2'],
    );
    t.strictSame(w.machines[0]?.applied, ['r1']);
    commit(w, fleet('r3'), 'c5');
    run(w, phase('5 Succeeded'));
    t.equal(w.state?.rollout?.cause, 'upgrade', 'a revert of the revert is an upgrade');
  });
  t.test('in the middle it touches only what was updated', async (t) => {
    const w = settled(4, { batches: 4, pause: 'everyBatch' });
    commit(w, fleet('r2', { batches: 4, pause: 'everyBatch' }), 'c2');
    run(w, phase('2 Paused Batch'));
    t.equal(operate(w, 'rollback').outcome, 'applied');
    run(w, phase('2 RolledBack'));
    t.strictSame(
      w.acts.filter((act) => act.startsWith('undo')),
      ['undo web-1 r2'],
    );
    t.notOk(w.acts.some((act) => act.includes('web-2')));
    t.strictSame(
      w.machines.map(({ applied }) => applied),
      [['r1'], ['r1'], ['r1'], ['r1']],
    );
    t.equal(w.machines[0]?.weight, 10);
    settleNow(w);
    t.equal(w.phases.at(-1), '2 RolledBack', 'it is not tried again by itself');
  });
  t.test(
    'a unit on which nothing was begun is not tried again on the way back: there is nothing to take back',
    async (t) => {
      const w = settled(2, { batches: 1 });
      commit(w, fleet('r2', { batches: 1 }), 'c2');
      run(w, () => w.machines[1]?.service === 'out');
      w.machines.pop();
      run(w, phase('2 Paused Unknown'));
      w.machines.push(machine('web-2', { applied: ['r1'], service: 'out', weight: 0, kept: 20 }));
      w.acts = [];
      t.equal(operate(w, 'rollback').outcome, 'applied');
      t.match(operate(w, 'retry', 'web-2'), { outcome: 'refused', message: /its units under way finish first/ });
      run(w, () => w.state?.rollout?.back === true && states(w)['web-2'] === 'Failed');
      t.match(operate(w, 'retry', 'web-2'), {
        outcome: 'refused',
        message: /nothing of r2 is on web-2; skip or cancel it/,
      });
      operate(w, 'skip', 'web-2');
      run(w, phase('2 RolledBack'));
      t.notOk(w.acts.some((act) => act.startsWith('run')));
      t.strictSame(
        w.machines.map(({ applied, service }) => [applied, service]),
        [
          [['r1'], 'in'],
          [['r1'], 'in'],
        ],
      );
    },
  );
  t.test('onFailure: rollback turns by itself, also over the unit that failed', async (t) => {
    const w = settled(2, { batches: 2, onFailure: 'rollback' });
    w.fails.add('web-2 r2');
    commit(w, fleet('r2', { onFailure: 'rollback' }), 'c2');
    run(w, phase('2 RolledBack'));
    t.strictSame(w.acts.filter((act) => act.startsWith('undo')).sort(), ['undo web-1 r2', 'undo web-2 r2']);
    t.ok(w.machines.every(({ service }) => service === 'in'));
    t.strictSame(w.suspended, []);
  });
  t.test('what an earlier try left on a unit that is not reached yet goes back too', async (t) => {
    const w = settled(2);
    w.fails.add('web-1 r2').add('web-2 r2');
    commit(w, fleet('r2', { batches: 1, maxFailures: 2 }), 'c2');
    run(w, phase('2 Failed'));
    commit(w, fleet('r2', { batches: 2 }), 'c3');
    t.equal(operate(w, 'retry').outcome, 'applied');
    run(w, phase('3 Paused Failure'));
    t.match(states(w), { 'web-1': 'Failed', 'web-2': 'Pending' }, 'what failed is tried again, batch by batch');
    t.equal(operate(w, 'rollback').outcome, 'applied');
    run(w, phase('3 RolledBack'));
    t.strictSame(
      w.machines.map(({ applied }) => applied),
      [['r1'], ['r1']],
    );
  });
  t.test('what fails on the way back, as far as maxFailures lets it, is put back in service and named', async (t) => {
    const w = settled(3, { batches: 1, maxFailures: 1 });
    commit(w, fleet('r2', { batches: 1, maxFailures: 1, pause: 'everyBatch' }), 'c2');
    run(w, () => w.machines.every(({ applied }) => applied.at(-1) === 'r2'));
    w.fails.add('web-2 r1');
    t.equal(operate(w, 'rollback').outcome, 'applied');
    run(w, phase('2 RolledBack'));
    t.match(w.state?.rollout?.message, /r1 runs again; not taken back: web-2$/);
    t.match(w.machines, [
      { service: 'in', applied: ['r1'] },
      { service: 'in', weight: 20, attempt: { state: 'failed' } },
      { service: 'in', applied: ['r1'] },
    ]);
    t.equal(w.state?.settled?.partial, 'r2', 'going to r1 is a rollback once more');
  });
  t.test('an operation on a rollback is refused', async (t) => {
    const w = settled(2, { batches: 2, pause: 'everyBatch' });
    commit(w, fleet('r2', { batches: 2, pause: 'everyBatch' }), 'c2');
    run(w, phase('2 Paused Batch'));
    operate(w, 'continue');
    run(w, phase('2 Succeeded'));
    commit(w, fleet('r1', { batches: 2, pause: 'everyBatch' }), 'c3');
    run(w, phase('3 Paused Batch'));
    t.match(operate(w, 'rollback'), { outcome: 'refused', message: /is a rollback itself/ });
  });
});

t.test('cancel: what is under way finishes, what was taken out goes back, done ones stay', async (t) => {
  const w = settled(4, { batches: 4 });
  w.fails.add('web-2 r2');
  commit(w, fleet('r2', { batches: 4 }), 'c2');
  run(w, phase('2 Paused Failure'));
  t.equal(operate(w, 'cancel').outcome, 'applied');
  t.match(operate(w, 'rollback'), { outcome: 'refused', message: /is ending already/ });
  run(w, phase('2 Canceled'));
  t.ok(w.machines.every(({ service }) => service === 'in'));
  t.strictSame(
    w.machines.map(({ weight }) => weight),
    [10, 20, 30, 40],
  );
  t.strictSame(w.suspended, []);
  t.strictSame(
    w.machines.map(({ applied }) => applied.at(-1)),
    ['r2', 'r2', 'r1', 'r1'],
  );
  commit(w, fleet('r1', { batches: 4 }), 'c3');
  run(w, phase('3 Succeeded'));
  t.equal(w.state?.rollout?.cause, 'rollback');
  t.strictSame(
    w.machines.map(({ applied }) => applied),
    [['r1'], ['r1'], ['r1'], ['r1']],
  );
});

t.test('another revision: its prechecks first, then what is under way finishes, then it starts', async (t) => {
  const w = settled(4, { batches: 4 });
  commit(w, fleet('r2', { batches: 4 }), 'c2');
  run(w, (w) => w.acts.includes('run web-1 r2'));
  commit(w, fleet('r3', { batches: 4 }), 'c3');
  run(w, phase('3 Succeeded'));
  t.ok(w.phases.includes('2 Superseded'));
  t.notOk(w.acts.includes('run web-2 r2'));
  t.strictSame(
    w.machines.map(({ applied }) => applied),
    [
      ['r1', 'r2', 'r3'],
      ['r1', 'r3'],
      ['r1', 'r3'],
      ['r1', 'r3'],
    ],
  );
});

t.test('another revision whose prechecks fail pauses what is under way', async (t) => {
  const w = settled(3, { batches: 3 });
  commit(w, fleet('r2', { batches: 3 }), 'c2');
  run(w, (w) => w.acts.includes('run web-1 r2'));
  w.prechecks = [{ name: 'disk', result: 'fail', message: 'is full', remedy: 'free it' }];
  commit(w, fleet('r3', { batches: 3 }), 'c3');
  run(w, phase('2 Paused Failure'));
  t.match(w.state?.rollout?.message, /r3 was declared, but its prechecks fail: disk: is full/);
});

t.test('a how-only commit plans the batches left anew; the units stay frozen', async (t) => {
  const w = settled(6, { batches: 6, pause: 'firstBatch' });
  commit(w, fleet('r2', { batches: 6, pause: 'firstBatch' }), 'c2');
  run(w, phase('2 Paused Batch'));
  w.machines.push(machine('web-7'));
  commit(w, fleet('r2', { batches: 2, pause: 'never' }), 'c3');
  run(w, phase('2 Succeeded'));
  t.equal(w.state?.rollout?.plan.generation, 2);
  t.equal(w.state?.rollout?.plan.stages.length, 2);
  t.strictSame(w.machines.at(-1)?.applied, [], 'who joined later is outdated until the next rollout');
});

t.test('a host that is selected no more is gone on with, and the next rollout does not have it', async (t) => {
  const w = settled(2, { batches: 1 });
  commit(w, fleet('r2', { batches: 1 }), 'c2');
  run(w, () => w.machines[0]?.attempt?.state === 'running');
  t.strictSame(frozenUnits(w.state?.rollout), ['web-1', 'web-2']);
  Object.assign(w.machines[0] ?? {}, { former: true });
  commit(w, fleet('r3', { batches: 1 }), 'c3');
  run(w, phase('3 Succeeded'));
  t.match(w.machines, [
    { service: 'in', weight: 10, applied: ['r1', 'r2'] },
    { service: 'in', weight: 20, applied: ['r1', 'r2', 'r3'] },
  ]);
  t.strictSame(frozenUnits(w.state?.rollout), [], 'when it is over, nothing is held');
});

t.test('paused for 15 days it expires, with everything put back', async (t) => {
  const w = settled(2, { batches: 2, pause: 'everyBatch' });
  commit(w, fleet('r2', { batches: 2, pause: 'everyBatch' }), 'c2');
  run(w, phase('2 Paused Batch'));
  w.now += 15 * 24 * 3_600_000;
  settleNow(w);
  t.equal(w.phases.at(-1), '2 Expired');
  t.strictSame(w.suspended, []);
});

t.test('a size creates what is missing at the declared revision and removes what is too many', async (t) => {
  const size = (n: number) => ({ members: { size: n } });
  const w = fleetWorld(fleet('r1', size(3)), []);
  run(w, phase('1 Succeeded'));
  t.strictSame(
    w.machines.map(({ id, applied }) => [id, applied]),
    [
      ['web-1', ['r1']],
      ['web-2', ['r1']],
      ['web-3', ['r1']],
    ],
  );
  commit(w, fleet('r1', size(2)), 'c2');
  settleNow(w);
  t.strictSame(
    w.machines.map(({ id }) => id),
    ['web-1', 'web-2'],
  );
  w.machines.shift();
  settleNow(w);
  t.strictSame(w.machines.map(({ id }) => id).sort(), ['web-1', 'web-2'], 'what is gone is created again');
  commit(w, undefined, 'c3');
  settleNow(w);
  t.strictSame(w.machines, []);
});

for (const ends of ['RolledBack', 'Failed']) {
  t.test(`a size that is declared during a rollout holds, though that ends ${ends}`, async (t) => {
    const onFailure = ends === 'RolledBack' ? ('rollback' as const) : ('pause' as const);
    const size = (n: number) => ({ members: { size: n }, batches: 2, onFailure, maxFailures: 1 });
    const w = fleetWorld(fleet('r1', size(4)), []);
    run(w, phase('1 Succeeded'));
    for (const unit of ends === 'RolledBack' ? ['web-1', 'web-2'] : ['web-1']) w.fails.add(`${unit} r2`);
    commit(w, fleet('r2', size(4)), 'c2');
    run(w, () => w.acts.includes('run web-1 r2'));
    commit(w, fleet('r2', size(5)), 'c3');
    run(w, phase(`2 ${ends}`));
    settleNow(w);
    t.strictSame(w.machines.map(({ id }) => id).sort(), ['web-1', 'web-2', 'web-3', 'web-4', 'web-5']);
  });
}

t.test('schedules set the size at rest; held ones do not', async (t) => {
  const schedules = [
    { cron: '0 8 * * *', timezone: 'UTC', size: 4 },
    { cron: '0 20 * * *', timezone: 'UTC', size: 1 },
  ];
  const spec = { members: { size: 2 }, schedules };
  const w = fleetWorld(fleet('r1', spec), []);
  run(w, phase('1 Succeeded'));
  settleNow(w);
  t.equal(w.machines.length, 4, 'at noon, as since eight');
  w.now += 8 * 3_600_000;
  settleNow(w);
  t.equal(w.machines.length, 1);
  t.ok((w.last?.wakeAt ?? 0) > w.now && (w.last?.wakeAt ?? 0) <= w.now + 60_000);
  commit(w, fleet('r1', { ...spec, suspended: ['scheduledAction'] }), 'c2');
  w.now += 12 * 3_600_000;
  settleNow(w);
  t.equal(w.machines.length, 2, 'held, what is declared counts');
});

t.test('after a crash what was done already is looked up: no unit is taken out or run twice', async (t) => {
  const w = settled(2, { batches: 2 });
  commit(w, fleet('r2'), 'c2');
  run(w, (w) => states(w)['web-1'] === 'TakingOut' || states(w)['web-1'] === 'Updating');
  const remembered = structuredClone(w.state);
  run(w, (w) => states(w)['web-1'] === 'Succeeded');
  w.acts = [];
  w.state = remembered;
  run(w, phase('2 Succeeded'));
  t.notOk(w.acts.some((act) => act.includes('web-1')));
});

t.test('killed at any moment, with only what had to be durable, it ends the same and runs nothing twice', async (t) => {
  const wrong: string[] = [];
  for (let at = 0; at < 24; at++) {
    const w = settled(4, { batches: 2 });
    w.fails.add('web-2 r2');
    commit(w, fleet('r2', { onFailure: 'rollback' }), 'c2');
    for (let step = 0; w.phases.at(-1) !== '2 RolledBack' && step < 60; step++) {
      if (step === at) w.state = structuredClone(w.durable);
      settleNow(w);
      w.now += 250;
    }
    const acts = w.acts.filter((act) => /^(run|undo)/.test(act));
    const right =
      acts.sort().join() === 'run web-1 r2,run web-2 r2,undo web-1 r2,undo web-2 r2' &&
      w.phases.at(-1) === '2 RolledBack' &&
      w.machines.every(({ service, weight, applied }) => service === 'in' && weight !== 0 && applied.join() === 'r1') &&
      w.suspended.length === 0;
    if (!right) wrong.push(`killed at ${at}: ${w.phases.at(-1)} ${acts.join(', ')}`);
  }
  t.strictSame(wrong, []);
});

t.test('a deleted fleet lets its hosts go as they are, back in service', async (t) => {
  const w = settled(2, { batches: 2 });
  commit(w, fleet('r2', { batches: 2 }), 'c2');
  run(w, (w) => w.acts.includes('run web-1 r2'));
  commit(w, undefined, 'c3');
  settleNow(w);
  t.ok(w.machines.every(({ service, weight }) => service === 'in' && weight !== 0));
  t.ok(w.last?.gone);
});

t.test('an id that a marker beside a unit knows is not used again, though nothing else remembers it', async (t) => {
  const attempt = { id: 'web-1.7.2', state: 'succeeded' as const, message: '' };
  const w = fleetWorld(fleet('r2'), [machine('web-1', { applied: ['r1'], attempt }), machine('web-2')]);
  run(w, phase('8 Succeeded'));
  t.strictSame(
    w.acts.filter((act) => act.startsWith('run')),
    ['run web-1 r2', 'run web-2 r2'],
  );
});

t.test('a unit that is under way while a deletion waits goes on when the manifest is back', async (t) => {
  const w = settled(2);
  commit(w, fleet('r2'), 'c2');
  run(w, () => states(w)['web-1'] === 'Updating');
  w.deletionConfirmed = false;
  commit(w, undefined, 'c3');
  settleNow(w);
  w.now += 3_600_000;
  settleNow(w);
  t.match(w.state?.rollout, { phase: 'Progressing' });
  commit(w, fleet('r2'), 'c4');
  run(w, phase('2 Succeeded'));
  t.strictSame(
    w.machines.map(({ service, weight }) => [service, weight]),
    [
      ['in', 10],
      ['in', 20],
    ],
  );
});

t.test('before all hosts were looked at, none is said to be out of service', async (t) => {
  const said = (live: Partial<Live>) => {
    const instances = ['web-1', 'web-2'].map((id) => machine(id, { ready: false }));
    const seen = { observedAt: 0, complete: true, units: [], instances, ...live };
    return builtinPrechecks(fleet('r2'), nothingSettled, 1, seen).filter(({ name }) => name === 'instances');
  };
  t.match(said({}), [{ result: 'fail', message: 'none is in service' }]);
  t.same(said({ complete: false }), []);
  t.same(said({ complete: false, instances: [] }), []);
  t.match(said({ instances: [] }), [{ result: 'fail', message: /no host has the labels/ }]);
});
