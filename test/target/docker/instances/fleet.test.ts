import { rmSync } from 'node:fs';
import t from 'tap';
import type { Action } from '../../../../src/rollout/decision.ts';
import { told, until } from '../../local/fixtures.ts';
import {
  create,
  fleetSpec,
  image,
  inService,
  instancesOf,
  instanceWhere,
  never,
  runs,
  script,
  update,
  WEB,
} from '../../local/instances/fixtures.ts';
import { startEngine, whyNoEngine } from '../engine.ts';
import { baseImages, dockerInstances } from './fixtures.ts';

const missing = whyNoEngine();
if (missing !== undefined) throw new Error(missing);
const engine = await startEngine();
t.teardown(() => engine.end());
await baseImages(engine);

t.test(
  'an instance is a container: created, replaced by another image, found again by the next operator, removed',
  async (t) => {
    const here = dockerInstances(t, engine);
    const driver = await here.open();
    await driver.declare(WEB, fleetSpec());
    const first = await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
    t.match(first, { created: true, applied: ['r1'], weight: 100, restarts: 0, attempt: { state: 'succeeded' } });
    t.match((await told(first.address)).env, {
      NAME: 'base1',
      SLUICE_INSTANCE: 'web-1',
      SLUICE_MOUNT_INSTANCE: '/instance',
    });
    await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
    await here.inside('web-1', ['sh', '-c', 'echo kept > /instance/file']);

    const second = await here.open();
    await second.declare(WEB, fleetSpec());
    t.strictSame(await instancesOf(second), [first], 'the next operator finds the same');
    const after = await update(second, 'web-1', 'web-1.2.1', runs('r2', { image: image('base:2') }));
    t.match(after, { applied: ['r1', 'r2'], service: 'in' });
    t.equal((await told(after.address)).env.NAME, 'base2');
    t.equal(await here.inside('web-1', ['cat', '/instance/file']), 'kept\n', 'its folder stays');
    t.equal((await here.containers()).length, 1);
    await t.rejects(
      driver.start(WEB, { kind: 'heal', unit: 'web-1', attempt: 'web-1.9' }, undefined, never),
      /a later operator has taken over/,
    );
    await second.start(WEB, { kind: 'remove', unit: 'web-1' }, undefined, never);
    await until(async () => (await instancesOf(second)).length === 0);
    await second.start(WEB, { kind: 'forget' }, undefined, never);
    t.strictSame(await second.resources(), []);
    t.strictSame([await here.containers(), await here.volumes()], [[], []], 'nothing is left');
  },
);

const logged = script(
  'echo "$SLUICE_RESOURCE $SLUICE_ROLLOUT $SLUICE_INSTANCE $PORT $NAME $(id -u)" >>ran; pwd >where',
  'echo undone >>ran',
);

t.test(
  'a script runs in the container, once for each attempt, and is taken back by the one that was stored',
  async (t) => {
    const here = dockerInstances(t, engine);
    const driver = await here.open();
    await driver.declare(WEB, fleetSpec());
    await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
    const [before] = await here.containers();
    const runnable = runs('r2', { image: image('base:1'), script: logged });
    const seen = await update(driver, 'web-1', 'web-1.2.1', runnable);
    t.match(seen, { applied: ['r1', 'r2'], attempt: { state: 'succeeded' } });
    t.strictSame((await here.containers())[0], before, 'the same image: the same container');
    t.equal(await here.inside('web-1', ['cat', '/instance/ran']), 'Fleet/web 2 web-1 8080 base1 0\n');
    t.equal(await here.inside('web-1', ['cat', '/instance/where']), '/instance\n');
    const again: Action = { kind: 'update', unit: 'web-1', attempt: 'web-1.2.1', change: { to: 'r2', undo: [] } };
    await driver.start(WEB, again, runnable, never);
    const failing = runs('r3', {
      image: image('base:2'),
      script: script('echo Error: full >&2; exit 3', 'echo no >>ran'),
    });
    const failed = await update(driver, 'web-1', 'web-1.3.1', failing);
    t.match(failed, {
      applied: ['r1', 'r2', 'r3'],
      attempt: { state: 'failed', message: 'script: exited with code 3: Error: full' },
    });
    const back = await update(driver, 'web-1', 'web-1.4.1', runs('r1', { image: image('base:1') }), ['r3', 'r2']);
    t.match(back, { applied: ['r1'], service: 'in', attempt: { state: 'succeeded' } });
    t.equal((await told(back.address)).env.NAME, 'base1', 'the image that it had');
    t.equal(await here.inside('web-1', ['cat', '/instance/ran']), 'Fleet/web 2 web-1 8080 base1 0\nno\nundone\n');
    t.match(await driver.verify(WEB, 'web-1', [{ http: { path: '/' } }, { command: ['test', '-f', 'ran'] }], never), {
      pass: true,
    });
    t.match(await driver.verify(WEB, 'web-1', [{ command: ['test', '-f', 'none'] }], never), { pass: false });
  },
);

t.test('an image that does not start, or is nowhere, fails the attempt in its own words', async (t) => {
  const here = dockerInstances(t, engine);
  const driver = await here.open();
  await driver.declare(WEB, fleetSpec());
  await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
  const broken = await update(driver, 'web-1', 'web-1.2.1', runs('r2', { image: image('broken:1') }));
  t.match(broken.attempt, { state: 'failed', message: /^broken:1: exited with code 4: Error: no such module/ });
  const nowhere = await update(driver, 'web-1', 'web-1.3.1', runs('r3', { image: image('127.0.0.1:1/none:1') }));
  t.match(nowhere.attempt, { state: 'failed', message: /^image 127.0.0.1:1\/none:1 cannot be pulled: / });
  const back = await update(driver, 'web-1', 'web-1.4.1', runs('r1'), ['r3', 'r2']);
  t.match(back, { applied: ['r1'], service: 'in', ready: true });
});

t.test(
  'a container that ends while a script runs in it: the script is not run again, and how it ended is unknown',
  async (t) => {
    const here = dockerInstances(t, engine);
    const driver = await here.open();
    await driver.declare(WEB, fleetSpec());
    await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
    const runnable = runs('r2', { image: image('base:1'), script: script('echo began >>ran; sleep 600') });
    const updating = update(driver, 'web-1', 'web-1.2.1', runnable);
    await until(async () => (await here.inside('web-1', ['cat', '/instance/ran'])) === 'began\n');
    const [before] = await here.containers();
    await engine.docker.getContainer(before?.id ?? '').kill();
    t.match((await updating).attempt, { state: 'unknown', message: /left no outcome/ });
    t.equal(await here.inside('web-1', ['cat', '/instance/ran']), 'began\n', 'in a container of its own again');
    t.not((await here.containers())[0]?.attempt, before?.attempt);
  },
);

t.test(
  'an operator that has lost its disk goes on from what lies on the engine, in the middle of a script',
  async (t) => {
    const here = dockerInstances(t, engine);
    const first = await here.open();
    await first.declare(WEB, fleetSpec());
    await create(first, 'web-1', runs('r1', { image: image('base:1') }));
    await create(first, 'web-2', runs('r1', { image: image('base:1') }));
    const ran = script('echo began >>ran; until [ -f go ]; do sleep 0.1; done; echo went on >>ran');
    const runnable = runs('r2', { image: image('base:1'), script: ran });
    const updating = update(first, 'web-1', 'web-1.2.1', runnable).catch(() => {});
    await until(async () => (await here.inside('web-1', ['cat', '/instance/ran'])) === 'began\n');
    const before = await here.containers();
    await first.close();
    rmSync(here.dataDir, { recursive: true });
    here.router.config.routes = {};

    const second = await here.open();
    await second.declare(WEB, fleetSpec());
    t.match(await instancesOf(second), [
      { id: 'web-1', applied: ['r1', 'r2'], service: 'out', attempt: { id: 'web-1.2.1', state: 'running' } },
      { id: 'web-2', applied: ['r1'] },
    ]);
    await here.inside('web-1', ['touch', '/instance/go']);
    await instanceWhere(second, 'web-1', ({ attempt, ready }) => ready && attempt?.state === 'succeeded');
    const other = await instanceWhere(second, 'web-2', inService);
    t.equal((await told(other.address)).env.NAME, 'base1', 'it is served where it listens');
    t.equal(await here.inside('web-1', ['cat', '/instance/ran']), 'began\nwent on\n');
    t.strictSame(await here.containers(), before, 'nothing was started anew');
    void updating;
  },
);

t.test(
  'a restart of the engine is survived: instances are put back, and an image under way is started again',
  async (t) => {
    const here = dockerInstances(t, engine);
    const driver = await here.open();
    await driver.declare(WEB, fleetSpec());
    await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
    await create(driver, 'web-2', runs('r1', { image: image('base:1') }));
    const ran = runs('r2', { image: image('base:2'), script: script('echo began >>ran; sleep 600') });
    const updating = update(driver, 'web-1', 'web-1.2.1', ran);
    await until(async () => (await here.inside('web-1', ['cat', '/instance/ran'])) === 'began\n');
    await engine.restart();
    t.match((await updating).attempt, { state: 'unknown' }, 'what ran is looked up, and was cut off');
    t.equal(await here.inside('web-1', ['cat', '/instance/ran']), 'began\n');
    const dead = await instanceWhere(driver, 'web-2', ({ ready }) => !ready);
    t.not(dead.diedAt, undefined);
    await driver.start(WEB, { kind: 'heal', unit: 'web-2', attempt: 'web-2.h1' }, undefined, never);
    const healed = await instanceWhere(driver, 'web-2', inService);
    t.equal((await told(healed.address)).env.NAME, 'base1');
  },
);

t.test('an image under way when the engine goes down has not failed: it is started again', async (t) => {
  const here = dockerInstances(t, engine);
  const driver = await here.open();
  await driver.declare(WEB, fleetSpec());
  await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
  const updating = update(driver, 'web-1', 'web-1.2.1', runs('r2', { image: image('late:1') }));
  await until(async () => (await here.inside('web-1', ['ls', '/instance'])) === 'started\n');
  await engine.restart();
  t.match(await updating, { attempt: { state: 'succeeded' }, service: 'in', applied: ['r1', 'r2'] });
});
