/** What a blob parsed to, kept by its object id across restarts: a cache in the state folder, which may be lost. */
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import writeFileAtomic from 'write-file-atomic';
import type { Objects } from '../git/types.ts';
import type { ParsedImage } from '../manifest/image.ts';
import { fromLine } from '../manifest/kept-form.ts';
import { PARSE_VERSION, type ParsedFile } from '../manifest/parsed.ts';
import type { Oid } from '../manifest/resource.ts';

export interface KeptParses {
  /** Reads and parses what is not known yet. The same blob gives the same object as long as that is in use. */
  parse(oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, ParsedFile>>;
  /** The same for files `image.yaml`. */
  parseImages(oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, ParsedImage>>;
}

/**
 * One line a blob: its id, a space, how many characters follow, a space, what it parsed to. Lines are only appended; a file of which
 * little is used is written anew.
 */
interface Kept {
  /** All of them. A line is a slice of it, for which nothing is copied. */
  text: string;
  /** Where the line of a blob begins. */
  lines: Map<Oid, number>;
}

const OID_LENGTH = 40;
/** A file is left as it is up to this many characters, and as long as a third of its lines is used. */
const SMALL = 8 * 1024 * 1024;
const USED = 1 / 3;
/** After so many blobs whatever else goes on at a start has its turn: git is waited for meanwhile, not afterwards. */
const TURN = 200;

export async function openKeptParses(folder: string): Promise<KeptParses> {
  await mkdir(folder, { recursive: true });
  const file = (name: string) => join(folder, `${name}-${PARSE_VERSION}.lines`);
  return {
    parse: await openKept(file('parses'), { parse: parseManifests, fromLine }),
    parseImages: await openKept(file('images'), { parse: parseImages, fromLine: fromJson<ParsedImage> }),
  };
}

/** Hands over each value that it parses, and the line that is kept of it. */
type Parse<T> = (
  oids: Oid[],
  objects: Pick<Objects, 'blobs'>,
  each: (oid: Oid, parsed: T, line: string) => unknown,
) => Promise<void>;

/** The parsers are loaded when something must be parsed: a start from what is kept does without. */
const parseManifests: Parse<ParsedFile> = async (oids, objects, each) => {
  const { parseMany } = await import('../manifest/parse-many.ts');
  await parseMany({ count: oids.length, read: (take) => objects.blobs(oids, take), each });
};

const parseImages: Parse<ParsedImage> = async (oids, objects, each) => {
  const { parseImage } = await import('../manifest/parse-image.ts');
  await objects.blobs(oids, (oid, content) => {
    const parsed = parseImage(content);
    each(oid, parsed, JSON.stringify(parsed));
  });
};

const fromJson = <T>(line: string): T => JSON.parse(line);

/** Nothing is kept, and nothing known. */
export const unkeptParses: KeptParses = { parse: unkept(parseManifests), parseImages: unkept(parseImages) };

function unkept<T>(parseThem: Parse<T>) {
  return async (oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, T>> => {
    const result = new Map<Oid, T>();
    if (oids.length > 0) await parseThem(oids, objects, (oid, parsed) => result.set(oid, parsed));
    return result;
  };
}

async function openKept<T extends object>(
  file: string,
  form: { parse: Parse<T>; fromLine: (line: string) => T },
): Promise<(oids: Oid[], objects: Pick<Objects, 'blobs'>) => Promise<Map<Oid, T>>> {
  // Only for the first commit that is read: from then on what is in use is there as objects.
  let left: Kept | undefined = indexed(await readText(file).catch(() => ''));
  const known = new Map<Oid, WeakRef<T>>();

  return async (oids, objects) => {
    const result = new Map<Oid, T>();
    const missing: Oid[] = [];
    const kept = left;
    left = undefined;
    for (const [index, oid] of oids.entries()) {
      if (index % TURN === TURN - 1) await setImmediate();
      const parsed = known.get(oid)?.deref() ?? (kept && fromKept(kept, oid, form.fromLine));
      if (parsed === undefined) missing.push(oid);
      else result.set(oid, parsed);
    }
    if (kept !== undefined) await dropUnused(file, kept, result);
    const lines: string[] = [];
    if (missing.length > 0)
      await form.parse(missing, objects, (oid, parsed, line) => {
        result.set(oid, parsed);
        lines.push(`${oid} ${line.length} ${line}`);
      });
    if (lines.length > 0) await append(file, lines);
    for (const [oid, parsed] of result) known.set(oid, new WeakRef(parsed));
    return result;
  };
}

/** Decoded as a whole: piece by piece it takes twice as long. */
const readText = async (file: string): Promise<string> => (await readFile(file)).toString();

/** Losing it costs time, never correctness: a failure to write is no failure. What a crash cut off is not written on. */
async function append(file: string, lines: string[]): Promise<void> {
  await appendFile(file, `\n${lines.join('\n')}\n`).catch(() => undefined);
}

async function dropUnused(file: string, kept: Kept, used: ReadonlyMap<Oid, unknown>): Promise<void> {
  if (kept.text.length <= SMALL || used.size >= kept.lines.size * USED) return;
  const lines = [...used.keys()].map((oid) => lineOf(kept, oid)).filter((line) => line !== undefined);
  await writeFileAtomic(file, `${lines.join('\n')}\n`, { fsync: false }).catch(() => undefined);
}

/** Where a crash left holes, nothing is used. */
function indexed(text: string): Kept {
  const lines: Kept['lines'] = new Map();
  if (text.includes('\0')) return { text: '', lines };
  for (let start = 0; ; ) {
    const end = text.indexOf('\n', start);
    if (end < 0) return { text, lines };
    if (end - start > OID_LENGTH + 1) lines.set(text.slice(start, start + OID_LENGTH), start);
    start = end + 1;
  }
}

function lineOf({ text, lines }: Kept, oid: Oid): string | undefined {
  const start = lines.get(oid);
  return start === undefined ? undefined : text.slice(start, text.indexOf('\n', start));
}

/** Undefined too for a line that a crash cut off, or that is damaged: it is parsed again. */
function fromKept<T>(kept: Kept, oid: Oid, fromLine: (line: string) => T): T | undefined {
  const line = lineOf(kept, oid);
  if (line === undefined) return undefined;
  const length = Number.parseInt(line.slice(OID_LENGTH + 1), 10);
  const end = line.indexOf(' ', OID_LENGTH + 1) + 1;
  if (line.length - end !== length) return undefined;
  try {
    return fromLine(line.slice(end));
  } catch {
    return undefined;
  }
}
