/** The units of a rollout as lists: a hundred thousand of them are copied in no time, and keep their order. */
import type { UnitRecord, Units } from './state.ts';

const indexes = new WeakMap<readonly string[], Map<string, number>>();

/** Made once for each list of ids, which stays the same while a rollout lasts. */
function indexOf(ids: readonly string[]): Map<string, number> {
  const known = indexes.get(ids) ?? new Map(ids.map((id, index) => [id, index]));
  indexes.set(ids, known);
  return known;
}

export function unitList(entries: (readonly [id: string, record: UnitRecord])[]): Units {
  return { ids: entries.map(([id]) => id), records: entries.map(([, record]) => record) };
}

/** Where it stands in the list. */
export const placeOf = ({ ids }: Units, id: string): number | undefined => indexOf(ids).get(id);

export function recordOf(units: Units | undefined, id: string): UnitRecord | undefined {
  const index = units && indexOf(units.ids).get(id);
  return index === undefined ? undefined : units?.records[index];
}

/** `changed` names units that are there; all else stays. */
export function withRecords({ ids, records }: Units, changed: Iterable<readonly [string, UnitRecord]>): Units {
  const index = indexOf(ids);
  const next = [...records];
  for (const [id, record] of changed) {
    const at = index.get(id);
    if (at !== undefined) next[at] = record;
  }
  return { ids, records: next };
}

export function entriesOf(units: Units | undefined): [string, UnitRecord][] {
  return units === undefined
    ? []
    : units.ids.flatMap((id, index): [string, UnitRecord][] => {
        const record = units.records[index];
        return record === undefined ? [] : [[id, record]];
      });
}
