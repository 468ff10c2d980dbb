/**
 * `npm run requests -- [--requests N] [--rate N] [--seed N]`: so many requests, half of them with a body that may not be sent twice,
 * while a workload and a service are upgraded and reverted, the operator is killed -9 in the middle of every second rollout and
 * replicas are at random. Every replica notes what arrives before it answers, so that each request that is lost can be held
 * against the replicas that were killed. Exits with 1 when one was lost otherwise.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Lost, startLoad, type Tallies } from '../../bench/load.ts';
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { RouterConfig } from '../../src/target/local/router/config.ts';
import {
  clean,
  commit,
  git,
  operator,
  type Place,
  place,
  processes,
  type Running,
  service,
  settled,
  status,
  until,
  workload,
} from '../e2e/support.ts';

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
/** Between two processes' clocks and a signal's way. */
const SLACK_MS = 100;

const image = (version: string): Record<string, string> => ({
  [`images/hello/${version}/image.yaml`]: 'command: [node, server.js]\n',
  [`images/hello/${version}/server.js`]: `
const { openSync, writeSync } = require('node:fs');
const noted = openSync(process.env.ARRIVALS + '/' + process.env.SLUICE_ATTEMPT + '-' + process.pid, 'a');
const server = require('node:http').createServer((request, response) => {
  writeSync(noted, request.url.slice(1) + '\\n');
  response.end('${version}');
});
server.keepAliveTimeout = 30_000;
server.listen(process.env.PORT, '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
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

interface Kill {
  pid: number;
  at: number;
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
async function findVictim(at: Place, random: () => number): Promise<number | undefined> {
  const resource = RESOURCES[Math.floor(random() * RESOURCES.length)] ?? '';
  const full = routed(at, resource).filter((ports) => ports.length >= REPLICAS);
  const ports = full[Math.floor(random() * full.length)] ?? [];
  const alive = await Promise.all(ports.map(listens));
  if (ports.length === 0 || alive.includes(false)) return undefined;
  const port = ports[Math.floor(random() * ports.length)];
  return processes(at, resource).find(({ pid }) => portOf(pid) === port)?.pid;
}

/** One at a time. */
function killReplicas(at: Place, random: () => number): { kills: Kill[]; stop(): Promise<void> } {
  const kills: Kill[] = [];
  const over = new AbortController();
  const going = (async () => {
    while (!over.signal.aborted) {
      await sleep(KILL_MS * (0.5 + random()), undefined, { signal: over.signal }).catch(() => {});
      const pid = await findVictim(at, random);
      if (over.signal.aborted || pid === undefined) continue;
      kills.push({ pid, at: Date.now() });
      process.kill(pid, 'SIGKILL');
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
    await until('it begins', () => RESOURCES.some((resource) => status(at, resource)?.rollout?.id === id), 120, 20);
    await sleep(killAfter);
    running.process.kill('SIGKILL');
    await running.exit;
    now = operator(at);
  }
  for (const resource of RESOURCES) await settled(at, resource, id, 180);
  return now;
}

/** The number of each request that a process with this pid noted. */
function arrivedAt(folder: string, pid: number): Set<number> {
  const files = readdirSync(folder).filter((name) => name.endsWith(`-${pid}`));
  return new Set(files.flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').map(Number)));
}

/**
 * A request was in flight on a replica that was killed when one was killed while it was under way, and no other replica had it: then it
 * was noted by that one, or lay in its socket unread.
 */
function unexplained(lost: readonly Lost[], kills: readonly Kill[], arrivals: string): Lost[] {
  const killed = new Set(kills.map(({ pid }) => pid));
  const others = readdirSync(arrivals).filter((name) => !killed.has(Number(name.split('-').at(-1))));
  const elsewhere = new Set(
    lost.length === 0
      ? []
      : others.flatMap((name) => readFileSync(join(arrivals, name), 'utf8').split('\n').map(Number)),
  );
  const noted = new Map(kills.map(({ pid }) => [pid, arrivedAt(arrivals, pid)]));
  return lost.filter(({ number, began, ended }) => {
    const during = kills.filter(({ at }) => at >= began - SLACK_MS && at <= ended + SLACK_MS);
    const isNoted = [...noted].some(([pid, numbers]) => numbers.has(number) && during.some((kill) => kill.pid === pid));
    return !isNoted && (during.length === 0 || elsewhere.has(number));
  });
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
  const began = performance.now();
  const sent = () => ((performance.now() - began) * RATE) / 1000;
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
        `${rollouts} rollouts of each, ${Math.round(sent())} requests, ${replicas.kills.length} replicas killed\n`,
      );
  }
  await replicas.stop();
  const { before, busy, after }: Tallies = await load.report();
  const lost = [...before.lost, ...busy.lost, ...after.lost];
  const strange = unexplained(lost, replicas.kills, arrivals);
  const total = before.sent + busy.sent + after.sent;
  console.log(
    `requests ${total}; rollouts ${rollouts * RESOURCES.length}; operators killed ${operators}; replicas killed ${replicas.kills.length}`,
  );
  console.log(
    `lost ${lost.length}, of them in flight on a replica that was killed ${lost.length - strange.length}, otherwise ${strange.length}; seed ${values.seed}`,
  );
  for (const one of strange.slice(0, 20)) console.log(`  ** ${JSON.stringify(one)}`);
  if (strange.length > 0) process.exitCode = 1;
} finally {
  await clean(at, running);
}
