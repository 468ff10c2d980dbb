import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { unitFolder } from '../../../src/target/local/folders.ts';
import { readLogs } from '../../../src/target/local/logs.ts';
import type { UnitDriver } from '../../../src/target/ports.ts';
import {
  dead,
  get,
  live,
  never,
  probe,
  ready,
  served,
  start,
  stop,
  told,
  unitOf,
  unitWhere,
  until,
  WEB,
} from '../local/fixtures.ts';
import { startEngine, whyNoEngine } from './engine.ts';
import { dockerPlace, pod, SERVER } from './fixtures.ts';

const missing = whyNoEngine();
if (missing !== undefined) throw new Error(missing);
const engine = await startEngine();
t.teardown(() => engine.end());
await engine.image('web:1', SERVER, { FROM_IMAGE: 'yes' });

const gone = (driver: UnitDriver, unit: string) => until(async () => (await unitOf(driver, unit)) === undefined);
const text = async (address: string | undefined, path: string) => (await get(address, path)).text();

t.test('a server is started, found ready, routed to, found again by the next operator, and stopped', async (t) => {
  const here = dockerPlace(t, engine);
  const first = await here.open();
  await first.declare(WEB, served('web.localhost'));
  const attempt = await start(first, 'web-1', pod());
  t.match(await unitOf(first, 'web-1'), { phase: 'starting', ready: false, attempt });
  const seen = await unitWhere(first, 'web-1', ready);
  t.match(seen, { phase: 'running', restarts: 0, revision: 'aaaaaaaaaa', version: '' });
  const { env } = await told(seen.address);
  t.equal(env.SLUICE_ATTEMPT, attempt);
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
  const tellings = here.router.told.length;
  await first.close();

  const second = await here.open();
  const again = await unitOf(second, 'web-1');
  t.strictSame(again, seen, 'the same unit, still ready');
  t.equal(here.router.told.length, tellings, 'the router was told nothing anew');
  t.strictSame(await second.resources(), [WEB]);
  await stop(second, 'web-1');
  t.match(await unitOf(second, 'web-1'), { phase: 'stopping', ready: false });
  await gone(second, 'web-1');
  await until(async () => (await engine.docker.listContainers({ all: true })).length === 0);
  await until(() => here.router.config.routes[WEB]?.versions[''] === undefined);
});

t.test('where all records are lost, containers tell by their labels what they are', async (t) => {
  const here = dockerPlace(t, engine);
  const first = await here.open();
  const readinessProbe = probe({ httpGet: { path: '/health', port: 'http' } });
  const attempt = await start(first, 'web-1', pod({ containers: [{ readinessProbe }] }), 0, 'v3');
  await unitWhere(first, 'web-1', ready);
  await first.close();
  rmSync(join(here.dataDir, 'units'), { recursive: true });

  const second = await here.open();
  t.strictSame(await second.resources(), [WEB]);
  const seen = await unitWhere(second, 'web-1', ready);
  t.match(seen, { phase: 'running', attempt, revision: 'aaaaaaaaaa', version: 'v3' });
  t.match(await told(seen.address), { env: { SLUICE_ATTEMPT: attempt } });
  await second.close();
  writeFileSync(join(unitFolder(here.dataDir, WEB, 'web-1'), 'unit.json'), 'broken');
  const third = await here.open();
  t.match(await unitWhere(third, 'web-1', ready), { attempt, version: 'v3' }, 'also where it cannot be read');
});

t.test('acts are idempotent by attempt; a death is told with its last words, and what was written stays', async (t) => {
  const here = dockerPlace(t, engine);
  const driver = await here.open();
  const runs = pod();
  const action = {
    kind: 'start',
    unit: 'web-1',
    revision: 'aaaaaaaaaa',
    version: '',
    attempt: 'a',
    restarts: 0,
  } as const;
  await Promise.all([driver.start(WEB, action, runs, never), driver.start(WEB, action, runs, never)]);
  const { address } = await unitWhere(driver, 'web-1', ready);
  t.equal((await engine.docker.listContainers({ all: true })).length, 1);
  await t.rejects(driver.start(WEB, { ...action, attempt: 'b' }, runs, never), { message: /web-1 that is running/ });
  await driver.start(WEB, { kind: 'stop', unit: 'web-1', attempt: 'older' }, undefined, never);
  t.match(await unitOf(driver, 'web-1'), { phase: 'running', ready: true }, 'a stop of another attempt is not meant');

  await get(address, '/exit').catch(() => {});
  const died = await unitWhere(driver, 'web-1', dead);
  t.match(died, { ready: false, message: 'exited with code 3: Error: told to end', attempt: 'a' });
  await driver.start(WEB, { ...action, attempt: 'b', restarts: 1 }, runs, never);
  t.match(await unitWhere(driver, 'web-1', ready), { attempt: 'b', restarts: 1 });
  t.equal((await engine.docker.listContainers({ all: true })).length, 1, 'what was dead is gone');
  const [log] = await readLogs(here.dataDir, WEB);
  t.match(log?.text, /--- \S+ attempt a ---\nlistening\n(.*\n)*Error: told to end\n/);
});

t.test('probes and hooks', async (t) => {
  const here = dockerPlace(t, engine);
  const driver = await here.open();
  const readinessProbe = probe({ exec: { command: ['test', '-e', '/tmp/ready'] } });
  const startupProbe = probe({ tcpSocket: { port: 'http' } }, { failureThreshold: 30 });
  const postStart = { exec: { command: ['touch', '/tmp/started'] } };
  await start(driver, 'web-1', pod({ containers: [{ readinessProbe, startupProbe, lifecycle: { postStart } }] }));
  const waiting = await unitWhere(driver, 'web-1', ({ message }) => /test: ended with 1/.test(message ?? ''));
  t.match(waiting, { phase: 'starting', ready: false });
  await until(async () => (await unitOf(driver, 'web-1'))?.address !== undefined);
  const { address } = (await unitOf(driver, 'web-1')) ?? {};
  t.equal(await text(address, '/read?path=/tmp/started'), '', 'the hook ran');
  await text(address, '/write?path=/tmp/ready');
  await unitWhere(driver, 'web-1', ready);

  const httpGet = { path: '/health', port: 8080 };
  const started = probe({ httpGet }, { failureThreshold: 30 });
  const livenessProbe = probe({ httpGet });
  await start(driver, 'web-2', pod({ containers: [{ startupProbe: started, livenessProbe }] }));
  const second = await unitWhere(driver, 'web-2', ready);
  await get(second.address, '/fail');
  const died = await unitWhere(driver, 'web-2', dead);
  t.match(died.message, /liveness probe failed: GET \/health: answered 500/);

  const failing = { postStart: { exec: { command: ['sh', '-c', 'echo no luck; exit 4'] } } };
  await start(driver, 'web-3', pod({ containers: [{ lifecycle: failing }] }));
  t.match((await unitWhere(driver, 'web-3', dead)).message, /postStart failed: sh: ended with 4: no luck/);
  await start(driver, 'web-4', pod({ containers: [{ command: ['/nothing'] }] }));
  t.match((await unitWhere(driver, 'web-4', dead)).message, /container main: .*nothing.*no such file/);
});

t.test(
  'a unit loses its traffic, finishes what it serves, runs its hook and is told to stop, in this order',
  async (t) => {
    const here = dockerPlace(t, engine);
    const driver = await here.open();
    await driver.declare(WEB, served('web.localhost'));
    const preStop = { exec: { command: ['sh', '-c', 'echo hook >/proc/1/fd/1; sleep 0.2'] } };
    await start(driver, 'web-1', pod({ containers: [{ lifecycle: { preStop } }], grace: 20 }));
    const { address } = await unitWhere(driver, 'web-1', ready);
    await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
    here.router.active['Workload/web/web-1'] = 1;
    await stop(driver, 'web-1');
    await until(() => here.router.config.routes[WEB]?.versions['']?.length === 0);
    t.equal(await text(address, '/slow'), 'slow', 'it serves what it has under way');
    t.match(await unitOf(driver, 'web-1'), { phase: 'stopping' });
    here.router.active = {};
    await gone(driver, 'web-1');
    // What it leaves is removed behind its back.
    const written = async () => (await readLogs(here.dataDir, WEB))[0]?.text ?? '';
    await until(
      async () => /listening\nhook\nterminated\n/.test(await written()),
      () => 'other words, or none',
    );
  },
);

t.test('a stop that was begun is gone on with by the next operator', async (t) => {
  const here = dockerPlace(t, engine);
  const first = await here.open();
  await first.declare(WEB, served('web.localhost'));
  await start(first, 'web-1', pod({ grace: 30 }));
  await unitWhere(first, 'web-1', ready);
  here.router.active['Workload/web/web-1'] = 1;
  await stop(first, 'web-1');
  t.match(await unitOf(first, 'web-1'), { phase: 'stopping' });
  await first.close();
  here.router.active = {};
  const second = await here.open();
  await gone(second, 'web-1');
  await until(async () => (await engine.docker.listContainers({ all: true })).length === 0);
});

t.test('the fields of a container', async (t) => {
  const here = dockerPlace(t, engine);
  here.secrets.keys = { token: Buffer.from('geheim') };
  const driver = await here.open();
  const runs = pod({
    containers: [
      {
        ...{ command: ['/node', 'server.js'], args: ['--port=$(PORT)', '$$(PORT)'], workingDir: '/app/.' },
        env: [
          { name: 'GREETING', value: 'hello $(FROM_IMAGE)' },
          { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'shop', key: 'colour' } } },
          { name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'keys', key: 'token' } } },
          { name: 'ME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        ],
        resources: { requests: { cpu: '0.5', memory: '16Mi' }, limits: { cpu: '500m', memory: '128Mi' } },
        securityContext: {
          ...{ runAsUser: 1234, runAsGroup: 99, readOnlyRootFilesystem: true },
          capabilities: { add: ['NET_BIND_SERVICE'] },
        },
        ports: [{ name: 'http', containerPort: 9000 }],
      },
    ],
    configMaps: { shop: { data: { colour: 'blue' }, binaryData: {} } },
  });
  await start(driver, 'web-1', runs);
  const { address } = await unitWhere(driver, 'web-1', ready);
  const said = (await told(address)) as Awaited<ReturnType<typeof told>> & { uid: number; status: string };
  t.match(said, {
    argv: ['/node', '/app/server.js', '--port=9000', '$(PORT)'],
    env: { GREETING: 'hello yes', COLOUR: 'blue', TOKEN: 'geheim', ME: 'web-1', PORT: '9000', PORT_HTTP: '9000' },
    ...{ cwd: '/app', uid: 1234 },
  });
  t.match(said.status, /CapBnd:\t0000000000000400\n/, 'no capability but the one that was added');
  t.match(said.status, /NoNewPrivs:\t1\n/);
  t.equal(await text(address, '/write?path=/app/new'), 'EROFS');
  const [listed] = await engine.docker.listContainers({ all: true });
  const { HostConfig, Config } = await engine.docker.getContainer(listed?.Id ?? '').inspect();
  t.match(HostConfig, {
    ...{ NanoCpus: 5e8, Memory: 128 * 2 ** 20, MemorySwap: 128 * 2 ** 20, MemoryReservation: 16 * 2 ** 20 },
    LogConfig: { Type: 'json-file', Config: { 'max-size': '5m', 'max-file': '2' } },
  });
  t.notMatch(JSON.stringify(Config.Labels), /geheim/, 'no label tells a secret');
  t.notMatch(readFileSync(join(unitFolder(here.dataDir, WEB, 'web-1'), 'runnable.json'), 'utf8'), /geheim/);

  const asArgument = pod({
    containers: [
      { args: ['$(TOKEN)'], env: [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'keys', key: 'token' } } }] },
    ],
  });
  await start(driver, 'web-2', asArgument);
  t.match((await unitWhere(driver, 'web-2', dead)).message, /names a variable that holds a secret/);
});

t.test(
  'volumes: what goes with the attempt, what stays with the unit, what all share, what lies in memory only',
  async (t) => {
    const here = dockerPlace(t, engine);
    here.secrets.keys = { token: Buffer.from('geheim'), other: Buffer.from('andere') };
    const driver = await here.open();
    await driver.declare(WEB, served('web.localhost'));
    const volumes = ['own', 'shared', 'config', 'keys', 'scratch'];
    const runs = pod({
      containers: [
        { volumeMounts: volumes.map((name) => ({ name, mountPath: `/v/${name}` })) },
        {
          name: 'beside',
          ports: [],
          args: ['-e', 'setInterval(() => {}, 1000); process.on("SIGTERM", () => process.exit())'],
          volumeMounts: [{ name: 'scratch', mountPath: '/s' }],
        },
      ],
      volumes: [
        { name: 'own', disk: { size: '1Mi' } },
        { name: 'shared', file: { size: '1Mi' } },
        { name: 'config', configMap: { name: 'shop', items: [{ key: 'colour', path: 'a/b.txt' }] } },
        { name: 'keys', secret: { secretName: 'keys' } },
        { name: 'scratch', emptyDir: {} },
      ],
      configMaps: { shop: { data: { colour: 'blue', size: 'big' }, binaryData: {} } },
    });
    await start(driver, 'web-1', runs);
    const { address } = await unitWhere(driver, 'web-1', ready);
    t.equal(await text(address, '/read?path=/v/config/a/b.txt'), 'blue');
    t.equal(await text(address, '/read?path=/v/config/size'), 'ENOENT', 'only the keys that were chosen');
    t.equal(await text(address, '/write?path=/v/config/new'), 'EROFS');
    t.equal(await text(address, '/read?path=/v/keys/token'), 'geheim');
    t.equal(await text(address, '/write?path=/v/keys/new'), 'EROFS');
    t.match(await text(address, '/read?path=/proc/mounts'), /^tmpfs \/v\/keys tmpfs ro/m, 'a secret lies in memory');
    for (const name of ['own', 'shared', 'scratch'])
      t.equal(await text(address, `/write?path=/v/${name}/file`), 'written', name);

    await start(driver, 'web-2', runs);
    const other = (await unitWhere(driver, 'web-2', ready)).address;
    t.equal(await text(other, '/read?path=/v/shared/file'), 'written', 'all share it');
    t.equal(await text(other, '/read?path=/v/own/file'), 'ENOENT', 'each has its own');
    await stop(driver, 'web-2');

    await get(address, '/exit').catch(() => {});
    await unitWhere(driver, 'web-1', dead);
    await start(driver, 'web-1', runs, 1);
    const again = (await unitWhere(driver, 'web-1', ready)).address;
    t.equal(await text(again, '/read?path=/v/own/file'), 'written', 'a disk stays');
    t.equal(await text(again, '/read?path=/v/scratch/file'), 'ENOENT', 'an emptyDir goes');

    await stop(driver, 'web-1');
    await gone(driver, 'web-1');
    await gone(driver, 'web-2');
    await driver.start(WEB, { kind: 'forget' }, undefined, never);
    const { Volumes } = await engine.docker.listVolumes({
      filters: { label: [`sluice/project=${here.target.project}`] } as never,
    });
    t.strictSame(
      Volumes.map(({ Name }) => Name.replace(/^.*\.epoch\..*$/, 'epoch')),
      ['epoch'],
      'only the epoch is left',
    );
    const memory = join('/dev/shm/sluice-0', `${here.target.project}.containers`);
    t.strictSame(existsSync(memory) ? readdirSync(memory) : [], []);
    t.strictSame(await driver.resources(), []);
  },
);

t.test('published ports are found where the engine has put them', async (t) => {
  const here = dockerPlace(t, engine, { address: '127.0.0.1' });
  const driver = await here.open();
  const slow = pod({ containers: [{ env: [{ name: 'START_MS', value: '700' }] }] });
  await start(driver, 'web-1', slow);
  const before = await unitWhere(driver, 'web-1', ({ address, ready }) => ready || address !== undefined);
  t.match(before.address, /^127\.0\.0\.1:\d+$/);
  const { address } = await unitWhere(driver, 'web-1', ready);
  t.match(await told(address), { env: { SLUICE_UNIT: 'web-1', PORT: '8080' } }, 'it was not ready before it listened');
  await stop(driver, 'web-1');
  await gone(driver, 'web-1');
});

t.test('an operator on another machine takes the target over, and the earlier one acts no more', async (t) => {
  const here = dockerPlace(t, engine);
  const there = dockerPlace(t, engine, { project: here.target.project });
  const first = await here.open();
  await start(first, 'web-1', pod());
  await unitWhere(first, 'web-1', ready);
  const second = await there.open({ epoch: 7 });
  t.match(await unitWhere(second, 'web-1', ready), { revision: 'aaaaaaaaaa' });
  await t.rejects(start(first, 'web-2', pod()), { code: 'stale-epoch' });
  await t.rejects(here.open({ epoch: 6 }), { code: 'stale-epoch' });
  await stop(second, 'web-1');
  await gone(second, 'web-1');
});

t.test('what belongs to no unit is removed, and what is of others is let be', async (t) => {
  const here = dockerPlace(t, engine);
  const other = dockerPlace(t, engine);
  const first = await here.open();
  await start(first, 'web-1', pod());
  const kept = await other.open();
  await start(kept, 'web-1', pod());
  await unitWhere(first, 'web-1', ready);
  await unitWhere(kept, 'web-1', ready);
  await first.close();
  rmSync(join(unitFolder(here.dataDir, WEB, 'web-1'), 'unit.json'));
  const labels = { 'sluice/project': here.target.project, 'sluice/target': 'containers', 'sluice/resource': WEB };
  const StopSignal = 'SIGKILL';
  const Labels = { ...labels, 'sluice/unit': 'web-9', 'sluice/attempt': 'web-9.1' };
  await (await engine.docker.createContainer({ Image: 'web:1', Labels, StopSignal })).start();
  const second = await here.open();
  await until(async () => (await engine.docker.listContainers({ all: true })).length === 2);
  t.match(await unitWhere(second, 'web-1', ready), { ready: true });
  t.match(await unitOf(kept, 'web-1'), { ready: true });
  for (const driver of [second, kept]) {
    await stop(driver, 'web-1');
    await gone(driver, 'web-1');
  }
});

t.test(
  'a restart of the engine: nothing is known while it is away, what has ended is told, and it goes on',
  async (t) => {
    const here = dockerPlace(t, engine);
    const driver = await here.open();
    await driver.declare(WEB, served('web.localhost'));
    for (const unit of ['web-1', 'web-2']) await start(driver, unit, pod());
    for (const unit of ['web-1', 'web-2']) await unitWhere(driver, unit, ready);
    const seen: boolean[] = [];
    driver.subscribe(async () => void seen.push((await live(driver)).complete));
    await engine.restart('SIGTERM');
    await until(() => seen.includes(false));
    await until(async () => (await live(driver)).complete);
    const died = await unitWhere(driver, 'web-1', dead);
    t.match(died.message, /^exited with code/);
    await unitWhere(driver, 'web-2', dead);
    await start(driver, 'web-1', pod(), 1);
    t.match(await told((await unitWhere(driver, 'web-1', ready)).address), { env: { SLUICE_UNIT: 'web-1' } });
    for (const unit of ['web-1', 'web-2']) {
      await stop(driver, unit);
      await gone(driver, unit);
    }
  },
);
