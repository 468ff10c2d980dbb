import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Check, Container } from '../../../src/manifest/resource.ts';
import { findGroups } from '../../../src/target/local/cgroup.ts';
import {
  container,
  dead,
  get,
  isGone,
  listen,
  live,
  never,
  place,
  probe,
  processesWith,
  ready,
  runnable,
  served,
  start,
  stop,
  told,
  unitOf,
  unitWhere,
  until,
  WEB,
} from './fixtures.ts';

const health = { httpGet: { path: '/health', port: 'http' } };
/** Root may part the processor between sessions here. */
const isParted = process.geteuid?.() === 0 && existsSync('/proc/self/autogroup');
const after = (ms: number): Container['env'] => [{ name: 'START_MS', value: String(ms) }];
const SLEEPER = { 'sleeper.js': 'setInterval(() => {}, 1000);' };
const SLEEPS = 'command: [node, sleeper.js]\n';

t.test('readiness is noticed soon after the socket listens, however slow the start', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const runs = runnable({
    containers: [container({ env: after(800), readinessProbe: probe(health, { periodSeconds: 3600 }) })],
  });
  await start(driver, 'web-1', runs);
  // Asked at least once in vain: the next period would come in an hour.
  await unitWhere(driver, 'web-1', ({ message }) => /^not ready yet: /.test(message ?? ''));
  t.match(await unitOf(driver, 'web-1'), { phase: 'starting', ready: false, address: undefined });
  const { containers } = JSON.parse(readFileSync(join(here.folder('web-1'), 'unit.json'), 'utf8'));
  const session = `/proc/${containers[0].process.pid}/autogroup`;
  if (isParted) t.match(readFileSync(session, 'utf8'), / nice 10$/m, 'it goes behind what serves');
  await unitWhere(driver, 'web-1', ready);
  if (isParted) t.match(readFileSync(session, 'utf8'), / nice 0$/m);
  t.match(readFileSync(join(here.folder('web-1'), 'logs/main/stdout'), 'utf8'), 'listening');
});

t.test('what never listens, exits at once, cannot be started or has its port taken', async (t) => {
  const here = place(t);
  here.image('sleeper:1', SLEEPER, SLEEPS);
  here.image('broken:1', { 'server.js': "require('./not-there')" });
  here.image('failing:1', { 'server.js': "console.error('first'); console.error('second'); process.exit(7)" });
  here.image('signal:1', { 'server.js': "process.kill(process.pid, 'SIGABRT'); setInterval(() => {}, 1000)" });
  here.image('odd:1', {}, 'command: [no-such-program]\n');
  const driver = await here.open();
  const of = (image: string, fields: Partial<Container> = {}) =>
    runnable({ containers: [container({ image, ...fields })] });
  await start(driver, 'silent', of('sleeper:1'));
  await start(driver, 'broken', of('broken:1'));
  await start(driver, 'failing', of('failing:1'));
  await start(driver, 'signal', of('signal:1'));
  await start(driver, 'odd', of('odd:1'));
  await start(driver, 'none', of('none:1'));
  await start(driver, 'astray', of('web:1', { workingDir: '/no/such/folder' }));
  t.match(
    (await unitWhere(driver, 'broken', dead)).message,
    /^exited with code 1: Error: Cannot find module '.\/not-there'/,
  );
  t.match((await unitWhere(driver, 'failing', dead)).message, 'exited with code 7: first / second');
  t.match((await unitWhere(driver, 'signal', dead)).message, /^ended by signal SIGABRT/);
  t.match((await unitWhere(driver, 'odd', dead)).message, /program no-such-program is not on this machine's PATH/);
  t.match((await unitWhere(driver, 'none', dead)).message, /image none:1 has no file image.yaml/);
  t.match((await unitWhere(driver, 'astray', dead)).message, /working directory \/no\/such\/folder does not exist/);
  t.match(await unitOf(driver, 'silent'), { phase: 'starting', ready: false });

  await start(driver, 'late', of('web:1', { env: after(60_000) }));
  await until(
    () =>
      existsSync(join(here.folder('late'), 'unit.json')) && here.record('late').containers[0]?.process !== undefined,
  );
  const port = here.record('late').containers[0]?.ports['8080'] ?? 0;
  const thief = await listen(port);
  t.teardown(() => thief.close());
  t.match((await unitWhere(driver, 'late', dead)).message, `port ${port} is held by another process`);
  await start(driver, 'late', of('web:1'));
  await unitWhere(driver, 'late', ready);
  t.not(here.record('late').containers[0]?.ports['8080'], port);
});

t.test(
  'a worker without ports is ready when it has lived, and a server that declares none is served all the same',
  async (t) => {
    const here = place(t);
    here.image('sleeper:1', SLEEPER, SLEEPS);
    const driver = await here.open();
    await driver.declare(WEB, served('web.localhost'));
    await start(driver, 'worker', runnable({ containers: [container({ image: 'sleeper:1', ports: [] })] }));
    await start(driver, 'server', runnable({ containers: [container({ ports: [] })] }));
    const server = await unitWhere(driver, 'server', ready);
    t.equal((await told(server.address)).env.PORT, server.address?.split(':')[1]);
    t.match(await unitWhere(driver, 'worker', ready), { address: undefined });
    await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
  },
);

t.test('readiness follows its probe and thresholds, and the router follows readiness', async (t) => {
  const here = place(t);
  const driver = await here.open();
  await driver.declare(WEB, served('web.localhost'));
  const readinessProbe = probe(health, { failureThreshold: 2, successThreshold: 2 });
  await start(driver, 'web-1', runnable({ containers: [container({ readinessProbe })] }));
  const { address, readySince } = await unitWhere(driver, 'web-1', ready);
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
  await get(address, '/fail');
  const unready = await unitWhere(driver, 'web-1', (unit) => !unit.ready);
  t.ok((await told(address)).ill >= 2, 'not at the first failure');
  t.ok((unready.unreadySince ?? 0) > (readySince ?? 0));
  t.match(unready, { phase: 'running', message: /^not ready: GET \/health: answered 500/ });
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 0);
  await get(address, '/heal');
  const healed = await unitWhere(driver, 'web-1', ready);
  t.ok((healed.readySince ?? 0) > (readySince ?? 0));
  t.equal(healed.message, undefined);
  t.equal(healed.unreadySince, undefined);
});

t.test('liveness ends what it condemns, in order; the startup probe holds it back', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const livenessProbe = probe(health, { failureThreshold: 2 });
  const startupProbe = probe({ tcpSocket: { port: 8080 } }, { failureThreshold: 20 });
  await start(
    driver,
    'web-1',
    runnable({ containers: [container({ livenessProbe, startupProbe, env: after(1500) })] }),
  );
  const { address } = await unitWhere(driver, 'web-1', (unit) => unit.ready || unit.phase === 'dead');
  t.ok(address, 'liveness did not end it before it had started');
  await get(address, '/fail');
  const died = await unitWhere(driver, 'web-1', dead);
  t.equal(died.message, 'liveness probe failed: GET /health: answered 500');
  t.match(readFileSync(join(here.folder('web-1'), 'logs/main/stdout'), 'utf8'), /terminated/, 'SIGTERM came first');
  t.strictSame(processesWith(`SLUICE_FOLDER=${here.dataDir}/`), []);

  const hasty = probe({ exec: { command: ['sh', '-c', 'echo no >&2; exit 4'] } });
  await start(driver, 'web-2', runnable({ containers: [container({ startupProbe: hasty })] }));
  t.equal((await unitWhere(driver, 'web-2', dead)).message, 'startup probe failed: sh: ended with 4: no');
});

t.test('every kind of probe, and those that take too long', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const httpHeaders = [{ name: 'X-Probe', value: 'yes' }];
  const beside = ['sh', '-c', 'test "$SLUICE_UNIT" = "$0" -a -e server.js -a -n "$PORT"', 'exec'];
  const probes = {
    http: probe({ httpGet: { path: '/health', port: 8080, httpHeaders } }),
    tcp: probe({ tcpSocket: { port: 'http' } }),
    exec: probe({ exec: { command: beside } }),
  };
  for (const [unit, readinessProbe] of Object.entries(probes)) {
    await start(driver, unit, runnable({ containers: [container({ readinessProbe })] }));
    await unitWhere(driver, unit, ready);
  }
  const waits = probe({ tcpSocket: { port: 'http' } }, { initialDelaySeconds: 1 });
  await start(driver, 'delayed', runnable({ containers: [container({ readinessProbe: waits })] }));
  const { readySince = 0 } = await unitWhere(driver, 'delayed', ready);
  t.ok(readySince >= here.record('delayed').startedAt + 1000, 'not before its initial delay');
  const slow = probe({ exec: { command: ['sleep', '30'] } });
  await start(driver, 'slow', runnable({ containers: [container({ readinessProbe: slow })] }));
  t.match(await unitWhere(driver, 'slow', ({ message }) => message !== undefined), {
    ready: false,
    message: 'not ready yet: sleep: took longer than 1 s',
  });
});

t.test('a unit of several containers: ready when all are, dead when one is, and nothing of it stays', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const metrics = { name: 'metrics', containerPort: 9090 };
  const side = container({ name: 'side', env: after(500), ports: [metrics] });
  const main = container({ ports: [{ containerPort: 8080 }, { name: 'admin-ui', containerPort: 8081 }] });
  await start(driver, 'web-1', runnable({ containers: [main, side] }));
  await until(
    () =>
      existsSync(join(here.folder('web-1'), 'unit.json')) && here.record('web-1').containers[1]?.process !== undefined,
  );
  const { address } = await unitWhere(driver, 'web-1', ready);
  const [first, second] = here.record('web-1').containers;
  const { env } = await told(address);
  t.match(env, {
    PORT: String(first?.ports['8080']),
    PORT_ADMIN_UI: String(first?.ports['8081']),
    SLUICE_CONTAINER: 'main',
  });
  const beside = await told(`127.0.0.1:${second?.ports['9090']}`);
  t.match(beside.env, { PORT: String(second?.ports['9090']), PORT_METRICS: String(second?.ports['9090']) });
  const check = (http: Extract<Check, { http: object }>['http']) => driver.check(WEB, '', { http }, never);
  t.match(await check({ path: '/health', port: 'metrics' }), { pass: true });
  await get(`127.0.0.1:${second?.ports['9090']}`, '/exit').catch(() => {});
  t.match(await unitWhere(driver, 'web-1', dead), { message: /^container side exited with code 3/ });
  t.strictSame(processesWith(`SLUICE_FOLDER=${here.dataDir}/`), []);
});

t.test('checks are asked of every ready unit of a version', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const ask = (version: string, check: Check) => driver.check(WEB, version, check, never);
  t.match(await ask('v1', { http: { path: '/' } }), { pass: false, message: /no unit of version v1 is ready/ });
  for (const unit of ['web-1', 'web-2']) await start(driver, unit, runnable(), 0, 'v1');
  const [one] = await Promise.all(['web-1', 'web-2'].map((unit) => unitWhere(driver, unit, ready)));
  t.match(await ask('v1', { http: { path: '/health' } }), { pass: true, message: /2 of 2/ });
  t.match(await ask('v1', { command: ['test', '-e', 'server.js'] }), { pass: true });
  t.match(await ask('v1', { command: ['sh', '-c', 'echo "$SLUICE_VERSION is bad"; exit 1'] }), {
    pass: false,
    message: /v1 is bad/,
  });
  await get(one?.address, '/fail');
  t.match(await ask('v1', { http: { path: '/health' } }), {
    pass: false,
    message: /1 of 2 units: web-1: .*answered 500/,
  });
  t.match(await ask('other', { http: { url: `http://${one?.address}/` } }), { pass: true });
  t.match(await ask('v1', { http: { url: 'http://127.0.0.1:1/' } }), { pass: false, message: /ECONNREFUSED/ });
});

t.test('a unit leaves the router, finishes what it serves, hears its hooks and SIGTERM, in this order', async (t) => {
  const here = place(t);
  here.image(
    'drained:1',
    {},
    'command: [node, server.js]\ndrain: [sh, -c, \'echo drain >> "$SLUICE_FOLDER/../order"\']\n',
  );
  here.image(
    'drained:1',
    { 'server.js': readFileSync(join(here.images, 'web/1/server.js'), 'utf8') },
    readFileSync(join(here.images, 'drained/1/image.yaml'), 'utf8'),
  );
  const driver = await here.open();
  await driver.declare(WEB, served('web.localhost'));
  const order = join(here.folder('web-1'), '../order');
  const say = (word: string) => ({ exec: { command: ['sh', '-c', 'echo "$0" >> "$SLUICE_FOLDER/../order"', word] } });
  const lifecycle = { postStart: say('postStart'), preStop: say('preStop') };
  await start(driver, 'web-1', runnable({ containers: [container({ image: 'drained:1', lifecycle })] }));
  const { address } = await unitWhere(driver, 'web-1', ready);
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
  here.router.active['Workload/web/web-1'] = 1;
  await stop(driver, 'web-1');
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 0);
  await sleep(300);
  t.equal((await get(address)).status, 200, 'it goes on while the router has something under way for it');
  t.equal(readFileSync(order, 'utf8'), 'postStart\n');
  delete here.router.active['Workload/web/web-1'];
  await until(async () => (await live(driver)).units.length === 0);
  t.equal(readFileSync(order, 'utf8'), 'postStart\ndrain\npreStop\n');
  t.match(readFileSync(join(here.folder('web-1'), 'logs/main/stdout'), 'utf8'), /terminated/);
});

const spawning = (command: string, options: string) =>
  `console.log(require('node:child_process').spawn(${command}, ${options}).pid);`;
/** Hears SIGTERM and stays; has a child, one without an environment, and one without either environment or session. */
const DEAF = `
process.on('SIGTERM', () => console.log('deaf'));
${spawning("'sleep', ['600']", "{ stdio: 'ignore' }")}
${spawning("'env', ['-i', 'sleep', '600']", "{ stdio: 'ignore' }")}
${spawning("'env', ['-i', 'setsid', 'sleep', '600']", "{ stdio: 'ignore' }")}
setInterval(() => {}, 1000);`;

t.test('grace is bounded: what does not let go of its traffic or its life is ended, with its children', async (t) => {
  const here = place(t);
  here.image('deaf:1', { 'sleeper.js': DEAF }, SLEEPS);
  const driver = await here.open();
  const output = () => readFileSync(join(here.folder('web-1'), 'logs/main/stdout'), 'utf8');
  const children = () => (output().match(/^\d+$/gm) ?? []).map(Number);
  const deaf = runnable({ containers: [container({ image: 'deaf:1', ports: [] })], grace: 1 });
  const begin = async (expected: number) => {
    await start(driver, 'web-1', deaf);
    await unitWhere(driver, 'web-1', ready);
    await until(() => children().length === expected);
    t.strictSame(children().slice(-3).map(isGone), [false, false, false], 'its children run');
  };
  await begin(3);
  here.router.active['Workload/web/web-1'] = 1;
  await stop(driver, 'web-1');
  await until(async () => (await live(driver)).units.length === 0);
  t.match(output(), 'deaf', 'it was asked to end before it was ended');
  t.strictSame(processesWith(`SLUICE_FOLDER=${here.dataDir}/`), []);
  t.strictSame(
    children().filter((pid) => !isGone(pid)),
    [],
    'nor does a child without environment or session stay',
  );

  delete here.router.active['Workload/web/web-1'];
  await begin(6);
  process.kill(here.record('web-1').containers[0]?.process?.pid ?? 0, 'SIGKILL');
  await unitWhere(driver, 'web-1', dead);
  t.strictSame(processesWith(`SLUICE_FOLDER=${here.dataDir}/`), [], 'nothing outlives a crash either');
  t.strictSame(
    children().filter((pid) => !isGone(pid)),
    [],
  );
});

t.test(
  'where control groups can be made, no child escapes, whoever was its parent, and whatever the operator saw',
  { skip: findGroups().any === undefined && 'no control groups here' },
  async (t) => {
    const here = place(t);
    // The parent of the sleeper ends at once: nothing but its group tells whose it is.
    const daemon = [
      'until grep -q /sluice- /proc/$$/cgroup; do sleep 0.02; done',
      "sh -c 'env -i setsid sleep 600 >/dev/null 2>&1 & echo $!'",
      'exec sleep 600',
    ];
    here.image('daemon:1', { 'run.sh': `${daemon.join('\n')}\n` }, 'command: [sh, run.sh]\n');
    const runs = runnable({ containers: [container({ image: 'daemon:1', ports: [] })], grace: 1 });
    const children = (unit: string) =>
      (readFileSync(join(here.folder(unit), 'logs/main/stdout'), 'utf8').match(/^\d+$/gm) ?? []).map(Number);
    const first = await here.open();
    for (const unit of ['stopped', 'crashed', 'unseen', 'lost']) {
      await start(first, unit, runs);
      await until(() => existsSync(join(here.folder(unit), 'logs/main/stdout')) && children(unit).length === 1);
      t.strictSame(children(unit).map(isGone), [false]);
    }
    const leader = (unit: string) => here.record(unit).containers[0]?.process?.pid ?? 0;
    await stop(first, 'stopped');
    await until(async () => (await unitOf(first, 'stopped')) === undefined);
    process.kill(leader('crashed'), 'SIGKILL');
    await unitWhere(first, 'crashed', dead);
    await first.close();
    process.kill(leader('unseen'), 'SIGKILL');
    writeFileSync(join(here.folder('lost'), 'unit.json'), '');
    const second = await here.open();
    for (const unit of ['unseen', 'lost']) await unitWhere(second, unit, dead);
    for (const unit of ['stopped', 'crashed', 'unseen', 'lost']) t.strictSame(children(unit).map(isGone), [true], unit);
  },
);

t.test('a postStart that fails ends the unit; a stop in the middle of a start wins', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const hook = (command: string[]) =>
    runnable({ containers: [container({ lifecycle: { postStart: { exec: { command } } } })] });
  await start(driver, 'web-1', hook(['sh', '-c', 'echo no good; exit 1']));
  t.equal(
    (await unitWhere(driver, 'web-1', dead)).message,
    'container main: postStart failed: sh: ended with 1: no good',
  );
  await start(driver, 'web-2', hook(['sleep', '60']));
  await until(() => here.record('web-2').containers[0]?.postStart === 'begun');
  await stop(driver, 'web-2');
  await start(driver, 'web-3', runnable());
  await stop(driver, 'web-3');
  await until(async () => (await live(driver)).units.every(({ id }) => id === 'web-1'));
  t.strictSame(processesWith(`SLUICE_FOLDER=${here.folder('web-3')}`), []);
});
