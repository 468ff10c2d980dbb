/** The legal phases of a rollout and the one way to change them. */
import type { Instant } from '../plan/live.ts';
import type { HistoryEntry, PauseReason, Phase, Rollout } from './state.ts';

export const TRANSITIONS: Record<Phase, readonly Phase[]> = {
  Pending: ['Checking', 'Superseded', 'Canceled'],
  Checking: ['Pending', 'Progressing', 'Failed', 'Superseded', 'Canceled'],
  Progressing: ['Paused', 'RollingBack', 'Succeeded', 'Failed', 'Superseded', 'Canceled'],
  Paused: ['Progressing', 'RollingBack', 'Superseded', 'Canceled', 'Failed', 'Expired'],
  RollingBack: ['RolledBack', 'Paused', 'Superseded', 'Canceled'],
  Succeeded: [],
  RolledBack: [],
  Canceled: [],
  Failed: [],
  Superseded: [],
  Expired: [],
};

export const ended = (rollout: Rollout): boolean => TRANSITIONS[rollout.phase].length === 0;

export const active = (rollout: Rollout | undefined): rollout is Rollout => rollout !== undefined && !ended(rollout);

/** A pause keeps its reason; every other phase has none. Throws on an illegal transition: that is a defect of the engine. */
export function move(rollout: Rollout, phase: Phase, now: Instant, message: string, reason?: PauseReason): Rollout {
  if (rollout.phase === phase && rollout.reason === reason) return { ...rollout, message };
  if (rollout.phase !== phase && !TRANSITIONS[rollout.phase].includes(phase)) {
    throw new Error(`rollout ${rollout.id}: ${rollout.phase} → ${phase} is no legal transition`);
  }
  const { reason: _, finishedAt: __, pausedAt, ...rest } = rollout;
  const since = phase === 'Paused' ? { pausedAt: pausedAt ?? now } : {};
  const moved: Rollout = { ...rest, phase, message, ...(reason === undefined ? {} : { reason }), ...since };
  if (TRANSITIONS[phase].length === 0) return { ...moved, finishedAt: now };
  const resumed = rollout.phase === 'Paused' && phase !== 'Paused';
  if (!resumed) return moved;
  // The progress clock stood still meanwhile; it goes on, or a window that opens again and again would set it back each time.
  const stood = now - (pausedAt ?? now);
  return { ...moved, progress: { ...moved.progress, at: moved.progress.at + stood } };
}

export function historyEntry(rollout: Rollout): HistoryEntry {
  const stages = rollout.plan.stages.flatMap(({ name }, index) => {
    const times = rollout.times[index];
    return times?.done === undefined ? [] : [{ name, seconds: (times.done - times.begun) / 1000 }];
  });
  return {
    id: rollout.id,
    cause: rollout.cause,
    commit: rollout.commit,
    revision: rollout.plan.to,
    phase: rollout.phase,
    startedAt: rollout.startedAt,
    finishedAt: rollout.finishedAt ?? rollout.startedAt,
    stages,
    message: rollout.message,
  };
}
