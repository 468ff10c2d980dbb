/** Programs that do not end as they should. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { environment, run } from '../src/process.ts';

const root = mkdtempSync(join(tmpdir(), 'sluice-process-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));
const env = environment({ ROOT: root });
const sh = (script: string, options: Partial<Parameters<typeof run>[1]>) =>
  run(['sh', '-c', script], { env, group: true, ...options });

/** Processes whose environment names the folder of this test. */
function left(): string[] {
  const isOurs = (pid: string) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`ROOT=${root}`);
    } catch {
      return false;
    }
  };
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isOurs(name));
}

t.test('one that takes too long ends with all that it started, also those that hold its output', async (t) => {
  const ended = await sh('sleep 600 & echo begun; sleep 600', { timeoutMs: 300 });
  t.match(ended, { failure: 'timeout' });
  t.equal(ended.stdout.toString(), 'begun\n');
  t.same(left(), []);
});

t.test('it may put away what it made, and is killed when it does not end', async (t) => {
  const lock = join(root, 'lock');
  await sh('trap \'rm "$ROOT/lock"; exit 1\' TERM; touch "$ROOT/lock"; sleep 600 & wait', { timeoutMs: 300 });
  t.notOk(existsSync(lock), 'as git removes its locks');
  t.match(await sh("trap '' TERM; sleep 600; sleep 600", { timeoutMs: 100 }), { failure: 'timeout' });
  // It was sent the signal that nothing survives, and may still be on its way out.
  for (const until = Date.now() + 10_000; left().length > 0 && Date.now() < until; ) await sleep(20);
  t.same(left(), []);
});

t.test('one that says nothing for too long ends, one that goes on talking does not', async (t) => {
  const silent = await sh('echo begun; sleep 600', { timeoutMs: 60_000, silenceMs: 300 });
  t.match(silent, { failure: 'silence' });
  const talking = await sh('for i in 1 2 3 4 5 6; do echo $i >&2; sleep 0.1; done', {
    timeoutMs: 60_000,
    silenceMs: 400,
  });
  t.match(talking, { code: 0 });
});

t.test('one that is called off leaves nothing behind', async (t) => {
  const caller = new AbortController();
  const running = sh('sleep 600 & sleep 600', { signal: caller.signal });
  setTimeout(() => caller.abort(new Error('no more')), 200);
  await t.rejects(running, { message: 'no more' });
  t.same(left(), []);
  await t.rejects(sh('sleep 600', { signal: AbortSignal.abort(new Error('before')) }), { message: 'before' });
});

t.test('one that cannot be started says why', async (t) => {
  t.match(await run([join(root, 'nothing')], { env }), { failure: /ENOENT/ });
});
