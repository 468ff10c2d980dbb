/** Whatever becomes of the remote, what runs goes on, and the operator goes on when the remote does. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { bareRepository, type Fault, git as gitIn, type HttpGitServer, serveHttp } from '../support/git-servers.ts';
import { until } from '../support/until.ts';
import {
  alive,
  clean,
  commit,
  get,
  git,
  image,
  logged,
  logs,
  operator,
  type Place,
  paused,
  place,
  type Running,
  remoteOperator,
  service,
  settled,
  sluice,
  statusOf,
  workload,
} from './support.ts';

const HELLO = { ...image('hello', '7'), ...image('hello', '8') };

interface Remote {
  at: Place;
  /** To read the status from. */
  seen: Place;
  bare: string;
  server: HttpGitServer;
  url: string;
  push(tag: string): string;
  end(running: Running): Promise<void>;
}

/** A clone as a developer has it, of a bare repository behind HTTP. */
async function remote(): Promise<Remote> {
  const at = await place({ 'web.yaml': workload('web', 'hello:7', 1), ...HELLO });
  const bare = bareRepository(at.root, 'config.git');
  git(at.repo, 'remote', 'add', 'origin', bare);
  git(at.repo, 'push', '-q', '-u', 'origin', 'main');
  const server = await serveHttp(at.root);
  return {
    ...{ at, bare, server, seen: { ...at, repo: bare }, url: `${server.url}/config.git` },
    push(tag) {
      const made = commit(at, { 'web.yaml': workload('web', `hello:${tag}`, 1) }, `web ${tag}`);
      git(at.repo, 'push', '-q');
      return made;
    },
    async end(running) {
      await clean(at, running);
      await server.close();
    },
  };
}

const serves = (t: Test, at: Place, body: string) =>
  get(at, 'web.localhost').then((answer) => t.same(answer, { status: 200, body }));

/** The one that waits for a remote that hangs takes half a minute: the others run beside it. */
t.jobs = 2;
const BESIDE = { buffered: true };

const FAULTS: { name: string; fault: Fault; only?: (request: string) => boolean; says: RegExp }[] = [
  { name: '401', fault: { kind: 'status', status: 401 }, says: /SLUICE_GIT_TOKEN/ },
  { name: '500', fault: { kind: 'status', status: 500 }, says: /500/ },
  { name: 'half an answer', fault: { kind: 'half' }, says: /broke off in the middle of an answer/ },
  {
    name: 'half a pack',
    fault: { kind: 'half' },
    only: (request) => request.startsWith('POST') && request.includes('git-upload-pack'),
    says: /broke off in the middle of an answer/,
  },
];

t.test('a remote that never answers is given up on, and taken up again', BESIDE, async (t) => {
  const { at, seen, server, url, push, end } = await remote();
  const running = remoteOperator(at, url);
  t.teardown(() => end(running));
  await settled(seen, 'Workload/web', 1);
  server.fail({ kind: 'silence' });
  push('8');
  await logs(running, /no answer in \d+ s/);
  await serves(t, at, '7');
  server.fail(undefined);
  await settled(seen, 'Workload/web', 2);
  await serves(t, at, '8');
});

t.test('a remote that answers wrongly is told, stops nothing, and is taken up again', BESIDE, async (t) => {
  const { at, seen, server, url, push, end } = await remote();
  const running = remoteOperator(at, url);
  t.teardown(() => end(running));
  await settled(seen, 'Workload/web', 1);
  let rollout = 1;
  for (const { name, fault, only, says } of FAULTS) {
    await t.test(name, async (t) => {
      const before = logged(running).length;
      const was = rollout % 2 === 1 ? '7' : '8';
      const next = rollout % 2 === 1 ? '8' : '7';
      server.fail(fault, only);
      push(next);
      const told = await until('it is told', () =>
        logged(running)
          .slice(before)
          .find((line) => says.test(line)),
      );
      t.match(told, /^warn /);
      t.match(told, url.replace('http://', ''), 'names the address');
      await serves(t, at, was);
      server.fail(undefined);
      rollout++;
      await settled(seen, 'Workload/web', rollout);
      await serves(t, at, next);
    });
  }
  t.equal(running.process.exitCode, null);
});

t.test(
  'a branch that was rewritten is held until it is accepted; one that is gone stops nothing',
  BESIDE,
  async (t) => {
    const { at, seen, bare, url, push, end } = await remote();
    let running = remoteOperator(at, url);
    t.teardown(() => end(running));
    await settled(seen, 'Workload/web', 1);
    const held = push('8');
    await settled(seen, 'Workload/web', 2);

    git(at.repo, 'reset', '-q', '--hard', 'HEAD^');
    commit(at, { 'web.yaml': workload('web', 'hello:7', 3) }, 'another history');
    git(at.repo, 'push', '-q', '--force');
    await logs(running, new RegExp(`rewritten, from ${held.slice(0, 10)} .*--accept-rewrite`));
    t.equal(alive(at, 'Workload/web').size, 1);
    await serves(t, at, '8');

    await t.test('also by the next operator', async (t) => {
      running.process.kill('SIGKILL');
      await running.exit;
      running = remoteOperator(at, url);
      await logs(running, /--accept-rewrite/);
      t.equal(alive(at, 'Workload/web').size, 1);
      running.process.kill('SIGKILL');
      await running.exit;
      running = remoteOperator(at, url, {}, '--once');
      t.equal(await running.exit, 1, 'what the branch says now is not what runs');
      t.match(running.output(), /rewritten, from [^\n]*\n$/, 'and that is its last word');
      running = remoteOperator(at, url, {}, '--accept-rewrite');
      await settled(seen, 'Workload/web', 3);
      t.equal(alive(at, 'Workload/web').size, 3);
      await serves(t, at, '7');
    });

    await t.test('deleted, then pushed again', async (t) => {
      git(at.repo, 'push', '-q', 'origin', ':main');
      await logs(running, /has no branch main/);
      t.equal(alive(at, 'Workload/web').size, 3, 'nothing of it is taken away');
      await serves(t, at, '7');
      commit(at, { 'web.yaml': workload('web', 'hello:8', 3) }, 'on it goes');
      git(at.repo, 'push', '-q', 'origin', 'main');
      await settled(seen, 'Workload/web', 4);
      await serves(t, at, '8');
      t.equal(gitIn(bare, ['rev-parse', 'sluice/workload/web/4^{commit}']), git(at.repo, 'rev-parse', 'HEAD'));
    });
  },
);

t.test('a status branch that somebody edited by hand pauses what is under way, until a continue', BESIDE, async (t) => {
  const steps = '  replicas: 1\n  traffic: {steps: [{percent: 50, pause: true}, {percent: 100}]}\n';
  const at = await place({ 'shop.yaml': service('shop', 'hello:7', steps), ...HELLO });
  let running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Service/shop', 1);
  commit(at, { 'shop.yaml': service('shop', 'hello:8', steps) }, 'shop 8');
  await paused(at, 'Service/shop', 2, 'Step');

  const edit = (path: string, text: string) => {
    const tree = join(at.root, `edit-${path.replaceAll('/', '-')}`);
    git(at.repo, 'worktree', 'add', '-q', tree, 'sluice/status');
    writeFileSync(join(tree, path), text);
    git(tree, 'add', '-A');
    git(tree, 'commit', '-q', '-m', 'by hand');
    git(at.repo, 'worktree', 'remove', '--force', tree);
  };
  edit('notes.md', 'who is here?\n');
  const goOn = async () => t.equal((await sluice(at, 'continue', 'Service/shop')).code, 0);
  await goOn();
  const unknown = await paused(at, 'Service/shop', 2, 'Unknown');
  t.match(unknown.message, /which this operator did not write/);
  t.equal(unknown.health, 'Paused');
  t.equal((await get(at, 'shop.localhost')).status, 200);
  await goOn();
  await settled(at, 'Service/shop', 2);

  await t.test('an operator that starts distrusts such a tip as well', async (t) => {
    running.process.kill('SIGKILL');
    await running.exit;
    edit('status/service/shop.yaml', 'resource: [\n');
    running = operator(at);
    await logs(running, /the status of Service\/shop cannot be used and is begun anew/);
    const anew = await statusOf(at, 'Service/shop', 'is begun anew', (now) => now.rollout?.id > 2);
    t.ok(anew.rollout.id >= 3, 'no id is used twice');
    await until('it serves on', async () => (await get(at, 'shop.localhost')).status === 200);
  });
});

t.test('a tag that is there already is left as it is, and told', BESIDE, async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7', 1), ...HELLO });
  let running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Workload/web', 1);
  const first = git(at.repo, 'rev-parse', 'HEAD');
  git(at.repo, 'tag', 'sluice/workload/web/2');
  commit(at, { 'web.yaml': workload('web', 'hello:8', 1) }, 'web 8');
  await settled(at, 'Workload/web', 2);
  await logs(running, /^warn refs\/tags\/sluice\/workload\/web\/2 was made or moved by somebody else/);
  t.equal(git(at.repo, 'rev-parse', 'sluice/workload/web/2'), first);

  await t.test('an operator that starts afterwards counts on from it', async (t) => {
    git(at.repo, 'tag', 'sluice/workload/web/9');
    running.process.kill('SIGKILL');
    await running.exit;
    running = operator(at);
    commit(at, { 'web.yaml': workload('web', 'hello:7', 1) }, 'web 7 again');
    const now = await settled(at, 'Workload/web', 10);
    t.equal(git(at.repo, 'rev-parse', 'sluice/workload/web/10^{commit}'), now.commit);
  });
});
