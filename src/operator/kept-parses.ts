/** What a blob parsed to, kept by its object id across restarts: a cache in the state folder, which may be lost. */
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import type { Objects } from '../git/types.ts';
import { PARSE_VERSION } from '../manifest/parse.ts';
import { parseMany } from '../manifest/parse-many.ts';
import type { ParsedFile } from '../manifest/parsed.ts';
import type { Oid } from '../manifest/resource.ts';

export interface KeptParses {
  /** Reads and parses what is not known yet. The same blob gives the same object as long as that is in use. */
  parse(oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, ParsedFile>>;
}

/** One line a blob: its id, a space, JSON. Lines are only appended; a file of which little is used is written anew. */
interface Kept {
  bytes: Buffer;
  /** Where the JSON of a blob begins and ends. */
  places: Map<Oid, [start: number, end: number]>;
}

const OID_LENGTH = 40;
const NEWLINE = 10;
/** A file is left as it is up to this size, and as long as a third of it is used. */
const SMALL = 8 * 1024 * 1024;
const USED = 1 / 3;

export async function openKeptParses(folder: string): Promise<KeptParses> {
  const file = join(folder, `parses-${PARSE_VERSION}.jsonl`);
  await mkdir(folder, { recursive: true });
  // Only until the first commit was read: from then on what is in use is there as objects.
  let kept: Kept | undefined = indexed(await readFile(file).catch(() => Buffer.alloc(0)));
  const known = new Map<Oid, WeakRef<ParsedFile>>();

  return {
    async parse(oids, objects) {
      const result = new Map<Oid, ParsedFile>();
      const missing: Oid[] = [];
      for (const oid of oids) {
        const parsed = known.get(oid)?.deref() ?? (kept && fromKept(kept, oid));
        if (parsed === undefined) missing.push(oid);
        else result.set(oid, parsed);
      }
      if (kept !== undefined) await dropUnused(file, kept, result);
      kept = undefined;
      if (missing.length > 0) await append(file, await parseMissing(missing, objects, result));
      for (const [oid, parsed] of result) known.set(oid, new WeakRef(parsed));
      return result;
    },
  };
}

/** The lines to keep. */
async function parseMissing(
  oids: Oid[],
  objects: Pick<Objects, 'blobs'>,
  result: Map<Oid, ParsedFile>,
): Promise<string[]> {
  const lines: string[] = [];
  await parseMany({
    count: oids.length,
    read: (take) => objects.blobs(oids, take),
    each(oid, parsed, json) {
      result.set(oid, parsed);
      lines.push(`${oid} ${json}\n`);
    },
  });
  return lines;
}

/** Losing it costs time, never correctness: a failure to write is no failure. */
async function append(file: string, lines: string[]): Promise<void> {
  await appendFile(file, lines.join('')).catch(() => undefined);
}

async function dropUnused(file: string, { bytes, places }: Kept, used: ReadonlyMap<Oid, unknown>): Promise<void> {
  const lines: Buffer[] = [];
  let size = 0;
  for (const oid of used.keys()) {
    const [start, end] = places.get(oid) ?? [0, 0];
    if (end === 0) continue;
    lines.push(bytes.subarray(start - OID_LENGTH - 1, end + 1));
    size += end + 1 - start + OID_LENGTH + 1;
  }
  if (bytes.length <= SMALL || size >= bytes.length * USED) return;
  await writeFileAtomic(file, Buffer.concat(lines), { fsync: false }).catch(() => undefined);
}

/** A line that a crash cut off, at the end or in the middle, is found out when it is parsed. */
function indexed(bytes: Buffer): Kept {
  const places: Kept['places'] = new Map();
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, start);
    if (end < 0) break;
    if (end - start > OID_LENGTH + 1)
      places.set(bytes.toString('latin1', start, start + OID_LENGTH), [start + OID_LENGTH + 1, end]);
    start = end + 1;
  }
  return { bytes, places };
}

function fromKept({ bytes, places }: Kept, oid: Oid): ParsedFile | undefined {
  const place = places.get(oid);
  if (place === undefined) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8', ...place)) as ParsedFile;
  } catch {
    return undefined;
  }
}
