/** Maintenance windows: forward rollouts start and go on only inside. */
import cron, { type ScheduledTask } from 'node-cron';
import { seconds } from '../manifest/duration.ts';
import type { Window } from '../manifest/resource.ts';
import type { Instant } from '../plan/live.ts';

const MINUTE = 60_000;

/**
 * No windows: always open. A window is open at `now` when its cron matched some minute that began within the last
 * `duration`: `0 2 * * 6` for 4h is open on Saturdays from 02:00:00 to 05:59:59.
 */
export function windowOpen(windows: Window[], now: Instant): boolean {
  return windows.length === 0 || windows.some((window) => openNow(window, now));
}

/** Windows open and close on whole minutes. */
export const nextMinute = (now: Instant): Instant => (Math.floor(now / MINUTE) + 1) * MINUTE;

function openNow(window: Window, now: Instant): boolean {
  return lastMatch(window, now, seconds(window.duration) * 1000) !== undefined;
}

/** The last minute, no more than `within` ago, that the expression matched; undefined: none. */
export function lastMatch(schedule: CronSchedule, now: Instant, within: number): Instant | undefined {
  const matches = matcher(schedule);
  for (let minute = Math.floor(now / MINUTE) * MINUTE; minute > now - within; minute -= MINUTE) {
    if (matches(minute)) return minute;
  }
  return undefined;
}

type CronSchedule = Pick<Window, 'cron' | 'timezone'>;

const matchers = new Map<string, (minute: Instant) => boolean>();

/** Whether a minute matches depends on nothing else, so it is asked of the library once. */
function matcher({ cron: expression, timezone }: CronSchedule): (minute: Instant) => boolean {
  const key = `${expression} ${timezone}`;
  const known = matchers.get(key);
  if (known) return known;
  const task: ScheduledTask = cron.createTask(expression, () => undefined, { timezone });
  const asked = new Map<Instant, boolean>();
  const made = (minute: Instant) => {
    let match = asked.get(minute);
    if (match === undefined) {
      if (asked.size > 50_000) asked.clear();
      match = task.match(new Date(minute));
      asked.set(minute, match);
    }
    return match;
  };
  matchers.set(key, made);
  return made;
}
