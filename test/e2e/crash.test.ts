/** The operator is killed with -9 at every delicate moment; what runs serves on, and the next one goes on from there. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../support/until.ts';
import { backends, observe } from './observer.ts';
import {
  clean,
  commit,
  get,
  git,
  image,
  load,
  operator,
  type Place,
  place,
  processes,
  type Running,
  routerPid,
  service,
  settled,
  status,
  statusOf,
  workload,
} from './support.ts';

const IMAGES = { ...image('hello', '7', 200), ...image('hello', '8', 200) };

interface Moment {
  name: string;
  /** Prepared when the operator runs; the moment has come when it gives true. */
  come: (at: Place, resource: string) => () => boolean;
  stateLost?: boolean;
}

/** As the file has it: asking git costs more than the moment lasts. */
function statusTip(at: Place): string {
  const ref = join(at.repo, '.git/refs/heads/sluice/status');
  return existsSync(ref) ? readFileSync(ref, 'utf8') : '';
}
const served = (at: Place, resource: string) => new Set(backends(at, resource).map(({ unit }) => unit));
const unitsRunning = (at: Place, resource: string) =>
  new Map(
    processes(at, resource).map(({ attempt }) => [
      attempt,
      `${resource}/${attempt.slice(0, attempt.lastIndexOf('.'))}`,
    ]),
  );

const PUSHED: Moment = {
  name: 'just after the push of the intent',
  come(at) {
    const before = statusTip(at);
    return () => statusTip(at) !== before;
  },
};
const STARTING: Moment = {
  name: 'while a unit starts',
  come(at, resource) {
    const before = new Set(unitsRunning(at, resource).keys());
    return () => {
      const ready = served(at, resource);
      return [...unitsRunning(at, resource)].some(([attempt, unit]) => !before.has(attempt) && !ready.has(unit));
    };
  },
};
const SURGED: Moment = {
  name: 'between surge and removal',
  come(at, resource) {
    const before = served(at, resource);
    return () => [...served(at, resource)].some((unit) => !before.has(unit));
  },
};
const DRAINING: Moment = {
  name: 'while one that has lost its traffic finishes what it serves',
  come(at, resource) {
    const before = served(at, resource);
    return () => {
      const now = served(at, resource);
      return [...unitsRunning(at, resource).values()].some((unit) => before.has(unit) && !now.has(unit));
    };
  },
};

/** Lets the moment come, kills the operator, and starts the next one. */
async function crash(
  at: Place,
  resource: string,
  running: Running,
  moment: Moment,
  come: () => boolean,
): Promise<Running> {
  await until(moment.name, come, 180, 3).catch((error: Error) => {
    throw new Error(`${error.message}; ${JSON.stringify(status(at, resource)?.rollout)}\n${running.output()}`);
  });
  running.process.kill('SIGKILL');
  await running.exit;
  if (moment.stateLost) rmSync(at.state, { recursive: true, maxRetries: 5 });
  return operator(at);
}

/** A new text, and the operator killed at one moment after another until the rollout has come to its end. */
async function rollThrough(
  t: Test,
  at: Place,
  running: Running,
  resource: string,
  change: () => void,
  moments: Moment[],
): Promise<Running> {
  let now = running;
  for (const [index, moment] of moments.entries()) {
    const come = moment.come(at, resource);
    if (index === 0) change();
    now = await crash(at, resource, now, moment, come);
    t.pass(moment.name);
  }
  return now;
}

t.test('a rolling upgrade and its revert', async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7', 3), ...IMAGES });
  let running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Workload/web', 1);
  const watching = observe(at, 'Workload/web', { total: 4, available: 3 });
  const traffic = load(at, 'web.localhost', '/slow');
  const upgrade = () => commit(at, { 'web.yaml': workload('web', 'hello:8', 3) }, 'web 8');
  running = await rollThrough(t, at, running, 'Workload/web', upgrade, [PUSHED, STARTING, SURGED, DRAINING]);
  await settled(at, 'Workload/web', 2);
  t.same(await get(at, 'web.localhost'), { status: 200, body: '8' });
  const attempts = watching.attempts.size;
  t.equal(attempts, 6, 'three before, three new ones, and none more');

  const revert = () => git(at.repo, 'revert', '--no-edit', 'HEAD');
  const lost = { ...STARTING, stateLost: true, name: `${STARTING.name}, and the state folder is lost` };
  running = await rollThrough(t, at, running, 'Workload/web', () => void revert(), [DRAINING, SURGED, lost, PUSHED]);
  const back = await settled(at, 'Workload/web', 3);
  t.equal(back.rollout.cause, 'rollback');
  t.same(await get(at, 'web.localhost'), { status: 200, body: '7' });
  t.equal(watching.attempts.size, attempts + 3);

  const requests = await traffic.stop();
  t.same(requests.lost, [], `of ${requests.sent} requests`);
  const { broken, looks } = await watching.stop();
  t.same(broken, [], `in ${looks} looks`);
  t.same(
    back.history.map(({ id, phase }: { id: number; phase: string }) => `${id} ${phase}`),
    ['1 Succeeded', '2 Succeeded', '3 Succeeded'],
  );
  t.same(
    git(at.repo, 'tag', '-l').split('\n'),
    [1, 2, 3].map((id) => `sluice/workload/web/${id}`),
  );
});

t.test('a canary and its revert', async (t) => {
  const steps = '  replicas: 2\n  traffic: {steps: [{percent: 50, soak: 2s}, {percent: 100}]}\n';
  const at = await place({ 'shop.yaml': service('shop', 'hello:7', steps), ...IMAGES });
  let running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Service/shop', 1);
  const watching = observe(at, 'Service/shop', { total: 4, available: 2 });
  const traffic = load(at, 'shop.localhost');
  const soaking: Moment = {
    name: 'during a soak',
    come: () => () => /soaks until/.test(status(at, 'Service/shop')?.rollout?.message ?? ''),
  };
  const upgrade = () => commit(at, { 'shop.yaml': service('shop', 'hello:8', steps) }, 'shop 8');
  running = await rollThrough(t, at, running, 'Service/shop', upgrade, [STARTING, soaking]);
  await statusOf(at, 'Service/shop', 'shares its traffic', (now) => now.rollout.id === 2);
  await settled(at, 'Service/shop', 2);
  t.same(await get(at, 'shop.localhost'), { status: 200, body: '8' });
  t.same(await get(at, 'v1.shop.localhost'), { status: 200, body: '7' });

  const rerouted: Moment = {
    name: 'while the traffic goes back',
    come: () => () => status(at, 'Service/shop')?.rollout?.id === 3,
  };
  const before = watching.attempts.size;
  running = await rollThrough(t, at, running, 'Service/shop', () => void git(at.repo, 'revert', '--no-edit', 'HEAD'), [
    rerouted,
  ]);
  const back = await settled(at, 'Service/shop', 3);
  t.equal(back.rollout.cause, 'rollback');
  t.same(await get(at, 'shop.localhost'), { status: 200, body: '7' });
  t.equal(watching.attempts.size, before, 'a rollback is only traffic: nothing is started');

  const requests = await traffic.stop();
  t.same(requests.lost, [], `of ${requests.sent} requests`);
  const { broken, looks } = await watching.stop();
  t.same(broken, [], `in ${looks} looks`);
});

t.test('what dies while no operator runs is put back by the next, the router too', async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7', 2), ...IMAGES });
  let running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Workload/web', 1);
  running.process.kill('SIGKILL');
  await running.exit;
  const [victim] = processes(at, 'Workload/web');
  const router = routerPid(at);
  if (victim === undefined || router === undefined) throw new Error('nothing runs');
  process.kill(victim.pid, 'SIGKILL');
  process.kill(router, 'SIGKILL');
  rmSync(join(at.state), { recursive: true });
  running = operator(at);
  await until('it serves again', async () => (await get(at, 'web.localhost').catch(() => undefined))?.status === 200);
  await statusOf(at, 'Workload/web', 'is repaired', (now) => now.health === 'Healthy' && now.repairs.count === 1);
  t.equal(processes(at, 'Workload/web').length, 2);
  await t.test('and while one runs', async () => {
    const pid = routerPid(at);
    if (pid === undefined) throw new Error('no router runs');
    process.kill(pid, 'SIGKILL');
    await until('another router', () => ![undefined, pid].includes(routerPid(at)));
    await until('it serves again', async () => (await get(at, 'web.localhost').catch(() => undefined))?.status === 200);
  });
});
