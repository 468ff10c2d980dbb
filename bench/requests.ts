/**
 * Requests under steady load while a workload and a service are upgraded and reverted, the operator killed -9 in the middle of every
 * second rollout. The load comes from a process of its own, at a constant rate, over kept connections; half of the requests
 * carry a body and may not be sent twice. A request counts for the time in which it was sent.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  clean,
  commit,
  git,
  image,
  operator,
  type Place,
  place,
  type Running,
  service,
  settled,
  status,
  workload,
} from '../test/e2e/support.ts';
import { type Figure, note, percentile } from './harness.ts';
import { type Load, startLoad, type Tallies, type Tally } from './load.ts';

const PAIRS = 10;
const AT_LEAST = 100_000;
/** Requests a second, over both hosts: well below what two cores can do beside the processes that start. */
const RATE = 1500;
const QUIET_MS = 20_000;
const FACTOR = 2;
const HOSTS = ['web.localhost', 'shop.localhost'];

const STEPS = '  replicas: 2\n  traffic: {steps: [{percent: 20, soak: 1s}, {percent: 100}]}\n';
const texts = (tag: string) => ({
  'web.yaml': workload('web', `hello:${tag}`, 3),
  'shop.yaml': service('shop', `hello:${tag}`, STEPS),
});
const RESOURCES = ['Workload/web', 'Service/shop'];

/** A commit or its revert, to both tags; the operator may be killed -9 on the way, and is started again at once. */
async function roll(at: Place, running: Running, id: number, kill: boolean): Promise<Running> {
  if (id % 2 === 0) commit(at, texts('8'), `upgrade ${id}`);
  else git(at.repo, 'revert', '--no-edit', 'HEAD');
  let now = running;
  if (kill) {
    // Begun, and not to be over soon; each time a little later.
    const begun = () => RESOURCES.every((resource) => status(at, resource)?.rollout?.id === id);
    for (let waited = 0; !begun(); waited += 10) {
      if (waited > 30_000) throw new Error(`rollout ${id} does not begin:\n${running.output().slice(-2000)}`);
      await sleep(10);
    }
    await sleep(40 * (id % 10));
    running.process.kill('SIGKILL');
    await running.exit;
    now = operator(at);
  }
  for (const resource of RESOURCES) await settled(at, resource, id, 60);
  return now;
}

async function measure(at: Place): Promise<Tallies> {
  let running = operator(at);
  let traffic: Load | undefined;
  try {
    for (const resource of RESOURCES) await settled(at, resource, 1, 60);
    traffic = startLoad({ port: at.port, hosts: HOSTS, rate: RATE });
    await sleep(QUIET_MS);
    traffic.say('busy');
    const began = performance.now();
    const sent = () => ((performance.now() - began) * RATE) / 1000;
    let rollouts = 0;
    // As often as it takes: the load is steady, so the time says how many were sent.
    while (rollouts < 2 * PAIRS || sent() < AT_LEAST * 1.02) {
      const id = rollouts + 2;
      running = await roll(at, running, id, rollouts % 4 < 2);
      rollouts++;
      if (rollouts % 4 === 0) note(`${rollouts} rollouts, ${sent().toFixed(0)} requests`);
    }
    traffic.say('after');
    await sleep(QUIET_MS);
    return await traffic.report();
  } finally {
    traffic?.end();
    await clean(at, running);
  }
}

export async function bench(): Promise<Figure[]> {
  const images = { ...image('hello', '7'), ...image('hello', '8') };
  const at = await place({ ...texts('7'), ...images });
  const { before, busy, after } = await measure(at);
  const lost = [...before.lost, ...busy.lost, ...after.lost];
  for (const text of new Set(lost.map(({ what }) => what))) note(`lost: ${text}`);
  const p99 = (tally: Tally) => percentile(tally.times, 0.99);
  const [calm, under] = [Math.min(p99(before), p99(after)), p99(busy)];
  for (const [name, tally] of Object.entries({ before, rolling: busy, after })) {
    note(
      `${name}: ${tally.sent} requests, p50 ${percentile(tally.times, 0.5).toFixed(2)} ms, p99 ${p99(tally).toFixed(2)} ms`,
    );
  }
  const work = `at least ${PAIRS} upgrades and ${PAIRS} reverts of a workload and a service at ${RATE} requests a second, operator killed -9 during half`;
  return [
    {
      work: `requests lost over ${work}`,
      reach: `0 of at least ${AT_LEAST.toLocaleString('en')}`,
      seen: `${lost.length} of ${busy.sent.toLocaleString('en')}`,
      held: lost.length === 0 && busy.sent >= AT_LEAST,
    },
    {
      work: 'p99 of the same requests',
      reach: `at most ${FACTOR} × the quiet p99 (the lower of before and after)`,
      seen: `${(under / calm).toFixed(2)} × (${under.toFixed(1)} ms to ${calm.toFixed(1)} ms)`,
      held: under <= FACTOR * calm,
    },
  ];
}
