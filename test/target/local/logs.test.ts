import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { keepWithin, readLogs, rotate } from '../../../src/target/local/logs.ts';
import {
  container,
  dead,
  get,
  place,
  ready,
  runnable,
  start,
  stop,
  unitOf,
  unitWhere,
  until,
  WEB,
} from './fixtures.ts';

const size = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

t.test('a file is cut back to its end before it reaches its size', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-logs-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'log');
  const writer = openSync(path, 'a');
  t.teardown(() => closeSync(writer));
  const capped = { path, maxSize: 100 };
  t.equal(rotate({ ...capped, path: join(folder, 'none') }), 0);
  writeSync(writer, 'a'.repeat(37));
  t.equal(rotate(capped), 37);
  t.equal(size(`${path}.1`), 0);
  writeSync(writer, 'b'.repeat(30));
  t.equal(rotate(capped), 0);
  t.equal(readFileSync(`${path}.1`, 'utf8'), 'a'.repeat(20) + 'b'.repeat(30));
  writeSync(writer, 'c');
  t.equal(readFileSync(path, 'utf8'), 'c', 'the writer goes on at the beginning');
  t.end();
});

t.test('a steady writer never gets past its size', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-logs-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'log');
  const failures: Error[] = [];
  const end = keepWithin([{ path, maxSize: 200_000 }], (error) => failures.push(error));
  t.teardown(end);
  let most = 0;
  for (let written = 0; written < 1_500_000; written += 10_000) {
    appendFileSync(path, 'x'.repeat(10_000));
    await sleep(4);
    most = Math.max(most, size(path) + size(`${path}.1`));
  }
  t.ok(most <= 200_000, `at most ${most}`);
  t.ok(size(`${path}.1`) > 0);
  t.strictSame(failures, []);
});

t.test(
  'what units write is kept over attempts, with its declared files, and can be read without an operator',
  async (t) => {
    const here = place(t);
    here.image('web:1', {
      'writes.js': `
      const fs = require('node:fs');
      fs.appendFileSync('var/log/app.log', 'into a file\\n');
      console.error('to stderr');
      require('./server.js');`,
    });
    const logs = [{ path: '/var/log/app.log', maxSize: '1Mi' }];
    const runs = runnable({ containers: [container({ command: ['node', 'writes.js'], logs })] });
    const driver = await here.open();
    const first = await start(driver, 'web-1', runs);
    const { address } = await unitWhere(driver, 'web-1', ready);
    await get(address, '/exit').catch(() => {});
    await unitWhere(driver, 'web-1', dead);
    const second = await start(driver, 'web-1', runs, 1);
    await unitWhere(driver, 'web-1', ready);
    await driver.close();
    writeFileSync(join(here.folder('web-1'), 'logs/main/stdout.1'), 'older\n');

    const found = await readLogs(here.dataDir, WEB);
    t.match(found, [
      { unit: 'web-1', container: 'main', source: 'stdout' },
      { unit: 'web-1', container: 'main', source: 'var/log/app.log', text: 'into a file\ninto a file\n' },
    ]);
    const [stdout] = found;
    t.match(
      stdout?.text,
      /^older\n--- .* attempt .* ---\nto stderr\nlistening\n--- .* attempt .* ---\nto stderr\nlistening\n$/,
    );
    t.ok((stdout?.text.indexOf(first) ?? -1) < (stdout?.text.indexOf(second) ?? -1));
    t.strictSame(await readLogs(here.dataDir, WEB, 'web-1'), found);
    t.strictSame(await readLogs(here.dataDir, WEB, 'web-2'), []);
    t.strictSame(await readLogs(here.dataDir, 'Workload/none'), []);
  },
);

t.test('a declared file is kept within its size by the driver', async (t) => {
  const here = place(t);
  here.image('chatty:1', {
    'server.js':
      "const fs = require('node:fs'); setInterval(() => fs.appendFileSync('app.log', 'x'.repeat(999) + '\\n'), 10);",
  });
  const logs = [{ path: 'app.log', maxSize: '64Ki' }];
  const driver = await here.open();
  await start(driver, 'web-1', runnable({ containers: [container({ image: 'chatty:1', ports: [], logs })] }));
  const path = join(here.folder('web-1'), 'logs/main/app.log');
  let most = 0;
  await until(() => {
    most = Math.max(most, size(path) + size(`${path}.1`));
    return size(`${path}.1`) > 0 && size(path) > 20_000;
  });
  t.ok(most <= 64 * 1024, `at most ${most}`);
});

t.test('files are kept within their size from the first hook to the last, and by whoever takes over', async (t) => {
  const here = place(t);
  // Goes on writing while it is asked to end.
  const chatty =
    "process.on('SIGTERM', () => {}); const fs = require('node:fs');" +
    "setInterval(() => fs.appendFileSync('app.log', 'x'.repeat(999) + '\\n'), 10);";
  here.image('chatty:1', { 'server.js': chatty });
  const logs = [{ path: 'app.log', maxSize: '64Ki' }];
  const path = join(here.folder('web-1'), 'logs/main/app.log');
  /** The file was cut back once more. */
  const cut = async () => {
    let last = 0;
    await until(() => {
      const now = size(path);
      const wasCut = now < last;
      last = now;
      return wasCut;
    });
  };
  const sleeps = { exec: { command: ['sh', '-c', 'until [ -e go ]; do sleep 0.05; done'] } };
  const containers = [container({ image: 'chatty:1', ports: [], logs, lifecycle: { postStart: sleeps } })];
  const first = await here.open();
  await start(first, 'web-1', runnable({ containers, grace: 60 }));
  await cut();
  t.match(here.record('web-1').containers[0], { postStart: 'begun' });
  writeFileSync(join(here.folder('web-1'), 'run/containers/main/go'), '');
  await unitWhere(first, 'web-1', ready);
  await first.close();
  const second = await here.open();
  await cut();
  await stop(second, 'web-1');
  await cut();
  await second.close();
  const third = await here.open();
  await cut();
  t.match(await unitOf(third, 'web-1'), { phase: 'stopping' });
});
