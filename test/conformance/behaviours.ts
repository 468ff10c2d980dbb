/** What every driver must do, one list for all: each behaviour has a resource of its own, and leaves nothing of it behind. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { backends } from '../e2e/observer.ts';
import {
  commit,
  get,
  git,
  load,
  operator,
  type Place,
  paused,
  type Running,
  settled,
  sluice,
  status,
  statusOf,
} from '../e2e/support.ts';
import { until } from '../support/until.ts';
import type { Harness } from './harness.ts';

export interface World {
  t: Test;
  harness: Harness;
  at: Place;
  /** The operator; a behaviour may kill it and start another. */
  operator: Running;
}

export interface Behaviour {
  name: string;
  /** For people, in the table of what each driver does. */
  about: string;
  needsTraffic?: true;
  run(world: World): Promise<void>;
}

/** A machine of a test may be slow. */
const PATIENCE = 180;

const workload = (name: string, image: string, more = ''): Record<string, string> => ({
  [`${name}.yaml`]: `apiVersion: sluice/v1
kind: Workload
metadata: {name: ${name}}
spec:
  target: place
  replicas: 3
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
${more}  template:
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - {name: web, image: "${image}", ports: [{containerPort: 8080}]}
`,
});

async function begin({ at }: World, name: string, image: string, more = ''): Promise<void> {
  commit(at, workload(name, image, more), `${name}: ${image}`);
  await settled(at, `Workload/${name}`, 1, PATIENCE);
}

/** The manifest goes, and with it all that ran. */
async function end(world: World, name: string): Promise<void> {
  const { at, harness } = world;
  commit(at, { [`${name}.yaml`]: '' }, `${name} goes`);
  await until(`${name} is gone`, async () => (await harness.running(at, `Workload/${name}`)).length === 0, PATIENCE);
  await until(`the status of ${name} is gone`, () => status(at, `Workload/${name}`) === undefined, PATIENCE);
}

async function answers({ t, at, harness }: World, name: string, body: string): Promise<void> {
  if (harness.hasTraffic) t.match(await get(at, `${name}.localhost`), { status: 200, body });
}

/** From when the resource is there as a whole: never more than `total` run, never fewer than `available` get traffic, no unit twice. */
function bounded(
  { t, at, harness }: World,
  resource: string,
  { total, available }: { total: number; available: number },
) {
  const broken = new Set<string>();
  let going = true;
  let looks = 0;
  const watching = (async () => {
    for (; going; looks++) {
      const began = performance.now();
      const seen = await harness.running(at, resource);
      if (seen.length > total) broken.add(`${seen.join(', ')} ran together`);
      const units = seen.map((attempt) => attempt.slice(0, attempt.lastIndexOf('.')));
      if (new Set(units).size < units.length) broken.add(`two attempts of a unit ran together: ${units.join(', ')}`);
      const served = harness.hasTraffic ? backends(at, resource).length : available;
      if (served < available) broken.add(`only ${served} got traffic`);
      await sleep(Math.max(60, 2 * (performance.now() - began)));
    }
  })();
  return async () => {
    going = false;
    await watching;
    t.strictSame([...broken], [], `within bounds, at each of ${looks} looks`);
    t.ok(looks > 5, 'it was looked at');
  };
}

export const BEHAVIOURS: Behaviour[] = [
  {
    name: 'create',
    about: 'a commit creates what it declares',
    async run(world) {
      const { t, at, harness } = world;
      await begin(world, 'create', 'hello:7');
      t.equal((await harness.running(at, 'Workload/create')).length, 3);
      await answers(world, 'create', '7');
      t.ok(git(at.repo, 'tag', '-l', 'sluice/workload/create/1'), 'tagged');
      await end(world, 'create');
    },
  },
  {
    name: 'roll within bounds',
    about: 'an upgrade stays within surge and unavailable',
    async run(world) {
      const { at } = world;
      await begin(world, 'roll', 'hello:7');
      const stop = bounded(world, 'Workload/roll', { total: 4, available: 3 });
      commit(at, workload('roll', 'hello:8'), 'roll: 8');
      await settled(at, 'Workload/roll', 2, PATIENCE);
      await stop();
      await answers(world, 'roll', '8');
      await end(world, 'roll');
    },
  },
  {
    name: 'slow start',
    about: 'what takes its time to get ready is waited for, and loses no request',
    async run(world) {
      const { t, at, harness } = world;
      await begin(world, 'slow', 'hello:7');
      const stop = bounded(world, 'Workload/slow', { total: 4, available: 3 });
      const asking = harness.hasTraffic ? load(at, 'slow.localhost') : undefined;
      commit(at, workload('slow', 'slow:8'), 'slow: 8');
      await settled(at, 'Workload/slow', 2, PATIENCE);
      const asked = await asking?.stop();
      t.strictSame(asked?.lost ?? [], [], `none of ${asked?.sent} requests was lost`);
      await stop();
      await answers(world, 'slow', '8');
      await end(world, 'slow');
    },
  },
  {
    name: 'never ready',
    about: 'what never gets ready fails the rollout, and what ran goes on',
    async run(world) {
      const { t, at, harness } = world;
      const began = Date.now();
      await begin(world, 'never', 'hello:7');
      // As long as three that do get ready took: on a slow machine starting one may take 3 s by itself.
      const deadline = Math.ceil(Math.max(3000, Date.now() - began) / 1000);
      const stop = bounded(world, 'Workload/never', { total: 4, available: 3 });
      commit(at, workload('never', 'never:8', `  progressDeadlineSeconds: ${deadline}\n`), 'never: 8');
      const now = await paused(at, 'Workload/never', 2, 'Failure');
      t.match(now.message, harness.neverReady ?? /nothing listens on/);
      await stop();
      await answers(world, 'never', '7');
      git(at.repo, 'revert', '--no-edit', 'HEAD');
      await settled(at, 'Workload/never', 3, PATIENCE);
      t.equal((await harness.running(at, 'Workload/never')).length, 3);
      await end(world, 'never');
    },
  },
  {
    name: 'revert',
    about: 'a revert rolls back the same way',
    async run(world) {
      const { t, at } = world;
      await begin(world, 'back', 'hello:7');
      commit(at, workload('back', 'hello:8'), 'back: 8');
      await settled(at, 'Workload/back', 2, PATIENCE);
      const stop = bounded(world, 'Workload/back', { total: 4, available: 3 });
      git(at.repo, 'revert', '--no-edit', 'HEAD');
      const now = await settled(at, 'Workload/back', 3, PATIENCE);
      await stop();
      t.equal(now.rollout.cause, 'rollback');
      await answers(world, 'back', '7');
      await end(world, 'back');
    },
  },
  {
    name: 'supersede',
    about: 'a newer commit takes over from wherever the units are',
    async run(world) {
      const { t, at } = world;
      await begin(world, 'newer', 'hello:7');
      const stop = bounded(world, 'Workload/newer', { total: 4, available: 3 });
      commit(at, workload('newer', 'slow:8'), 'newer: 8');
      const underWay = ({ rollout }: { rollout?: { id: number; phase: string } }) =>
        rollout?.id === 2 && rollout.phase === 'Progressing';
      await statusOf(at, 'Workload/newer', 'rolls', underWay, PATIENCE);
      commit(at, workload('newer', 'slow:9'), 'newer: 9');
      const now = await settled(at, 'Workload/newer', 3, PATIENCE);
      await stop();
      const second = now.history.find(({ id }: { id: number }) => id === 2);
      t.match(second, { phase: 'Superseded' });
      await answers(world, 'newer', '9');
      await end(world, 'newer');
    },
  },
  {
    name: 'pause',
    about: 'a pause starts nothing new until somebody says continue',
    async run(world) {
      const { t, at, harness } = world;
      await begin(world, 'wait', 'hello:7');
      commit(at, workload('wait', 'slow:8'), 'wait: 8');
      await statusOf(at, 'Workload/wait', 'rolls', ({ rollout }) => rollout?.id === 2, PATIENCE);
      t.equal((await sluice(at, 'pause', 'Workload/wait')).code, 0);
      await paused(at, 'Workload/wait', 2, 'Operator');
      const attempts = await until('units under way finish', async () => {
        const before = await harness.running(at, 'Workload/wait');
        await new Promise((resolve) => setTimeout(resolve, 1500));
        const after = await harness.running(at, 'Workload/wait');
        return before.sort().join() === after.sort().join() ? after : undefined;
      });
      t.ok(attempts.length >= 3, 'all that ran goes on');
      t.equal((await sluice(at, 'continue', 'Workload/wait')).code, 0);
      await settled(at, 'Workload/wait', 2, PATIENCE);
      await answers(world, 'wait', '8');
      await end(world, 'wait');
    },
  },
  {
    name: 'crash and resume',
    about: 'an operator that is killed is replaced by one that goes on, and starts nothing twice',
    async run(world) {
      const { t, at, harness } = world;
      await begin(world, 'crash', 'hello:7');
      const before = await harness.running(at, 'Workload/crash');
      const stop = bounded(world, 'Workload/crash', { total: 4, available: 3 });
      const asking = harness.hasTraffic ? load(at, 'crash.localhost') : undefined;
      commit(at, workload('crash', 'slow:8'), 'crash: 8');
      const isNew = (attempt: string) => !before.includes(attempt);
      await until('the first new one', async () => (await harness.running(at, 'Workload/crash')).some(isNew), PATIENCE);
      const started = (await harness.running(at, 'Workload/crash')).filter(isNew);
      world.operator.process.kill('SIGKILL');
      await world.operator.exit;
      t.equal((await harness.running(at, 'Workload/crash')).length, 4, 'what ran outlives the operator');
      world.operator = operator(at);
      await settled(at, 'Workload/crash', 2, PATIENCE);
      const asked = await asking?.stop();
      t.strictSame(asked?.lost ?? [], [], `none of ${asked?.sent} requests was lost`);
      await stop();
      const after = await harness.running(at, 'Workload/crash');
      t.ok(
        started.every((attempt) => after.includes(attempt)),
        'what was begun was not begun again',
      );
      await answers(world, 'crash', '8');
      await end(world, 'crash');
    },
  },
  {
    name: 'repair',
    about: 'what dies is put back, without a rollout',
    async run(world) {
      const { t, at, harness } = world;
      await begin(world, 'mend', 'hello:7');
      const [victim = ''] = await harness.running(at, 'Workload/mend');
      await harness.kill(at, 'Workload/mend', victim);
      const whole = async () => {
        const now = await harness.running(at, 'Workload/mend');
        return now.length === 3 && !now.includes(victim);
      };
      await until('three again', whole, PATIENCE);
      const repaired = ({ repairs, health }: { repairs?: { count: number }; health: string }) =>
        (harness.heals || (repairs?.count ?? 0) > 0) && health === 'Healthy';
      const now = await statusOf(at, 'Workload/mend', 'is repaired', repaired, PATIENCE);
      t.equal(now.rollout.id, 1, 'no other rollout');
      await answers(world, 'mend', '7');
      await end(world, 'mend');
    },
  },
  {
    name: 'delete',
    about: 'what is not declared any more is taken out of traffic and removed',
    async run(world) {
      const { t, at, harness } = world;
      await begin(world, 'leave', 'hello:7');
      const asking = harness.hasTraffic ? load(at, 'leave.localhost', '/slow') : undefined;
      if (harness.hasTraffic)
        await until('requests are under way', async () => (await get(at, 'leave.localhost')).status === 200);
      await end(world, 'leave');
      const { bodies = new Map(), lost = [] } = (await asking?.stop()) ?? {};
      t.strictSame(
        [...bodies.keys()].filter((body) => body !== '7'),
        [],
      );
      t.strictSame(
        lost.filter((text) => !/^(404|503) /.test(text)),
        [],
        'nothing that was under way was cut off',
      );
    },
  },
  {
    name: 'traffic and drain',
    about: 'versions side by side share traffic by steps, and none is stopped with a request under way',
    needsTraffic: true,
    async run({ t, at }) {
      const service = (image: string) => ({
        'shop.yaml': `apiVersion: sluice/v1
kind: Service
metadata: {name: shop}
spec:
  target: place
  replicas: 2
  keepVersions: 0
  traffic: {steps: [{percent: 50, pause: true}, {percent: 100}]}
  template:
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - {name: web, image: "${image}", ports: [{containerPort: 8080}]}
`,
      });
      commit(at, service('hello:7'), 'shop: 7');
      await settled(at, 'Service/shop', 1, PATIENCE);
      const asking = load(at, 'shop.localhost', '/slow');
      const upgrade = commit(at, service('hello:8'), 'shop: 8');
      await paused(at, 'Service/shop', 2, 'Step');
      t.match(await get(at, 'v2.shop.localhost'), { status: 200, body: '8' });
      t.match(await get(at, 'v1.shop.localhost'), { status: 200, body: '7' });
      t.equal((await sluice(at, 'continue', 'Service/shop')).code, 0);
      await settled(at, 'Service/shop', 2, PATIENCE);
      git(at.repo, 'revert', '--no-edit', upgrade);
      await settled(at, 'Service/shop', 3, PATIENCE);
      const { sent, lost, bodies } = await asking.stop();
      t.strictSame(lost, [], `none of ${sent} requests was lost`);
      t.ok(bodies.has('7') && bodies.has('8'), 'both versions answered');
      t.match(await get(at, 'shop.localhost'), { status: 200, body: '7' });
    },
  },
];
