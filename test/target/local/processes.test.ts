import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { findLeaders, isRunning, markOf, membersOf, sendSignal } from '../../../src/target/local/processes.ts';
import type { ProcessMark } from '../../../src/target/local/record.ts';
import { until } from './fixtures.ts';

const FOLDER = `/nowhere/${process.pid}`;
const env = (attempt: string) => ({
  PATH: process.env.PATH ?? '',
  SLUICE_FOLDER: FOLDER,
  SLUICE_ATTEMPT: attempt,
  SLUICE_CONTAINER: 'main',
});

interface Ending {
  teardown(end: () => void): void;
}

/** A shell that leads a session of its own; what it writes are process ids, one a line. */
async function shell(t: Ending, attempt: string, script: string, lines: number) {
  const child = spawn('sh', ['-c', script], { detached: true, env: env(attempt), stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (more) => {
    text += more;
  });
  const ids = () => text.split('\n').filter(Boolean).map(Number);
  await until(() => ids().length === lines);
  const all = [child.pid ?? 0, ...ids()];
  const marks = all.map((pid) => markOf(pid) ?? { pid, start: 0 });
  t.teardown(() => {
    for (const mark of marks) sendSignal(mark, 'SIGKILL');
  });
  return { child, marks };
}

const pidsOf = (marks: ProcessMark[]) => marks.map(({ pid }) => pid).sort();

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

t.test('members are known by their session, their environment and their parents', async (t) => {
  // One that keeps all, one without environment, one without environment and session, and a child of that one.
  const script = `sleep 600 >&2 & echo $!
    env -i sleep 600 >&2 & echo $!
    env -i setsid sh -c 'sleep 600 >&2 & echo $!; wait' & echo $!
    read forever`;
  const { child, marks } = await shell(t, 'a', script, 4);
  const stranger = await shell(t, 'b', 'read forever', 0);
  const [leader] = marks;
  if (leader === undefined) throw new Error('the shell has no mark');
  const look = (leaders: ProcessMark[], grouped: number[] = []) =>
    pidsOf(membersOf({ name: { folder: FOLDER, attempt: 'a' }, leaders, grouped }));
  t.strictSame(look([leader]), pidsOf(marks), 'while the leader runs');
  t.strictSame(look([]), pidsOf(marks), 'the environment names the leader, and all others descend from it');
  const any = pidsOf(membersOf({ name: { folder: FOLDER }, leaders: [], grouped: [] }));
  t.strictSame(any, [...pidsOf(marks), ...pidsOf(stranger.marks)].sort(), 'of every attempt');
  t.strictSame(look([], [stranger.marks[0]?.pid ?? 0]), [...pidsOf(marks), ...pidsOf(stranger.marks)].sort());

  await end(child);
  t.notOk(isRunning(leader));
  const inSession = marks.slice(1, 3);
  t.match(look([leader]), pidsOf(inSession), 'its session outlives it');
  t.strictSame(
    look([{ pid: stranger.marks[0]?.pid ?? 0, start: 1 }]),
    pidsOf(marks.slice(1, 2)),
    'a number that is led by somebody else',
  );
});

t.test('leaders are found by their environment, and signals reach nobody else', async (t) => {
  const { child, marks } = await shell(t, 'c', 'sleep 600 >&2 & echo $!; read forever', 1);
  const [leader] = marks;
  t.strictSame([...findLeaders({ folder: FOLDER, attempt: 'c' })], [['main', leader]]);
  t.strictSame([...findLeaders({ folder: FOLDER, attempt: 'd' })], []);
  if (leader === undefined) throw new Error('the shell has no mark');
  t.notOk(sendSignal({ ...leader, start: leader.start + 1 }, 'SIGKILL'));
  t.ok(isRunning(leader));
  await end(child);
  t.notOk(sendSignal(leader, 'SIGKILL'));
});
