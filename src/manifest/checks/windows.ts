/** Maintenance windows that can really open, and cron expressions. */
import { validate as validExpression } from 'node-cron';
import { quote } from '../diagnostic.ts';
import { DURATION_PATTERN, parseDuration } from '../duration.ts';
import type { WrittenWindow } from '../written.ts';
import type { Path, Report } from './report.ts';

export function checkWindows(windows: (WrittenWindow | undefined)[], path: Path, report: Report): void {
  for (const [index, window] of windows.entries()) {
    const at = [...path, index];
    checkCron(window?.cron, [...at, 'cron'], report);
    checkTimezone(window?.timezone, [...at, 'timezone'], report);
    checkDuration(window?.duration, [...at, 'duration'], report, LONGEST_WINDOW);
  }
}

/** Whether it is open is asked minute by minute, back to when it may have opened. */
const LONGEST_WINDOW = '31d';

export function checkCron(cron: string | undefined, path: Path, report: Report): void {
  if (cron === undefined || isCron(cron)) return;
  report(
    path,
    'bad-cron',
    `${quote(cron)} is not a cron expression that ever matches; expected minute, hour, day of month, month, day of week, such as "0 2 * * 6"`,
  );
}

/** Five fields of at most two digits in a row: the library expands a range before it looks at its bounds, however great. */
const FORM = /^(?!.*[0-9]{3})[-0-9a-zA-Z*,/#]+( +[-0-9a-zA-Z*,/#]+){4}$/;
const MAX_CRON = 256;

const isCron = (text: string) => text.length <= MAX_CRON && FORM.test(text) && validExpression(text);

const isDurationLike = new RegExp(DURATION_PATTERN);

/** `longest`: a duration, of at most 366 days. */
export function checkDuration(value: string | undefined, path: Path, report: Report, longest = '366d'): void {
  // What is no duration at all the schema has told already.
  if (value === undefined || !isDurationLike.test(value)) return;
  if ((parseDuration(value) ?? Number.POSITIVE_INFINITY) > (parseDuration(longest) ?? 0))
    report(path, 'bad-duration', `${quote(value)} is longer than ${longest.slice(0, -1)} days; shorten it`);
}

export function checkTimezone(timezone: string | undefined, path: Path, report: Report): void {
  if (timezone === undefined || isTimezone(timezone)) return;
  report(path, 'bad-timezone', `${quote(timezone)} is not a time zone; expected a name such as UTC or Asia/Shanghai`);
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
