/** The disk that holds units, volumes and the operator's clone is full for a while. Needs the right to mount a tmpfs. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../support/until.ts';
import {
  alive,
  clean,
  commit,
  get,
  image,
  load,
  logged,
  operator,
  place,
  processes,
  type Running,
  settled,
  workload,
} from './support.ts';

/** Undefined where this user may mount nothing. */
function smallDisk(folder: string, size: string): { fill(): void; free(): void; unmount(): void } | undefined {
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { stdio: 'pipe' });
  } catch {
    return undefined;
  }
  const ballast = join(folder, 'ballast');
  return {
    fill() {
      // Others write meanwhile: to the very last block.
      for (let left = true; left; ) left = append(ballast, 2 ** 16) || append(ballast, 1);
    },
    free: () => rmSync(ballast),
    unmount: () => void execFileSync('umount', ['--lazy', folder]),
  };
}

function append(file: string, bytes: number): boolean {
  try {
    appendFileSync(file, Buffer.alloc(bytes));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}

t.test('a full disk is told, what runs serves on, and the upgrade goes on when there is room', async (t) => {
  const at = await place({
    'web.yaml': workload('web', 'hello:7', 2),
    ...image('hello', '7'),
    ...image('hello', '8'),
    ...image('slow', '9', 500),
  });
  const full = join(at.root, 'disk');
  const disk = smallDisk(full, '160m');
  if (disk === undefined) {
    await clean(at);
    t.comment('skipped: this user may not mount a tmpfs');
    return;
  }
  const there = { ...at, state: join(full, 'state'), data: join(full, 'data') };
  let running: Running = operator(there);
  t.teardown(async () => {
    running.process.kill('SIGKILL');
    await running.exit;
    disk.unmount();
    await clean(at);
  });
  await settled(at, 'Workload/web', 1);
  const traffic = load(at, 'web.localhost');
  const before = alive(at, 'Workload/web');

  disk.fill();
  commit(at, { 'web.yaml': workload('web', 'hello:8', 2) }, 'web 8');
  await until('it is told', () => logged(running).find((line) => /ENOSPC|[Nn]o space left/.test(line)));
  t.same(alive(at, 'Workload/web'), before, 'nothing was stopped');

  await t.test('an operator that starts on the full disk says so, ends, and does no harm', async (t) => {
    running.process.kill('SIGKILL');
    await running.exit;
    running = operator(there);
    t.equal(await running.exit, 1);
    t.match(running.output(), `the state folder ${there.state}`);
    t.match(running.output(), /no space left.*free space on its disk/);
    t.same(alive(at, 'Workload/web'), before);
    t.same(await get(at, 'web.localhost'), { status: 200, body: '7' });
  });

  disk.free();
  running = operator(there);
  await settled(at, 'Workload/web', 2).catch((error: Error) => {
    throw new Error(`${error.message}\n${logged(running).slice(-20).join('\n')}`);
  });
  t.same(await get(at, 'web.localhost'), { status: 200, body: '8' });

  await t.test('full in the middle of a rolling upgrade: it goes on from there', async (t) => {
    commit(at, { 'web.yaml': workload('web', 'slow:9', 3) }, 'web 9');
    await until('one of the new units runs', () => alive(at, 'Workload/web').size > 2);
    disk.fill();
    await until('it is told', () => /ENOSPC|[Nn]o space left/.test(running.output()));
    disk.free();
    await settled(at, 'Workload/web', 3);
    t.same(await get(at, 'web.localhost'), { status: 200, body: '9' });
    t.equal(processes(at, 'Workload/web').length, 3);
  });
  const { lost } = await traffic.stop();
  t.same(lost, []);
});
