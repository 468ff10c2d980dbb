/** Each subject in a process of its own, two at a time; one that hangs is killed, and what it hung on is told. */
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpuOf } from '../../../bench/harness.ts';
import type { Message, Trouble } from './worker.ts';

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));
const LOOK_MS = 1000;
/** Of processor time without a word: a batch takes far less. */
const HANG_MS = 60_000;
const TROUBLES = 3;

export interface Finding extends Trouble {
  subject: string;
  seed: number;
}
export interface Fuzzed {
  subject: string;
  tried: number;
  /** Seconds of processor time, with what it took to start. */
  cpu: number;
  findings: Finding[];
}

function fuzz(subject: string, seed: number, ms: number): Promise<Fuzzed> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-fuzz-'));
  const notes = join(folder, 'notes');
  const child = fork(WORKER, [subject, String(seed), notes], {
    execArgv: ['--max-old-space-size=512', '--enable-source-maps'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const { pid = 0 } = child;
  const found: Fuzzed = { subject, tried: 0, cpu: 0, findings: [] };
  let said = '';
  let cpuThen = 0;
  let over = false;
  const finding = (why: string): Finding => {
    const [batch = 0, index] = (readText(notes) || '0').trim().split(' ').map(Number);
    return { subject, seed, why, batch, input: `number ${index} of batch ${batch}` };
  };
  const end = () => {
    over = true;
    child.kill('SIGKILL');
  };
  let timer: NodeJS.Timeout | undefined;
  const watch = setInterval(async () => {
    const cpu = (await cpuOf(pid).catch(() => 0)) / 1000;
    if (over || cpu - cpuThen < HANG_MS) return;
    found.findings.push(finding(`hangs: no end in ${HANG_MS / 1000} s on the processor`));
    end();
  }, LOOK_MS);
  child.stderr?.on('data', (chunk) => {
    said = (said + chunk).slice(-4000);
  });
  child.on('message', async (message: Message) => {
    // Its time begins when it has loaded what it tries.
    timer ??= setTimeout(end, ms);
    if ('tried' in message) found.tried += message.tried;
    else found.findings.push({ subject, seed, ...message });
    if (found.findings.length >= TROUBLES) end();
    cpuThen = (await cpuOf(pid).catch(() => 0)) / 1000;
    found.cpu = Math.max(found.cpu, cpuThen / 1000);
  });
  return new Promise((resolve) => {
    child.once('close', (code) => {
      clearTimeout(timer);
      clearInterval(watch);
      if (!over) found.findings.push(finding(`ended with ${code}: ${said}`));
      rmSync(folder, { recursive: true, force: true });
      resolve(found);
    });
  });
}

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

export const told = ({ subject, seed, batch, why, input }: Finding): string =>
  `${subject} (seed ${seed}, batch ${batch}): ${why}\n  ${input}`;

/** All of them, in turn, so that together they take `ms`. */
export async function campaign(subjects: readonly string[], seed: number, ms: number): Promise<Fuzzed[]> {
  const AT_ONCE = 2;
  const open = [...subjects];
  const done: Fuzzed[] = [];
  const each = (ms * Math.min(AT_ONCE, subjects.length)) / subjects.length;
  const lane = async () => {
    for (let next = open.shift(); next !== undefined; next = open.shift()) done.push(await fuzz(next, seed, each));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return done;
}
