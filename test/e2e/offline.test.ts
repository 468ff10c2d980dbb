import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bareRepository, serveHttp } from '../support/git-servers.ts';
import { until } from '../support/until.ts';
import {
  alive,
  clean,
  cli,
  get,
  git,
  image,
  logs,
  type Place,
  place,
  processes,
  type Running,
  status,
  workload,
} from './support.ts';

t.test('an operator that starts while the remote is down repairs what runs, and goes on when it is back', async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7'), ...image('hello', '7'), ...image('hello', '8') });
  const bare = bareRepository(at.root, 'config.git');
  git(at.repo, 'remote', 'add', 'origin', bare);
  git(at.repo, 'push', '-q', '-u', 'origin', 'main');
  const server = await serveHttp(at.root);
  let running = run(at, `${server.url}/config.git`);
  t.teardown(async () => {
    await clean(at, running);
    await server.close();
  });
  const seen = { ...at, repo: bare };
  await until('rollout 1', () => status(seen, 'Workload/web')?.health === 'Healthy').catch((error: Error) => {
    throw new Error(`${error.message}\n${running.output()}`);
  });
  // Killed before it has heard that its push went through, the next one would find what it does not know of, and end.
  await until('it has noted what it pushed', () => noted(at) === git(bare, 'rev-parse', 'sluice/status'));
  running.process.kill('SIGKILL');
  await running.exit;

  server.fail({ kind: 'status', status: 503 });
  const [victim] = processes(at, 'Workload/web');
  if (victim === undefined) throw new Error('no unit runs');
  process.kill(victim.pid, 'SIGKILL');
  running = run(at, `${server.url}/config.git`);
  await logs(running, /nothing new starts until it is reached/);
  await until('two attempts, one of them new', () => {
    const now = alive(at, 'Workload/web');
    return now.size === 2 && !now.has(victim.attempt);
  });
  await until('it serves', async () => (await get(at, 'web.localhost')).body === '7');

  writeFileSync(join(at.repo, 'web.yaml'), workload('web', 'hello:8'));
  git(at.repo, 'commit', '-q', '-am', 'web 8');
  git(at.repo, 'push', '-q');
  server.fail(undefined);
  await until('rollout 2', () => {
    const now = status(seen, 'Workload/web');
    return now?.rollout?.id === 2 && now.rollout.phase === 'Succeeded';
  }).catch((error: Error) => t.fail(`${error.message}\n${running.output()}`));
  t.equal((await get(at, 'web.localhost')).body, '8');
});

/** The tip of the status branch as the operator's clone has it. */
function noted({ state }: Place): string | undefined {
  const clones = readdirSync(state).map((key) => join(state, key, key, 'clone.git'));
  const ref = join(clones[0] ?? '', 'refs/sluice-internal/fetched', encodeURIComponent('refs/heads/sluice/status'));
  return existsSync(ref) ? readFileSync(ref, 'utf8').trim() : undefined;
}

function run(at: Place, repo: string): Running {
  const folders = ['--state-dir', at.state, '--data-dir', at.data, '--router', `127.0.0.1:${at.port}`];
  return cli(['run', '--repo', repo, ...folders, '--interval', '1s', '--push-interval', '100ms'], at.root);
}
