import { test } from 'tap';
import { localShell } from '../../../src/target/hosts/shell.ts';
import { HOSTILE } from './hostile.ts';

const never = new AbortController().signal;
const options = { timeoutMs: 20_000, signal: never };

test('what is given to a script arrives as it is, and is read by no shell', async (t) => {
  const { stdout, code } = await localShell().sh('printf "%s\\0" "$@"; cat', HOSTILE, options);
  t.equal(code, 0);
  t.same(stdout.split('\0'), [...HOSTILE, '']);
});

test('a megabyte of a value is no different', async (t) => {
  const long = `'\\${'x'.repeat(1 << 20)}`;
  const { stdout } = await localShell().sh('printf %s "$1" | wc -c', [long], options);
  t.equal(Number(stdout), long.length);
});

test('the code and the errors of a script come back', async (t) => {
  t.same(await localShell().sh('echo no >&2; exit 7', [], options), { code: 7, stdout: '', stderr: 'no\n' });
});

test('nothing of the environment of the operator is there but what is listed', async (t) => {
  process.env.SLUICE_TEST_SECRET = 'x';
  t.teardown(() => delete process.env.SLUICE_TEST_SECRET);
  const { stdout } = await localShell().sh('env', [], options);
  t.notMatch(stdout, /SLUICE_TEST_SECRET/);
});

test('without an end of its own it is an error', async (t) => {
  await t.rejects(localShell().sh('kill -9 $$', [], options), /SIGKILL/);
  await t.rejects(localShell().sh('exec sleep 600', [], { timeoutMs: 100, signal: never }), /timeout/);
  await t.rejects(localShell().sh('exec sleep 600', [], { timeoutMs: 60_000, signal: AbortSignal.timeout(50) }));
  await t.rejects(localShell().sh('true', ['a\0b'], options), /NUL/);
});
