/** What a campaign found, in words: figures, coverage, and the shortest history that failed. */
import type { CampaignResult, Failure } from './campaign.ts';
import { CONTRACT, type Coverage, LEGAL } from './coverage.ts';

const EVERYTHING: readonly string[] = [...CONTRACT, ...LEGAL];

/** Lines of the contract and transitions that no rollout went through. */
export const missing = (coverage: Coverage): string[] => EVERYTHING.filter((what) => (coverage[what] ?? 0) === 0);

export function report({ failure, coverage, histories, rollouts, steps }: CampaignResult, seconds: number): string {
  const rate = Math.round(rollouts / seconds);
  const lines = [
    `${rollouts} rollouts in ${histories} histories, ${steps} steps: ${seconds.toFixed(0)} s, ${rate} rollouts a second`,
    '',
    ...EVERYTHING.map((what) => `${String(coverage[what] ?? 0).padStart(9)}  ${what}`),
  ];
  const none = missing(coverage);
  if (none.length > 0) lines.push('', `nothing went through: ${none.join('; ')}`);
  if (failure !== undefined) lines.push('', ...failureLines(failure));
  return `${lines.join('\n')}\n`;
}

/** Enough to see what happened, and to run it again. */
function failureLines({ seed, violations, history: { events, ...world } }: Failure): string[] {
  return [
    `an invariant does not hold; batch seed ${seed}:`,
    ...violations.slice(0, 5).map(({ invariant, message, at }) => `  ${invariant}: ${message} (${at})`),
    'the shortest history that still fails:',
    `  ${JSON.stringify(world)}`,
    ...events.map((event) => `  ${JSON.stringify(event)}`),
  ];
}
