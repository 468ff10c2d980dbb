import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { bareRepository, git as gitIn, serveHttp, serveSsh } from '../support/git-servers.ts';
import { until } from '../support/until.ts';
import { clean, git, image, type Place, place, type Running, remoteOperator, status, workload } from './support.ts';

/** A place whose config repository is a clone of a bare one, as a developer has it. */
async function cloned(): Promise<{ at: Place; bare: string }> {
  const at = await place({ 'web.yaml': workload('web', 'hello:7', 1), ...image('hello', '7'), ...image('hello', '8') });
  const bare = bareRepository(at.root, 'config.git');
  git(at.repo, 'remote', 'add', 'origin', bare);
  git(at.repo, 'push', '-q', '-u', 'origin', 'main');
  return { at, bare };
}

async function upgradeAndRevert(test: Test, at: Place, bare: string, running: Running): Promise<void> {
  const seen = { ...at, repo: bare };
  const reached = (rollout: number) =>
    until(
      `rollout ${rollout}`,
      () =>
        status(seen, 'Workload/web')?.rollout?.id === rollout &&
        status(seen, 'Workload/web').rollout.phase === 'Succeeded',
    ).catch((error) => test.fail(`${error.message}\n${running.output()}`));
  await reached(1);
  execFileSync('sed', ['-i', 's/hello:7/hello:8/', join(at.repo, 'web.yaml')]);
  git(at.repo, 'commit', '-q', '-am', 'web 8');
  git(at.repo, 'push', '-q');
  await reached(2);
  git(at.repo, 'revert', '--no-edit', 'HEAD');
  git(at.repo, 'push', '-q');
  await reached(3);
  test.equal(status(seen, 'Workload/web').rollout.cause, 'rollback');
  await until('its tag', () => gitIn(bare, ['tag', '-l']).includes('sluice/workload/web/3'));
}

t.test('over HTTP with a token, which is in no log, argument or file', async (t) => {
  const { at, bare } = await cloned();
  const token = 'planted-token-4711';
  const server = await serveHttp(at.root, { auth: { username: 'x-access-token', password: token } });
  const running = remoteOperator(at, `${server.url}/config.git`, { SLUICE_GIT_TOKEN: token });
  t.teardown(async () => {
    await clean(at, running);
    await server.close();
  });
  await upgradeAndRevert(t, at, bare, running);
  t.notMatch(running.output(), token);
  const files = execFileSync('sh', ['-c', 'grep -rlF -- "$0" "$1" || true', token, at.root], { encoding: 'utf8' });
  t.equal(files, '', 'no file holds it');
  const args = execFileSync(
    'sh',
    ['-c', 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" "\\n" | grep -c "^planted" || true'],
    {
      encoding: 'utf8',
    },
  );
  t.equal(args.trim(), '0');
});

t.test('over ssh, with a state folder that is lost in between', async (t) => {
  const server = await serveSsh();
  if (server === undefined) throw new Error('no sshd is installed: apt-get install openssh-server');
  const { at, bare } = await cloned();
  let running = remoteOperator(at, server.url(bare), { GIT_SSH_COMMAND: server.command });
  t.teardown(async () => {
    await clean(at, running);
    await server.close();
  });
  await until('rollout 1', () => status({ ...at, repo: bare }, 'Workload/web')?.rollout?.phase === 'Succeeded').catch(
    (error) => t.fail(`${error.message}\n${running.output()}`),
  );
  running.process.kill('SIGKILL');
  await running.exit;
  rmSync(at.state, { recursive: true });
  running = remoteOperator(at, server.url(bare), { GIT_SSH_COMMAND: server.command });
  await upgradeAndRevert(t, at, bare, running);
});
