/** What a blob parsed to, kept by its object id across restarts: a cache in the state folder, which may be lost. */
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import type { Objects } from '../git/types.ts';
import type { ParsedImage } from '../manifest/image.ts';
import { PARSE_VERSION, type ParsedFile } from '../manifest/parsed.ts';
import type { Oid } from '../manifest/resource.ts';

export interface KeptParses {
  /** Reads and parses what is not known yet. The same blob gives the same object as long as that is in use. */
  parse(oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, ParsedFile>>;
  /** The same for files `image.yaml`. */
  parseImages(oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, ParsedImage>>;
}

/** One line a blob: its id, a space, JSON. Lines are only appended; a file of which little is used is written anew. */
interface Kept {
  /** All of them. A line is a slice of it, for which nothing is copied. */
  text: string;
  /** Where the line of a blob begins. */
  lines: Map<Oid, number>;
}

const OID_LENGTH = 40;
/** A file is left as it is up to this many characters, and as long as a third of it is used. */
const SMALL = 8 * 1024 * 1024;
const USED = 1 / 3;

export async function openKeptParses(folder: string): Promise<KeptParses> {
  await mkdir(folder, { recursive: true });
  return {
    parse: await openKept(join(folder, `parses-${PARSE_VERSION}.jsonl`), parseManifests),
    parseImages: await openKept(join(folder, `images-${PARSE_VERSION}.jsonl`), parseImages),
  };
}

/** Hands over each value that it parses, and its JSON. */
type Parse<T> = (
  oids: Oid[],
  objects: Pick<Objects, 'blobs'>,
  each: (oid: Oid, parsed: T, json: string) => unknown,
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

/** Nothing is kept, and nothing known. */
export const unkeptParses: KeptParses = { parse: unkept(parseManifests), parseImages: unkept(parseImages) };

function unkept<T>(parseThem: Parse<T>) {
  return async (oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, T>> => {
    const result = new Map<Oid, T>();
    if (oids.length > 0) await parseThem(oids, objects, (oid, parsed) => result.set(oid, parsed));
    return result;
  };
}

async function openKept<T extends object>(file: string, parseThem: Parse<T>) {
  // Only until the first commit was read: from then on what is in use is there as objects.
  let kept: Kept | undefined = indexed(await readFile(file, 'utf8').catch(() => ''));
  const known = new Map<Oid, WeakRef<T>>();

  return async (oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, T>> => {
    const result = new Map<Oid, T>();
    const missing: Oid[] = [];
    for (const oid of oids) {
      const parsed = known.get(oid)?.deref() ?? (kept && fromKept<T>(kept, oid));
      if (parsed === undefined) missing.push(oid);
      else result.set(oid, parsed);
    }
    if (kept !== undefined) await dropUnused(file, kept, result);
    kept = undefined;
    const lines: string[] = [];
    if (missing.length > 0)
      await parseThem(missing, objects, (oid, parsed, json) => {
        result.set(oid, parsed);
        lines.push(`${oid} ${json}\n`);
      });
    if (lines.length > 0) await append(file, lines);
    for (const [oid, parsed] of result) known.set(oid, new WeakRef(parsed));
    return result;
  };
}

/** Losing it costs time, never correctness: a failure to write is no failure. */
async function append(file: string, lines: string[]): Promise<void> {
  await appendFile(file, lines.join('')).catch(() => undefined);
}

async function dropUnused(file: string, kept: Kept, used: ReadonlyMap<Oid, unknown>): Promise<void> {
  const { text } = kept;
  if (text.length <= SMALL) return;
  const lines = [...used.keys()].map((oid) => lineOf(kept, oid)).filter((line) => line !== undefined);
  if (lines.reduce((size, line) => size + line.length, 0) >= text.length * USED) return;
  await writeFileAtomic(file, `${lines.join('\n')}\n`, { fsync: false }).catch(() => undefined);
}

/** A line that a crash cut off, at the end or in the middle, is found out when it is parsed. */
function indexed(text: string): Kept {
  const lines: Kept['lines'] = new Map();
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

function fromKept<T>(kept: Kept, oid: Oid): T | undefined {
  const line = lineOf(kept, oid);
  if (line === undefined) return undefined;
  try {
    return JSON.parse(line.slice(OID_LENGTH + 1)) as T;
  } catch {
    return undefined;
  }
}
