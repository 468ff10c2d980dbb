import t from 'tap';
import type { WorkloadSpec } from '../../src/manifest/resource.ts';
import { type LiveUnit, nothingLive } from '../../src/plan/live.ts';
import { decide, newState } from '../../src/rollout/decide.ts';
import { workload } from '../support/resources.ts';
import {
  commit,
  kill,
  operate,
  phase,
  rested,
  revisions,
  run,
  send,
  settleNow,
  type World,
  world,
} from '../support/world.ts';

const times = { a: 1000, b: 1000, c: 1000 };

/** Five replicas of revision a, settled. */
function running(over: Partial<World> = {}, spec = {}): World {
  const w = world(workload('a', spec), { startTime: { ...times }, ...over });
  run(w, rested);
  w.seen = { ...w.seen, maxTotal: 0, minAvailable: Number.POSITIVE_INFINITY, phases: [], pushes: 0 };
  return w;
}

t.test('a first rollout starts every replica and succeeds when all are ready', async (t) => {
  const w = world(workload('a'), { startTime: times });
  run(w, rested);
  t.equal(revisions(w), 'a a a a a');
  t.same(w.seen.phases, ['1 Checking', '1 Progressing', '1 Succeeded']);
  t.match(w.traffic, { kind: 'percent', weights: { '': 100 } });
  t.equal(w.state?.history.length, 1);
});

t.test('5 replicas, surge 1, unavailable 0: never under 5 ready, never over 6', async (t) => {
  const w = running();
  commit(w, workload('b'));
  run(w, rested);
  t.equal(revisions(w), 'b b b b b');
  t.equal(w.seen.maxTotal, 6);
  t.equal(w.seen.minAvailable, 5);
  t.equal(w.state?.rollout?.cause, 'upgrade');
});

t.test('surge 0, unavailable 2: never over 5, never under 3 ready', async (t) => {
  const spec = { strategy: { maxSurge: 0, maxUnavailable: 2 } };
  const w = running({}, spec);
  commit(w, workload('b', spec));
  run(w, rested);
  t.equal(w.seen.maxTotal, 5);
  t.equal(w.seen.minAvailable, 3);
});

t.test('a commit to an earlier revision is a rollback, and a revert of the revert an upgrade', async (t) => {
  const w = running();
  commit(w, workload('b'));
  run(w, rested);
  commit(w, workload('a'));
  run(w, rested);
  t.match(w.state?.rollout, { id: 3, cause: 'rollback', phase: 'Succeeded' });
  commit(w, workload('b'));
  run(w, rested);
  t.match(w.state?.rollout, { id: 4, cause: 'upgrade', phase: 'Succeeded' });
});

t.test('a new revision supersedes at once, from wherever the units are', async (t) => {
  const w = running();
  commit(w, workload('b'));
  run(w, (at) => at.units.filter((unit) => unit.revision === 'b' && unit.ready).length === 2);
  commit(w, workload('c'));
  t.match(w.state?.history.at(-1), { id: 2, phase: 'Superseded' });
  t.match(w.state?.rollout, { id: 3, cause: 'upgrade' });
  run(w, rested);
  t.equal(revisions(w), 'c c c c c');
  t.ok(w.seen.minAvailable >= 5 && w.seen.maxTotal <= 6);
});

t.test('while the prechecks of what supersedes are asked, units stay where they are', async (t) => {
  const w = running();
  commit(w, workload('b'));
  run(w, (at) => at.units.filter((unit) => unit.revision === 'b' && unit.ready).length === 2);
  const declaration = { commit: 'c3', deletionConfirmed: false, resource: workload('c') };
  const live = { ...nothingLive(w.now), units: w.units, ...(w.traffic && { traffic: w.traffic }) };
  const { next, actions } = decide(declaration, w.state, live, w.now, { operatorPaused: false, highestId: 0 });
  t.match(next.rollout, { id: 3, phase: 'Checking' });
  t.strictSame(actions, [], 'nothing goes back to what is settled, to be replaced by what comes next');
});

t.test('a revert in the middle of a rollout touches only what was updated', async (t) => {
  const w = running();
  commit(w, workload('b'));
  run(w, (at) => at.units.filter((unit) => unit.revision === 'b' && unit.ready).length === 2);
  const untouched = w.units.filter((unit) => unit.revision === 'a').map((unit) => unit.attempt);
  commit(w, workload('a'));
  run(w, rested);
  t.match(w.state?.rollout, { id: 3, cause: 'rollback', phase: 'Succeeded' });
  t.ok(untouched.every((attempt) => w.units.some((unit) => unit.attempt === attempt)));
});

t.test('without progress the rollout fails at its deadline', async (t) => {
  t.test('onFailure pause: it waits for a person, the old replicas serve on', async (t) => {
    const w = running({ startTime: { a: 1000 } });
    commit(w, workload('b'));
    run(w, phase('Paused'));
    t.match(w.state?.rollout, { reason: 'Failure', message: /no progress for 600 s/ });
    t.equal(w.units.filter((unit) => unit.revision === 'a' && unit.ready).length, 5);
    t.equal(w.units.length, 6);
  });
  t.test('long before it, where the target says that waiting does not help', async (t) => {
    const w = running({ startTime: { a: 1000 } });
    commit(w, workload('b'));
    run(w, (at) => at.units.some((unit) => unit.revision === 'b'));
    const began = w.now;
    const [fresh] = w.units.filter((unit) => unit.revision === 'b');
    Object.assign(fresh as object, { stuckSince: w.now + 3000, message: 'ImagePullBackOff: no such image' });
    run(w, phase('Paused'));
    const message = /^no progress, and none to come; .*: ImagePullBackOff: no such image$/;
    t.match(w.state?.rollout, { reason: 'Failure', message });
    t.equal(w.now - began, 13_000, 'ten seconds after it was stuck');
    operate(w, 'continue');
    Object.assign(fresh as object, { stuckSince: undefined });
    run(w, phase('Paused'));
    t.match(w.state?.rollout?.message, /no progress for 600 s/, 'what is not stuck any more has its time');
  });
  t.test('onFailure rollback: the same rollout turns, is not tagged and not tried again by itself', async (t) => {
    const w = running({ startTime: { a: 1000 } }, { onFailure: 'rollback' });
    commit(w, workload('b', { onFailure: 'rollback' }));
    run(w, phase('RolledBack'));
    run(w, (at) => at.units.length === 5, 1000);
    t.equal(revisions(w), 'a a a a a');
    t.equal(w.state?.attempted, 'b');
    t.same(w.seen.phases, ['2 Checking', '2 Progressing', '2 RollingBack', '2 RolledBack']);
    t.equal(w.seen.proposals, 0);
    t.match(operate(w, 'retry'), /^applied/);
    t.match(w.state?.rollout, { id: 3, phase: 'Progressing' });
  });
  t.test('a way back to what does not come up has the same deadline, and goes on when a person says so', async (t) => {
    const w = running({ startTime: { a: 1000 } }, { onFailure: 'rollback' });
    commit(w, workload('b', { onFailure: 'rollback' }));
    delete w.startTime.a;
    kill(w, w.units.find(({ revision }) => revision === 'a')?.id ?? '');
    run(w, phase('Paused'), 2_000_000);
    t.match(w.state?.rollout, { reason: 'Failure', message: /no progress for 600 s on the way back/ });
    w.startTime.a = 1000;
    t.match(operate(w, 'continue'), /^applied/);
    kill(w, w.units.find(({ ready }) => !ready)?.id ?? '');
    run(w, phase('RolledBack'), 2_000_000);
    t.equal(revisions(w), 'a a a a a');
  });
  t.test('onFailure revert: also asks for a branch with the revert', async (t) => {
    const w = running({ startTime: { a: 1000 } }, { onFailure: 'revert' });
    commit(w, workload('b', { onFailure: 'revert' }));
    run(w, phase('RolledBack'));
    t.equal(w.seen.proposals, 1);
  });
  t.test('a first rollout has nothing to go back to and pauses', async (t) => {
    const w = world(workload('a', { onFailure: 'rollback' }));
    run(w, phase('Paused'));
    t.equal(w.state?.rollout?.reason, 'Failure');
  });
  t.test('a replica that becomes ready is progress', async (t) => {
    const w = running({ startTime: { a: 1000, b: 500_000 } });
    commit(w, workload('b'));
    run(w, rested, 5_000_000);
    t.equal(revisions(w), 'b b b b b');
  });
});

t.test('a failed precheck ends the rollout with nothing touched', async (t) => {
  const w = running();
  w.prechecks = [{ name: 'image', result: 'fail', message: 'tomcat:9 is not there', remedy: 'add it' }];
  commit(w, workload('b'));
  t.match(w.state?.rollout, { phase: 'Failed', message: /image: tomcat:9 is not there/ });
  t.equal(revisions(w), 'a a a a a');
  t.equal(w.seen.pushes, 0);
});

t.test('operations', async (t) => {
  t.test('pause lets units under way finish and starts no others; continue goes on', async (t) => {
    const w = running();
    commit(w, workload('b'));
    t.match(operate(w, 'pause'), /^applied/);
    w.now += 10_000;
    settleNow(w);
    t.match(w.state?.rollout, { phase: 'Paused', reason: 'Operator' });
    t.equal(revisions(w), 'a a a a a b');
    t.match(operate(w, 'pause'), /^refused: rollout 2 is paused already/);
    w.now += 3_600_000;
    t.match(operate(w, 'continue'), /^applied/);
    run(w, rested);
    t.equal(revisions(w), 'b b b b b');
  });
  t.test('cancel leaves what is done; a commit to the earlier revision then goes back', async (t) => {
    const w = running();
    commit(w, workload('b'));
    run(w, (at) => at.units.filter((unit) => unit.revision === 'b' && unit.ready).length === 2);
    t.match(operate(w, 'cancel'), /^applied/);
    t.equal(w.state?.rollout?.phase, 'Canceled');
    w.now += 600_000;
    settleNow(w);
    const left = 'a a b b b';
    t.equal(revisions(w), left, 'with the one that was under way');
    kill(w, w.units[0]?.id ?? '');
    run(w, (at) => at.units.every((unit) => unit.ready));
    t.equal(revisions(w), left, 'a repair keeps the mixture');
    commit(w, workload('a'));
    run(w, rested);
    t.match(w.state?.rollout, { cause: 'rollback' });
    t.equal(revisions(w), 'a a a a a');
  });
  t.test('cancel keeps as many replicas as there were', async (t) => {
    const w = world(workload('a'), { startTime: { a: 100, b: 100 } });
    run(w, rested);
    w.seen.minAvailable = Number.POSITIVE_INFINITY;
    commit(w, workload('b'));
    run(w, (w) => w.units.some((unit) => unit.revision === 'b' && unit.ready));
    t.match(operate(w, 'cancel'), /^applied/);
    w.now += 60_000;
    settleNow(w);
    t.equal(w.units.length, 5);
    t.ok(w.seen.minAvailable >= 5);
  });
  t.test('cancel lets go of what died under the new revision, so that nothing starts it again', async (t) => {
    const w = running({ exits: new Set(['b']) });
    commit(w, workload('b'));
    t.match(revisions(w), 'b');
    t.match(operate(w, 'cancel'), /^applied/);
    w.now += 600_000;
    settleNow(w);
    t.equal(revisions(w), 'a a a a a');
    t.match(w.state?.rollout, { id: 2, phase: 'Canceled' });
  });
  t.test('rollback turns the rollout; one on a rollback, on a first or on an ended rollout is refused', async (t) => {
    const w = running();
    t.match(operate(w, 'rollback'), /^refused: rollout 1 has ended/);
    commit(w, workload('b'));
    t.match(operate(w, 'rollback'), /^applied/);
    t.match(operate(w, 'rollback'), /^refused: rollout 2 (is a rollback|has ended)/);
    run(w, phase('RolledBack'));
    commit(w, workload('c'));
    run(w, rested);
    commit(w, workload('a'));
    t.match(operate(w, 'rollback'), /^refused: rollout 4 is a rollback itself/);
    const first = world(workload('a'), { startTime: times });
    settleNow(first);
    t.match(operate(first, 'rollback'), /^refused: this is the first rollout/);
  });
  t.test(
    'one for a rollout that has not started, or for one that has ended, is refused; none is applied twice',
    async (t) => {
      const w = running();
      t.match(operate(w, 'pause', { rollout: 2, name: 'early', digest: 'x' }), /^refused: rollout 2 has not started/);
      commit(w, workload('b'));
      operate(w, 'pause', { rollout: 2, name: 'early', digest: 'x' });
      t.equal(w.state?.rollout?.phase, 'Progressing');
      t.match(operate(w, 'pause', { rollout: 1 }), /^refused: rollout 1 has ended/);
      t.match(operate(w, 'skip', { unit: 'tomcat-1' }), /^refused: replicas are interchangeable/);
    },
  );
  t.test('retry goes on after a failure', async (t) => {
    const w = running({ startTime: { a: 1000 } });
    commit(w, workload('b'));
    run(w, phase('Paused'));
    w.startTime.b = 1000;
    t.match(operate(w, 'retry'), /^applied/);
    run(w, rested);
    t.equal(revisions(w), 'b b b b b');
  });
});

t.test('a how-only commit', async (t) => {
  t.test('at rest acts at once, without a rollout', async (t) => {
    const w = running();
    commit(w, workload('a', { replicas: 7 }));
    run(w, (at) => at.state?.settled.observed === true && at.units.length === 7);
    t.equal(w.state?.rollout?.id, 1);
    t.equal(w.state?.repairs.count, 0);
    commit(w, workload('a', { replicas: 2 }));
    run(w, (at) => at.units.length === 2);
    t.equal(w.state?.rollout?.id, 1);
  });
  t.test('during a rollout plans the stages left anew, as the next generation', async (t) => {
    const w = running();
    commit(w, workload('b'));
    commit(w, workload('b', { replicas: 3 }));
    t.equal(w.state?.rollout?.plan.generation, 2);
    run(w, rested);
    t.equal(w.state?.rollout?.id, 2);
    t.equal(revisions(w), 'b b b');
  });
  for (const declared of ['a', 'b']) {
    t.test(`while a rollout rolls back is what it goes back to: ${declared} with fewer replicas`, async (t) => {
      const w = running();
      commit(w, workload('b'));
      w.complete = false;
      t.match(operate(w, 'rollback'), /^applied/);
      commit(w, workload(declared, { replicas: 3 }));
      t.equal(w.state?.rollout?.phase, 'RollingBack');
      w.complete = true;
      run(w, phase('RolledBack'));
      run(w, (at) => at.state?.settled.observed === true);
      t.equal(revisions(w), 'a a a');
      t.equal(w.state?.rollout?.id, 2);
    });
  }
  t.test('on the way back holds at once: what cannot come up is scaled away', async (t) => {
    const w = running();
    commit(w, workload('b'));
    delete w.startTime.a;
    for (const unit of ['tomcat-3', 'tomcat-4', 'tomcat-5']) kill(w, unit);
    operate(w, 'rollback');
    t.equal(w.state?.rollout?.phase, 'RollingBack');
    commit(w, workload('a', { replicas: 2 }));
    run(w, phase('RolledBack'));
    t.equal(revisions(w), 'a a');
  });
  for (const [replicas, then] of [
    [7, 'a a a a b b b'],
    [4, 'a b b b'],
    [1, 'b'],
  ] as const) {
    t.test(`after a cancel at 2 a, 3 b: ${replicas} replicas`, async (t) => {
      const w = running();
      w.startTime.b = 1000;
      commit(w, workload('b'));
      run(w, (at) => at.units.filter((unit) => unit.revision === 'b' && unit.ready).length === 2);
      operate(w, 'cancel');
      run(w, (at) => at.state?.settled.observed === true);
      t.equal(revisions(w), 'a a b b b');
      commit(w, workload('b', { replicas }));
      run(w, (at) => at.state?.settled.observed === true);
      t.equal(revisions(w), then);
    });
  }
});

t.test('windows hold forward rollouts, never rollbacks', async (t) => {
  const windows = [{ cron: '0 14 * * *', duration: '1h', timezone: 'UTC' }];
  const w = running();
  commit(w, workload('b', { windows, progressDeadlineSeconds: 10_000 }));
  t.match(w.state?.rollout, { phase: 'Pending', message: /waits for a window/ });
  run(w, phase('Progressing'), 10_000_000);
  t.equal(new Date(w.now).toISOString().slice(11, 16), '14:00');
  w.startTime.b = 1_900_000;
  run(w, phase('Paused'), 10_000_000);
  t.match(w.state?.rollout, { reason: 'Window' });
  t.equal(new Date(w.now).toISOString().slice(11, 16), '15:00');
  commit(w, workload('a', { windows }));
  run(w, rested, 60_000);
  t.equal(revisions(w), 'a a a a a');
});

t.test('paused: true and --paused start nothing new and let go by themselves', async (t) => {
  const w = running();
  commit(w, workload('b', { paused: true }));
  t.match(w.state?.rollout, { phase: 'Pending', message: /paused by spec.paused/ });
  commit(w, workload('b'));
  t.equal(w.state?.rollout?.phase, 'Progressing');
  w.operatorPaused = true;
  settleNow(w);
  t.match(w.state?.rollout, { phase: 'Paused', reason: 'Operator' });
  w.operatorPaused = false;
  run(w, rested);
  t.equal(w.state?.rollout?.id, 2);
});

t.test('repairs', async (t) => {
  t.test('a replica that dies is started again as what it was, with growing delays', async (t) => {
    const w = running();
    w.exits.add('a');
    kill(w, 'tomcat-2');
    const starts: number[] = [];
    let attempt = '';
    run(w, (at) => {
      const unit = at.units.find((candidate) => candidate.id === 'tomcat-2');
      if (unit && unit.attempt !== attempt) {
        attempt = unit.attempt;
        starts.push(at.now);
      }
      return starts.length === 6;
    });
    const delays = starts.slice(1).map((at, index) => Math.round((at - (starts[index] ?? 0)) / 1000));
    t.same(delays.slice(1), [2, 4, 8, 16].slice(0, delays.length - 1), 'each delay doubles');
    t.ok((w.state?.repairs.count ?? 0) >= 5);
    t.equal(w.state?.rollout?.id, 1, 'a repair is no rollout');
  });
  t.test('a missing replica is replaced, one too many is stopped', async (t) => {
    const w = running();
    w.units.pop();
    run(w, (at) => at.units.length === 5 && at.units.every((unit) => unit.ready));
    t.equal(w.state?.repairs.count, 1);
  });
  t.test('what cannot be seen whole is left alone', async (t) => {
    const w = running();
    w.complete = false;
    w.units.pop();
    settleNow(w);
    t.equal(w.units.length, 4);
  });
});

t.test('a tip that the operator did not write pauses the rollout until a continue', async (t) => {
  const w = running();
  commit(w, workload('b'));
  send(w, { kind: 'tampered', message: 'sluice/status was changed by somebody else' });
  settleNow(w);
  t.match(w.state?.rollout, { phase: 'Paused', reason: 'Unknown' });
  t.match(operate(w, 'continue'), /^applied/);
  run(w, rested);
  t.equal(revisions(w), 'b b b b b');
});

t.test('a deleted manifest takes traffic away, then the units; unconfirmed it waits', async (t) => {
  const w = running();
  w.deletionConfirmed = false;
  commit(w, undefined);
  t.equal(w.units.length, 5);
  w.deletionConfirmed = true;
  settleNow(w);
  t.equal(w.units.length, 0);
  t.equal(w.traffic, undefined);
  t.ok(w.seen.gone);
});

t.test(
  'a declaration that goes back after a failure settles it; the failed revision is then tried again',
  async (t) => {
    const w = running({ startTime: { a: 1000 } }, { onFailure: 'rollback' });
    commit(w, workload('b', { onFailure: 'rollback' }));
    run(w, phase('RolledBack'));
    commit(w, workload('a', { onFailure: 'rollback' }));
    t.equal(w.state?.attempted, undefined);
    t.equal(w.state?.rollout?.id, 2);
    w.startTime.b = 1000;
    commit(w, workload('b', { onFailure: 'rollback' }));
    run(w, rested);
    t.match(w.state?.rollout, { id: 3, cause: 'upgrade' });
  },
);

t.test('scaled to nothing it loses its traffic, then its replicas; scaled up again it serves', async (t) => {
  const w = running();
  commit(w, workload('a', { replicas: 0 }));
  run(w, (now) => now.state?.settled.observed === true);
  t.equal(w.traffic, undefined);
  t.strictSame(w.units, []);
  commit(w, workload('a', { replicas: 2 }));
  run(w, (now) => now.state?.settled.observed === true);
  t.equal(revisions(w), 'a a');
  t.not(w.traffic, undefined);
});

t.test('what a first rollout left is not touched before the next one goes on', async (t) => {
  const w = world(workload('a'), { startTime: times });
  run(w, (now) => now.units.some(({ ready }) => ready));
  w.prechecks = [{ name: 'target', result: 'fail', message: 'no room', remedy: '' }];
  commit(w, workload('b'));
  t.match(w.state?.rollout, { id: 2, phase: 'Failed' });
  t.equal(revisions(w), 'a a a a a');
});

t.test('what nobody remembers is replaced within the bounds', async (t) => {
  const w = running();
  w.state = undefined;
  Object.assign(w.seen, { maxTotal: 0, minAvailable: 5 });
  commit(w, workload('b'));
  run(w, rested);
  t.equal(revisions(w), 'b b b b b');
  t.match(w.seen, { maxTotal: 6, minAvailable: 5 });
});

t.test('while a deletion waits, what dies is started again and a rollout stays where it is', async (t) => {
  const w = running();
  w.startTime.b = 60_000;
  commit(w, workload('b'));
  commit(w, undefined);
  const [first] = w.units;
  kill(w, first?.id ?? '');
  run(w, (now) => now.units.filter(({ ready, revision }) => ready && revision === 'a').length === 5);
  t.match(w.state, { rollout: { phase: 'Progressing' }, deletion: { confirmed: false } });
  w.now += 3_600_000;
  commit(w, workload('b'));
  run(w, rested);
  t.match(w.state?.rollout, { id: 2, phase: 'Succeeded' });
});

t.test('a window that opens again and again does not set the progress clock back', async (t) => {
  const windows = [{ cron: '0,30 * * * *', duration: '10m', timezone: 'UTC' }];
  const w = running({ startTime: { a: 1000 } });
  commit(w, workload('b', { windows }));
  run(w, phase('Paused'));
  t.equal(w.state?.rollout?.reason, 'Window', 'some seconds of the window were gone when it began');
  run(w, (now) => now.state?.rollout?.reason === 'Failure');
  t.match(w.state?.rollout?.message, /^no progress for 600 s/);
});

t.test('somebody who scales it beside its manifest is left alone, and rollouts go by that count', async (t) => {
  const w = running();
  const grow = (replicas: number) => {
    w.scaled = { replicas, by: 'HorizontalPodAutoscaler tomcat' };
    w.units = Array.from({ length: replicas }, (_, index) => {
      const unit = w.units[index] ?? { ...(w.units[0] as LiveUnit), id: `tomcat-${index + 1}`, attempt: `${index}.0` };
      return { ...unit, ready: true };
    });
  };
  grow(8);
  settleNow(w);
  t.equal(w.units.length, 8, 'nothing is put back');
  t.match(w.state, { scaled: { replicas: 8 }, repairs: { count: 0 }, settled: { observed: true } });
  t.equal(w.seen.pushes, 0, 'and nothing was to be done about it');

  commit(w, workload('b', { replicas: 6 }));
  run(w, (now) => now.units.some(({ revision, ready }) => revision === 'b' && ready));
  w.complete = false;
  delete (w as Partial<World>).scaled;
  settleNow(w);
  t.match(w.state?.scaled, { replicas: 8 }, 'it counts while nothing can be seen');
  w.complete = true;
  w.scaled = { replicas: 10, by: 'HorizontalPodAutoscaler tomcat' };
  run(w, rested);
  t.equal(revisions(w), Array(10).fill('b').join(' '));
  t.match(w.state?.rollout, { id: 2, plan: { generation: 2 } }, 'another count while it rolls is another generation');
  t.match(w.seen, { maxTotal: 11, minAvailable: 8 });

  w.scaled = undefined;
  run(w, (now) => now.state?.settled.observed === true && now.units.length === 6);
  t.equal(w.state?.scaled, undefined, 'the manifest counts again');
  w.scaled = { replicas: 7, by: 'HorizontalPodAutoscaler tomcat' };
  commit(w, workload('b', { replicas: 0 }));
  run(w, (now) => now.units.length === 0);
  t.equal(w.traffic, undefined, '0 is off');
});

/** When one of revision a, settled with one replica, is looked at again. */
function atRest(now: number, seen: Partial<LiveUnit>, spec: Partial<WorkloadSpec>) {
  const unit = { id: 'x-1', revision: 'a', version: '', attempt: 'x-1.1', restarts: 0, phase: 'running' as const };
  const live = { observedAt: now - 1, complete: true, units: [{ ...unit, ready: true, ...seen }] };
  const resource = workload('a', { replicas: 1, ...spec });
  const goal = {
    kind: 'replicas' as const,
    version: '',
    want: { a: 1 },
    maxTotal: 2,
    minAvailable: 1,
    minReadySeconds: spec.minReadySeconds ?? 0,
  };
  const declaration = { commit: 'c1', resource, deletionConfirmed: false };
  const state = newState(declaration);
  const settled = { ...state.settled, goals: [goal], lineage: [{ revision: 'a', commit: 'c1' }] };
  const before = { ...state, digest: resource.digest, settled };
  const conditions = { operatorPaused: false, highestId: 1 };
  return decide(declaration, before, live, now, conditions);
}

t.test('what has been ready for long enough since it was looked is looked at again', async (t) => {
  const now = 1_000_000;
  const { next, wakeAt } = atRest(now, { readySince: now - 3000 }, { minReadySeconds: 3 });
  t.equal(next.settled.observed, false);
  t.equal(wakeAt, now);
});

t.test('what does not get ready at rest is looked at again when it has had its time', async (t) => {
  const now = 1_000_000;
  const { wakeAt } = atRest(now, { ready: false, unreadySince: now - 3000 }, { progressDeadlineSeconds: 60 });
  t.equal(wakeAt, now + 57_000);
});
