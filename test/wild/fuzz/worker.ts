/** The process in which inputs are tried: `worker.js SUBJECT SEED`, until it is killed. Each batch is told; the input under way is noted before it is tried. */
import { openSync, writeSync } from 'node:fs';
import fc from 'fast-check';
import { SUBJECTS, type Subject } from './subjects.ts';

const BATCH = 50;
/** A batch of small inputs takes a millisecond: whoever listens has other things to do. */
const TELL_MS = 100;
/** Of processor time for one input, and of memory in all. */
const CPU_MS = 1000;
const MIB = 700;

export interface Trouble {
  why: string;
  batch: number;
  input: string;
}
export type Message = { tried: number } | Trouble;

export const seedOf = (seed: number, batch: number): number => seed + batch * 7919;
export const shown = (input: unknown): string =>
  (Buffer.isBuffer(input) ? JSON.stringify(input.toString('latin1')) : (JSON.stringify(input) ?? String(input))).slice(
    0,
    4000,
  );

/** Milliseconds on the processor. */
async function cpuOf(work: () => void | Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** What a failure comes down to, when it is seen again. */
async function smallest({ inputs, check }: Subject, seed: number): Promise<string | undefined> {
  const found = await fc.check(
    fc.asyncProperty(inputs, async (input) => check(input as never)),
    { seed, numRuns: BATCH, interruptAfterTimeLimit: 20_000 },
  );
  return found.counterexample === null ? undefined : shown(found.counterexample[0]);
}

/** What does not hold of an input. */
async function tried(subject: Subject, input: unknown, seed: number): Promise<Omit<Trouble, 'batch'> | undefined> {
  try {
    const ms = await cpuOf(() => subject.check(input as never));
    // The machine may have been busy with its own memory meanwhile, or with others: what is slow is slow again.
    if (ms <= CPU_MS || (await cpuOf(() => subject.check(input as never))) <= CPU_MS) return undefined;
    return { why: `took ${Math.round(ms)} ms`, input: shown(input) };
  } catch (error) {
    const why = (error as Error).stack ?? String(error);
    return { why, input: (await smallest(subject, seed)) ?? shown(input) };
  }
}

async function work(name: string, seed: number, notes: string): Promise<void> {
  const subject = SUBJECTS[name];
  if (subject === undefined) throw new Error(`no such subject: ${name}`);
  const note = openSync(notes, 'w');
  tell({ tried: 0 });
  let untold = 0;
  let told = performance.now();
  for (let batch = 0; ; batch++) {
    const own = seedOf(seed, batch);
    const open = [...fc.sample(subject.inputs, { seed: own, numRuns: BATCH }).entries()];
    const lane = async () => {
      for (let next = open.shift(); next !== undefined; next = open.shift()) {
        writeSync(note, `${batch} ${next[0]} `.padEnd(30), 0);
        const trouble = await tried(subject, next[1], own);
        if (trouble !== undefined) tell({ ...trouble, batch });
      }
    };
    await Promise.all(Array.from({ length: subject.atOnce ?? 1 }, lane));
    const resident = process.memoryUsage().rss / 2 ** 20;
    if (resident > MIB) tell({ why: `holds ${Math.round(resident)} MiB`, batch, input: '' });
    untold += BATCH;
    if (performance.now() - told > TELL_MS) {
      tell({ tried: untold });
      untold = 0;
      told = performance.now();
    }
    await new Promise(setImmediate);
  }
}

function tell(message: Message): void {
  process.send?.(message);
}

process.once('disconnect', () => process.exit());
const [, , name = '', seed = '0', notes = ''] = process.argv;
if (process.send !== undefined && notes !== '') await work(name, Number(seed), notes);
