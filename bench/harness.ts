/**
 * What benchmarks share. A benchmark is one file of this folder with
 *
 *     export async function bench(): Promise<Figure[]>
 *
 * listed in `main.ts`, which runs each in a process of its own: `npm run bench` all, `npm run bench -- NAME …` some,
 * `--write` puts the table into docs/performance.md. A figure is one line of the table. Times are compared as ratios
 * within one run, medians of several rounds taken in turn, so that a busy machine slows both sides. A benchmark leaves no
 * process and no folder behind, throws when it could not measure, and tells what it sees on the way by `note`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Figure {
  work: string;
  /** What is to be reached, in words: `at most 0.6 × git ls-remote`. */
  reach: string;
  /** What was measured, in the same unit, and from what. */
  seen: string;
  held: boolean;
}

export function note(text: string): void {
  process.stderr.write(`  ${text}\n`);
}

/** NaN of nothing, which holds no bound. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

/** `share` 0.99 is the 99th percentile. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The median of `a/b`, round by round. */
export function medianRatio(a: readonly number[], b: readonly number[]): number {
  return median(a.map((value, round) => value / (b[round] ?? Number.NaN)));
}

/** Milliseconds that the work takes, and what it gives. */
export async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const start = performance.now();
  const value = await work();
  return { ms: performance.now() - start, value };
}

/** A folder that is gone afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Microseconds of a running process on a processor, over its living threads: finer than the hundredths of /proc/PID/stat. */
export async function cpuOf(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'latin1')));
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1000, 0);
}

/** Resident memory of a running process, in MiB. */
export async function residentOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** Mean time and CPU of a program that runs to its end, all processes that it starts and waits for included; of `times` runs in a row. */
export async function runRepeatedly(
  command: readonly string[],
  { times, cwd, env }: { times: number; cwd: string; env: NodeJS.ProcessEnv },
): Promise<{ wallMs: number; cpuMs: number }> {
  const loop = `TIMEFORMAT='%3R %3U %3S'; time for i in $(seq ${times}); do "$@" >/dev/null || exit 1; done`;
  const child = spawn('bash', ['-c', loop, 'bash', ...command], { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] });
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk) => said.push(chunk));
  const [code] = await once(child, 'close');
  const text = Buffer.concat(said).toString();
  const [wall, user, system] = (text.trim().split('\n').at(-1) ?? '').split(' ').map(Number);
  if (code !== 0 || wall === undefined || user === undefined || system === undefined)
    throw new Error(`${command.join(' ')} failed: ${text.slice(0, 500)}`);
  return { wallMs: (wall * 1000) / times, cpuMs: ((user + system) * 1000) / times };
}

/** The next message of a process that was forked; throws when it ends instead. */
export function nextMessage(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const message = (value: unknown) => {
      child.off('exit', exit);
      resolve(value);
    };
    const exit = (code: number | null) => {
      child.off('message', message);
      reject(new Error(`${child.spawnargs.slice(1).join(' ')} ended with ${code}`));
    };
    child.once('message', message);
    child.once('exit', exit);
  });
}

/** The processor, how many of it, and the versions that matter. */
export function machine(gitVersion: string): string {
  const [cpu] = cpus();
  return `${cpu?.model ?? 'unknown processor'}, ${cpus().length} cores; node ${process.versions.node}, ${gitVersion.replace(' version', '')}`;
}
