import { existsSync } from 'node:fs';
import t from 'tap';
import { readLogs } from '../../../../src/target/local/logs.ts';
import { userOf } from '../../../../src/target/local/processes.ts';
import { get, told, until } from '../fixtures.ts';
import {
  create,
  fleetSpec,
  image,
  inService,
  instancesOf,
  instancesPlace,
  instanceWhere,
  never,
  putBack,
  runs,
  script,
  takeOut,
  update,
  WEB,
} from './fixtures.ts';

const logged = script(
  'echo "$SLUICE_RESOURCE $SLUICE_ROLLOUT $SLUICE_INSTANCE" >> ran; pwd > where',
  'echo undone >> ran',
);

t.test('an instance is created with the declared image and script, then it is in service', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  t.strictSame(await instancesOf(driver), []);
  const runnable = runs('r1', { image: image('base:1'), script: script('echo ran >> ran; sleep 0.3') });
  const attempt = 'web-1.abc';
  await driver.start(WEB, { kind: 'create', unit: 'web-1', revision: 'r1', attempt }, runnable, never);
  t.match((await instancesOf(driver))[0], { service: 'out', ready: false, message: /^is being created/ });
  await driver.start(WEB, { kind: 'create', unit: 'web-1', revision: 'r1', attempt }, runnable, never);
  const seen = await instanceWhere(driver, 'web-1', inService);
  t.match(seen, { created: true, controlPlane: false, applied: ['r1'], weight: 100, restarts: 0, cordoned: false });
  t.match(seen.attempt, { id: attempt, state: 'succeeded' });
  t.equal(here.read('web-1', 'ran'), 'ran\n', 'the script ran in its folder, once');
  const { env } = await told(seen.address);
  t.match(env, { NAME: 'base1', SLUICE_INSTANCE: 'web-1', SLUICE_MOUNT_INSTANCE: here.home('web-1') });
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
  t.match(here.router.config.routes[WEB], { host: 'web.localhost', policy: { kind: 'percent', weights: { '': 100 } } });

  const second = await here.openInstances();
  await second.declare(WEB, fleetSpec());
  t.strictSame(await instancesOf(second), [seen], 'the next operator finds the same');
  await second.start(WEB, { kind: 'remove', unit: 'web-1' }, undefined, never);
  await until(async () => (await instancesOf(second)).length === 0);
  await t.rejects(get(seen.address), 'its process is gone');
  t.notOk(existsSync(here.home('web-1')));
  await second.start(WEB, { kind: 'forget' }, undefined, never);
  t.strictSame(await second.resources(), []);
  t.strictSame(here.router.config.routes, {});
});

t.test('an update replaces an image that changed, then runs the script; what did not change stays', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  const first = await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
  const before = await told(first.address);
  const scripted = await update(driver, 'web-1', 'web-1.2.1', runs('r2', { image: image('base:1'), script: logged }));
  t.match(scripted, { applied: ['r1', 'r2'], service: 'in', weight: 100, attempt: { state: 'succeeded' } });
  t.equal((await told(scripted.address)).pid, before.pid, 'the same image: the same process');
  t.equal(here.read('web-1', 'ran'), 'Fleet/web 2 web-1\n');
  t.equal(here.read('web-1', 'where'), `${here.home('web-1')}\n`);
  const both = await update(driver, 'web-1', 'web-1.3.1', runs('r3', { image: image('base:2'), script: logged }));
  t.equal((await told(both.address)).env.NAME, 'base2');
  t.equal(both.address, first.address, 'it keeps its port');
  t.equal(here.read('web-1', 'ran'), 'Fleet/web 2 web-1\nFleet/web 3 web-1\n');
  await driver.start(
    WEB,
    { kind: 'update', unit: 'web-1', attempt: 'web-1.3.1', change: { to: 'r3', undo: [] } },
    runs('r3', { script: logged }),
    never,
  );
  t.equal(here.read('web-1', 'ran').split('\n').length, 3, 'an attempt runs once');
});

t.test('a rollback puts back the image before and runs what was stored, top first', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  const first = runs('r1', { image: image('base:1') });
  await create(driver, 'web-1', first);
  const says = (what: string) => script(`echo run ${what} >> ran`, `echo undo ${what} >> ran`);
  await update(driver, 'web-1', 'web-1.2.1', runs('r2', { image: image('base:2'), script: says('r2') }));
  await update(
    driver,
    'web-1',
    'web-1.3.1',
    runs('r3', { image: image('base:2'), script: script('echo run r3 >> ran') }),
  );
  await update(driver, 'web-1', 'web-1.4.1', runs('r4', { image: image('base:2'), script: says('r4') }));
  const back = await update(driver, 'web-1', 'web-1.5.1', first, ['r4', 'r3', 'r2']);
  t.match(back, { applied: ['r1'], attempt: { state: 'succeeded', message: /r3 has no rollback script/ } });
  t.equal((await told(back.address)).env.NAME, 'base1');
  t.equal(here.read('web-1', 'ran'), 'run r2\nrun r3\nrun r4\nundo r4\nundo r2\n');
  await update(driver, 'web-1', 'web-1.6.1', runs('r2', { image: image('base:2'), rollbackImage: image('base:1') }));
  t.match(await update(driver, 'web-1', 'web-1.7.1', first, ['r2']), { applied: ['r1'] });
});

t.test('a rollback script that fails leaves its revision on top, and a retry goes on there', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  const first = runs('r1', { script: script('true') });
  await create(driver, 'web-1', first);
  await update(
    driver,
    'web-1',
    'web-1.2.1',
    runs('r2', { script: script('true', 'test -e well || { echo not well; exit 5; }') }),
  );
  await update(driver, 'web-1', 'web-1.3.1', runs('r3', { script: script('true', 'echo undone >> ran') }));
  const failed = await update(driver, 'web-1', 'web-1.4.1', first, ['r3', 'r2']);
  t.match(failed, {
    applied: ['r1', 'r2'],
    attempt: { state: 'failed', message: 'rollback script: exited with code 5: not well' },
  });
  await update(driver, 'web-1', 'web-1.4.2', runs('r9', { script: script('touch well') }));
  t.match(await update(driver, 'web-1', 'web-1.4.3', first, ['r9', 'r2']), { applied: ['r1'] });
  t.equal(here.read('web-1', 'ran'), 'undone\n');
});

t.test('what fails is told: a script, one that takes too long, an image that does not start', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
  const fails = await update(
    driver,
    'web-1',
    'web-1.2.1',
    runs('r2', { image: image('base:1'), script: script('echo disk full; exit 7') }),
  );
  t.match(fails, { service: 'out', ready: true, applied: ['r1', 'r2'] });
  t.match(fails.attempt, { state: 'failed', message: 'script: exited with code 7: disk full' });
  const slow = await update(
    driver,
    'web-1',
    'web-1.2.2',
    runs('r2', { image: image('base:1'), script: script('sleep 60', undefined, '1s') }),
  );
  t.match(slow.attempt, { state: 'failed', message: /^script: was ended after its timeout of 1 s/ });
  const broken = await update(driver, 'web-1', 'web-1.2.3', runs('r3', { image: image('broken:1') }));
  t.match(broken.attempt, { state: 'failed', message: /^broken:1: exited with code 4: Error: no such module/ });
  t.match(broken, { ready: false, applied: ['r1', 'r2', 'r3'] });
  const back = await update(driver, 'web-1', 'web-1.3.1', runs('r1', { image: image('base:1') }), ['r3', 'r2']);
  t.match(back, { ready: true, service: 'in', applied: ['r1'] });
});

t.test('an instance without an image is a folder alone', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  const seen = await create(driver, 'web-1', runs('r1', { script: logged }));
  t.match(seen, { ready: true, service: 'in' });
  t.equal(seen.address, undefined);
  t.equal(here.read('web-1', 'ran'), 'Fleet/web  web-1\n', 'no rollout created it');
});

t.test('what died is started again when it is asked for, and counts its restarts', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  const { address } = await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
  await get(address, '/exit').catch(() => {});
  const died = await instanceWhere(driver, 'web-1', ({ diedAt }) => diedAt !== undefined);
  t.match(died, { ready: false, restarts: 0, message: /^exited with code 3/ });
  await driver.start(WEB, { kind: 'heal', unit: 'web-1', attempt: 'web-1.h1' }, undefined, never);
  t.match(await instanceWhere(driver, 'web-1', inService), { restarts: 1, address });
});

t.test('a creation whose script fails is told, and tried again as another attempt when it is healed', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  const runnable = runs('r1', { script: script('echo x >> tries; test $(wc -l < tries) -gt 1') });
  await driver.start(WEB, { kind: 'create', unit: 'web-1', revision: 'r1', attempt: 'web-1.a' }, runnable, never);
  const failed = await instanceWhere(driver, 'web-1', ({ diedAt }) => diedAt !== undefined);
  t.match(failed, {
    ready: false,
    service: 'out',
    restarts: 1,
    message: 'could not be created: script: exited with code 1',
  });
  await driver.start(WEB, { kind: 'heal', unit: 'web-1', attempt: 'web-1.b' }, undefined, never);
  await instanceWhere(driver, 'web-1', inService);
  t.equal(here.read('web-1', 'tries'), 'x\nx\n');
});

t.test('out of service it leaves the router, once what is under way has ended; back it has its weight', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  for (const unit of ['web-1', 'web-2']) await create(driver, unit, runs('r1', { image: image('base:1') }));
  const backends = () => (here.router.config.routes[WEB]?.versions[''] ?? []).map(({ unit, weight }) => [unit, weight]);
  here.router.active['Fleet/web/web-1'] = 1;
  await driver.start(WEB, { kind: 'takeOut', unit: 'web-1', attempt: 'web-1.2.1', cordon: false }, undefined, never);
  await until(() => backends().length === 1);
  t.match((await instancesOf(driver))[0], { service: 'leaving', ready: true });
  const next = await here.openInstances();
  await next.declare(WEB, fleetSpec());
  t.match((await instancesOf(next))[0], { service: 'leaving' }, 'also to the next operator');
  here.router.active = {};
  await instanceWhere(next, 'web-1', ({ service }) => service === 'out');
  await putBack(next, 'web-1', 30);
  t.strictSame(backends(), [
    ['Fleet/web/web-1', 30],
    ['Fleet/web/web-2', 100],
  ]);
  t.match((await instancesOf(next))[0], { weight: 30 });
});

t.test('what is held from going on by itself outlives the operator', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  const suspended = async (of: typeof driver) => (await of.observe([WEB], never)).get(WEB)?.suspended;
  t.strictSame(await suspended(driver), []);
  await driver.start(WEB, { kind: 'suspend', processes: ['scaleIn', 'healthCheck'] }, undefined, never);
  t.strictSame(await suspended(await here.openInstances()), ['scaleIn', 'healthCheck']);
});

t.test('an updated instance is verified at its own port, at another, or by a command in its folder', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  await create(driver, 'web-1', runs('r1', { image: image('base:1'), script: script('echo here > file') }));
  const verify = (check: Parameters<typeof driver.verify>[2][number]) => driver.verify(WEB, 'web-1', [check], never);
  t.match(await verify({ http: { path: '/x' } }), { pass: true });
  t.match(await verify({ http: { path: '/x', port: 1 } }), { pass: false, message: /ECONNREFUSED/ });
  t.match(await verify({ command: ['grep', 'here', 'file'] }), { pass: true });
  t.match(await verify({ command: ['sh', '-c', 'echo it is ill; exit 3'] }), {
    pass: false,
    message: /ended with 3: it is ill/,
  });
  t.match(await verify({ http: { port: 'http' } }), { pass: false, message: /give its number/ });
});

t.test('an operator whose epoch is past acts no more', async (t) => {
  const here = instancesPlace(t);
  const first = await here.openInstances();
  await first.declare(WEB, fleetSpec());
  await create(first, 'web-1', runs('r1', { script: script('true') }));
  const second = await here.openInstances();
  await t.rejects(takeOut(first, 'web-1', 'web-1.2.1'), { code: 'stale-epoch' });
  await t.rejects(here.openInstances({ epoch: 1 }), { code: 'stale-epoch' });
  await second.declare(WEB, fleetSpec());
  t.match(await takeOut(second, 'web-1', 'web-1.2.1'), { service: 'out' });
});

t.test('what its process and its scripts wrote can be read, also without an operator', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  here.image('says:1', { 'says.sh': 'echo it serves; exec sleep 600\n' }, 'command: [sh, says.sh]\n');
  const attempt = 'web-1.a';
  const what = runs('r1', { image: image('says:1'), script: script('echo first step') });
  await driver.start(WEB, { kind: 'create', unit: 'web-1', revision: 'r1', attempt }, what, never);
  await instanceWhere(driver, 'web-1', inService);
  await update(driver, 'web-1', 'web-1.2.1', runs('r2', { script: script('echo second step; exit 3') }));
  await driver.close();
  const logs = await readLogs(here.dataDir, WEB, 'web-1');
  t.match(
    logs.map(({ container, text }) => [container, text]),
    [
      ['main', /attempt web-1\.a ---\nit serves\n$/],
      ['update-web-1.a', 'first step\n'],
      ['update-web-1.2.1', 'second step\n'],
    ],
  );
  t.strictSame(await readLogs(here.dataDir, WEB, 'web-2'), []);
});

const notRoot = process.getuid?.() !== 0 && 'only root may start processes as another user';

t.test('as another user: the process, the scripts and the checks, in its folder', { skip: notRoot }, async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances({ runAs: 'nobody' });
  await driver.declare(WEB, fleetSpec());
  const whoami = script('id -un > who; echo "$HOME" > at', 'id -un >> who');
  const { address } = await create(driver, 'web-1', runs('r1', { image: image('base:1'), script: whoami }));
  t.equal(here.read('web-1', 'who'), 'nobody\n');
  t.equal(here.read('web-1', 'at'), `${here.home('web-1')}\n`);
  const { pid } = await told(address);
  t.not(userOf(pid), 0);
  t.match(await driver.verify(WEB, 'web-1', [{ command: ['sh', '-c', 'test "$(id -un)" = nobody'] }], never), {
    pass: true,
  });
  await update(driver, 'web-1', 'web-1.2.1', runs('r2', { script: whoami }));
  t.match(await update(driver, 'web-1', 'web-1.3.1', runs('r1'), ['r2']), { applied: ['r1'] });
  t.equal(here.read('web-1', 'who'), 'nobody\nnobody\n');
});
