import type { Instant } from '../plan/live.ts';

/** Undefined: there is none. */
export function earliest(times: (Instant | undefined)[]): Instant | undefined {
  return times.reduce(
    (first, at) => (at === undefined || (first !== undefined && first <= at) ? first : at),
    undefined,
  );
}
