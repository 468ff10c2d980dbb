/** What must hold between a stage's goal and the next stage. */
import type { Instant } from '../plan/live.ts';
import type { Gate, Stage } from '../plan/plan.ts';
import type { Question } from './decision.ts';
import type { Rollout } from './state.ts';

/** A check is asked again so long after it passed, and so long after it failed. */
const AGAIN_PASSED = 10_000;
const AGAIN_FAILED = 5_000;
/** So many failures in a row fail the stage. */
const CHECK_FAILURES = 3;

export type Verdict =
  | { kind: 'open' }
  | { kind: 'waits'; message: string; wakeAt?: Instant; ask?: Question }
  | { kind: 'pause'; message: string }
  | { kind: 'failed'; message: string };

/** All checks and the soak run at the same time; the pause is asked last, when a person can see that all else holds. */
export function askGates(stage: Stage, rollout: Rollout, now: Instant): Verdict {
  const reachedAt = rollout.reachedAt ?? now;
  const soakUntil = reachedAt + soakSeconds(stage.gates) * 1000;
  const checks = stage.gates.filter((gate): gate is Gate & { kind: 'check' } => gate.kind === 'check');
  if (checks.length > 0) {
    const verdict = askChecks(checks, rollout, now, soakUntil);
    if (verdict.kind !== 'open') return verdict;
  }
  if (now < soakUntil) {
    return { kind: 'waits', message: `${stage.name}: soaks until ${iso(soakUntil)}`, wakeAt: soakUntil };
  }
  const pauses = !rollout.continued && stage.gates.some((gate) => gate.kind === 'pause');
  return pauses ? { kind: 'pause', message: `${stage.name} is reached and waits for a continue` } : { kind: 'open' };
}

function askChecks(checks: (Gate & { kind: 'check' })[], rollout: Rollout, now: Instant, soakUntil: Instant): Verdict {
  const { askedAt, passedAt, failures, message } = rollout.checks;
  if (failures >= CHECK_FAILURES) {
    return { kind: 'failed', message: `check failed ${failures} times in a row: ${message ?? 'no reason given'}` };
  }
  const good = failures === 0 && passedAt !== undefined;
  if (good && now >= soakUntil) return { kind: 'open' };
  const dueAt = askedAt === undefined ? now : askedAt + (failures > 0 ? AGAIN_FAILED : AGAIN_PASSED);
  const wakeAt = good ? Math.min(dueAt, soakUntil) : dueAt;
  const text =
    failures > 0 ? `check failed ${failures} of ${CHECK_FAILURES} times: ${message ?? ''}` : 'checks are asked';
  if (now < dueAt) return { kind: 'waits', message: text, wakeAt };
  const ask: Question = {
    kind: 'check',
    stage: rollout.stage,
    checks: checks.map(({ check, version }) => ({ check, version })),
  };
  return { kind: 'waits', message: text, ask, wakeAt: now + AGAIN_PASSED };
}

function soakSeconds(gates: Gate[]): number {
  return gates.reduce((longest, gate) => (gate.kind === 'soak' ? Math.max(longest, gate.seconds) : longest), 0);
}

const iso = (at: Instant) => new Date(at).toISOString();
