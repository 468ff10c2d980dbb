import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { git as bareGit, bareRepository, serveHttp } from '../support/git-servers.ts';
import { until } from '../support/until.ts';
import {
  clean,
  commit,
  git,
  image,
  logs,
  operator,
  type Place,
  place,
  remoteOperator,
  sluice,
  status,
  workload,
} from './support.ts';

/** A key of somebody's, and the repository's commits signed with it from now on. */
function signs(at: Place, name: string): string {
  const key = join(at.root, name);
  if (!existsSync(key)) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', key]);
  for (const [setting, value] of [
    ['gpg.format', 'ssh'],
    ['user.signingkey', key],
    ['commit.gpgsign', 'true'],
  ])
    git(at.repo, 'config', setting ?? '', value ?? '');
  return readFileSync(`${key}.pub`, 'utf8');
}

const overview = (at: Place, repo = at.repo) => git(repo, 'show', 'sluice/status:STATUS.md');
const runs = (at: Place) => status(at, 'Workload/a')?.rollout;

t.test('with --verify-keys an unsigned commit is held, said, and what was signed last goes on', async (t) => {
  const at = await place({ 'a.yaml': workload('a', 'hello:1', 1), ...image('hello', '1') });
  t.teardown(() => clean(at));
  const keys = join(at.root, 'keys');
  writeFileSync(keys, `ada@example.test ${signs(at, 'ada')}`);
  const first = operator(at, '--verify-keys', keys, '--once');
  t.equal(await first.exit, 1, 'the first that is seen is not signed');
  t.match(first.output(), /^commit \w{10} is refused: it is not signed; sign it .*; until then nothing is done$/m);
  t.equal(runs(at), undefined);

  const signed = commit(at, { 'a.yaml': workload('a', 'hello:1', 1, '  description: one\n') }, 'signed');
  const running = operator(at, '--verify-keys', keys);
  t.teardown(() => running.process.kill());
  await until('it runs', () => runs(at)?.phase === 'Succeeded');

  signs(at, 'eve');
  const bad = commit(at, { 'a.yaml': workload('a', 'hello:2', 1), ...image('hello', '2') }, 'by eve');
  await logs(
    running,
    new RegExp(
      `warn commit ${bad.slice(0, 10)} is refused: the key SHA256:\\S+ that signed it is not trusted; sign it .*${keys}; until then commit ${signed.slice(0, 10)} goes on`,
    ),
  );
  await until('STATUS.md says so', () => overview(at).includes(`**Held:** commit ${bad.slice(0, 10)} is refused`));
  t.match(overview(at), `Observed commit \`${signed}\``);
  const told = await sluice(at, 'status');
  t.equal(told.code, 1);
  t.match(told.output, new RegExp(`^Held {2}commit ${bad.slice(0, 10)} is refused: .* is not trusted`, 'm'));
  t.equal(runs(at)?.id, 1);

  const evesKey = readFileSync(join(at.root, 'eve.pub'), 'utf8');
  writeFileSync(keys, `${readFileSync(keys, 'utf8')}eve ${evesKey}`);
  await until('a key that is added counts at once', () => runs(at)?.id === 2 && runs(at)?.phase === 'Succeeded');
  await until('nothing is held', () => !overview(at).includes('Held'));
  t.equal((await sluice(at, 'status')).code, 0);
  running.process.kill();
  await running.exit;

  rmSync(keys);
  const without = operator(at, '--verify-keys', keys);
  t.equal(await without.exit, 1);
  t.match(without.output(), `--verify-keys ${keys} cannot be read`);
});

t.test(
  'without a git program, and when the operator starts again: the last signed commit is what it has',
  async (t) => {
    const at = await place({ 'a.yaml': workload('a', 'hello:1', 1), ...image('hello', '1') });
    const http = await serveHttp(at.root);
    t.teardown(async () => {
      await http.close();
      await clean(at);
    });
    const keys = join(at.root, 'keys');
    writeFileSync(keys, signs(at, 'ada'));
    const signed = commit(at, { 'a.yaml': workload('a', 'hello:1', 1, '  description: one\n') }, 'signed');
    const bare = bareRepository(at.root);
    const push = () => git(at.repo, 'push', '-q', '--force', bare, 'main');
    push();
    const programs = join(at.root, 'programs');
    mkdirSync(programs);
    symlinkSync(process.execPath, join(programs, 'node'));
    const start = () => {
      const started = remoteOperator(at, `${http.url}/repo.git`, { PATH: programs }, '--verify-keys', keys);
      t.teardown(() => started.process.kill());
      return started;
    };
    const show = (name: string) => {
      try {
        return bareGit(bare, ['show', `sluice/status:${name}`]);
      } catch {
        return '';
      }
    };
    const before = start();
    await until('it runs', () => /phase: Succeeded/.test(show('status/workload/a.yaml')));

    git(at.repo, 'config', 'commit.gpgsign', 'false');
    const bad = commit(at, { 'a.yaml': workload('a', 'hello:2', 1), ...image('hello', '2') }, 'unsigned');
    push();
    await until('it is held', () =>
      show('STATUS.md').includes(`commit ${bad.slice(0, 10)} is refused: it is not signed`),
    );
    before.process.kill('SIGKILL');
    await before.exit;
    rmSync(at.state, { recursive: true, force: true });

    const after = start();
    await logs(after, /warn commit \w+ is refused: it is not signed; .*; until then nothing is done/);
    await until('it is still held', () => show('STATUS.md').includes('is refused: it is not signed'));
    t.match(show('STATUS.md'), `Observed commit \`${signed}\``);
    git(at.repo, 'commit', '--amend', '-q', '--no-edit', '-S');
    push();
    await until('signed after all', () =>
      /image: hello:2|id: 2[\s\S]*phase: Succeeded/.test(show('status/workload/a.yaml')),
    );
    t.notMatch(show('STATUS.md'), 'Held');
  },
);
