/** How far a rolling upgrade may stray from `replicas`. */
import type { WorkloadSpec } from '../manifest/resource.ts';

export interface Bounds {
  maxTotal: number;
  minAvailable: number;
}

/**
 * Surge rounds up, unavailable down; where both come out as 0, one may be unavailable, or nothing could ever move.
 *
 *   replicas 5, surge 25 % → 2, unavailable 25 % → 1: at most 7, at least 4 available
 *   replicas 5, surge 1,        unavailable 0:        at most 6, at least 5 available
 *   replicas 3, surge 0,        unavailable 10 % → 0 → 1: at most 3, at least 2 available
 */
export function bounds(replicas: number, strategy: WorkloadSpec['strategy']): Bounds {
  const surge = amount(strategy.maxSurge, replicas, Math.ceil);
  const unavailable = amount(strategy.maxUnavailable, replicas, Math.floor);
  const stuck = surge === 0 && unavailable === 0;
  return { maxTotal: replicas + surge, minAvailable: Math.max(0, replicas - (stuck ? 1 : unavailable)) };
}

function amount(value: number | string, of: number, round: (n: number) => number): number {
  if (typeof value === 'number') return value;
  return round((Number(value.replace('%', '')) * of) / 100);
}
