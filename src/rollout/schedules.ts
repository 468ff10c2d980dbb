/** A fleet's size by the clock. */
import type { FleetSpec, Resource } from '../manifest/resource.ts';
import type { Instant } from '../plan/live.ts';
import { heldNow } from './members.ts';
import type { State } from './state.ts';
import { active } from './transitions.ts';
import { lastMatch, nextMinute } from './windows.ts';

/** A schedule that fired longer ago counts no more: `spec.size` does. */
const WITHIN = 8 * 24 * 3_600_000;

/** The size of the schedule that fired last; undefined: none did. */
function scheduledSize({ schedules }: FleetSpec, now: Instant): number | undefined {
  let last: { at: Instant; size: number } | undefined;
  for (const schedule of schedules) {
    const at = lastMatch(schedule, now, WITHIN);
    if (at !== undefined && (last === undefined || at > last.at)) last = { at, size: schedule.size };
  }
  return last?.size;
}

/** At rest the settled size follows the schedules, unless they are held. */
export function followSchedules({ spec }: Resource, state: State, now: Instant): State {
  if (spec.kind !== 'Fleet' || spec.schedules.length === 0 || active(state.rollout)) return state;
  if (heldNow(spec, false).includes('scheduledAction')) return state;
  const size = scheduledSize(spec, now);
  const { goals } = state.settled;
  const moved = size !== undefined && goals.some((goal) => goal.kind === 'members' && goal.size !== size);
  if (!moved) return state;
  const resized = goals.map((goal) => (goal.kind === 'members' ? { ...goal, size } : goal));
  return { ...state, settled: { ...state.settled, goals: resized, observed: false } };
}

/** When a schedule may fire next. */
export const scheduleWake = ({ spec }: Resource, now: Instant): Instant | undefined =>
  spec.kind === 'Fleet' && spec.schedules.length > 0 ? nextMinute(now) : undefined;
