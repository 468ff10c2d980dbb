/** What the steps of the walk share: what they are given, what they give, and the moves that more than one makes. */
import type { Resource } from '../manifest/resource.ts';
import { goalsInEffect } from '../plan/effect.ts';
import type { Instant, Live } from '../plan/live.ts';
import { reached } from '../plan/reached.ts';
import type { Conditions } from './decide.ts';
import type { Question } from './decision.ts';
import { stageEnded } from './instances.ts';
import type { PauseReason, Rollout, State } from './state.ts';
import { move } from './transitions.ts';
import { nextMinute, windowOpen } from './windows.ts';

export interface Context {
  resource: Resource;
  live: Live;
  now: Instant;
  conditions: Conditions;
}

/** One step gives the next state, and whether there may be another one at the same instant. */
export interface Step {
  state: State;
  pushFirst?: boolean;
  proposeRevert?: boolean;
  questions?: Question[];
  wakeAt?: Instant;
  why?: string;
  again?: boolean;
}

export interface Hold {
  reason: PauseReason;
  message: string;
  wakeAt?: Instant;
}

const OPERATOR_PAUSED =
  'the operator starts nothing new: remove the file PAUSED from its data folder, or start it without --paused';

/** What keeps a rollout from starting or going on by itself. A rollback waits for no window. */
export function holdOf({ resource, conditions, now }: Context, rollout: Rollout): Hold | undefined {
  if (rollout.held) return { reason: 'Operator', message: 'paused by an operation' };
  if (resource.spec.paused)
    return { reason: 'Operator', message: 'paused by spec.paused; commit paused: false to go on' };
  if (conditions.operatorPaused) return { reason: 'Operator', message: OPERATOR_PAUSED };
  if (rollout.cause === 'upgrade' && !windowOpen(resource.spec.windows, now)) {
    const windows = resource.spec.windows.map(
      ({ cron, duration, timezone }) => `${cron} for ${duration} (${timezone})`,
    );
    return {
      reason: 'Window',
      message: `waits for a window: ${windows.join(', ')}; it goes on by itself`,
      wakeAt: nextMinute(now),
    };
  }
  return undefined;
}

export const waking = (wakeAt: Instant | undefined) => (wakeAt === undefined ? {} : { wakeAt });

export function pause(state: State, rollout: Rollout, reason: PauseReason, message: string, now: Instant): State {
  return { ...state, rollout: move(rollout, 'Paused', now, message, reason) };
}

export function begun(rollout: Rollout, now: Instant): Rollout {
  if (rollout.times[rollout.stage] !== undefined) return rollout;
  return { ...rollout, times: [...rollout.times.slice(0, rollout.stage), { begun: now }] };
}

export function nextStage(rollout: Rollout, now: Instant): Rollout {
  const { reachedAt: _, ...rest } = rollout;
  const times = rest.times.map((time, index) => (index === rest.stage ? { ...time, done: now } : time));
  const stage = rest.stage + 1;
  return { ...rest, stage, times, checks: { failures: 0 }, continued: false, progress: { mark: '', at: now } };
}

/** The stage's goal is seen, and traffic goes where it should at this point. */
export function stageReached({ resource, live }: Context, state: State, rollout: Rollout): boolean {
  if (rollout.plan.stages[rollout.stage]?.goal.kind === 'units') return stageEnded(rollout);
  const goals = goalsInEffect(resource.spec.kind, state.settled, rollout.plan.stages, rollout.stage);
  const stage = rollout.plan.stages[rollout.stage];
  return goals.every((goal) => (goal.kind === 'replicas' && goal !== stage?.goal) || reached(goal, live));
}

/** What is wrong with the units, in their own words. */
export function trouble(live: Live): string {
  if (live.refused !== undefined) return `; ${live.refused.message}`;
  const unit =
    live.units.find((candidate) => candidate.phase === 'dead' && candidate.message !== undefined) ??
    live.units.find((candidate) => candidate.stuckSince !== undefined && candidate.message !== undefined) ??
    live.units.find((candidate) => !candidate.ready && candidate.message !== undefined);
  const instance = live.instances?.find((candidate) => !candidate.ready && candidate.message !== undefined);
  const unwell = unit ?? instance;
  return unwell ? `; ${unwell.id}: ${unwell.message}` : '';
}
