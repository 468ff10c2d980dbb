/**
 * `npm run requests -- [--requests N] [--rate N] [--seed N]`: so many requests, half of them with a body that may not be sent twice,
 * while a workload and a service are upgraded and reverted, the operator is killed -9 in the middle of every second rollout and
 * replicas are at random. Every replica notes what arrives before it answers, what it answered, and when it is told to stop, so that
 * each request that is lost can be held against the replicas (`attribution.ts`). Exits with 1 when one was lost that was on none that was killed.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { hasBody, startLoad, type Tallies } from '../../bench/load.ts';
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { RouterConfig } from '../../src/target/local/router/config.ts';
import {
  clean,
  commit,
  git,
  logged,
  operator,
  type Place,
  place,
  processes,
  type Running,
  service,
  settled,
  status,
  workload,
} from '../e2e/support.ts';
import { until } from '../support/until.ts';
import { attributed, type Kill, OF_THE_KILLED } from './attribution.ts';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '1200' },
    seed: { type: 'string', default: String(Date.now() % 1e6) },
    rollouts: { type: 'string', default: '100' },
  },
});
const RATE = Number(values.rate);
const RESOURCES = ['Workload/web', 'Service/shop'];
const HOSTS = ['web.localhost', 'shop.localhost'];
const REPLICAS = 3;
const KILL_MS = 5000;
/** On a machine that others keep busy. */
const ROLLOUT_S = 600;

const image = (version: string): Record<string, string> => ({
  [`images/hello/${version}/image.yaml`]: 'command: [node, server.js]\n',
  [`images/hello/${version}/server.js`]: `
const { openSync, writeSync } = require('node:fs');
const noted = openSync(process.env.ARRIVALS + '/' + process.env.SLUICE_ATTEMPT + '-' + process.pid, 'a');
const note = (line) => writeSync(noted, line + '\\n');
const server = require('node:http').createServer((request, response) => {
  note(request.url.slice(1));
  response.once('finish', () => note('answered ' + request.url.slice(1)));
  response.end('${version}');
});
server.keepAliveTimeout = 30_000;
server.listen(process.env.PORT, '127.0.0.1');
process.on('SIGTERM', () => {
  note('stops ' + Date.now());
  server.close(() => process.exit(0));
});
process.on('exit', () => note('stops ' + Date.now()));
`,
});

function texts(folder: string, tag: string): Record<string, string> {
  const noting = (text: string) => text.replace('ports:', `env: [{name: ARRIVALS, value: "${folder}"}], ports:`);
  const steps = `  replicas: ${REPLICAS}\n  traffic: {steps: [{percent: 20, soak: 1s}, {percent: 100}]}\n`;
  return {
    'web.yaml': noting(workload('web', `hello:${tag}`, REPLICAS)),
    'shop.yaml': noting(service('shop', `hello:${tag}`, steps)),
  };
}

function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The ports of a version's backends, as the router has them on its disk. */
function routed(at: Place, resource: string): number[][] {
  const [folder = ''] = readdirSync(at.data);
  const file = join(at.data, folder, 'router/config.json');
  const { routes } = JSON.parse(readFileSync(file, 'utf8')) as RouterConfig;
  return Object.values(routes[resource as ResourceId]?.versions ?? {}).map((backends) =>
    backends.map(({ port }) => port),
  );
}

const portOf = (pid: number): number => {
  try {
    return Number(/(?:^|\0)PORT=(\d+)\0/.exec(readFileSync(`/proc/${pid}/environ`, 'latin1'))?.[1]);
  } catch {
    return Number.NaN;
  }
};

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** A replica that has traffic, of a version that has all its replicas: whoever dies leaves others that serve. */
async function findVictim(at: Place, random: () => number): Promise<Omit<Kill, 'at'> | undefined> {
  const resource = RESOURCES[Math.floor(random() * RESOURCES.length)] ?? '';
  const full = routed(at, resource).filter((ports) => ports.length >= REPLICAS);
  const ports = full[Math.floor(random() * full.length)] ?? [];
  const alive = await Promise.all(ports.map(listens));
  if (ports.length === 0 || alive.includes(false)) return undefined;
  const port = ports[Math.floor(random() * ports.length)];
  const pid = processes(at, resource).find((one) => portOf(one.pid) === port)?.pid;
  return pid === undefined ? undefined : { pid, host: HOSTS[RESOURCES.indexOf(resource)] ?? '' };
}

/** One at a time. */
function killReplicas(at: Place, random: () => number): { kills: Kill[]; stop(): Promise<void> } {
  const kills: Kill[] = [];
  const over = new AbortController();
  const going = (async () => {
    while (!over.signal.aborted) {
      await sleep(KILL_MS * (0.5 + random()), undefined, { signal: over.signal }).catch(() => {});
      const victim = await findVictim(at, random);
      if (over.signal.aborted || victim === undefined) continue;
      kills.push({ ...victim, at: Date.now() });
      process.kill(victim.pid, 'SIGKILL');
    }
  })();
  return {
    kills,
    async stop() {
      over.abort();
      await going;
    },
  };
}

/** A commit or its revert; the operator may be killed on the way, and is started again at once. */
async function roll(
  at: Place,
  arrivals: string,
  running: Running,
  id: number,
  killAfter: number | undefined,
): Promise<Running> {
  if (id % 2 === 0) commit(at, texts(arrivals, '8'), `upgrade ${id}`);
  else git(at.repo, 'revert', '--no-edit', 'HEAD');
  let now = running;
  if (killAfter !== undefined) {
    await until(
      'it begins',
      () => RESOURCES.some((resource) => status(at, resource)?.rollout?.id === id),
      ROLLOUT_S,
      50,
    );
    await sleep(killAfter);
    running.process.kill('SIGKILL');
    await running.exit;
    now = operator(at);
  }
  for (const resource of RESOURCES) await settled(at, resource, id, ROLLOUT_S);
  return now;
}

/** SIGINT ends it early, with what was seen. */
let isEnough = false;
process.once('SIGINT', () => {
  isEnough = true;
});

const at = await place({ ...image('7'), ...image('8') });
const arrivals = join(at.root, 'arrivals');
mkdirSync(arrivals);
let running: Running | undefined;
try {
  commit(at, texts(arrivals, '7'), 'first');
  running = operator(at);
  for (const resource of RESOURCES) await settled(at, resource, 1, 120);
  const random = randomOf(Number(values.seed));
  const load = startLoad({ port: at.port, hosts: HOSTS, rate: RATE });
  load.say('busy');
  const { sent } = load;
  const replicas = killReplicas(at, random);
  let rollouts = 0;
  let operators = 0;
  while (!isEnough && (sent() < Number(values.requests) || rollouts * RESOURCES.length < Number(values.rollouts))) {
    const killAfter = rollouts % 2 === 0 ? random() * 1500 : undefined;
    running = await roll(at, arrivals, running, rollouts + 2, killAfter);
    rollouts++;
    if (killAfter !== undefined) operators++;
    if (rollouts % 10 === 0)
      process.stderr.write(
        `${rollouts} rollouts of each, ${sent()} requests, ${replicas.kills.length} replicas killed\n`,
      );
  }
  await replicas.stop();
  const { before, busy, after }: Tallies = await load.report();
  const lost = [...before.lost, ...busy.lost, ...after.lost];
  const found = attributed(lost, HOSTS, replicas.kills, arrivals);
  const total = before.sent + busy.sent + after.sent;
  console.log(
    `requests ${total}; rollouts ${rollouts * RESOURCES.length}; operators killed ${operators}; replicas killed ${replicas.kills.length}`,
  );
  console.log(`lost ${lost.length}; seed ${values.seed}`);
  for (const [how, which] of found) {
    const withBody = which.filter(({ number }) => hasBody(number)).length;
    console.log(`  ${how}: ${which.length}, ${withBody} of them with a body`);
    if (!OF_THE_KILLED.has(how)) for (const one of which.slice(0, 20)) console.log(`    ** ${JSON.stringify(one)}`);
  }
  if ([...found.keys()].some((how) => !OF_THE_KILLED.has(how))) process.exitCode = 1;
} catch (error) {
  if (running !== undefined)
    process.stderr.write(`the operator's log ends:\n${logged(running).slice(-40).join('\n')}\n`);
  throw error;
} finally {
  await clean(at, running);
}
