/**
 * A shell that stays: to start one for each step takes longer than most steps. It reads a line, runs it and says that it
 * has ended, over and over. A line is run once it is there whole; what is lost on the way in part is never run in part.
 */
import { randomBytes } from 'node:crypto';
import { quote } from './shell.ts';

/** Made of characters that every login shell reads alike. */
export const LASTING_COMMAND = `exec sh -c 'IFS= read -r s && eval "$s"'`;

export interface LastingCalls {
  /** What a shell that was started by `LASTING_COMMAND` reads first. */
  first: string;
  /** Longer for a script that the shell is not known to have: from then on it has it. */
  call(script: string, args: string[]): string;
  /** Undefined until the answer is whole; `stdout` and `stderr` are what came since the call, or the end of it. */
  answer(stdout: string, stderr: string): { code: number; stdoutEnd: number; stderrEnd: number } | undefined;
}

/** So many bytes at most follow what a call printed. */
export const ANSWER_BYTES = 64;

export function lastingCalls(): LastingCalls {
  const mark = randomBytes(16).toString('hex');
  const names = new Map<string, string>();
  const ended = new RegExp(`\\n${mark} (\\d{1,3})\\n$`);
  const said = `\n${mark}\n`;

  function define(script: string): string {
    const name = `script_${names.size}`;
    names.set(script, name);
    return `eval ${inOneLine(`${name}() {\n${script}\n}`)}\n`;
  }

  return {
    first: oneLine(
      "nl=$(printf '\\n.')",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: of the shell
      'nl=${nl%.}',
      `answer() { printf '\\n%s %s\\n' ${mark} "$1"; printf '\\n%s\\n' ${mark} >&2; }`,
      'while IFS= read -r s; do eval "$s"; done',
    ),
    call(script, args) {
      const defined = names.has(script) ? '' : define(script);
      // What it changes of the shell, and its end, are its own.
      return `${defined}(${[names.get(script), ...args.map(inOneLine)].join(' ')}) </dev/null; answer $?\n`;
    },
    answer(stdout, stderr) {
      const end = ended.exec(stdout);
      if (end === null || !stderr.endsWith(said)) return undefined;
      return { code: Number(end[1]), stdoutEnd: end[0].length, stderrEnd: said.length };
    },
  };
}

const oneLine = (...commands: string[]): string => `${commands.join('; ')}\n`;

const inOneLine = (text: string): string => quote(text).replaceAll('\n', `'"$nl"'`);
