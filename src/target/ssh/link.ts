/** The connection to one host: opened when it is needed, kept, and opened again when it is lost, later each time it fails. */
import PQueue from 'p-queue';
import type { Client, ClientChannel } from 'ssh2';
import { LASTING_COMMAND } from '../hosts/lasting.ts';
import { type ShellOptions, type ShellResult, shellCall } from '../hosts/shell.ts';
import { converse, openChannel } from './channel.ts';
import { openSession, type Session } from './session.ts';

export interface Link {
  client(): Promise<Client>;
  execute(script: string, args: string[], options: ShellOptions): Promise<ShellResult>;
  close(): void;
}

/** What servers of OpenSSH allow by default. */
const CHANNELS = 10;
/** Sessions that wait for the next step: one for what acts and one for who watches. */
const KEPT = 2;
/** A session's shell reads byte by byte. */
const LONG = 16 * 1024;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;

/** `lost` is called when a connection that was open is lost. */
export function createLink(name: string, open: () => Promise<Client>, lost: () => void): Link {
  const channels = new PQueue({ concurrency: CHANNELS });
  const kept: Session[] = [];
  let current: Promise<Client> | undefined;
  let closed = false;
  let failure: { message: string; until: number; delay: number } | undefined;

  function client(): Promise<Client> {
    if (closed) return Promise.reject(new Error('the target is closed'));
    if (current !== undefined) return current;
    if (failure !== undefined && Date.now() < failure.until) return Promise.reject(new Error(failure.message));
    const opened = open().then(
      (client) => {
        failure = undefined;
        client.setMaxListeners(2 * CHANNELS); // each channel that opens, and the few that it always has
        client.once('close', () => {
          if (current === opened) current = undefined;
          if (!closed) lost();
        });
        if (closed) client.destroy();
        return client;
      },
      (error: Error) => {
        current = undefined;
        const delay = Math.min(LONGEST_DELAY_MS, (failure?.delay ?? FIRST_DELAY_MS / 2) * 2);
        failure = { message: error.message, delay, until: Date.now() + delay };
        throw error;
      },
    );
    current = opened;
    return opened;
  }

  /** A server may allow fewer channels: what was refused was not begun, and waits for one that ends. */
  async function channel(command: string, signal: AbortSignal): Promise<ClientChannel | undefined> {
    for (;;) {
      const opened = await openChannel(await client(), command, signal);
      if (opened !== 'refused') return opened;
      const session = kept.pop();
      if (session !== undefined) await session.close();
      else {
        if (channels.pending <= 1) throw new Error(`the SSH server of ${name} opens no session; see its MaxSessions`);
        channels.concurrency = channels.pending - 1;
        return undefined;
      }
    }
  }

  function keptSession(): Session | undefined {
    for (;;) {
      const session = kept.pop();
      if (session === undefined || session.open()) return session;
    }
  }

  async function inSession(script: string, args: string[], options: ShellOptions): Promise<ShellResult | undefined> {
    let session = keptSession();
    if (session === undefined) {
      const stream = await channel(LASTING_COMMAND, options.signal);
      if (stream === undefined) return undefined;
      session = openSession(name, stream);
    }
    const result = await session.call(script, args, options);
    if (kept.length < KEPT) kept.push(session);
    else void session.close();
    return result;
  }

  async function inOwnShell(script: string, args: string[], options: ShellOptions): Promise<ShellResult | undefined> {
    const call = shellCall(script, args);
    const stream = await channel(call.command, options.signal);
    return stream && converse(name, stream, call, options);
  }

  return {
    client,
    async execute(script, args, options) {
      const long = args.some(({ length }) => length > LONG);
      const run = options.alone || long ? inOwnShell : inSession;
      for (;;) {
        const result = await channels.add(() => {
          options.signal.throwIfAborted();
          return run(script, args, options);
        });
        if (result !== undefined) return result;
      }
    },
    close() {
      closed = true;
      current?.then((client) => client.destroy()).catch(() => {});
    },
  };
}
