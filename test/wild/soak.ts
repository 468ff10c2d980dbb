/**
 * `npm run soak -- [--minutes N] [--http]`: the operator on 2,000 resources with a commit every second; a few workloads have
 * processes that each commit to them restarts, all others have no replicas. It looks from outside at memory, file descriptors,
 * processes, what lies on the disk, and how long a commit takes to come back as a status, and prints a table by thirds of the
 * time. Exits with 1 when something grew.
 */
import { createHash, type Hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { percentile } from '../../bench/harness.ts';
import { startGitServer } from '../../bench/support/git-server.ts';
import {
  alive,
  clean,
  logged,
  operator,
  type Place,
  place,
  type Running,
  remoteOperator,
  status,
} from '../e2e/support.ts';
import { commitFiles, git } from '../support/git-servers.ts';
import { until } from '../support/until.ts';
import { look, type Sight, unitsOf } from './sight.ts';
import { watchStatus } from './status-watch.ts';

const RESOURCES = 2000;
/** With processes; each is restarted once in so many commits. */
const LIVE = 5;
const LIVE_EVERY = 4;
const REPLICAS = 2;
/** Others that commits change, over and over, so that old tags and kept revisions go. */
const CHANGED = 100;
const COMMIT_MS = 1000;
const LOOK_MS = 5000;
/** Until everything is at rest after the last commit: what runs beside what is declared is counted only then. */
const REST_S = 300;

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, http: { type: 'boolean', default: false } },
});
/** Until then it goes on; SIGINT ends it early, with what was seen. */
let end = Number.POSITIVE_INFINITY;
process.once('SIGINT', () => {
  end = performance.now();
});

const IMAGE = { 'images/idle/1/image.yaml': 'command: [sleep, "1000000"]\n' };

const workload = (name: string, replicas: number, edition: number): string => `apiVersion: sluice/v1
kind: Workload
metadata: {name: ${name}}
spec:
  replicas: ${replicas}
  revisionHistoryLimit: 2
  template:
    spec:
      containers:
        - name: app
          image: idle:1
          env: [{name: EDITION, value: "${edition}"}]
`;

const configMap = (name: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {A: "${digest(name).digest('hex')}"}\n`;

const digest = (text: string): Hash => createHash('sha256').update(text);

interface Change {
  name: string;
  path: string;
  text: string;
}

const live = (index: number, edition: number): Change => {
  const name = `live-${index}`;
  return { name, path: `live/${name}.yaml`, text: workload(name, REPLICAS, edition) };
};
const still = (index: number, edition: number): Change => {
  const name = `app-${index}`;
  return { name, path: `apps/team-${Math.floor(index / 100)}/${name}.yaml`, text: workload(name, 0, edition) };
};

function everything(): Record<string, string> {
  const files: Record<string, string> = { ...IMAGE };
  for (let index = 0; index < LIVE; index++) files[live(index, 0).path] = live(index, 0).text;
  for (let index = 0; index < RESOURCES - LIVE; index++) {
    if (index % 4 === 3) files[`config/team-${Math.floor(index / 100)}/${index}.yaml`] = configMap(`settings-${index}`);
    else files[still(index, 0).path] = still(index, 0).text;
  }
  return files;
}

/** What commit `number` changes: every fourth a workload with processes, in turn. */
function change(number: number): Change {
  if (number % LIVE_EVERY === 0) return live((number / LIVE_EVERY) % LIVE, number);
  const index = number % CHANGED;
  return still(index % 4 === 3 ? index - 1 : index, number);
}

interface Figures {
  sights: Sight[];
  /** Milliseconds from a commit to the status of its rollout's success, and when it was. */
  latencies: { at: number; ms: number }[];
  missing: number;
  commits: number;
}

async function soak(at: Place, running: Running): Promise<Figures> {
  const figures: Figures = { sights: [], latencies: [], missing: 0, commits: 0 };
  const watch = watchStatus(at.repo);
  const pid = running.process.pid ?? 0;
  const began = performance.now();
  end = began + Number(values.minutes) * 60_000;
  let nextLook = began;
  for (let number = 1; performance.now() < end; number++) {
    if (running.process.exitCode !== null)
      throw new Error(`the operator ended:\n${logged(running).slice(-20).join('\n')}`);
    const { name, path, text } = change(number);
    const commit = commitFiles(at.repo, { [path]: text }, { message: `${name} ${number}` });
    const sent = performance.now();
    figures.commits++;
    void watch.succeeded(`Workload/${name}`, commit).then((ms) => {
      if (ms !== undefined) figures.latencies.push({ at: sent - began, ms: ms - sent });
    });
    if (performance.now() >= nextLook) {
      nextLook += LOOK_MS;
      figures.sights.push({ ...look(pid, at), at: performance.now() - began });
      const last = figures.sights.at(-1);
      if (figures.sights.length % 12 === 1 && last !== undefined)
        process.stderr.write(`${Math.round(last.at / 1000)} s: ${JSON.stringify(last)}, ${watch.waiting()} waiting\n`);
    }
    await sleep(Math.max(0, began + number * COMMIT_MS - performance.now()));
  }
  await until('every commit came back as a status', () => watch.waiting() === 0, REST_S).catch(() => {});
  figures.missing = watch.waiting();
  watch.close();
  return figures;
}

const LIVE_IDS = Array.from({ length: LIVE }, (_, index) => `Workload/live-${index}`);

/** The resources with processes that do not come to rest, with what their status says. */
async function atRest(at: Place): Promise<string[]> {
  const moving = () => LIVE_IDS.filter((id) => status(at, id)?.health !== 'Healthy');
  await until('all are healthy', () => moving().length === 0, REST_S, 500).catch(() => {});
  return moving().map((id) => `${id} is not at rest: ${status(at, id)?.message}`);
}

function miscounted(at: Place, id: string): string[] {
  const running = [...alive(at, id)];
  return running.length === REPLICAS ? [] : [`${id}: ${running.length} of ${REPLICAS} replicas: ${running.join(' ')}`];
}

const mean = (numbers: number[]) => numbers.reduce((sum, next) => sum + next, 0) / numbers.length;

interface Row {
  what: string;
  of(third: Sight[], latencies: number[]): number;
  /** Whether the last third may stand after the second. */
  holds(second: number, last: number): boolean;
}

const flat = (share: number, slack: number) => (second: number, last: number) => last <= second * (1 + share) + slack;
/** It commits once a second: so much of a processor is so much for each commit. */
const perSecond = (third: Sight[]): number => {
  const [first, last] = [third[0], third.at(-1)];
  return first === undefined || last === undefined
    ? Number.NaN
    : (last.cpu - first.cpu) / ((last.at - first.at) / 1000);
};

const ROWS: Row[] = [
  {
    what: 'processor time for each second, with git, ms',
    of: (third) => perSecond(third) * 1000,
    holds: flat(0.25, 20),
  },
  { what: 'resident memory, mean MiB', of: (third) => mean(third.map(({ rss }) => rss)), holds: flat(0.1, 0) },
  {
    what: 'file descriptors, mean',
    of: (third) => mean(third.map(({ descriptors }) => descriptors)),
    holds: flat(0, 5),
  },
  { what: 'processes it has, mean', of: (third) => mean(third.map(({ children }) => children)), holds: flat(0, 2) },
  { what: 'router, resident MiB', of: (third) => mean(third.map(({ router }) => router)), holds: flat(0.1, 1) },
  {
    what: 'clone on disk, at most MiB',
    of: (third) => Math.max(...third.map(({ clone }) => clone)),
    holds: flat(0.5, 10),
  },
  {
    what: 'repository on disk, at most MiB',
    of: (third) => Math.max(...third.map(({ repository }) => repository)),
    holds: flat(0.5, 10),
  },
  {
    what: 'units on disk, at most MiB',
    of: (third) => Math.max(...third.map(({ data }) => data)),
    holds: flat(0.1, 1),
  },
  { what: 'refs', of: (third) => Math.max(...third.map(({ refs }) => refs)), holds: flat(0.5, 50) },
  { what: 'commit to status, p50 ms', of: (_, latencies) => percentile(latencies, 0.5), holds: flat(0.25, 50) },
  { what: 'commit to status, p99 ms', of: (_, latencies) => percentile(latencies, 0.99), holds: flat(1, 500) },
];

function report({ sights, latencies, missing, commits }: Figures, left: string[]): boolean {
  const third = ((sights.at(-1)?.at ?? 0) + 1) / 3;
  const minutes = Math.round(third / 20_000);
  const within = (index: number) => (at: number) => at >= third * index && at < third * (index + 1);
  const thirds = [0, 1, 2].map((index) => ({
    sights: sights.filter(({ at }) => within(index)(at)),
    latencies: latencies.filter(({ at }) => within(index)(at)).map(({ ms }) => ms),
  }));
  console.log(
    `| ${minutes} minutes, ${commits} commits | first third | second | last | |\n| --- | --- | --- | --- | --- |`,
  );
  let all = missing === 0 && left.length === 0;
  for (const { what, of, holds } of ROWS) {
    const seen = thirds.map((part) => of(part.sights, part.latencies));
    const held = holds(seen[1] ?? Number.NaN, seen[2] ?? Number.NaN);
    all &&= held;
    console.log(`| ${what} | ${seen.map((value) => value.toFixed(1)).join(' | ')} | ${held ? 'held' : '**grew**'} |`);
  }
  console.log(
    `\ncommits that never came back as a status: ${missing}; processes left behind: ${left.length} ${left.join(', ')}`,
  );
  return all;
}

const at = await place(IMAGE);
const server = values.http ? await startGitServer(at.root) : undefined;
let running: Running | undefined;
try {
  git(at.repo, ['config', 'http.receivepack', 'true']);
  commitFiles(at.repo, everything(), { message: 'two thousand resources' });
  running =
    server === undefined ? operator(at) : remoteOperator(at, `${server.url}/config/.git`, {}, '--push-interval', '1s');
  const ready = () => git(at.repo, ['tag', '-l', 'sluice/workload/*/1']).split('\n').length >= RESOURCES * 0.75;
  await until('all are rolled out', ready, 900, 1000).catch((error: Error) => {
    throw new Error(
      `${error.message}; the log ends:\n${running === undefined ? '' : logged(running).slice(-20).join('\n')}`,
    );
  });
  const figures = await soak(at, running);
  const unrested = await atRest(at);
  running.process.kill('SIGTERM');
  await running.exit;
  const left = unitsOf(at).filter((unit) => !/sleep 1000000|router\/main\.js/.test(unit));
  left.push(...unrested, ...LIVE_IDS.flatMap((id) => miscounted(at, id)));
  if (!report(figures, left)) process.exitCode = 1;
} finally {
  await clean(at, running);
  await server?.close();
}
