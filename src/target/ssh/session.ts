/** A shell on a host that stays and is used for one step after the other. */
import type { ClientChannel } from 'ssh2';
import { collector } from '../../process.ts';
import { ANSWER_BYTES, lastingCalls } from '../hosts/lasting.ts';
import type { ShellOptions, ShellResult } from '../hosts/shell.ts';
import { MAX_OUTPUT, within } from './channel.ts';

export interface Session {
  /** One at a time. After one that threw, the session is closed. */
  call(script: string, args: string[], options: ShellOptions): Promise<ShellResult>;
  /** It takes calls; not any more once its shell or its connection is gone. */
  open(): boolean;
  /** Resolves when the server knows it too. */
  close(): Promise<void>;
}

/** `stream`: of `LASTING_COMMAND`. */
export function openSession(name: string, stream: ClientChannel): Session {
  const calls = lastingCalls();
  let isOpen = true;
  let heard: (() => void) | undefined;
  let lost: (() => void) | undefined;
  let [stdout, stderr] = [listener(), listener()];
  const closed = new Promise<void>((resolve) => {
    stream.once('close', () => {
      isOpen = false;
      resolve();
      lost?.();
    });
  });
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    stdout.add(chunk);
    heard?.();
  });
  stream.stderr.on('data', (chunk: Buffer) => {
    stderr.add(chunk);
    heard?.();
  });
  stream.write(calls.first);

  function close(): Promise<void> {
    isOpen = false;
    stream.close();
    return closed;
  }

  return {
    call(script, args, options) {
      const line = calls.call(script, args);
      [stdout, stderr] = [listener(), listener()];
      return within<ShellResult>(
        name,
        options,
        () => void close(),
        (resolve, reject) => {
          lost = () => reject(new Error(`the connection to ${name} was lost`));
          heard = () => {
            const answer = calls.answer(stdout.end(), stderr.end());
            if (answer === undefined) return;
            const { code, stdoutEnd, stderrEnd } = answer;
            resolve({ code, stdout: stdout.before(stdoutEnd), stderr: stderr.before(stderrEnd) });
          };
          if (isOpen) stream.write(line);
          else lost();
        },
      ).finally(() => {
        heard = undefined;
        lost = undefined;
      });
    },
    open: () => isOpen,
    close,
  };
}

/** The first of what comes, and the last of it. */
function listener() {
  const kept = collector(MAX_OUTPUT);
  let size = 0;
  let last = Buffer.alloc(0);
  return {
    add(chunk: Buffer) {
      kept.add(chunk);
      size += chunk.length;
      last = Buffer.concat([last, chunk]).subarray(-ANSWER_BYTES);
    },
    end: () => last.toString('latin1'),
    /** All but the last so many bytes. */
    before: (bytes: number) =>
      kept
        .bytes()
        .subarray(0, size - bytes)
        .toString(),
  };
}
