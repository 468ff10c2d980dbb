/** Many files at once, off the main thread where that pays. */
import { parseFile } from './parse.ts';
import type { ParsedFile } from './parsed.ts';

/** Below this, starting threads takes longer than parsing here: each needs some 150 ms to load the parser. */
const WORTH_THREADS = 800;
const THREADS = 2;
const BATCH = 250;

/** The results in the order of `contents`. Threads are there only while it runs. */
export async function parseMany(contents: readonly (string | Uint8Array)[]): Promise<ParsedFile[]> {
  if (contents.length < WORTH_THREADS) return contents.map(parseFile);
  const { Piscina } = await import('piscina');
  const pool = new Piscina({
    filename: new URL('./parse-worker.js', import.meta.url).href,
    minThreads: THREADS,
    maxThreads: THREADS,
  });
  try {
    const batches: (string | Uint8Array)[][] = [];
    for (let from = 0; from < contents.length; from += BATCH) batches.push(contents.slice(from, from + BATCH));
    const texts: string[] = await Promise.all(batches.map((batch) => pool.run(batch)));
    return texts.flatMap((text): ParsedFile[] => JSON.parse(text));
  } finally {
    await pool.destroy();
  }
}
