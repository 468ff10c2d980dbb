/**
 * The units of a rollout in a status file: what each had before and where it is, for whoever goes on. Units that are
 * alike stand together, so that 10,000 of them that are pending are a few lines. Pure.
 */
import type { UnitRecord, UnitState, Units } from '../rollout/state.ts';
import { entriesOf, unitList } from '../rollout/unit-list.ts';
import { alike, fold, unfold } from './fold.ts';
import { fromTime, type Time, toTime } from './time.ts';

interface BeforeDocument {
  inService?: false;
  weight?: number;
  cordoned?: true;
  /** Names, folded; also below. */
  units: string[];
}

interface RecordDocument {
  state: UnitState;
  since: Time;
  message?: string;
  /** Absent: 1. */
  tries?: number;
  as?: 'Skipped' | 'Canceled' | 'Failed';
  checks?: { failures: number; askedAt?: Time; passed?: true };
  units: string[];
}

export interface UnitsDocument {
  /** All of them, in their order. */
  order: string[];
  /** What they had before they were touched, and get back: each unit once. */
  before: BeforeDocument[];
  /** Where they are: each unit once. */
  records: RecordDocument[];
}

const together = <T>(units: Units, part: (record: UnitRecord) => T): (T & { units: string[] })[] =>
  alike(entriesOf(units).map(([name, record]) => [name, part(record)])).map(({ part, names }) => ({
    ...part,
    units: fold(names),
  }));

export function unitsToDocument(units: Units): UnitsDocument {
  return {
    order: fold([...units.ids]),
    before: together(units, beforeToDocument),
    records: together(units, recordToDocument),
  };
}

/** Stops compiling when a field was added that the conversion does not know. */
const nothingElse = (_rest: Record<string, never>): void => {};

function beforeToDocument({ before }: UnitRecord): Omit<BeforeDocument, 'units'> {
  const { inService, weight, cordoned, ...rest } = before;
  nothingElse(rest);
  return {
    ...(!inService && { inService }),
    ...(weight !== undefined && { weight }),
    ...(cordoned && { cordoned }),
  };
}

function recordToDocument(record: UnitRecord): Omit<RecordDocument, 'units'> {
  const { state, since, message, tries, before: _, as, checks, ...rest } = record;
  const { failures, askedAt, passed, ...checksRest } = checks;
  nothingElse(rest);
  nothingElse(checksRest);
  const asked = failures > 0 || askedAt !== undefined || passed;
  return {
    state,
    since: toTime(since),
    ...(message !== '' && { message }),
    ...(tries !== 1 && { tries }),
    ...(as !== undefined && { as }),
    ...(asked && {
      checks: { failures, ...(askedAt !== undefined && { askedAt: toTime(askedAt) }), ...(passed && { passed }) },
    }),
  };
}

/** Of a document in which nothing is `unitsWrong`. */
export function unitsFromDocument({ order, before, records }: UnitsDocument): Units {
  const befores = new Map(before.flatMap((part) => unfold(part.units).map((name) => [name, part] as const)));
  const parts = new Map(records.flatMap((part) => unfold(part.units).map((name) => [name, part] as const)));
  return unitList(
    unfold(order).flatMap((name): [string, UnitRecord][] => {
      const had = befores.get(name);
      const part = parts.get(name);
      return had === undefined || part === undefined ? [] : [[name, recordFrom(had, part)]];
    }),
  );
}

function recordFrom(had: BeforeDocument, part: RecordDocument): UnitRecord {
  const { state, since, message, tries, as, checks } = part;
  const { inService, weight, cordoned } = had;
  const { failures, askedAt, passed } = checks ?? { failures: 0 };
  return {
    state,
    since: fromTime(since),
    message: message ?? '',
    tries: tries ?? 1,
    before: {
      inService: inService ?? true,
      ...(weight !== undefined && { weight }),
      cordoned: cordoned ?? false,
    },
    ...(as !== undefined && { as }),
    checks: { failures, ...(askedAt !== undefined && { askedAt: fromTime(askedAt) }), passed: passed ?? false },
  };
}

/** A unit whose state or whose weight is lost cannot be gone on with. `path` within the units; undefined: all is there once. */
export function unitsWrong({ order, before, records }: UnitsDocument): { path: string; problem: string } | undefined {
  const names = unfold(order);
  const known = new Set(names);
  if (known.size < names.length) return { path: 'order', problem: 'names a unit twice' };
  for (const [path, parts] of [['before', before] as const, ['records', records] as const]) {
    const told = new Set<string>();
    for (const name of parts.flatMap(({ units }) => unfold(units))) {
      if (told.has(name)) return { path, problem: `names ${name} twice` };
      if (!known.has(name)) return { path, problem: `names ${name}, which is not in order` };
      told.add(name);
    }
    const lost = names.find((name) => !told.has(name));
    if (lost !== undefined) return { path, problem: `does not name ${lost}` };
  }
  return undefined;
}
