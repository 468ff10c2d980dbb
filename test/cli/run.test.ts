import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { resolveAddress } from '../../src/git/clone.ts';
import {
  alive,
  clean,
  commit,
  get,
  image,
  operator,
  place,
  settled,
  sluice,
  status,
  workload,
} from '../e2e/support.ts';
import { until } from '../support/until.ts';

t.test('run --once settles what is declared and ends: 0 when all is so, 1 and why when it is not', async (t) => {
  const at = await place({ 'a.yaml': workload('a', 'hello:1', 1), ...image('hello', '1') });
  t.teardown(() => clean(at));
  const first = operator(at, '--once');
  t.equal(await first.exit, 0);
  t.match(first.output(), /^everything is as declared$/m);
  t.same(await get(at, 'a.localhost'), { status: 200, body: '1' });

  const logs = first
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'));
  const told = logs.map((line) => JSON.parse(line));
  t.match(told.at(-1), {
    level: 30,
    msg: /^Workload\/a: rollout 1 Succeeded/,
    resource: 'Workload/a',
    rollout: 1,
    phase: 'Succeeded',
  });

  commit(
    at,
    { 'a.yaml': workload('a', 'hello:2', 1), 'images/hello/2/image.yaml': 'command: [no-such-program]\n' },
    '2',
  );
  const second = operator(at, '--once');
  t.equal(await second.exit, 1);
  t.match(second.output(), /^Workload\/a: .*no-such-program/m);
  t.same(await get(at, 'a.localhost'), { status: 200, body: '1' }, 'what ran goes on');

  commit(at, { 'a.yaml': workload('a', 'hello:3', 1, '  paused: true\n'), ...image('hello', '3') }, '3');
  const third = operator(at, '--once');
  t.equal(await third.exit, 1, 'what waits is not as declared');
  t.match(third.output(), /^Workload\/a: .*paused/m);
});

t.test('a file PAUSED keeps everything new from starting until it is removed; a signal ends with 0', async (t) => {
  const at = await place({ 'a.yaml': workload('a', 'hello:1', 1), ...image('hello', '1') });
  const data = join(at.data, (await resolveAddress(at.repo)).key);
  mkdirSync(data, { recursive: true });
  writeFileSync(join(data, 'PAUSED'), '');
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await until('it says so', () => /paused: nothing new is started/.test(running.output()));
  await until('the rollout waits', () => status(at, 'Workload/a')?.rollout?.phase === 'Pending');
  t.equal(alive(at, 'Workload/a').size, 0);
  rmSync(join(data, 'PAUSED'));
  await settled(at, 'Workload/a', 1);
  running.process.kill('SIGTERM');
  t.equal(await running.exit, 0);
  t.match(running.output(), /^stopped$/m);
});

t.test('logs prints what units wrote, each line under its unit, on the machine that they run on', async (t) => {
  const server =
    "console.log('first'); console.error('second'); require('node:http').createServer((_, r) => r.end('x')).listen(process.env.PORT, '127.0.0.1')\n";
  const files = { 'images/talk/1/image.yaml': 'command: [node, s.js]\n', 'images/talk/1/s.js': server };
  const at = await place({ 'a.yaml': workload('a', 'talk:1', 2), ...files });
  t.teardown(() => clean(at));
  t.equal(await operator(at, '--once').exit, 0);
  const logs = (...args: string[]) => sluice(at, 'logs', ...args, '--data-dir', at.data, '--state-dir', at.state);
  const all = await logs('Workload/a');
  t.equal(all.code, 0);
  const lines = all.output.split('\n');
  for (const line of ['a-1 web | first', 'a-1 web | second', 'a-2 web | first']) t.ok(lines.includes(line), line);
  const one = await logs('Workload/a', 'a-2');
  t.notMatch(one.output, 'a-1');
  const none = await logs('Workload/b');
  t.equal(none.code, 1);
  t.match(none.output, /^error: Workload\/b has no logs in .*; is this the machine it runs on\?$/m);
});

t.test('an operator that cannot begin says what is in its way: 1; and one that is told nonsense: 2', async (t) => {
  const at = await place({ 'a.yaml': workload('a', 'hello:1', 1), ...image('hello', '1') });
  t.teardown(() => clean(at));
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(at.port, '127.0.0.1', resolve));
  t.teardown(() => other.close());
  const blocked = operator(at);
  t.equal(await blocked.exit, 1);
  t.match(
    blocked.output(),
    new RegExp(`^error: 127\\.0\\.0\\.1:${at.port} is taken by another program; choose another with --router`, 'm'),
  );
  for (const args of [['--interval', 'often'], ['--router', 'nowhere'], ['--log-level', 'loud'], ['--branch']]) {
    const wrong = operator(at, ...args);
    t.equal(await wrong.exit, 2, args.join(' '));
    t.match(wrong.output(), /^error: /);
  }
  const missing = await sluice(
    at,
    'run',
    '--repo',
    join(at.root, 'nowhere'),
    '--state-dir',
    at.state,
    '--data-dir',
    at.data,
  );
  t.equal(missing.code, 2);
  t.notOk(existsSync(join(at.root, 'nowhere')));
});
