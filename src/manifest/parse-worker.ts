/** The worker's side of `parseMany`. */
import { parseFile } from './parse.ts';

/** One text for the whole batch, a line of JSON for each: to hand over many small objects costs several times as much. */
export default function parseBatch(contents: (string | Uint8Array)[]): string {
  return contents.map((content) => JSON.stringify(parseFile(content))).join('\n');
}
