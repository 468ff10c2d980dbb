import { existsSync, lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Volume } from '../../../src/manifest/resource.ts';
import { findGroups } from '../../../src/target/local/cgroup.ts';
import {
  container,
  dead,
  get,
  isGone,
  place,
  probe,
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

const SECRET = 'correct-horse-battery-staple';

/** Every file below a folder that holds the text. */
function holding(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path, 'utf8').includes(text));
}

t.test('the environment is what is declared and what is needed, and nothing of the operator', async (t) => {
  const here = place(t);
  process.env.SLUICE_TEST_LEAK = 'leak';
  t.teardown(() => delete process.env.SLUICE_TEST_LEAK);
  here.image('web:1', {}, 'command: [node, server.js, image]\nenv: {LEVEL: image, ONLY_IMAGE: "1"}\n');
  here.secrets = { db: { password: Buffer.from(SECRET), user: Buffer.from('shop') } };
  const configMaps = { settings: { data: { colour: 'green', LEVEL: 'settings' }, binaryData: {} } };
  const main = container({
    args: ['--level', '$(LEVEL)', '$$(LEVEL)', '$(NOT_THERE)', '--port=$(PORT)'],
    envFrom: [
      { configMapRef: { name: 'settings' } },
      { prefix: 'DB_', secretRef: { name: 'db' } },
      { configMapRef: { name: 'not-there', optional: true } },
    ],
    env: [
      { name: 'LEVEL', value: 'manifest' },
      { name: 'URL', value: 'http://127.0.0.1:$(PORT)/$(LEVEL)' },
      { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
      { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } },
      { name: 'DSN', value: 'db://$(PASSWORD)@db' },
      { name: 'NONE', valueFrom: { secretKeyRef: { name: 'db', key: 'none', optional: true } } },
      { name: 'UNIT', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'TIER', valueFrom: { fieldRef: { fieldPath: "metadata.labels['tier']" } } },
      { name: 'ADDRESS', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
      { name: 'PORT', value: '80' },
      { name: 'SLUICE_UNIT', value: 'somebody' },
    ],
  });
  const driver = await here.open();
  const attempt = await start(
    driver,
    'web-1',
    runnable({ containers: [main], configMaps, labels: { tier: 'front' } }),
    0,
    'v8',
  );
  const { address } = await unitWhere(driver, 'web-1', ready);
  const port = address?.split(':')[1];
  const { env, argv, cwd } = await told(address);
  t.match(env, {
    LEVEL: 'manifest',
    ONLY_IMAGE: '1',
    URL: `http://127.0.0.1:${port}/manifest`,
    COLOUR: 'green',
    colour: 'green',
    PASSWORD: SECRET,
    DB_user: 'shop',
    DSN: `db://${SECRET}@db`,
    UNIT: 'web-1',
    TIER: 'front',
    ADDRESS: '127.0.0.1',
    NODE: hostname(),
    PORT: port,
    PORT_HTTP: port,
    SLUICE_RESOURCE: 'Workload/web',
    SLUICE_REVISION: 'aaaaaaaaaa',
    SLUICE_VERSION: 'v8',
    SLUICE_UNIT: 'web-1',
    SLUICE_ATTEMPT: attempt,
  });
  t.notHas(env, { SLUICE_TEST_LEAK: 'leak' });
  t.notHas(env, { NONE: '' });
  t.strictSame(argv.slice(2), ['image', '--level', 'manifest', '$(LEVEL)', '$(NOT_THERE)', `--port=${port}`]);
  t.equal(cwd, join(here.folder('web-1'), 'run/containers/main'));

  const other = container({ command: ['node', 'server.js', 'own'], workingDir: here.images, env: [] });
  other.command = ['node', 'web/1/server.js', 'own'];
  await start(driver, 'web-2', runnable({ containers: [other] }));
  const second = await told((await unitWhere(driver, 'web-2', ready)).address);
  t.equal(second.cwd, here.images, 'an absolute workingDir is the machine’s');
  t.strictSame(second.argv.slice(2), ['own'], 'command takes the place of the image’s');
  here.image('web:1', { 'app/main.js': "require('../server.js')" });
  const inside = container({ workingDir: 'app', command: ['node', 'main.js'] });
  await start(driver, 'web-3', runnable({ containers: [inside] }));
  const third = await told((await unitWhere(driver, 'web-3', ready)).address);
  t.equal(third.cwd, join(here.images, 'web/1/app'), 'another is a folder of the image');
});

t.test('a secret is in no file of the data folder, no argument, no message', async (t) => {
  const here = place(t);
  here.secrets = { db: { password: Buffer.from(`${SECRET}\n`) } };
  here.image('web:1', {
    'tells.js': 'console.error("Error: cannot log in with " + process.env.PASSWORD.trim()); process.exit(1)',
  });
  const env = [{ name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } }];
  const driver = await here.open();
  await start(driver, 'web-1', runnable({ containers: [container({ env })] }));
  const { address } = await unitWhere(driver, 'web-1', ready);
  const { pid } = await told(address);
  t.strictSame(holding(here.dataDir, SECRET), []);
  t.notMatch(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), SECRET);

  await start(driver, 'web-2', runnable({ containers: [container({ env, args: ['--password=$(PASSWORD)'] })] }));
  t.match(
    (await unitWhere(driver, 'web-2', dead)).message,
    /an argument of container main names a variable that holds a secret/,
  );
  await start(driver, 'web-3', runnable({ containers: [container({ env, command: ['node', 'tells.js'] })] }));
  t.equal((await unitWhere(driver, 'web-3', dead)).message, 'exited with code 1: Error: cannot log in with ***');
  t.strictSame(holding(join(here.folder('web-3'), '..'), SECRET), [join(here.folder('web-3'), 'logs/main/stdout')]);
  const missing = [{ name: 'X', valueFrom: { secretKeyRef: { name: 'db', key: 'x' } } }];
  await start(driver, 'web-4', runnable({ containers: [container({ env: missing })] }));
  t.match(
    (await unitWhere(driver, 'web-4', dead)).message,
    'Secret db has no key x; add db/x to the folder of --secrets-dir',
  );
});

t.test(
  'an operator that finds a unit without its secret lets it serve, watches it and stops it in order',
  async (t) => {
    const here = place(t);
    here.secrets = { db: { password: Buffer.from(SECRET) } };
    const env = [{ name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } }];
    const asks = (command: string[]) => probe({ exec: { command } });
    const knows = asks(['sh', '-c', 'test -n "$PASSWORD"']);
    const containers = [container({ env, readinessProbe: knows, livenessProbe: knows })];
    const first = await here.open();
    await first.declare(WEB, served('web.localhost'));
    for (const unit of ['web-1', 'web-2']) {
      await start(first, unit, runnable({ containers }));
      await unitWhere(first, unit, ready);
    }
    const not = container({ env, readinessProbe: asks(['false']) });
    await start(first, 'web-3', runnable({ containers: [not] }));
    await unitWhere(first, 'web-3', ({ message }) => message !== undefined);
    await until(() => here.router.config.routes[WEB]?.versions['']?.length === 2);
    await first.close();
    const routed = structuredClone(here.router.config.routes);
    here.secrets = {};

    const second = await here.open();
    const found = await unitOf(second, 'web-1');
    t.match(found, { ready: true, message: /hooks that are commands cannot be run: Secret db has no key password/ });
    const { pid } = await told(found?.address);
    await get(found?.address, '/exit').catch(() => {});
    await unitWhere(second, 'web-1', dead);
    t.ok(isGone(pid));
    t.match(await unitOf(second, 'web-2'), { ready: true });
    t.match(await unitOf(second, 'web-3'), { ready: false, phase: 'starting' }, 'what was not ready is not made so');
    const [, kept] = routed[WEB]?.versions[''] ?? [];
    t.strictSame(here.router.config.routes[WEB]?.versions[''], [kept], 'traffic stays where it was');
    here.router.active['Workload/web/web-2'] = 1;
    const { address } = (await unitOf(second, 'web-2')) ?? {};
    await stop(second, 'web-2');
    await until(() => here.router.config.routes[WEB]?.versions['']?.length === 0);
    t.equal((await get(address)).status, 200, 'it finishes what it serves');
    delete here.router.active['Workload/web/web-2'];
    await until(async () => (await unitOf(second, 'web-2')) === undefined);
    t.match(readFileSync(join(here.folder('web-2'), 'logs/main/stdout'), 'utf8'), 'terminated', 'SIGTERM came first');
  },
);

const volumes: Volume[] = [
  { name: 'data', disk: { size: '1Mi' } },
  { name: 'shared', file: { size: '1Mi' } },
  { name: 'conf', configMap: { name: 'settings', items: [{ key: 'a.conf', path: 'd/a.conf' }] } },
  { name: 'keys', secret: { secretName: 'tls' } },
  { name: 'tmp', emptyDir: {} },
];

t.test(
  'volumes are folders: a disk stays with its unit, a file is shared, the rest is new with each attempt',
  async (t) => {
    const here = place(t);
    here.secrets = { tls: { 'tls.key': Buffer.from(SECRET) } };
    here.image('web:1', { 'app/index.html': 'index', 'app/conf/old': 'old', README: 'image' });
    const configMaps = {
      settings: { data: { 'a.conf': 'one' }, binaryData: { b: Buffer.from([0, 255]).toString('base64') } },
    };
    const volumeMounts = [
      { name: 'data', mountPath: '/data' },
      { name: 'data', mountPath: '/cache', subPath: 'cache/one' },
      { name: 'shared', mountPath: '/var/shared' },
      { name: 'conf', mountPath: '/app/conf' },
      { name: 'keys', mountPath: '/keys' },
      { name: 'tmp', mountPath: '/tmp' },
    ];
    const runs = runnable({ containers: [container({ volumeMounts })], volumes, configMaps });
    const driver = await here.open();
    for (const unit of ['web-1', 'web-2']) await start(driver, unit, runs);
    const { address } = await unitWhere(driver, 'web-1', ready);
    await unitWhere(driver, 'web-2', ready);
    const { cwd, env, pid } = await told(address);
    const file = (...path: string[]) => join(cwd, ...path);
    t.equal(readFileSync(file('README'), 'utf8'), 'image');
    t.equal(readFileSync(file('app/index.html'), 'utf8'), 'index', 'the image is there around a mount');
    t.strictSame(readdirSync(file('app/conf')), ['d'], 'a mount hides what the image has there');
    t.equal(readFileSync(file('app/conf/d/a.conf'), 'utf8'), 'one');
    t.ok(existsSync(join(here.images, 'web/1/app/conf/old')), 'the image itself is untouched');
    t.equal(readFileSync(file('keys/tls.key'), 'utf8'), SECRET);
    t.equal(statSync(file('keys')).mode & 0o777, 0o700);
    t.equal(statSync(file('keys/tls.key')).mode & 0o777, 0o600);
    t.match(env, { SLUICE_MOUNT_DATA: join(here.dataDir, 'volumes/Workload-web/disk/data/web-1') });
    writeFileSync(file('data/kept'), 'one');
    writeFileSync(file('cache/kept'), 'one');
    writeFileSync(file('var/shared/seen'), 'all');
    writeFileSync(file('tmp/lost'), 'one');
    const beside = here.folder('web-2');
    t.equal(readFileSync(join(beside, 'run/containers/main/var/shared/seen'), 'utf8'), 'all');
    t.notOk(existsSync(join(beside, 'run/containers/main/data/kept')));

    process.kill(pid, 'SIGKILL');
    await unitWhere(driver, 'web-1', dead);
    await start(driver, 'web-1', runs, 1);
    await unitWhere(driver, 'web-1', ready);
    t.equal(readFileSync(file('data/kept'), 'utf8'), 'one');
    t.equal(readFileSync(file('data/cache/one/kept'), 'utf8'), 'one');
    t.notOk(existsSync(file('tmp/lost')));
    await stop(driver, 'web-1');
    await until(async () => (await unitOf(driver, 'web-1')) === undefined);
    t.strictSame(readdirSync(here.folder('web-1')), ['logs'], 'no secret stays');
    await start(driver, 'web-1', runs);
    await unitWhere(driver, 'web-1', ready);
    t.equal(readFileSync(file('data/kept'), 'utf8'), 'one', 'the disk waits for the next unit of the name');
  },
);

t.test('mounts that cannot be placed are told', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const cases: [string, { mountPath: string; subPath?: string }[], RegExp][] = [
    ['nested', [{ mountPath: '/data' }, { mountPath: '/data/inner' }], /\/data\/inner lies inside another mount/],
    ['root', [{ mountPath: '/' }], /whole of the working directory/],
    ['twice', [{ mountPath: '/data' }, { mountPath: '/data/' }], /two mounts or log files meet/],
    ['climbs', [{ mountPath: '/data', subPath: '../other' }], /leaves its folder/],
    ['file', [{ mountPath: '/server.js/data' }], /below a file/],
  ];
  for (const [unit, mounts, message] of cases) {
    const volumeMounts = mounts.map((mount) => ({ name: 'data', ...mount }));
    await start(driver, unit, runnable({ containers: [container({ volumeMounts })], volumes: volumes.slice(0, 1) }));
    t.match((await unitWhere(driver, unit, dead)).message, message);
  }
});

t.test(
  'run-as: processes and what they may write belong to that user',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async (t) => {
    const here = place(t);
    here.secrets = { tls: { 'tls.key': Buffer.from(SECRET) } };
    const driver = await here.open({ runAs: 'nobody' });
    const volumeMounts = volumes.map(({ name }) => ({ name, mountPath: `/${name}` }));
    const configMaps = { settings: { data: { 'a.conf': 'one' }, binaryData: {} } };
    await start(driver, 'web-1', runnable({ containers: [container({ volumeMounts })], volumes, configMaps }));
    const { address } = await unitWhere(driver, 'web-1', ready);
    const { pid, env, cwd } = await told(address);
    const uid = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    t.not(uid, 0);
    t.match(env, { USER: 'nobody', LOGNAME: 'nobody', HOME: cwd });
    for (const path of ['.', 'data', 'shared', 'tmp', 'keys', 'keys/tls.key'])
      t.equal(statSync(join(cwd, path)).uid, uid, path);
    t.equal(lstatSync(join(here.folder('web-1'), 'unit.json')).uid, 0);
    await driver.close();
    await t.rejects(here.open({ runAs: 'no-such-user' }), { message: /--run-as no-such-user/ });
  },
);

const groups = findGroups();
t.test(
  'limits hold through control groups',
  { skip: groups.memory === undefined && 'no control groups here' },
  async (t) => {
    const here = place(t);
    const driver = await here.open();
    const resources = { limits: { memory: '150Mi', cpu: '500m' } };
    await start(driver, 'web-1', runnable({ containers: [container({ resources })] }));
    const { address } = await unitWhere(driver, 'web-1', ready);
    const { pid } = await told(address);
    const own = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    const [, name = ''] = /(sluice-[0-9a-f-]{33})/.exec(own) ?? [];
    const folder = join(groups.memory?.folder ?? '', name);
    const limit = groups.memory?.version === 1 ? 'memory.limit_in_bytes' : 'memory.max';
    t.equal(Number(readFileSync(join(folder, limit), 'utf8')), 150 * 2 ** 20);
    if (groups.cpu?.version === 1)
      t.equal(Number(readFileSync(join(groups.cpu.folder, name, 'cpu.cfs_quota_us'), 'utf8')), 50_000);

    here.image('greedy:1', { 'server.js': 'const held = []; setInterval(() => held.push(Buffer.alloc(2e7, 1)), 5);' });
    await start(driver, 'web-2', runnable({ containers: [container({ image: 'greedy:1', resources })] }));
    t.match(await unitWhere(driver, 'web-2', dead), { message: /SIGKILL, out of memory \(limit 150Mi\)/ });
    for (const unit of ['web-1', 'web-2']) await stop(driver, unit);
    await until(async () => (await unitOf(driver, 'web-1')) === undefined);
    // A process that ended holds its group until it is collected.
    await until(() => !existsSync(folder));
  },
);
