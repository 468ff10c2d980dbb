/** From a commit in a local repository to processes and tags, by a real operator: what it adds to what the processes take. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { clean, commit, operator, type Place, place, type Running, settled, workload } from '../test/e2e/support.ts';
import { type Figure, median, note } from './harness.ts';

const ROUNDS = 9;
const BEYOND_MS = 500;
const [REPLICAS, SURGE, START_MS] = [20, 5, 1000];
const WAVES = REPLICAS / SURGE;
const ROLLS = 5;
const IDEAL_FACTOR = 1.15;

/** A server that is there `startMs` after its process began, whatever the machine does, and says when both happened. */
function image(version: string, startMs: number, told: string): Record<string, string> {
  return {
    [`images/hello/${version}/image.yaml`]: 'command: [node, server.js]\n',
    [`images/hello/${version}/server.js`]: `
const began = Date.now() - process.uptime() * 1000;
const { writeFileSync } = require('node:fs');
const server = require('node:http').createServer((_, response) => response.end('${version}'));
setTimeout(() => server.listen(process.env.PORT, '127.0.0.1', () => {
  const file = ${JSON.stringify(told)} + '/' + process.env.SLUICE_ATTEMPT;
  writeFileSync(file, JSON.stringify({ version: '${version}', began, listening: Date.now() }));
}), Math.max(0, began + ${startMs} - Date.now()));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`,
  };
}

interface Told {
  version: string;
  /** Milliseconds since the epoch. */
  began: number;
  listening: number;
}

interface Upgrade {
  committed: number;
  tagged: number;
  /** The rollout by its own account, as the status has it. */
  rolledMs: number;
  units: Told[];
}

/** One commit, to its tag. The commit counts from when git has ended. */
async function upgrade(at: Place, told: string, text: string, version: string, id: number): Promise<Upgrade> {
  commit(at, { 'web.yaml': text }, `web ${version}, rollout ${id}`);
  const committed = Date.now();
  const tag = join(at.repo, `.git/refs/tags/sluice/workload/web/${id}`);
  while (!existsSync(tag)) {
    if (Date.now() > committed + 60_000) throw new Error(`rollout ${id} was not tagged within a minute`);
    await sleep(2);
  }
  const tagged = Date.now();
  const { rollout } = await settled(at, 'Workload/web', id);
  const units = readdirSync(told).map((name) => JSON.parse(readFileSync(join(told, name), 'utf8')) as Told);
  return {
    committed,
    tagged,
    rolledMs: Date.parse(rollout.finishedAt) - Date.parse(rollout.startedAt),
    units: units.filter((unit) => unit.version === version && unit.began > committed - 50),
  };
}

/** An operator that has settled replicas of version 1, and an upgrade for each round from then on. */
async function rounds(count: number, replicas: number, startMs: number, more: string): Promise<Upgrade[]> {
  const at = await place({ 'README.md': 'for a benchmark' });
  const told = join(at.root, 'told');
  mkdirSync(told);
  let running: Running | undefined;
  try {
    const text = (version: string) => workload('web', `hello:${version}`, replicas, more);
    commit(at, { 'web.yaml': text('1'), ...image('1', startMs, told), ...image('2', startMs, told) }, 'first');
    running = operator(at);
    await settled(at, 'Workload/web', 1, 60);
    const seen: Upgrade[] = [];
    for (let round = 0; round < count; round++) {
      const version = round % 2 === 0 ? '2' : '1';
      seen.push(await upgrade(at, told, text(version), version, round + 2));
    }
    return seen;
  } finally {
    await clean(at, running);
  }
}

const ownStart = ({ began, listening }: Told): number => listening - began;

export async function bench(): Promise<Figure[]> {
  const single = await rounds(ROUNDS, 1, 0, '');
  const toStart = single.map(({ committed, units }) => Math.min(...units.map(({ began }) => began)) - committed);
  const beyond = single.map(({ committed, tagged, rolledMs }) => tagged - committed - rolledMs);
  const beyondStart = single.map(({ committed, tagged, units }) => {
    return tagged - committed - Math.max(...units.map(ownStart));
  });
  note(`commit to process: ${toStart.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  note(`commit to tag beyond the rollout: ${beyond.join(', ')} ms`);
  note(`commit to tag beyond the process's own start: ${beyondStart.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  const surge = `  strategy: {rollingUpdate: {maxSurge: ${SURGE}, maxUnavailable: 0}}\n`;
  const rolls = await rounds(ROLLS, REPLICAS, START_MS, surge);
  for (const { committed, tagged, rolledMs } of rolls)
    note(`${REPLICAS} replicas: rolled in ${rolledMs} ms, ${tagged - committed} ms from commit to tag`);
  const factor = median(rolls.map(({ rolledMs, units }) => rolledMs / (WAVES * median(units.map(ownStart)))));
  return [
    {
      work: 'commit in a local repository to the first process started',
      reach: `at most ${BEYOND_MS} ms`,
      seen: `${median(toStart).toFixed(0)} ms`,
      held: median(toStart) <= BEYOND_MS,
    },
    {
      work: 'commit in a local repository to the tag, one replica',
      reach: `at most ${BEYOND_MS} ms beyond the rollout itself`,
      seen: `${median(beyond).toFixed(0)} ms beyond; ${median(beyondStart).toFixed(0)} ms beyond the process's own start`,
      held: median(beyond) <= BEYOND_MS,
    },
    {
      work: `rolling upgrade of ${REPLICAS} replicas that take ${START_MS / 1000} s to start, surge ${SURGE}`,
      reach: `at most ${IDEAL_FACTOR} × the ideal, ${WAVES} waves × the start time`,
      seen: `${factor.toFixed(2)} × (${(median(rolls.map(({ rolledMs }) => rolledMs)) / 1000).toFixed(2)} s)`,
      held: factor <= IDEAL_FACTOR,
    },
  ];
}
