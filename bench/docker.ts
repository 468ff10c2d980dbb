/** A rolling upgrade on a real Docker Engine, beside what the engine takes by itself; and requests through upgrades and reverts of containers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { clean, commit, git, operator, type Place, place, type Running, settled } from '../test/e2e/support.ts';
import { freePort } from '../test/support/ports.ts';
import { startEngine, type TestEngine, whyNoEngine } from '../test/target/docker/engine.ts';
import { type Figure, median, note } from './harness.ts';
import { startLoad } from './load.ts';

const [REPLICAS, SURGE, READY_MS] = [20, 5, 1000];
const WAVES = REPLICAS / SURGE;
const ROLLS = 3;
const IDEAL_FACTOR = 1.25;

/** Ready so long after its process began, whatever the machine does. */
const server = (version: string) => `
const began = Date.now() - process.uptime() * 1000;
const server = require('node:http').createServer((_, response) => response.end('${version}'));
setTimeout(() => server.listen(process.env.PORT), Math.max(0, began + Number(process.env.READY_MS) - Date.now()));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;

const manifest = (name: string, tag: string, replicas: number, surge: number, readyMs: number) => ({
  [`${name}.yaml`]: `apiVersion: sluice/v1
kind: Workload
metadata: {name: ${name}}
spec:
  target: containers
  replicas: ${replicas}
  strategy: {rollingUpdate: {maxSurge: ${surge}, maxUnavailable: 0}}
  template:
    spec:
      containers:
        - {name: web, image: "hello:${tag}", ports: [{containerPort: 8080}], env: [{name: READY_MS, value: "${readyMs}"}]}
`,
});

const target = (host: string, more = '') => ({
  'target.yaml': `apiVersion: sluice/v1\nkind: Target\nmetadata: {name: containers}\nspec: {docker: {host: "${host}"${more}}}\n`,
});

/** What the engine takes by itself: so many containers created, started and listening, all at once; then stopped and removed. */
async function wave({ docker }: TestEngine): Promise<number> {
  const began = performance.now();
  const containers = await Promise.all(
    Array.from({ length: SURGE }, async () => {
      const Env = ['PORT=8080', `READY_MS=${READY_MS}`];
      const container = await docker.createContainer({ Image: 'hello:7', Env });
      await container.start();
      const { NetworkSettings } = await container.inspect();
      const address = NetworkSettings.Networks.bridge?.IPAddress;
      const listens = () =>
        fetch(`http://${address}:8080/`).then(
          () => true,
          () => false,
        );
      while (!(await listens())) await sleep(10);
      return container;
    }),
  );
  const took = performance.now() - began;
  await Promise.all(containers.map((container) => container.remove({ force: true })));
  return took;
}

async function rolling(engine: TestEngine): Promise<Figure> {
  const waves: number[] = [];
  for (let round = 0; round < ROLLS; round++) waves.push(await wave(engine));
  const at = await place({ ...target(engine.host), ...manifest('web', '7', REPLICAS, SURGE, READY_MS) });
  let running: Running | undefined;
  const rolls: number[] = [];
  try {
    running = operator(at);
    await settled(at, 'Workload/web', 1, 120);
    for (let id = 2; id < 2 + ROLLS; id++) {
      commit(at, manifest('web', id % 2 === 0 ? '8' : '7', REPLICAS, SURGE, READY_MS), `rollout ${id}`);
      const { rollout } = await settled(at, 'Workload/web', id, 120);
      rolls.push(Date.parse(rollout.finishedAt) - Date.parse(rollout.startedAt));
    }
  } finally {
    await clean(at, running);
  }
  for (let round = 0; round < ROLLS; round++) waves.push(await wave(engine));
  const [ideal, took] = [WAVES * median(waves), median(rolls)];
  note(
    `waves of ${SURGE} by the engine itself: ${waves.map((ms) => ms.toFixed(0)).join(', ')} ms; rolls: ${rolls.join(', ')} ms`,
  );
  return {
    work: `rolling upgrade of ${REPLICAS} containers that take ${READY_MS / 1000} s to get ready, surge ${SURGE}, Docker`,
    reach: `at most ${IDEAL_FACTOR} × the ideal, ${WAVES} waves × what the engine takes to start ${SURGE} of them`,
    seen: `${(took / ideal).toFixed(2)} × (${(took / 1000).toFixed(2)} s)`,
    held: took <= IDEAL_FACTOR * ideal,
  };
}

const AT_LEAST = 100_000;
const RATE = 1000;

/** Upgrade, revert, upgrade … until so many requests were sent. */
async function requests(engine: TestEngine, router: 'the embedded router' | 'HAProxy'): Promise<Figure> {
  const own = router === 'HAProxy' ? await freePort() : undefined;
  const more = own === undefined ? '' : `, router: haproxy, listen: "127.0.0.1:${own}"`;
  const at = await place({ ...target(engine.host, more), ...manifest('web', '7', 3, 1, 0) });
  let running: Running | undefined;
  let load: ReturnType<typeof startLoad> | undefined;
  try {
    running = operator(at);
    await settled(at, 'Workload/web', 1, 120);
    load = startLoad({ port: own ?? at.port, hosts: ['web.localhost'], rate: RATE });
    load.say('busy');
    const began = performance.now();
    const sent = () => ((performance.now() - began) * RATE) / 1000;
    let rollouts = 0;
    for (; rollouts < 2 || sent() < AT_LEAST * 1.02; rollouts++) await roll(at, rollouts + 2);
    const { busy } = await load.report();
    for (const text of new Set(busy.lost)) note(`lost: ${text}`);
    note(`${rollouts} rollouts, half of them reverts`);
    return {
      work: `requests lost over ${rollouts} upgrades and reverts of 3 containers at ${RATE} a second, Docker with ${router}`,
      reach: `0 of at least ${AT_LEAST.toLocaleString('en')}`,
      seen: `${busy.lost.length} of ${busy.sent.toLocaleString('en')}`,
      held: busy.lost.length === 0 && busy.sent >= AT_LEAST,
    };
  } finally {
    load?.end();
    await clean(at, running);
  }
}

async function roll(at: Place, id: number): Promise<void> {
  if (id % 2 === 0) commit(at, manifest('web', '8', 3, 1, 0), `upgrade ${id}`);
  else git(at.repo, 'revert', '--no-edit', 'HEAD');
  await settled(at, 'Workload/web', id, 120);
}

export async function bench(): Promise<Figure[]> {
  const missing = whyNoEngine();
  if (missing !== undefined) throw new Error(missing);
  const engine = await startEngine();
  try {
    for (const version of ['7', '8']) await engine.image(`hello:${version}`, server(version));
    return [await rolling(engine), await requests(engine, 'the embedded router'), await requests(engine, 'HAProxy')];
  } finally {
    await engine.end();
  }
}
