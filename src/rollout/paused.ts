/** A rollout that waits: for a person, a window, or what is left of its time. */
import { seconds } from '../manifest/duration.ts';
import type { Instant } from '../plan/live.ts';
import { close } from './closing.ts';
import { askGates } from './gates.ts';
import type { Rollout, State } from './state.ts';
import { type Context, holdOf, type Step, stageReached, waking } from './step.ts';
import { earliest } from './times.ts';
import { move } from './transitions.ts';

export function paused(context: Context, state: State, rollout: Rollout): Step {
  const { now } = context;
  const hold = holdOf(context, rollout);
  const stage = rollout.plan.stages[rollout.stage];
  const seen = stage !== undefined && stageReached(context, state, rollout);
  const noted: Rollout = seen && rollout.reachedAt === undefined ? { ...rollout, reachedAt: now } : rollout;
  const expired = expiry(context, noted);
  if (expired !== undefined && now >= expired)
    return { state: close(state, noted, 'Expired', 'was paused for too long'), again: true };
  if (hold) {
    const keeps = noted.reason === 'Failure' || noted.reason === 'Unknown';
    const next = keeps ? noted : move(noted, 'Paused', now, hold.message, hold.reason);
    return { state: { ...state, rollout: next }, ...waking(earliest([hold.wakeAt, expired])) };
  }
  const waits = { state: { ...state, rollout: noted }, ...waking(expired) };
  if (noted.reason === 'Failure' || noted.reason === 'Unknown') return waits;
  const asks = noted.reason === 'Step' || noted.reason === 'Batch';
  const stillAsked = asks && stage !== undefined && askGates(stage, noted, now).kind === 'pause';
  if (stillAsked) return waits;
  return { state: { ...state, rollout: move(noted, 'Progressing', now, 'goes on') }, again: true };
}

const EXPIRES_SECONDS = 15 * 24 * 3600;

/** When a fleet's or a cluster's pause ends the rollout; the clock runs whatever it is paused for. */
function expiry({ resource: { spec } }: Context, { pausedAt }: Rollout): Instant | undefined {
  if (pausedAt === undefined || spec.kind === 'Workload' || spec.kind === 'Service') return undefined;
  const after = spec.kind === 'Cluster' ? seconds(spec.upgrade.expireAfter) : EXPIRES_SECONDS;
  return pausedAt + after * 1000;
}
