/** Whole rollouts: the engine, its controller, this driver, a real router, and requests all the while. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import t, { type Test } from 'tap';
import { systemClock } from '../../../../src/clock.ts';
import type { FleetResource, FleetRunnable, FleetSpec } from '../../../../src/manifest/resource.ts';
import { type Controller, createController } from '../../../../src/operator/controller.ts';
import { createAnswerer } from '../../../../src/operator/questions.ts';
import type { UnitDriver } from '../../../../src/target/ports.ts';
import { told, until } from '../fixtures.ts';
import { dataDir, router } from '../router/fixtures.ts';
import { fleetSpec, type InstancesPlace, image, instancesOf, instancesPlace, runs, script, WEB } from './fixtures.ts';

interface Site {
  here: InstancesPlace;
  driver: UnitDriver;
  controller: Controller;
  port: number;
  /** What is declared now runs, its rollout succeeded. */
  settle(runnable: FleetRunnable, over?: Partial<FleetSpec>): Promise<void>;
}

async function site(t: Test): Promise<Site> {
  const client = await router(t, await dataDir(t));
  const here = instancesPlace(t);
  const driver = await here.openInstances({ router: client });
  const runnables = new Map<string, FleetRunnable>();
  const runnable = async (revision: string) => runnables.get(revision) ?? runs(revision);
  const controller = createController({
    clock: systemClock,
    conditions: () => ({ operatorPaused: false, highestId: 0 }),
    driverOf: () => driver,
    runnable: (_, revision) => runnable(revision),
    answer: createAnswerer(({ resource }) => runnable(resource.revision)),
    publish: async () => {},
    decided: () => {},
    failed: (_, what, error) => t.fail(`${what}: ${error}`),
    signal: new AbortController().signal,
  });
  t.teardown(() => controller.stop());
  driver.subscribe(controller.touch);
  let commit = 0;
  return {
    ...{ here, driver, controller, port: client.address().port },
    async settle(what, over = {}) {
      runnables.set(what.revision, what);
      const { revision } = what;
      const spec = fleetSpec({ members: { size: 3 }, batches: 3, ...over });
      const resource: FleetResource = {
        ...{ id: WEB, revision, digest: JSON.stringify([revision, spec]), inputs: [], spec, runnable: what },
        place: { file: 'web.yaml', line: 1, column: 1 },
      };
      const oid = `c${++commit}`;
      const declaration = { resource, commit: oid, deletionConfirmed: false };
      controller.declare(new Map([[WEB, { commit: oid, declaration, now: { valid: true, revision } }]]));
      const state = () => controller.state(WEB);
      await until(
        () => state()?.settled.lineage.at(-1)?.revision === revision && state()?.settled.observed === true,
        () => JSON.stringify([state()?.rollout?.phase, state()?.rollout?.message, state()?.rollout?.units]),
      );
    },
  };
}

/** Requests without a pause, several at once, until it is ended; says what was answered otherwise than 200. */
function load(port: number) {
  const agent = new Agent({ keepAlive: true });
  const wrong: string[] = [];
  let going = true;
  let served = 0;
  const client = async (path: string) => {
    while (going) {
      const outgoing = request({ host: '127.0.0.1', port, path, agent, headers: { host: 'web.localhost' } });
      outgoing.end();
      try {
        const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
        for await (const _ of answer);
        if (answer.statusCode === 200) served++;
        else wrong.push(String(answer.statusCode));
      } catch (error) {
        wrong.push((error as Error).message);
      }
    }
  };
  const clients = ['/', '/', '/slow', '/slow', '/slow'].map(client);
  return {
    async end() {
      going = false;
      await Promise.all(clients);
      agent.destroy();
      return { wrong, served };
    },
  };
}

const says = (what: string) => script(`echo run ${what} >> ran`, `echo undo ${what} >> ran`);

t.test('created, upgraded by image, by script, by both, and rolled back: no request is lost', async (t) => {
  const { here, driver, port, settle } = await site(t);
  await settle(runs('r1', { image: image('base:1') }));
  const names = async () =>
    Promise.all((await instancesOf(driver)).map(async ({ address }) => (await told(address)).env.NAME));
  t.strictSame(await names(), ['base1', 'base1', 'base1']);
  const requests = load(port);
  await settle(runs('r2', { image: image('base:2') }), { check: [{ http: { path: '/' } }] });
  t.strictSame(await names(), ['base2', 'base2', 'base2']);
  await settle(runs('r3', { image: image('base:2'), script: says('r3') }));
  await settle(runs('r4', { image: image('base:1'), script: says('r4') }));
  t.strictSame(await names(), ['base1', 'base1', 'base1']);
  await settle(runs('r1', { image: image('base:1') }), { batches: 2 });
  for (const unit of ['web-1', 'web-2', 'web-3'])
    t.equal(here.read(unit, 'ran'), 'run r3\nrun r4\nundo r4\nundo r3\n', unit);
  const { wrong, served } = await requests.end();
  t.strictSame(wrong, []);
  t.ok(served > 100, `${served} requests were served`);
  t.strictSame(
    (await instancesOf(driver)).map(({ applied, service, weight }) => [applied, service, weight]),
    [1, 2, 3].map(() => [['r1'], 'in', 100]),
  );
});

t.test('a size that changes creates and removes under load; what is killed is started again', async (t) => {
  const { driver, port, settle, controller } = await site(t);
  const first = runs('r1', { image: image('base:1') });
  await settle(first);
  const requests = load(port);
  await settle(first, { members: { size: 5 } });
  await settle(first, { members: { size: 2 } });
  await until(async () => (await instancesOf(driver)).length === 2);
  t.strictSame((await requests.end()).wrong, []);
  const [victim] = await instancesOf(driver);
  const { pid } = await told(victim?.address);
  process.kill(pid, 'SIGKILL');
  await until(async () => (await instancesOf(driver))[0]?.restarts === 1);
  await until(async () => (await instancesOf(driver)).every(({ ready }) => ready));
  t.not((await told((await instancesOf(driver))[0]?.address)).pid, pid);
  t.equal(controller.state(WEB)?.rollout?.id, 1, 'no rollout');
});

t.test('what is not declared any more goes, with all that belongs to it', async (t) => {
  const { here, driver, controller, settle } = await site(t);
  await settle(runs('r1', { image: image('base:1'), script: says('r1') }));
  const addresses = (await instancesOf(driver)).map(({ address }) => address);
  const declaration = { commit: 'c9', deletionConfirmed: true };
  controller.declare(new Map([[WEB, { commit: 'c9', declaration, now: { valid: true } }]]));
  await until(() => !controller.tracked().includes(WEB));
  t.strictSame(await driver.resources(), []);
  for (const address of addresses) await t.rejects(told(address));
  t.notOk(existsSync(here.home('web-1')));
});

t.test('instances of one batch are verified at the same time', async (t) => {
  const { driver, settle } = await site(t);
  const check = [{ http: { path: '/' } }];
  await settle(runs('r1', { image: image('base:1') }), { members: { size: 2 } });
  const asked = new Set<string>();
  const { verify } = driver;
  driver.verify = async (resource, unit, checks, signal) => {
    asked.add(unit);
    await until(() => asked.size === 2);
    return verify(resource, unit, checks, signal);
  };
  await settle(runs('r2', { image: image('base:2') }), { members: { size: 2 }, batches: 1, check });
  t.equal(asked.size, 2);
});

t.test('while an instance finishes what it serves, nothing is asked of it over and over', async (t) => {
  const { driver, port, settle, controller } = await site(t);
  const first = runs('r1', { image: image('base:1') });
  await settle(first, { members: { size: 1 } });
  const lasting = request({ host: '127.0.0.1', port, path: '/wait', headers: { host: 'web.localhost' } });
  lasting.end();
  const [answer] = (await once(lasting, 'response')) as [IncomingMessage];
  const settled = settle(runs('r2', { image: image('base:2') }), { members: { size: 1 } });
  await until(async () => (await instancesOf(driver))[0]?.service === 'leaving');
  await until(() => controller.idle());
  const { address } = (await instancesOf(driver))[0] ?? {};
  await fetch(`http://${address}/go`);
  for await (const _ of answer);
  t.ok(answer.complete, 'the request that was under way has its whole answer');
  await settled;
});
