import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  container,
  dead,
  get,
  isGone,
  live,
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

t.test(
  'a data folder that is removed: what serves goes on, what is new starts, the next operator clears up',
  async (t) => {
    const here = place(t);
    const first = await here.open();
    await first.declare(WEB, served('web.localhost'));
    await start(first, 'web-1', runnable());
    const { address } = await unitWhere(first, 'web-1', ready);
    const { pid } = await told(address);
    rmSync(here.dataDir, { recursive: true });
    t.equal((await get(address)).status, 200);
    t.match(await unitOf(first, 'web-1'), { ready: true });
    await start(first, 'web-2', runnable());
    const other = await told((await unitWhere(first, 'web-2', ready)).address);
    t.strictSame(readdirSync(join(here.dataDir, 'epochs')), ['1'], 'it is the operator’s again');
    await first.close();

    const logged: string[] = [];
    const second = await here.open({ log: (message) => logged.push(message) });
    t.strictSame(
      (await live(second)).units.map(({ id }) => id),
      ['web-2'],
    );
    await start(second, 'web-1', runnable());
    const again = await told((await unitWhere(second, 'web-1', ready)).address);
    await until(() => isGone(pid));
    t.strictSame(
      processesWith(`SLUICE_FOLDER=${here.dataDir}/`).sort(),
      [again.pid, other.pid].sort(),
      'and nothing else',
    );
    t.strictSame(logged, ['processes that belong to no unit are ended']);
  },
);

t.test('processes of an attempt that its unit has forgotten are ended, the unit itself is not', async (t) => {
  const here = place(t);
  const first = await here.open();
  await start(first, 'web-1', runnable());
  const old = await told((await unitWhere(first, 'web-1', ready)).address);
  await first.close();
  rmSync(join(here.folder('web-1'), 'unit.json'));
  mkdirSync(join(here.folder('web-9/run/volumes/keys')), { recursive: true });
  writeFileSync(join(here.folder('web-9/run/volumes/keys/tls.key')), 'secret');
  mkdirSync(join(here.folder('web-9/logs/main')), { recursive: true });

  const second = await here.open();
  t.strictSame(readdirSync(here.folder('web-9')), ['logs'], 'what a stop that was cut short left of secrets is gone');
  await until(() => isGone(old.pid));
  await start(second, 'web-1', runnable());
  const { address } = await unitWhere(second, 'web-1', ready);
  await second.close();
  const third = await here.open();
  t.match(await unitOf(third, 'web-1'), { ready: true, address });
});

t.test('a resource whose removal was cut short is known until it is removed whole', async (t) => {
  const here = place(t);
  const first = await here.open();
  await first.declare(WEB, served('web.localhost'));
  await first.close();
  const disk = join(here.dataDir, 'volumes/Workload-web/disk/data/web-1');
  mkdirSync(disk, { recursive: true });
  const second = await here.open();
  t.strictSame(await second.resources(), [WEB]);
  await second.start(WEB, { kind: 'forget' }, undefined, new AbortController().signal);
  t.notOk(existsSync(disk));
  t.strictSame(await second.resources(), []);
});

t.test('an operator does not wait for what ends slowly before it looks after the rest', async (t) => {
  const here = place(t);
  here.image('deaf:1', { 'deaf.sh': 'trap "" TERM; while :; do sleep 0.05; done\n' }, 'command: [sh, deaf.sh]\n');
  const pair = [container(), container({ name: 'deaf', image: 'deaf:1', ports: [] })];
  const first = await here.open();
  await start(first, 'web-1', runnable({ containers: pair, grace: 600 }));
  const { address } = await unitWhere(first, 'web-1', ready);
  await start(first, 'web-2', runnable());
  await unitWhere(first, 'web-2', ready);
  await first.close();
  await get(address, '/exit').catch(() => {});
  const second = await here.open();
  t.match(await unitOf(second, 'web-1'), { ready: false, message: /^container main ended while no operator/ });
  t.match(await unitOf(second, 'web-2'), { ready: true });
});

const SIZE = 2 ** 20;

function mount(path: string): void {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', path], { stdio: 'pipe' });
}

const unmount = (path: string) => execFileSync('umount', ['-l', path]);

function cannotMount(): string | false {
  const path = mkdtempSync(join(tmpdir(), 'sluice-disk-'));
  try {
    mount(path);
    unmount(path);
    return false;
  } catch (error) {
    return `no small disk can be mounted here: ${(error as Error).message.split('\n')[0]}`;
  } finally {
    rmSync(path, { recursive: true });
  }
}

t.test(
  'what is in the way of a stop is told, and the stop goes on when it is away',
  { skip: cannotMount() },
  async (t) => {
    const here = place(t);
    const driver = await here.open();
    await start(driver, 'web-1', runnable());
    await unitWhere(driver, 'web-1', ready);
    const busy = join(here.folder('web-1'), 'run/busy');
    mount(busy);
    const file = openSync(join(busy, 'held'), 'w');
    await stop(driver, 'web-1');
    await unitWhere(driver, 'web-1', ({ phase, message }) => phase === 'stopping' && /EBUSY/.test(message ?? ''));
    closeSync(file);
    unmount(busy);
    await until(async () => (await unitOf(driver, 'web-1')) === undefined);
    t.strictSame(readdirSync(here.folder('web-1')), ['logs']);
  },
);

t.test(
  'a full disk: what serves goes on and can be stopped, what is new is told, and starts when there is space',
  { skip: cannotMount() },
  async (t) => {
    const here = place(t);
    mount(here.dataDir);
    t.teardown(() => unmount(here.dataDir));
    const driver = await here.open();
    await driver.declare(WEB, served('web.localhost'));
    for (const unit of ['web-1', 'web-2']) {
      await start(driver, unit, runnable());
      await unitWhere(driver, unit, ready);
    }
    const { address } = (await unitOf(driver, 'web-2')) ?? {};
    const filler = join(here.dataDir, 'filler');
    t.throws(() => writeFileSync(filler, Buffer.alloc(SIZE)), { code: 'ENOSPC' });
    await start(driver, 'web-3', runnable());
    t.match((await unitWhere(driver, 'web-3', dead)).message, /cannot be recorded in .*: ENOSPC/);
    t.match(await unitOf(driver, 'web-1'), { ready: true });
    await stop(driver, 'web-1');
    await until(async () => (await unitOf(driver, 'web-1')) === undefined);
    await driver.close();
    t.throws(() => writeFileSync(filler, Buffer.alloc(SIZE)), { code: 'ENOSPC' });
    await t.rejects(here.open(), { message: /data folder .* cannot be written \(ENOSPC.*free space on its disk/ });
    t.equal((await get(address)).status, 200, 'what runs needs no operator');

    rmSync(filler);
    const next = await here.open();
    t.match(await unitOf(next, 'web-2'), { ready: true, message: undefined });
    await start(next, 'web-3', runnable());
    await unitWhere(next, 'web-3', ready);
    for (const unit of ['web-2', 'web-3']) await stop(next, unit);
    await until(async () => (await live(next)).units.length === 0);
  },
);
