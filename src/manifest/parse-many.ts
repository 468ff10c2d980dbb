/** Many files, off the main thread where that pays. */
import { fromLine, toLine } from './kept-form.ts';
import { parseFile } from './parse.ts';
import type { ParsedFile } from './parsed.ts';

/** Below this, starting threads takes longer than parsing here: each needs some 150 ms to load the parser. */
const WORTH_THREADS = 2000;
const THREADS = 2;
const BATCH = 250;

export type Content = string | Uint8Array;

export interface ParseManyOptions {
  /** How many files there will be. */
  count: number;
  /** Hands each file over as soon as it is read: parsing begins meanwhile. */
  read(take: (key: string, content: Content) => void): Promise<void>;
  /** In any order. `line` is what `fromLine` makes the same of, for whoever keeps it. */
  each(key: string, parsed: ParsedFile, line: string): void;
}

/** Threads are there only while it runs. */
export async function parseMany({ count, read, each }: ParseManyOptions): Promise<void> {
  if (count < WORTH_THREADS) {
    await read((key, content) => {
      const parsed = parseFile(content);
      each(key, parsed, toLine(parsed));
    });
    return;
  }
  const { Piscina } = await import('piscina');
  const filename = new URL('./parse-worker.js', import.meta.url).href;
  const pool = new Piscina({ filename, minThreads: THREADS, maxThreads: THREADS });
  const running: Promise<void>[] = [];
  let batch: [string, Content][] = [];
  const send = () => {
    const sent = batch;
    batch = [];
    const parsing = pool.run(sent.map(([, content]) => content)).then((lines: string) => {
      for (const [index, line] of lines.split('\n').entries()) each(sent[index]?.[0] ?? '', fromLine(line), line);
    });
    // What fails is thrown below, when all has ended.
    parsing.catch(() => {});
    running.push(parsing);
  };
  try {
    await read((key, content) => {
      batch.push([key, content]);
      if (batch.length === BATCH) send();
    });
    if (batch.length > 0) send();
    await Promise.all(running);
  } finally {
    await pool.destroy();
  }
}
