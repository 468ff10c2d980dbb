/** How the units of a rollout stand, counted once for each state of them. */
import type { Rollout, UnitRecord } from './state.ts';
import { underWay } from './units.ts';

export interface Tally {
  total: number;
  pending: number;
  /** Succeeded and skipped. */
  done: number;
  underWay: string[];
  failed: string[];
  canceled: string[];
  unknown: string[];
}

/** Units are never changed in place, so what was counted of them stays right. */
const counted = new WeakMap<object, Tally>();

export function tallyOf({ units }: Rollout): Tally {
  const known = units && counted.get(units);
  if (known) return known;
  const tally: Tally = { total: 0, pending: 0, done: 0, underWay: [], failed: [], canceled: [], unknown: [] };
  units?.records.forEach((record, index) => {
    count(tally, units.ids[index] ?? '', record);
  });
  if (units) counted.set(units, tally);
  return tally;
}

function count(tally: Tally, id: string, record: UnitRecord): void {
  tally.total++;
  if (record.state === 'Pending') tally.pending++;
  else if (record.state === 'Succeeded' || record.state === 'Skipped') tally.done++;
  else if (record.state === 'Failed') tally.failed.push(id);
  else if (record.state === 'Canceled') tally.canceled.push(id);
  else if (record.state === 'Unknown') tally.unknown.push(id);
  else if (underWay(record)) tally.underWay.push(id);
}
