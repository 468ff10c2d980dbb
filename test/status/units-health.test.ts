import t from 'tap';
import type { Live } from '../../src/plan/live.ts';
import { recordOf } from '../../src/rollout/unit-list.ts';
import { health } from '../../src/status/health.ts';
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
  settleNow,
  states,
} from '../support/fleet-world.ts';

const hosts = (count: number) => Array.from({ length: count }, (_, index) => machine(`web-${index + 1}`));
const nodes = () => [
  machine('cp-1', { controlPlane: true, version: '1.35.0' }),
  machine('node-1', { version: '1.35.0' }),
  machine('node-2', { version: '1.35.0' }),
];

const look = ({ now, machines }: FleetWorld): Live => ({
  ...{ observedAt: now, complete: true, units: [] },
  instances: machines,
});

/** What the status of it says now. */
function said(w: FleetWorld, more: Partial<Live> = {}): [string, string] {
  const { declared, state } = w;
  if (declared === undefined || state === undefined) throw new Error('nothing is declared');
  const version = declared.spec.kind === 'Cluster' ? { version: declared.spec.version } : {};
  const now = { valid: true, revision: declared.revision, ...version };
  const { health: how, message } = health(declared.id, state, { ...look(w), ...more }, now);
  return [how, message];
}

function settled(count: number, over: Parameters<typeof fleet>[1] = {}): FleetWorld {
  const w = fleetWorld(fleet('r1', { ...over, pause: 'never' }), hosts(count));
  run(w, phase('1 Succeeded'));
  settleNow(w);
  return w;
}

/** In the second rollout, with what is to happen in it. */
function upgrading(count: number, over: Parameters<typeof fleet>[1], prepare: (w: FleetWorld) => void = () => {}) {
  const w = settled(count, over);
  prepare(w);
  commit(w, fleet('r2', over), 'c2');
  return w;
}

t.test('a fleet at rest', async (t) => {
  const w = settled(3);
  t.strictSame(said(w), ['Healthy', 'revision r1: 3 of 3 instances in service']);
  w.machines.push(machine('web-9'));
  t.strictSame(said(w), [
    'Healthy',
    'revision r1: 4 of 4 instances in service; web-9 is outdated until the next rollout',
  ]);
  Object.assign(w.machines[1] ?? {}, { ready: false, message: 'connection refused' });
  t.strictSame(said(w), [
    'Degraded',
    'web-2 is not ready: connection refused; revision r1: 3 of 4 instances in service; web-9 is outdated until the next rollout',
  ]);
  t.strictSame(said(w, { complete: false }), [
    'Degraded',
    "the target could not be observed whole; nothing is removed until it can be; see the operator's log",
  ]);
  const out = settled(2);
  Object.assign(out.machines[0] ?? {}, { service: 'out' });
  t.strictSame(said(out), [
    'Degraded',
    'web-1 is out of service since rollout 1: put back by hand; revision r1: 1 of 2 instances in service',
  ]);
});

t.test('instances that the target creates are repaired', async (t) => {
  const w = fleetWorld(fleet('r1', { members: { size: 3 } }), []);
  run(w, phase('1 Succeeded'));
  settleNow(w);
  w.machines.pop();
  t.strictSame(said(w), [
    'Progressing',
    'is being repaired: 2 of 3 instances are there; revision r1: 2 of 2 instances in service',
  ]);
  settleNow(w);
  Object.assign(w.machines[0] ?? {}, { ready: false, message: 'exited with code 1', restarts: 1 });
  t.strictSame(said(w), [
    'Progressing',
    'is being repaired: 3 of 3 instances are there; web-1: exited with code 1; revision r1: 2 of 3 instances in service',
  ]);
  Object.assign(w.machines[0] ?? {}, { restarts: 3 });
  t.strictSame(said(w), [
    'Degraded',
    'web-1 exited with code 1, started again 3 times; see sluice logs Fleet/web web-1; revision r1: 2 of 3 instances in service',
  ]);
});

t.test('a batch on its way', async (t) => {
  const w = upgrading(10, { batches: 4 });
  run(w, (w) => states(w)['web-4'] === 'Updating');
  t.strictSame(said(w), ['Progressing', 'batch 2 of 4: 3 of 10 done, 3 under way']);
  const check = [{ http: { path: '/health', port: 80 } }];
  const unwell = upgrading(4, { batches: 2, check }, (w) => w.unwell.add('web-2'));
  run(unwell, (w) => recordOf(w.state?.rollout?.units, 'web-2')?.message !== '' && states(w)['web-2'] === 'Verifying');
  t.strictSame(said(unwell), ['Progressing', 'batch 1 of 2: 1 of 4 done, 1 under way; web-2: GET /health: 503']);
  const tolerant = upgrading(4, { batches: 2, maxFailures: 1 }, (w) => w.fails.add('web-1 r2'));
  run(tolerant, (w) => states(w)['web-3'] === 'Updating');
  t.strictSame(said(tolerant), [
    'Progressing',
    'batch 2 of 2: 1 of 4 done, 2 under way, 1 failed; web-1: exited with code 1',
  ]);
});

t.test('a pause says what to type', async (t) => {
  const w = upgrading(4, { batches: 4, pause: 'everyBatch' });
  run(w, phase('2 Paused Batch'));
  t.strictSame(said(w), ['Paused', 'batch 1 of 4: 1 of 4 done; to go on: sluice continue Fleet/web']);
  operate(w, 'pause');
  t.strictSame(said(w), ['Paused', 'paused by an operation; to go on: sluice continue Fleet/web']);

  const held = upgrading(4, { batches: 2 });
  run(held, (w) => states(w)['web-1'] === 'Updating');
  operate(held, 'pause');
  t.strictSame(said(held), [
    'Paused',
    'paused by an operation; units under way finish: 0 of 4 done, 2 under way; to go on: sluice continue Fleet/web',
  ]);

  const failed = upgrading(4, { batches: 2 }, (w) => w.fails.add('web-2 r2'));
  run(failed, phase('2 Paused Failure'));
  t.strictSame(said(failed), [
    'Paused',
    'paused: 1 failed: web-2: exited with code 1; see sluice logs Fleet/web web-2, then sluice retry Fleet/web web-2 (or skip, cancel)',
  ]);
  const all = upgrading(5, { batches: 1 }, (w) => {
    for (const name of ['web-1', 'web-3', 'web-4', 'web-5']) w.fails.add(`${name} r2`);
  });
  run(all, phase('2 Paused Failure'));
  t.match(said(all)[1], /then sluice retry Fleet\/web web-1 \(or skip, cancel\); likewise web-3\.\.5$/);
  const [rollout] = [all.state?.rollout];
  if (rollout !== undefined) rollout.message = rollout.message.replace('4 failed', '1 failed');
  t.match(said(all)[1], /^paused: 4 failed: web-1/, 'also those that failed after it had paused');

  const lost = upgrading(2, { batches: 2 }, (w) => w.loses.add('web-1 r2'));
  run(lost, phase('2 Paused Unknown'));
  t.match(
    said(lost)[1],
    /^paused: nothing tells how it ended: web-1.*; look at web-1, then sluice retry Fleet\/web web-1 \(or skip, cancel\)$/,
  );
  if (lost.state?.rollout) lost.state.rollout.tampered = true;
  t.match(said(lost)[1], /; look at what runs; look at web-1, then sluice retry .*; then: sluice continue Fleet\/web$/);

  const refused = upgrading(3, { batches: 3 });
  run(refused, (w) => w.acts.includes('run web-1 r2'));
  refused.prechecks = [{ name: 'disk', result: 'fail', message: 'is full', remedy: 'free it' }];
  commit(refused, fleet('r3', { batches: 3 }), 'c3');
  run(refused, phase('2 Paused Failure'));
  t.strictSame(said(refused), [
    'Paused',
    'paused: r3 was declared, but its prechecks fail: disk: is full; put that right and: sluice continue Fleet/web, or commit what should run',
  ]);
});

t.test('a rollout that is being closed', async (t) => {
  const w = upgrading(4, { batches: 2 });
  run(w, (w) => states(w)['web-1'] === 'Updating');
  operate(w, 'cancel');
  t.strictSame(said(w), [
    'Progressing',
    'rollout 2 ends: canceled; what was done stays; units under way finish: 0 of 4 done, 2 under way',
  ]);
  run(w, phase('2 Canceled'));
  t.strictSame(said(w), [
    'Degraded',
    'rollout 2 was canceled; what was done stays; Git declares r2, settled is r1; commit a fix, revert, or: sluice retry Fleet/web',
  ]);
});

t.test('the way back', async (t) => {
  const w = upgrading(3, { batches: 3 });
  run(w, (w) => states(w)['web-2'] === 'Updating');
  operate(w, 'rollback');
  t.strictSame(said(w), [
    'Progressing',
    'rolls back: an operation asked for it; units under way finish first: 1 of 3 done, 1 under way',
  ]);
  run(w, (w) => w.state?.rollout?.back === true && states(w)['web-1'] === 'Updating');
  t.strictSame(said(w), [
    'Progressing',
    'rolls back: an operation asked for it; batch 1 of 2: 0 of 2 done, 1 under way',
  ]);
  run(w, phase('2 RolledBack'));
  t.match(
    said(w)[1],
    /^rollout 2 was rolled back: an operation asked for it; r1 runs again; Git declares r2, settled is r1/,
  );
});

t.test('ends that leave something', async (t) => {
  const w = upgrading(3, { batches: 3, maxFailures: 1 }, (w) => w.fails.add('web-2 r2'));
  run(w, (w) => states(w)['web-2'] === 'Failed');
  Object.assign(w.machines[1] ?? {}, { ready: false });
  run(w, phase('2 Failed'));
  t.strictSame(said(w), [
    'Degraded',
    'rollout 2 failed: not every unit was updated; not updated: web-2 (out of service); Git declares r2, settled is r1; commit a fix, revert, or: sluice retry Fleet/web',
  ]);
  const expired = upgrading(2, { batches: 2, pause: 'everyBatch' });
  run(expired, phase('2 Paused Batch'));
  expired.now += 15 * 24 * 3_600_000;
  settleNow(expired);
  t.match(said(expired)[1], /^rollout 2 expired: was paused for too long; Git declares r2/);
  const skipped = upgrading(2, { batches: 2 }, (w) => w.fails.add('web-1 r2'));
  run(skipped, phase('2 Paused Failure'));
  operate(skipped, 'skip', 'web-1');
  run(skipped, phase('2 Succeeded'));
  settleNow(skipped);
  t.strictSame(said(skipped), ['Healthy', 'revision r2: 2 of 2 instances in service; rollout 2 skipped web-1']);
});

t.test('a cluster shows what its nodes run and what is wanted', async (t) => {
  const w = fleetWorld(cluster('r1', '1.35.0'), nodes());
  run(w, phase('1 Succeeded'));
  settleNow(w);
  t.strictSame(said(w), ['Healthy', '3 of 3 nodes ready, all run 1.35.0']);
  commit(w, cluster('r2', '1.36.0'), 'c2');
  run(w, (w) => states(w)['cp-1'] === 'Updating');
  t.strictSame(said(w), ['Progressing', '1.35.0 → 1.36.0, control plane 1 of 1: cp-1: 0 of 3 done, 1 under way']);
  run(w, (w) => states(w)['node-1'] === 'Updating');
  t.strictSame(said(w), ['Progressing', '1.35.0 → 1.36.0, batch 1 of 2: 1 of 3 done, 1 under way']);
  w.fails.add('node-2 r2');
  run(w, phase('2 Paused Failure'));
  operate(w, 'cancel');
  run(w, phase('2 Canceled'));
  t.match(said(w)[1], /; commit a fix, or: sluice retry Cluster\/prod$/, 'a cluster is never reverted');
  const mixed = fleetWorld(cluster('r1', '1.35.0'), nodes());
  run(mixed, phase('1 Succeeded'));
  settleNow(mixed);
  Object.assign(mixed.machines[2] ?? {}, { version: '1.34.1', cordoned: true });
  t.strictSame(said(mixed), [
    'Healthy',
    '3 of 3 nodes ready; 1.35.0 is wanted, 2 run it; others run 1.34.1; node-2 is outdated until the next rollout; node-2 is cordoned',
  ]);
  const silent = fleetWorld(cluster('r1', '1.35.0'), nodes());
  run(silent, phase('1 Succeeded'));
  settleNow(silent);
  delete silent.machines[2]?.version;
  t.strictSame(
    said(silent),
    ['Progressing', '3 of 3 nodes ready, the others run 1.35.0; what node-2 runs is not known'],
    'what nobody has seen is not healthy',
  );
});

t.test('what is deleted lets hosts go', async (t) => {
  const w = settled(1);
  if (w.state) w.state.deletion = { commit: 'c'.repeat(40), confirmed: true };
  t.match(said(w)[1], /is being removed; hosts are let go as they are$/);
});

t.test('what is suspended is no repair under way', async (t) => {
  const created = (id: string) => machine(id, { created: true, applied: ['r1'] });
  const w = fleetWorld(fleet('r1', { members: { size: 2 }, pause: 'never' }), [created('web-1'), created('web-2')]);
  run(w, phase('1 Succeeded'));
  settleNow(w);
  const three = [...w.machines, created('web-3')];
  t.match(said(w, { instances: three }), ['Progressing', /3 of 2 instances are there/]);
  t.strictSame(said(w, { instances: three, suspended: ['scaleIn'] }), [
    'Healthy',
    'revision r1: 3 of 3 instances in service; 3 of 2 instances are there, as scaleIn is suspended',
  ]);
  const one = w.machines.slice(1);
  t.match(said(w, { instances: one, suspended: ['scaleIn'] }), ['Progressing', /1 of 2 instances are there/]);
  t.strictSame(said(w, { instances: one, suspended: ['scaleOut'] }), [
    'Healthy',
    'revision r1: 1 of 1 instances in service; 1 of 2 instances are there, as scaleOut is suspended',
  ]);
  const dead = [
    ...w.machines.slice(1),
    { ...created('web-1'), ready: false, diedAt: w.now, message: 'exited with code 1' },
  ];
  t.match(said(w, { instances: dead }), ['Progressing', /is being repaired/]);
  t.strictSame(said(w, { instances: dead, suspended: ['healthCheck'] }), [
    'Degraded',
    'web-1 is not ready: exited with code 1; revision r1: 1 of 2 instances in service; what died stays so, as healthCheck is suspended',
  ]);
});
