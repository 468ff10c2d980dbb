/**
 * The operator as people start it, with 10,000 manifests in a local repository: a first one settles everything, a second one then has
 * nothing to do; what that one keeps in memory and takes of a core. Nothing runs beside it: Workloads are declared with
 * `replicas: 0`, among ConfigMaps.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { resolveAddress } from '../src/git/clone.ts';
import { stopRouter } from '../src/target/local/router/client.ts';
import { git } from '../test/support/git-servers.ts';
import { cpuOf, type Figure, inFolder, median, note, residentOf, timed } from './harness.ts';
import { configRepository } from './support/manifests.ts';

const MANIFESTS = 10_000;
const SETTLE_LIMIT_MS = 900_000;
/** An operator gives back what its start took some seconds later. */
const AFTER_START_MS = 20_000;
const WINDOW_MS = 10_000;
const WINDOWS = 3;
/** A second that takes less than this is one of rest. */
const REST = 0.02;
const REACH = { mebibytes: 250, core: 0.01 };
const CLI = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));

function startOperator(repo: string, folder: string): ChildProcess {
  const folders = ['--state-dir', join(folder, 'state'), '--data-dir', join(folder, 'data')];
  const args = ['run', '--repo', repo, ...folders, '--router', '127.0.0.1:0', '--log-level', 'warn'];
  return spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** The operator's own process and those of git that it keeps; the router is a process of its own. */
async function processesOf(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const children = await Promise.all(tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'latin1')));
  const pids = children.join(' ').split(' ').filter(Boolean).map(Number);
  const names = await Promise.all(pids.map((child) => readFile(`/proc/${child}/comm`, 'latin1').catch(() => '')));
  return [pid, ...pids.filter((_, index) => names[index]?.trim() === 'git')];
}

async function sum(pids: number[], of: (pid: number) => Promise<number>): Promise<number> {
  const values = await Promise.all(pids.map((pid) => of(pid).catch(() => 0)));
  return values.reduce((total, value) => total + value, 0);
}

/** Share of a core, over a time. */
async function share(pid: number, ms: number): Promise<number> {
  const pids = await processesOf(pid);
  const before = await sum(pids, cpuOf);
  const start = performance.now();
  await setTimeout(ms);
  return ((await sum(pids, cpuOf)) - before) / 1000 / (performance.now() - start);
}

/** Until three seconds in a row were at rest. */
async function atRest(operator: ChildProcess, ready: () => boolean): Promise<void> {
  const limit = performance.now() + SETTLE_LIMIT_MS;
  for (let calm = 0; calm < 3; ) {
    if (operator.exitCode !== null) throw new Error(`the operator ended with ${operator.exitCode}`);
    if (performance.now() > limit) throw new Error('the operator did not come to rest');
    calm = (await share(operator.pid ?? 0, 1000)) < REST && ready() ? calm + 1 : 0;
  }
}

async function stop(operator: ChildProcess): Promise<void> {
  if (operator.exitCode !== null || operator.signalCode !== null) return;
  operator.kill('SIGTERM');
  await once(operator, 'exit');
}

async function settle(repo: string, folder: string): Promise<void> {
  const tags = () => git(repo, ['for-each-ref', '--format=x', 'refs/tags/sluice/']).length;
  const allTagged = () => (tags() + 1) / 2 >= (MANIFESTS * 9) / 10;
  const operator = startOperator(repo, folder);
  try {
    const { ms } = await timed(() => atRest(operator, allTagged));
    note(`all rollouts have succeeded after ${(ms / 1000).toFixed(0)} s`);
  } finally {
    await stop(operator);
  }
}

async function measure(repo: string, folder: string): Promise<{ memory: number; core: number }> {
  const operator = startOperator(repo, folder);
  const pid = operator.pid ?? 0;
  try {
    await setTimeout(AFTER_START_MS);
    await atRest(operator, () => true);
    const shares: number[] = [];
    for (let round = 0; round < WINDOWS; round++) shares.push(await share(pid, WINDOW_MS));
    return { memory: await sum(await processesOf(pid), residentOf), core: median(shares) };
  } finally {
    await stop(operator);
  }
}

export function bench(): Promise<Figure[]> {
  return inFolder(async (folder) => {
    const repo = configRepository(folder, MANIFESTS, { replicas: 0 });
    try {
      await settle(repo, folder);
      const { memory, core } = await measure(repo, folder);
      return [
        {
          work: 'operator idle with 10,000 manifests',
          reach: `at most ${REACH.mebibytes} MiB resident, at most ${REACH.core * 100} % of a core`,
          seen: `${memory.toFixed(0)} MiB, ${(core * 100).toFixed(2)} %`,
          held: memory <= REACH.mebibytes && core <= REACH.core,
        },
      ];
    } finally {
      await stopRouter(join(folder, 'data', (await resolveAddress(repo)).key));
    }
  });
}
