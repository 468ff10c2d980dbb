/** Texts that are kept beside the tests, as a person approved them; `GOLDEN=write` writes them anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Test } from 'tap';

const FOLDER = new URL('../../../test/status/golden/', import.meta.url);

export function matchesGolden(t: Test, name: string, text: string): void {
  const file = new URL(name, FOLDER);
  if (process.env.GOLDEN === 'write') writeFileSync(file, text);
  t.equal(text, readFileSync(file, 'utf8'), `is golden/${name}`);
}
