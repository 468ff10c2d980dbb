/** How a driver runs something on the machine of a unit: this one, or one that is reached over SSH. */
import { environment, run } from '../../process.ts';

export interface ShellResult {
  code: number;
  stdout: string;
  stderr: string;
}
export interface ShellOptions {
  /** What it starts is not of this project, and may hold its output open: it shares a shell with nothing else. */
  alone?: boolean;
  timeoutMs: number;
  signal: AbortSignal;
}
export interface Shell {
  /**
   * Runs `script`, a constant text for a POSIX sh; values come only as `$1`, `$2` …, never within the script, and its
   * standard input is empty. Ends when the script has closed its output, so what it leaves running must not hold that open.
   * Throws when nothing tells whether it ran to its end: the machine was not reached, the connection was lost, it took too
   * long, the signal aborted.
   */
  sh(script: string, args: string[], options: ShellOptions): Promise<ShellResult>;
}

/** How a sh is started that runs a script, and what it is given on its standard input. */
export interface ShellCall {
  /**
   * Made of characters that every login shell reads alike, since a server hands a command to that; all else comes on
   * standard input, where no shell but ours reads it and no length is too much.
   */
  command: string;
  stdin: Buffer;
}

/** What comes through in part only, since a connection was lost, is never run in part: a group is read whole first. */
export const shellCall = (script: string, args: string[]): ShellCall => ({
  command: `exec sh -c 'eval "$(cat)"'`,
  stdin: Buffer.from(`{ set -- ${args.map(quote).join(' ')}\n${script}\n}\n`),
});

/** A word of a POSIX shell that stands for `text`, whatever is in it. */
export function quote(text: string): string {
  if (text.includes('\0')) throw new Error('a value for a script holds a NUL character; remove it');
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export interface LocalShellOptions {
  /** By default what a started process may know of the operator's. */
  env?: Record<string, string>;
  cwd?: string;
  uid?: number;
  gid?: number;
}

/** The sh of this machine. */
export function localShell({ env = environment(), ...where }: LocalShellOptions = {}): Shell {
  return {
    async sh(script, args, { timeoutMs, signal }) {
      signal.throwIfAborted();
      const { command, stdin } = shellCall(script, args);
      const options = { ...where, env, timeoutMs, signal, input: stdin };
      const { code, failure, stdout, stderr } = await run(['sh', '-c', command], options);
      if (code === undefined) throw new Error(`a script on this machine did not end by itself: ${failure ?? 'killed'}`);
      return { code, stdout: stdout.toString(), stderr };
    },
  };
}
