/** Names of units, written short: `web-1..10` for ten in a row. In order, and back without loss. Pure. */

/** A name's last digits, nine at most: what is before them is the same in a whole run. */
const NUMBERED = /^(.*?)(\d{1,9})$/;
const RUN = /^(.*?)(\d{1,9})\.\.(\d{1,9})$/;
const HIGHEST = 999_999_999;

interface Run {
  before: string;
  /** Of numbers with leading zeros; else 0. */
  width: number;
  first: number;
  last: number;
}

const digits = ({ width }: Run, number: number): string => String(number).padStart(width, '0');
const nameIn = (run: Run, number: number): string => `${run.before}${digits(run, number)}`;

function runOf(before: string, first: string, last: string): Run {
  return { before, width: first.startsWith('0') ? first.length : 0, first: Number(first), last: Number(last) };
}

/** web-9, web-10, web-11, db, web-01, web-02 → `web-9..11`, `db`, `web-01..02`. */
export function fold(names: Iterable<string>): string[] {
  const folded: string[] = [];
  let run: Run | undefined;
  const end = () => {
    if (run === undefined) return;
    const tail = run.first === run.last ? '' : `..${digits(run, run.last)}`;
    folded.push(`${nameIn(run, run.first)}${tail}`);
    run = undefined;
  };
  for (const name of names) {
    if (run !== undefined && run.last < HIGHEST && name === nameIn(run, run.last + 1)) {
      run.last++;
      continue;
    }
    end();
    const [, before = '', number] = NUMBERED.exec(name) ?? [];
    if (number === undefined) folded.push(name);
    else run = runOf(before, number, number);
  }
  end();
  return folded;
}

export function unfold(folded: readonly string[]): string[] {
  const names: string[] = [];
  for (const entry of folded) {
    const run = parse(entry);
    if (run === undefined) names.push(entry);
    else for (let number = run.first; number <= run.last; number++) names.push(nameIn(run, number));
  }
  return names;
}

function parse(entry: string): Run | undefined {
  const [, before = '', first, last] = RUN.exec(entry) ?? [];
  return first === undefined || last === undefined ? undefined : runOf(before, first, last);
}

/** How many names an entry stands for, without making them; undefined: it is neither a name nor a run. */
export function sizeOf(entry: string): number | undefined {
  const run = parse(entry);
  if (run === undefined) return entry.includes('..') ? undefined : 1;
  return run.last > run.first ? run.last - run.first + 1 : undefined;
}

/** For a sentence: `web-1..3, web-7`; of more than `most` entries, how many names more there are. */
export function namesText(names: readonly string[], most = 5): string {
  const folded = fold(names);
  const left = folded.slice(most).reduce((sum, entry) => sum + (sizeOf(entry) ?? 0), 0);
  return `${folded.slice(0, most).join(', ')}${left === 0 ? '' : ` and ${left} more`}`;
}

/** Names whose parts are equal as JSON, together; in the order of the first of each. */
export function alike<T>(parts: Iterable<[name: string, part: T]>): { part: T; names: string[] }[] {
  const groups = new Map<string, { part: T; names: string[] }>();
  for (const [name, part] of parts) {
    const key = JSON.stringify(part);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { part, names: [name] });
    else group.names.push(name);
  }
  return [...groups.values()];
}
