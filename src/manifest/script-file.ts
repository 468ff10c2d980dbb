/** The files of scripts: where they are, and their text. */
import { plainPath } from './documents.ts';
import type { Oid } from './resource.ts';

/** What is at a path of the commit that a script names; `refused`: its content is not to be read. */
export type ScriptFile =
  | { oid: Oid; content: string | Uint8Array }
  | { refused: 'a link' | 'a submodule' | 'a folder' | 'too large' };

/** In bytes; the caller hands over a file that is larger as `too large`. */
export const MAX_SCRIPT = 2 ** 20;

/** `runFile: scripts/up.sh` in `fleets/web.yaml` is `fleets/scripts/up.sh`. */
export const scriptPath = (manifest: string, file: string): string =>
  plainPath(`${manifest.slice(0, manifest.lastIndexOf('/') + 1)}${file}`);

/** Its text, or why it has none. */
export function scriptText(path: string, file: ScriptFile | undefined): { text: string } | { wrong: string } {
  if (file === undefined) return { wrong: `there is no file ${path} in this commit; add it` };
  if ('refused' in file) {
    const remedy = file.refused === 'too large' ? 'a script is at most 1 MiB' : 'commit the script itself as a file';
    return { wrong: `${path} is ${file.refused}; ${remedy}` };
  }
  const { content } = file;
  if (content.length > MAX_SCRIPT) return { wrong: `${path} is too large; a script is at most 1 MiB` };
  const text = decode(content);
  if (text === undefined || text.includes('\0')) return { wrong: `${path} is not UTF-8 text; save it as UTF-8` };
  if (text.trim() === '') return { wrong: `${path} is empty; write the script into it` };
  return { text };
}

function decode(content: string | Uint8Array): string | undefined {
  if (typeof content === 'string') return content;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    return undefined;
  }
}
