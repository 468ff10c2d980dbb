/** Durations as manifests write them: one whole number and one unit, `90s`, `10m`, `4h`, `15d`. */
import ms from 'ms';
import type { Duration } from './resource.ts';

/** The source of the pattern, for schemas. */
export const DURATION_PATTERN = '^[1-9][0-9]{0,7}(ms|s|m|h|d)$';

const duration = new RegExp(DURATION_PATTERN);
const LONGEST = ms('366d');

/** In milliseconds; undefined when it is no duration, or longer than 366 days. */
export function parseDuration(text: Duration): number | undefined {
  if (!duration.test(text)) return undefined;
  const value = ms(text as ms.StringValue);
  return value <= LONGEST ? value : undefined;
}

/** Of a duration that was validated, in seconds; throws on any other. */
export function seconds(text: Duration): number {
  const value = parseDuration(text);
  if (value === undefined) throw new RangeError(`${JSON.stringify(text)} is not a duration`);
  return value / 1000;
}
