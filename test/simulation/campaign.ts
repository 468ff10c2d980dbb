/** Many histories, until so many rollouts were simulated; the first that breaks an invariant is shrunk. */
import fc from 'fast-check';
import type { Kind } from '../../src/manifest/resource.ts';
import type { Coverage } from './coverage.ts';
import { type History, histories } from './history.ts';
import { type RunOptions, runHistory, type Violation } from './run.ts';

export interface CampaignOptions extends RunOptions {
  seed: number;
  rollouts: number;
  kinds?: readonly Kind[];
  /** Told now and then how far it is. */
  progress?: (tally: Tally) => void;
}

export interface Failure {
  seed: number;
  violations: Violation[];
  /** The shortest history that still fails. */
  history: History;
}

export interface Tally {
  histories: number;
  rollouts: number;
  steps: number;
  coverage: Coverage;
}

export interface CampaignResult extends Tally {
  failure?: Failure;
}

const BATCH = 25;
/** A history that fails is made shorter in so many tries: each runs a world. */
const TRIES = 400;
/** Seeds of batches are this far apart, so that campaigns whose seeds follow each other do not overlap. */
const STRIDE = 1_000_003;

export function addCoverage(sum: Coverage, more: Coverage): void {
  for (const [what, count] of Object.entries(more)) sum[what] = (sum[what] ?? 0) + count;
}

export async function campaign(options: CampaignOptions): Promise<CampaignResult> {
  const tally: Tally = { histories: 0, rollouts: 0, steps: 0, coverage: {} };
  for (let batch = 0; tally.rollouts < options.rollouts; batch++) {
    const seed = (options.seed * STRIDE + batch) | 0;
    const failure = await oneBatch(seed, BATCH, options, tally);
    if (failure !== undefined) return { ...tally, failure };
    options.progress?.(tally);
  }
  return tally;
}

async function oneBatch(
  seed: number,
  numRuns: number,
  options: CampaignOptions,
  tally: Tally,
): Promise<Failure | undefined> {
  let shrinking = false;
  let tries = 0;
  let violations: Violation[] = [];
  const property = fc.asyncProperty(histories(options.kinds), async (history) => {
    if (shrinking && ++tries > TRIES) return true;
    const outcome = await runHistory(history, options);
    if (!shrinking) {
      tally.histories++;
      tally.rollouts += outcome.rollouts;
      tally.steps += outcome.steps;
      addCoverage(tally.coverage, outcome.coverage);
    }
    if (outcome.violations.length === 0) return true;
    // While it shrinks it stays with the invariant that it found broken first.
    const those = outcome.violations.filter(({ invariant }) => !shrinking || invariant === violations[0]?.invariant);
    if (those.length === 0) return true;
    shrinking = true;
    violations = those;
    return false;
  });
  const result = await fc.check(property, { seed, numRuns });
  if (!result.failed || result.counterexample === null) return undefined;
  const [history] = result.counterexample;
  const { violations: last } = await runHistory(history, options);
  return { seed, violations: last.length > 0 ? last : violations, history };
}
