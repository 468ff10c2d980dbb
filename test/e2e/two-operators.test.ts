/** Two operators on one repository, as real processes: one acts, whatever becomes of the other. */
import { join } from 'node:path';
import t from 'tap';
import { until } from '../support/until.ts';
import {
  alive,
  clean,
  commit,
  git,
  image,
  load,
  logs,
  operator,
  type Place,
  place,
  type Running,
  settled,
  status,
  workload,
} from './support.ts';

t.setTimeout(600_000);

const IMAGES = { ...image('hello', '7', 200), ...image('hello', '8', 200) };
const refs = (at: Place) => git(at.repo, 'for-each-ref', '--format=%(refname) %(objectname)');
const standbys = (at: Place) => refs(at).match(/refs\/sluice\/standby\/\S+/g) ?? [];

/** What this operator is called in the lease. */
const named = (running: Running) => ` ${running.process.pid}"`;
const holds = (at: Place, running: Running) =>
  git(at.repo, 'log', '-1', '--format=%b', 'refs/sluice/lease').includes(named(running));

const beside = (at: Place, name: string): Place => ({ ...at, state: join(at.root, name) });

t.test(
  'a standby waits, takes over within a minute of a death, and the rollout goes on',
  { timeout: 400_000 },
  async (t) => {
    const at = await place({ 'web.yaml': workload('web', 'hello:7', 2), ...IMAGES });
    const first = operator(at);
    t.teardown(() => clean(at, first));
    await settled(at, 'Workload/web', 1);
    const second = operator(beside(at, 'second'), '--standby');
    t.teardown(() => second.process.kill('SIGKILL'));
    await logs(second, /stands by for .* \(epoch 1\)/);
    await until('the first shows that it lives', () => /refs\/sluice\/alive\/1-1 /.test(refs(at)));
    t.ok(holds(at, first), 'the first goes on meanwhile');
    t.equal(standbys(at).length, 1);

    const traffic = load(at, 'web.localhost');
    const before = alive(at, 'Workload/web');
    commit(at, { 'web.yaml': workload('web', 'hello:8', 2) }, 'web 8');
    await until('a unit of the rollout starts', () =>
      [...alive(at, 'Workload/web')].some((attempt) => !before.has(attempt)),
    );
    first.process.kill('SIGKILL');
    await first.exit;
    const died = Date.now();
    await until('the second takes over', () => holds(at, second));
    t.comment(`took over after ${((Date.now() - died) / 1000).toFixed(1)} s`);
    await settled(at, 'Workload/web', 2);
    const { lost, sent } = await traffic.stop();
    t.same(lost, [], `of ${sent} requests`);
    await until('its sign that it stands by is gone', () => standbys(at).length === 0);
  },
);

t.test('an operator that starts takes over; the other one says so and ends, though nothing happens', async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7', 1), ...IMAGES });
  const first = operator(at);
  t.teardown(() => clean(at, first));
  await settled(at, 'Workload/web', 1);
  const second = operator(beside(at, 'second'));
  t.teardown(() => second.process.kill('SIGKILL'));
  t.equal(await first.exit, 1);
  t.match(first.output(), /another operator \(.*, epoch 2\) has taken over; this one \(epoch 1\) acts no more/);
  t.ok(holds(at, second));
});

t.test('a standby that is told to stop leaves nothing behind', async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7', 1), ...IMAGES });
  const first = operator(at);
  t.teardown(() => clean(at, first));
  await settled(at, 'Workload/web', 1);
  const second = operator(beside(at, 'second'), '--standby');
  await until('it stands by', () => standbys(at).length === 1);
  second.process.kill('SIGTERM');
  t.equal(await second.exit, 0);
  t.same(standbys(at), []);
  t.ok(holds(at, first));
  t.equal(status(at, 'Workload/web').health, 'Healthy');
});

t.test('one that stands by for nobody begins at once', async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7', 1), ...IMAGES });
  const running = operator(at, '--standby');
  t.teardown(() => clean(at, running));
  await settled(at, 'Workload/web', 1);
});
