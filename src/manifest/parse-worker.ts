/** The worker's side of `parseMany`. */
import { parseFile } from './parse.ts';

/** One JSON text for the whole batch: to hand over many small objects costs several times as much. */
export default function parseBatch(contents: (string | Uint8Array)[]): string {
  return JSON.stringify(contents.map(parseFile));
}
