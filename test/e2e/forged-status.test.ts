import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../support/until.ts';
import { clean, commit, git, image, logs, operator, place, processes, settled, workload } from './support.ts';

t.test('a forged status has nothing run that was never on the config branch', async (t) => {
  const at = await place({ 'a.yaml': workload('a', 'hello:1', 1), ...image('hello', '1') });
  t.teardown(() => clean(at));
  const first = operator(at, '--once');
  t.equal(await first.exit, 0);
  const good = git(at.repo, 'rev-parse', 'main');
  const { revision } = await settled(at, 'Workload/a', 1);

  // What the forger wants to have run, as an operator of their own names it.
  const theirs = await place({ 'a.yaml': workload('a', 'hello:1', 1), ...image('hello', '1') });
  t.teardown(() => clean(theirs));
  const ran = join(at.root, 'ran');
  const server = `require('node:fs').writeFileSync(${JSON.stringify(ran)}, '');`;
  commit(theirs, { 'images/hello/1/server.js': `${server}${image('hello', '1')['images/hello/1/server.js']}` }, 'evil');
  t.equal(await operator(theirs, '--once').exit, 0);
  const evilRevision = (await settled(theirs, 'Workload/a', 1)).revision;
  rmSync(ran);
  git(at.repo, 'fetch', '-q', theirs.repo, 'main:evil');
  const evil = git(at.repo, 'rev-parse', 'evil');

  const file = git(at.repo, 'show', 'sluice/status:status/workload/a.yaml');
  const forged = `${file.replaceAll(revision, evilRevision).replaceAll(good, evil)}\nattempted: ${revision}\n`;
  const index = { ...process.env, GIT_INDEX_FILE: join(at.root, 'index') };
  const forge = (...args: string[]) => execFileSync('git', args, { cwd: at.repo, encoding: 'utf8', env: index }).trim();
  writeFileSync(join(at.root, 'forged.yaml'), forged);
  forge('read-tree', 'sluice/status');
  const blob = forge('hash-object', '-w', join(at.root, 'forged.yaml'));
  forge('update-index', '--cacheinfo', `100644,${blob},status/workload/a.yaml`);
  const message = forge('show', '-s', '--format=%B', 'sluice/status');
  // The forged commit brings the other one along, so that the operator's clone has it.
  const tip = forge('commit-tree', forge('write-tree'), '-p', 'sluice/status', '-p', evil, '-m', message);
  forge('update-ref', 'refs/heads/sluice/status', tip);
  git(at.repo, 'branch', '-D', 'evil');
  for (const { pid } of processes(at, 'Workload/a')) process.kill(pid, 'SIGKILL');
  rmSync(at.state, { recursive: true, force: true });

  const next = operator(at);
  t.teardown(() => next.process.kill());
  await logs(
    next,
    /commit \w{10}, which the status of Workload\/a names, is not of the config branch: nothing is taken from it/,
  );
  t.notOk(existsSync(ran));
  commit(at, { 'a.yaml': workload('a', 'hello:2', 1), ...image('hello', '2') }, 'forward');
  await until('a commit goes forward', () => git(at.repo, 'tag', '-l', 'sluice/workload/a/*').includes('/a/2'));
  t.notOk(existsSync(ran));
});
