/** What a blob parsed to, kept by its object id across restarts: a cache in the state folder, which may be lost. */
import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Objects } from '../git/types.ts';
import { PARSE_VERSION } from '../manifest/parse.ts';
import { parseMany } from '../manifest/parse-many.ts';
import type { ParsedFile } from '../manifest/parsed.ts';
import type { Oid } from '../manifest/resource.ts';

export interface KeptParses {
  /** Reads and parses what is not known yet. The same blob gives the same object as long as this process lives. */
  parse(oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, ParsedFile>>;
}

/** One line a blob: its id, a space, JSON. Lines are only appended; a file that has grown too large is begun anew. */
const LARGEST = 256 * 1024 * 1024;
const OID_LENGTH = 40;

export async function openKeptParses(folder: string): Promise<KeptParses> {
  const file = join(folder, `parses-${PARSE_VERSION}.jsonl`);
  const kept = await readKept(file);
  const known = new Map<Oid, WeakRef<ParsedFile>>();

  return {
    async parse(oids, objects) {
      const result = new Map<Oid, ParsedFile>();
      const missing: Oid[] = [];
      for (const oid of oids) {
        const parsed = known.get(oid)?.deref() ?? fromLine(kept.get(oid));
        if (parsed === undefined) missing.push(oid);
        else result.set(oid, parsed);
        kept.delete(oid);
      }
      if (missing.length > 0) {
        const fresh = await parseMissing(missing, objects);
        for (const [oid, parsed] of fresh) result.set(oid, parsed);
        await keep(file, fresh);
      }
      for (const [oid, parsed] of result) known.set(oid, new WeakRef(parsed));
      return result;
    },
  };
}

async function parseMissing(oids: Oid[], objects: Pick<Objects, 'blobs'>): Promise<Map<Oid, ParsedFile>> {
  const contents = new Map<Oid, Buffer>();
  await objects.blobs(oids, (oid, content) => contents.set(oid, content));
  const read = [...contents];
  const parsed = await parseMany(read.map(([, content]) => content));
  return new Map(read.flatMap(([oid], index) => (parsed[index] === undefined ? [] : [[oid, parsed[index]]])));
}

/** Losing it costs time, never correctness: a failure to write is no failure. */
async function keep(file: string, fresh: Map<Oid, ParsedFile>): Promise<void> {
  const lines = [...fresh].map(([oid, parsed]) => `${oid} ${JSON.stringify(parsed)}\n`);
  await appendFile(file, lines.join('')).catch(() => undefined);
}

async function readKept(file: string): Promise<Map<Oid, string>> {
  await mkdir(join(file, '..'), { recursive: true });
  const kept = new Map<Oid, string>();
  const text = await readFile(file, 'utf8').catch(() => '');
  if (text.length > LARGEST) {
    await writeFile(`${file}.new`, '').then(
      () => rename(`${file}.new`, file),
      () => undefined,
    );
    return kept;
  }
  for (const line of text.split('\n')) {
    if (line.length > OID_LENGTH + 1) kept.set(line.slice(0, OID_LENGTH), line.slice(OID_LENGTH + 1));
  }
  return kept;
}

/** A line that was cut off by a crash is not known. */
function fromLine(json: string | undefined): ParsedFile | undefined {
  if (json === undefined) return undefined;
  try {
    return JSON.parse(json) as ParsedFile;
  } catch {
    return undefined;
  }
}
