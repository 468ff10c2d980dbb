/** One channel of a connection: a command there, and what it answers. */
import type { Client, ClientChannel } from 'ssh2';
import { collector } from '../../process.ts';
import type { ShellCall, ShellOptions, ShellResult } from '../hosts/shell.ts';

/** Beyond this it is dropped. */
export const MAX_OUTPUT = 8 * 1024 * 1024;

/** `refused`: the server allows no more of them now; nothing was begun. */
export function openChannel(client: Client, command: string, signal: AbortSignal): Promise<ClientChannel | 'refused'> {
  return new Promise((resolve, reject) => {
    const lost = () => reject(new Error('the connection was lost'));
    client.once('close', lost);
    client.exec(command, (error, stream) => {
      client.off('close', lost);
      if (error === undefined || error === null) {
        if (signal.aborted) stream.close();
        resolve(stream);
      } else if (/open failed|channel open failure/i.test(error.message)) resolve('refused');
      else reject(error);
    });
  });
}

/** Runs `act` until it ends, takes too long or is not wanted any more; then `giveUp` ends what it waits for. */
export function within<T>(
  name: string,
  { timeoutMs, signal }: ShellOptions,
  giveUp: () => void,
  act: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
    };
    const fail = (error: Error) => {
      done();
      giveUp();
      reject(error);
    };
    const aborted = () => fail(signal.reason as Error);
    const timer = setTimeout(() => fail(new Error(`no answer from ${name} within ${timeoutMs / 1000} s`)), timeoutMs);
    act((value) => {
      done();
      resolve(value);
    }, fail);
    if (signal.aborted) aborted();
    else signal.addEventListener('abort', aborted, { once: true });
  });
}

/** To the end of the channel. */
export function converse(
  name: string,
  stream: ClientChannel,
  { stdin }: ShellCall,
  options: ShellOptions,
): Promise<ShellResult> {
  return within(
    name,
    options,
    () => stream.close(),
    (resolve, reject) => {
      const [stdout, stderr] = [collector(MAX_OUTPUT), collector(MAX_OUTPUT)];
      let code: number | undefined;
      let killedBy: string | undefined;
      stream.on('data', stdout.add);
      stream.stderr.on('data', stderr.add);
      stream.on('error', () => {});
      stream.on('exit', (status: number | null, signalName?: string) => {
        if (status === null) killedBy = signalName ?? 'a signal';
        else code = status;
      });
      stream.once('close', () => {
        const why = killedBy === undefined ? `the connection to ${name} was lost` : `it was ended by ${killedBy}`;
        if (code === undefined) reject(new Error(why));
        else resolve({ code, stdout: stdout.bytes().toString(), stderr: stderr.bytes().toString() });
      });
      stream.end(stdin);
    },
  );
}
