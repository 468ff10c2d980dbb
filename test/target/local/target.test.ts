import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { takeHold } from '../../../src/target/local/epoch.ts';
import { openLocalTarget } from '../../../src/target/local/target.ts';
import {
  container,
  dead,
  get,
  isGone,
  live,
  never,
  place,
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

t.test('a server is started, found ready, routed to, found again by the next operator, and stopped', async (t) => {
  const here = place(t);
  const first = await here.open();
  await first.declare(WEB, served('web.localhost'));
  const attempt = await start(first, 'web-1', runnable());
  t.match(await unitOf(first, 'web-1'), { phase: 'starting', ready: false, attempt });
  const seen = await unitWhere(first, 'web-1', ready);
  t.match(seen, { phase: 'running', restarts: 0, revision: 'aaaaaaaaaa', version: '' });
  const { pid, env } = await told(seen.address);
  t.equal(env.SLUICE_ATTEMPT, attempt);
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
  const tellings = here.router.told.length;
  await first.close();

  const second = await here.open();
  const again = await unitOf(second, 'web-1');
  t.strictSame(again, seen, 'the same unit, still ready');
  t.equal((await told(again?.address)).pid, pid, 'the same process');
  t.equal(here.router.told.length, tellings, 'the router was told nothing anew');
  t.strictSame(await second.resources(), [WEB]);
  await stop(second, 'web-1');
  t.match(await unitOf(second, 'web-1'), { phase: 'stopping', ready: false });
  await until(async () => (await unitOf(second, 'web-1')) === undefined);
  t.ok(isGone(pid));
  t.notOk(existsSync(join(here.folder('web-1'), 'unit.json')));
  await until(() => here.router.config.routes[WEB]?.versions[''] === undefined);
});

t.test('acts are idempotent by attempt, and only what is dead is started over', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const runs = runnable();
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
  await driver.start(WEB, action, runs, never);
  t.equal((await unitOf(driver, 'web-1'))?.address, address);
  await t.rejects(driver.start(WEB, { ...action, attempt: 'b' }, runs, never), { message: /web-1 that is running/ });
  await driver.start(WEB, { kind: 'stop', unit: 'web-1', attempt: 'older' }, undefined, never);
  t.match(await unitOf(driver, 'web-1'), { phase: 'running', ready: true }, 'a stop of another attempt is not meant');

  await get(address, '/exit').catch(() => {});
  const died = await unitWhere(driver, 'web-1', dead);
  t.match(died, { ready: false, message: /^exited with code 3/, attempt: 'a' });
  t.type(died.diedAt, 'number');
  await driver.start(WEB, { ...action, attempt: 'b', restarts: 1 }, runs, never);
  t.match(await unitOf(driver, 'web-1'), { phase: 'starting', message: /^started again after: exited with code 3/ });
  const again = await unitWhere(driver, 'web-1', ready);
  t.match(again, { attempt: 'b', restarts: 1, message: undefined }, 'what is over is not told any more');
  t.equal((await live(driver)).units.length, 1);
});

t.test('subscribers hear of each change; what was forgotten leaves nothing behind', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const heard: string[] = [];
  const unsubscribe = driver.subscribe((resource) => heard.push(resource));
  t.match(await live(driver), { complete: true, units: [] });
  await t.rejects(
    driver.start(WEB, { kind: 'route', policy: { kind: 'percent', weights: { '': 100 } } }, undefined, never),
  );
  await driver.declare(WEB, served('web.localhost'));
  const runs = runnable({ volumes: [{ name: 'data', disk: { size: '1Mi' } }], containers: [container()] });
  await start(driver, 'web-1', runs);
  await unitWhere(driver, 'web-1', ready);
  const policy = { kind: 'percent', weights: { '': 100 } } as const;
  await driver.start(WEB, { kind: 'route', policy }, undefined, never);
  t.strictSame((await live(driver)).traffic, policy);
  t.match(here.router.config.routes[WEB], { host: 'web.localhost', policy });
  t.ok(heard.length >= 3 && heard.every((resource) => resource === WEB));
  unsubscribe();
  await t.rejects(driver.start(WEB, { kind: 'forget' }, undefined, never), { message: /still has web-1/ });
  const disk = join(here.dataDir, 'volumes/Workload-web/disk/data/web-1');
  t.ok(existsSync(disk));
  await stop(driver, 'web-1');
  await until(async () => (await live(driver)).units.length === 0);
  t.ok(existsSync(disk), 'a disk outlives its unit');
  await driver.start(WEB, { kind: 'forget' }, undefined, never);
  t.strictSame(await driver.resources(), []);
  t.notOk(existsSync(disk));
  t.notOk(existsSync(join(here.folder('web-1'), '..')));
  t.strictSame(here.router.config.routes, {});
});

t.test('targets share a router, and each knows its own resources alone', async (t) => {
  const here = place(t);
  const there = place(t);
  const one = await here.open();
  await one.declare(WEB, served('web.localhost'));
  await start(one, 'web-1', runnable());
  await unitWhere(one, 'web-1', ready);
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
  const tellings = here.router.told.length;
  const other = await there.open({ router: here.router });
  t.strictSame(await other.resources(), []);
  await other.declare('Workload/other', served('other.localhost'));
  await one.close();
  const next = await here.open();
  t.strictSame(await next.resources(), [WEB]);
  t.strictSame(
    here.router.told.slice(tellings).map(({ resource }) => resource),
    ['Workload/other'],
  );
});

t.test('a router that cannot be told: what is live is not known, a stop waits, and it is told later', async (t) => {
  const here = place(t);
  const driver = await here.open();
  await driver.declare(WEB, served('web.localhost'));
  await start(driver, 'web-1', runnable());
  const { address } = await unitWhere(driver, 'web-1', ready);
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
  here.router.broken = true;
  await stop(driver, 'web-1');
  await until(async () => !(await live(driver)).complete);
  t.equal((await get(address)).status, 200, 'it serves until the router has let go of it');
  here.router.broken = false;
  await until(async () => (await live(driver)).units.length === 0);
  t.ok((await live(driver)).complete);
});

t.test('a router that may or may not have taken a change is told again, even what it was told before', async (t) => {
  const here = place(t);
  const driver = await here.open();
  await driver.declare(WEB, served('web.localhost'));
  const tellings = here.router.told.length;
  here.router.broken = true;
  await t.rejects(driver.declare(WEB, served('other.localhost')));
  await driver.declare(WEB, served('web.localhost')).catch(() => {});
  t.notOk((await live(driver)).complete);
  here.router.broken = false;
  await until(async () => (await live(driver)).complete);
  t.strictSame(
    here.router.told.slice(tellings).map(({ route }) => route?.host),
    ['web.localhost'],
  );
});

t.test('an operator that was killed at any moment of a start', async (t) => {
  const moments = {
    'after it was ready': { ready: true, phase: 'running' },
    'before its record': { phase: /starting|running/ },
    'before the spawn': { phase: 'dead', message: /stopped before it had started/ },
    'during postStart': { phase: 'dead', message: /stopped while postStart of container main ran/ },
  };
  for (const [moment, expected] of Object.entries(moments)) {
    await t.test(moment, async (t) => {
      const here = place(t);
      const script = join(import.meta.dirname, 'killed-operator.js');
      const child = spawn(process.execPath, [script, here.dataDir, here.images, moment], { stdio: 'inherit' });
      const [, signal] = await once(child, 'exit');
      t.equal(signal, 'SIGKILL');
      const driver = await here.open({ epoch: 2 });
      if (expected.phase === 'dead') {
        t.match(await unitWhere(driver, 'web-1', dead), expected);
        t.strictSame(processesWith(`SLUICE_FOLDER=${here.dataDir}/`), [], 'nothing of it is left');
        await start(driver, 'web-1', runnable(), 1);
        await unitWhere(driver, 'web-1', ready);
        return;
      }
      t.match(await unitOf(driver, 'web-1'), expected);
      const { address } = await unitWhere(driver, 'web-1', ready);
      const { pid } = await told(address);
      t.equal(here.record('web-1').containers[0]?.process?.pid, pid);
      t.strictSame(processesWith(`SLUICE_FOLDER=${here.dataDir}/`), [pid], 'one process, not two');
      await get(address, '/exit').catch(() => {});
      t.match(await unitWhere(driver, 'web-1', dead), { message: /ended while no operator|exit code is unknown/ });
    });
  }
});

t.test('a process id that belongs to somebody else by now is left alone', async (t) => {
  const here = place(t);
  const first = await here.open();
  await start(first, 'web-1', runnable());
  const { address } = await unitWhere(first, 'web-1', ready);
  await first.close();
  await get(address, '/exit').catch(() => {});
  const stranger = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  t.teardown(() => stranger.kill('SIGKILL'));
  const record = here.record('web-1');
  const [entry] = record.containers;
  if (entry?.process === undefined) throw new Error('no process in the record');
  entry.process.pid = stranger.pid ?? 0;
  writeFileSync(join(here.folder('web-1'), 'unit.json'), JSON.stringify(record));
  const second = await here.open();
  t.match(await unitWhere(second, 'web-1', dead), { ready: false, message: /exit code is unknown/ });
  await stop(second, 'web-1');
  await until(async () => (await unitOf(second, 'web-1')) === undefined);
  t.notOk(isGone(stranger.pid ?? 0));
});

t.test('after a boot no process id means anything', async (t) => {
  const here = place(t);
  const first = await here.open();
  await start(first, 'web-1', runnable());
  await unitWhere(first, 'web-1', ready);
  await first.close();
  const record = here.record('web-1');
  const file = join(here.folder('web-1'), 'unit.json');
  writeFileSync(file, JSON.stringify({ ...record, boot: 'another' }));
  const second = await here.open();
  t.match(await unitWhere(second, 'web-1', dead), { message: /machine was started again/ });
});

t.test('a record that cannot be read is reported, its processes are ended, the unit can be started over', async (t) => {
  const here = place(t);
  const first = await here.open();
  await start(first, 'web-1', runnable());
  await start(first, 'web-2', runnable());
  const { address } = await unitWhere(first, 'web-1', ready);
  await unitWhere(first, 'web-2', ready);
  const { pid } = await told(address);
  await first.close();
  writeFileSync(join(here.folder('web-1'), 'unit.json'), '');
  const second = await here.open();
  t.match(await unitWhere(second, 'web-1', dead), { revision: '', message: /unit.json cannot be read/ });
  t.ok(isGone(pid));
  t.match(await unitOf(second, 'web-2'), { phase: 'running', ready: true });
  await start(second, 'web-1', runnable());
  await unitWhere(second, 'web-1', ready);
});

t.test('a stop goes on where the operator was killed, and its hook does not run twice', async (t) => {
  const here = place(t);
  here.image('deaf:1', { 'deaf.sh': 'trap "" TERM; while :; do sleep 0.05; done\n' }, 'command: [sh, deaf.sh]\n');
  const runs = runnable({
    containers: [
      container({
        image: 'deaf:1',
        ports: [],
        lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo ran >> "$SLUICE_FOLDER/../hook"'] } } },
      }),
    ],
    grace: 2,
  });
  const first = await here.open();
  await start(first, 'web-1', runs);
  await unitWhere(first, 'web-1', ready);
  const hook = join(here.folder('web-1'), '../hook');
  await stop(first, 'web-1');
  await until(() => existsSync(hook));
  const pid = here.record('web-1').containers[0]?.process?.pid ?? 0;
  const second = await here.open();
  t.match(await unitOf(second, 'web-1'), { phase: 'stopping', ready: false });
  await until(async () => (await unitOf(second, 'web-1')) === undefined);
  t.ok(isGone(pid));
  t.equal(readFileSync(hook, 'utf8'), 'ran\n');
});

t.test('an operator whose epoch is past acts no more', async (t) => {
  const here = place(t);
  const first = await here.open();
  await first.declare(WEB, served('web.localhost'));
  await start(first, 'web-1', runnable());
  await unitWhere(first, 'web-1', ready);
  const second = await here.open();
  await t.rejects(start(first, 'web-2', runnable()), { code: 'stale-epoch' });
  await t.rejects(stop(first, 'web-1'), { code: 'stale-epoch' });
  await t.rejects(async () => first.declare(WEB, served('elsewhere.localhost')), { code: 'stale-epoch' });
  await t.rejects(here.open({ epoch: 1 }), { code: 'stale-epoch' });
  t.match(await unitOf(second, 'web-1'), { ready: true });
  await stop(second, 'web-1');
  await until(async () => (await unitOf(second, 'web-1')) === undefined);
  t.strictSame(readdirSync(join(here.dataDir, 'epochs')), ['2']);
});

t.test(
  'what an operator does to files and processes fails once a later one has taken over, checked or not',
  async (t) => {
    const { dataDir } = place(t);
    const folder = join(dataDir, 'units');
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'unit.json');
    const first = takeHold(dataDir, 7);
    first.write(file, 'of the first', { mode: 0o600, durable: false });
    const starts = () => once(spawn('true', [], { cwd: first.reach(folder), stdio: 'ignore' }), 'exit');
    t.strictSame(await starts(), [0, null]);
    const second = takeHold(dataDir, 7.001);
    t.throws(() => first.check(), { code: 'stale-epoch' });
    t.throws(() => first.write(file, 'late', { mode: 0o600, durable: false }), { code: 'stale-epoch' });
    t.throws(() => first.makeFolder(join(folder, 'web-1')), { code: 'ENOENT' });
    await rm(first.reach(folder), { recursive: true, force: true });
    await t.rejects(starts(), { code: 'ENOENT' });
    t.equal(readFileSync(file, 'utf8'), 'of the first');
    t.strictSame(readdirSync(folder), ['unit.json']);
    second.write(file, 'of the second', { mode: 0o600, durable: true });
    t.equal(readFileSync(file, 'utf8'), 'of the second');
    t.throws(() => takeHold(dataDir, 7), { code: 'stale-epoch' });
    t.strictSame(readdirSync(join(dataDir, 'epochs')), ['7.001']);
  },
);

t.test('the next operator goes on with the end of a unit that was condemned', async (t) => {
  const here = place(t);
  const first = await here.open();
  await start(first, 'web-1', runnable());
  const { address } = await unitWhere(first, 'web-1', ready);
  const { pid } = await told(address);
  await first.close();
  const record = { ...here.record('web-1'), ready: false, condemned: 'its liveness probe failed' };
  writeFileSync(join(here.folder('web-1'), 'unit.json'), JSON.stringify(record));
  const second = await here.open();
  t.match(await unitWhere(second, 'web-1', dead), { message: 'its liveness probe failed' });
  t.ok(isGone(pid));
});

t.test('what the disk does not take is told, and nothing else is lost', async (t) => {
  const here = place(t);
  const driver = await here.open();
  await start(driver, 'web-1', runnable());
  await unitWhere(driver, 'web-1', ready);
  mkdirSync(join(here.dataDir, 'volumes/Workload-web/disk'), { recursive: true });
  writeFileSync(join(here.dataDir, 'volumes/Workload-web/disk/data'), 'in the way');
  await start(driver, 'web-2', runnable({ volumes: [{ name: 'data', disk: { size: '1Mi' } }] }));
  t.match(await unitWhere(driver, 'web-2', dead), { message: /ENOTDIR|EEXIST/ });
  rmSync(here.folder('web-3'), { recursive: true, force: true });
  writeFileSync(here.folder('web-3'), 'in the way');
  await start(driver, 'web-3', runnable());
  t.match(await unitWhere(driver, 'web-3', dead), { message: /cannot be recorded/ });
  t.match(await unitOf(driver, 'web-1'), { ready: true });
  const file = join(here.dataDir, 'file');
  writeFileSync(file, '');
  const options = { name: 'local', dataDir: join(file, 'data'), epoch: 1, router: here.router };
  const sources = { images: { materialize: async () => {} }, secrets: { read: async () => undefined } };
  await t.rejects(openLocalTarget({ ...options, ...sources }), { message: /data folder .* cannot be written/ });
});

t.test('an image of the repository is written once for all units, and again only when nothing uses it', async (t) => {
  const here = place(t);
  const tree = 'f'.repeat(40);
  const written: string[] = [];
  const images = {
    async materialize(oid: string, directory: string) {
      written.push(oid);
      if (written.length === 1) throw new Error('the clone is away');
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, 'server.js'), readFileSync(join(here.images, 'web/1/server.js')));
    },
  };
  const driver = await here.open({ images });
  const runs = runnable();
  runs.images = { 'web:1': { name: 'web:1', tree, command: ['node', 'server.js'], env: { FROM: 'image' } } };
  await start(driver, 'web-1', runs);
  t.match(await unitWhere(driver, 'web-1', dead), { message: 'the clone is away' });
  await Promise.all([start(driver, 'web-1', runs), start(driver, 'web-2', runs)]);
  const { address } = await unitWhere(driver, 'web-1', ready);
  await unitWhere(driver, 'web-2', ready);
  t.equal((await told(address)).env.FROM, 'image');
  t.strictSame(written, [tree, tree]);
  await driver.close();
  const next = await here.open({ images });
  t.ok(existsSync(join(here.dataDir, 'images', tree)));
  for (const unit of ['web-1', 'web-2']) await stop(next, unit);
  await until(async () => (await live(next)).units.length === 0);
  await next.close();
  await here.open({ images });
  t.notOk(existsSync(join(here.dataDir, 'images', tree)));
});
