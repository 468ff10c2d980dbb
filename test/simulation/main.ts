/** `npm run simulate -- --seed N --rollouts N`: prints what was covered, or the shortest history that breaks an invariant. */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Kind } from '../../src/manifest/resource.ts';
import { addCoverage, type CampaignResult, campaign } from './campaign.ts';
import { missing, report } from './report.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    rollouts: { type: 'string', default: '20000' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    kinds: { type: 'string' },
    worker: { type: 'boolean', default: false },
  },
});

/** A number of an option; anything else ends the program. */
function count(name: 'seed' | 'rollouts' | 'jobs'): number {
  const number = Number(values[name]);
  if (Number.isSafeInteger(number) && number > 0) return number;
  process.stderr.write(`simulate: --${name} ${values[name]}: expected a whole number above 0\n`);
  process.exit(2);
}

/** Seeds of worker processes lie far apart. */
const APART = 1000;

async function work(): Promise<void> {
  let told = 0;
  const result = await campaign({
    ...{ seed: count('seed'), rollouts: count('rollouts') },
    ...(values.kinds !== undefined && { kinds: values.kinds.split(',') as Kind[] }),
    progress({ rollouts }) {
      if (rollouts - told < 1000) return;
      told = rollouts;
      process.send?.({ rollouts });
    },
  });
  process.send?.({ result });
}

function spawn(seed: number, rollouts: number, progress: (rollouts: number) => void): Promise<CampaignResult> {
  const args = ['--worker', '--seed', String(seed), '--rollouts', String(rollouts)];
  if (values.kinds !== undefined) args.push('--kinds', values.kinds);
  const child = fork(fileURLToPath(import.meta.url), args);
  return new Promise((resolve, reject) => {
    let done: CampaignResult | undefined;
    child.on('message', (message: { rollouts?: number; result?: CampaignResult }) => {
      if (message.rollouts !== undefined) progress(message.rollouts);
      done = message.result ?? done;
    });
    child.on('exit', (code) => {
      if (done !== undefined) resolve(done);
      else reject(new Error(`a worker of the simulation ended with code ${code} and without a result`));
    });
  });
}

async function lead(): Promise<void> {
  const started = performance.now();
  const jobs = count('jobs');
  const share = Math.ceil(count('rollouts') / jobs);
  const sofar = new Map<number, number>();
  const results = await Promise.all(
    Array.from({ length: jobs }, (_, job) =>
      spawn(count('seed') + job * APART, share, (rollouts) => {
        sofar.set(job, rollouts);
        if (process.stderr.isTTY) process.stderr.write(`\r${[...sofar.values()].reduce((a, b) => a + b, 0)} rollouts`);
      }),
    ),
  );
  const total: CampaignResult = { histories: 0, rollouts: 0, steps: 0, coverage: {} };
  for (const { histories, rollouts, steps, coverage, failure } of results) {
    total.histories += histories;
    total.rollouts += rollouts;
    total.steps += steps;
    addCoverage(total.coverage, coverage);
    if (failure !== undefined) total.failure ??= failure;
  }
  process.stdout.write(report(total, (performance.now() - started) / 1000));
  if (total.failure !== undefined || missing(total.coverage).length > 0) process.exitCode = 1;
}

await (values.worker ? work() : lead());
