/** Maintenance windows that can really open. */
import { validate as validCron } from 'node-cron';
import { DURATION_PATTERN, parseDuration } from '../duration.ts';
import type { WrittenWindow } from '../written.ts';
import type { Path, Report } from './report.ts';

export function checkWindows(windows: (WrittenWindow | undefined)[], path: Path, report: Report): void {
  for (const [index, window] of windows.entries()) {
    const at = [...path, index];
    if (window?.cron !== undefined && !validCron(window.cron))
      report(
        [...at, 'cron'],
        'bad-cron',
        `${JSON.stringify(window.cron)} is not a cron expression; expected minute, hour, day of month, month, day of week, such as "0 2 * * 6"`,
      );
    if (window?.timezone !== undefined && !isTimezone(window.timezone))
      report(
        [...at, 'timezone'],
        'bad-timezone',
        `${JSON.stringify(window.timezone)} is not a time zone; expected a name such as UTC or Asia/Shanghai`,
      );
    checkDuration(window?.duration, [...at, 'duration'], report);
  }
}

const isDurationLike = new RegExp(DURATION_PATTERN);

export function checkDuration(value: string | undefined, path: Path, report: Report): void {
  // What is no duration at all the schema has told already.
  if (value !== undefined && isDurationLike.test(value) && parseDuration(value) === undefined)
    report(path, 'bad-duration', `${JSON.stringify(value)} is longer than 366 days; shorten it`);
}

/** Asking costs 50 µs, and a repository names few. */
const zones = new Set(['UTC']);

function isTimezone(name: string): boolean {
  if (zones.has(name)) return true;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
  } catch {
    return false;
  }
  zones.add(name);
  return true;
}
