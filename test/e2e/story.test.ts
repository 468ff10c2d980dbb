import t from 'tap';
import { until } from '../support/until.ts';
import {
  clean,
  commit,
  get,
  git,
  image,
  load,
  operator,
  place,
  service,
  settled,
  status,
  workload,
} from './support.ts';

t.test('a commit upgrades, a revert rolls back, without a lost request, and the tags tell the story', async (t) => {
  const at = await place({
    'tomcat.yaml': workload('tomcat', 'hello:7'),
    'shop.yaml': service(
      'shop',
      'hello:7',
      '  replicas: 1\n  traffic: {steps: [{percent: 50, pause: true}, {percent: 100}]}\n',
    ),
    ...image('hello', '7'),
    ...image('hello', '8', 200),
  });
  let running = operator(at);
  t.teardown(() => clean(at, running));

  await settled(at, 'Workload/tomcat', 1).catch((error) => t.fail(`${error.message}\n${running.output()}`));
  await settled(at, 'Service/shop', 1);
  t.same(await get(at, 'tomcat.localhost'), { status: 200, body: '7' });
  t.same(await get(at, 'shop.localhost'), { status: 200, body: '7' });

  const traffic = load(at, 'tomcat.localhost');
  const upgraded = commit(at, { 'tomcat.yaml': workload('tomcat', 'hello:8') }, 'tomcat 8');
  const now = await settled(at, 'Workload/tomcat', 2);
  t.equal(now.commit, upgraded);
  t.equal(now.rollout.cause, 'upgrade');
  t.same(await get(at, 'tomcat.localhost'), { status: 200, body: '8' });
  t.equal(git(at.repo, 'rev-parse', 'sluice/workload/tomcat/2^{commit}'), upgraded);

  git(at.repo, 'revert', '--no-edit', 'HEAD');
  const back = await settled(at, 'Workload/tomcat', 3);
  t.equal(back.rollout.cause, 'rollback');
  t.same(await get(at, 'tomcat.localhost'), { status: 200, body: '7' });
  const { sent, lost } = await traffic.stop();
  t.same(lost, [], `of ${sent} requests`);
  t.ok(sent > 50);

  t.test('killed -9 in the middle of a canary, the next operator goes on', async (t) => {
    commit(
      at,
      {
        'shop.yaml': service(
          'shop',
          'hello:8',
          '  replicas: 1\n  traffic: {steps: [{percent: 50, pause: true}, {percent: 100}]}\n',
        ),
      },
      'shop 8',
    );
    await until('a pause at 50 %', () => status(at, 'Service/shop')?.rollout?.reason === 'Step');
    running.process.kill('SIGKILL');
    await running.exit;
    t.equal((await get(at, 'shop.localhost')).status, 200, 'it serves on without the operator');
    running = operator(at);
    commit(
      at,
      {
        'operations/go.yaml':
          'apiVersion: sluice/v1\nkind: Operation\nmetadata: {name: go}\nspec: {resource: Service/shop, rollout: 2, action: continue}\n',
      },
      'continue',
    );
    const done = await settled(at, 'Service/shop', 2);
    t.match(done.operations, [{ name: 'go', outcome: 'applied' }]);
    t.same(await get(at, 'shop.localhost'), { status: 200, body: '8' });
    t.same(await get(at, 'v1.shop.localhost'), { status: 200, body: '7' }, 'the earlier version is kept');
  });

  t.match(git(at.repo, 'log', '--format=%s', 'sluice/status'), /Workload\/tomcat: rollout 2 succeeded/i);
  t.match(git(at.repo, 'show', 'sluice/status:STATUS.md'), /Service\/shop/);
});
