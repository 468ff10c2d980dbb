/** One connection to each host, opened when it is first needed, kept and used for everything, opened again when it is lost. */
import type { Duplex } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import type { SshHost, SshTarget } from '../../manifest/resource.ts';
import { type Shell, type ShellCall, type ShellOptions, type ShellResult, shellCall } from '../hosts/shell.ts';
import { connect } from './connect.ts';
import { createSlots } from './slots.ts';

export interface Connections {
  /** Throws where the target has no host of this name. */
  shell(host: string): Shell;
  /** A stream to a Unix socket on a host. */
  openSocket(host: string, path: string): Promise<Duplex>;
  /** Calls back when a connection that was open is lost. */
  onLost(lost: (host: string) => void): void;
  close(): void;
}

export interface ConnectionsOptions {
  ssh: SshTarget;
  /** So many connections are being opened at once at most. */
  opening?: number;
}

/** What servers of OpenSSH allow by default. */
const CHANNELS = 10;
const OPENING = 20;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
/** Beyond this it is dropped. */
const MAX_OUTPUT = 8 * 1024 * 1024;

export function openConnections({ ssh, opening = OPENING }: ConnectionsOptions): Connections {
  const places = createSlots(opening);
  const { jump } = ssh;
  let tellLost: (host: string) => void = () => {};
  const gate =
    jump &&
    createLink(
      `jump host ${jump.address}`,
      () => places.run(() => connect(ssh, jump, undefined)),
      () => {},
    );
  const links = new Map(
    ssh.hosts.map((host) => [
      host.name,
      createLink(
        host.name,
        () => open(host),
        () => tellLost(host.name),
      ),
    ]),
  );

  /** The jump host's own connection takes no place of those that wait for it. */
  async function open(host: SshHost): Promise<Client> {
    if (gate === undefined) return places.run(() => connect(ssh, host, undefined));
    await gate.client();
    return places.run(async () => connect(ssh, host, await forward(await gate.client(), host)));
  }

  const linkOf = (host: string): Link => {
    const link = links.get(host);
    if (link === undefined) throw new Error(`there is no host ${host}`);
    return link;
  };

  return {
    shell(host) {
      const link = linkOf(host);
      return { sh: (script, args, options) => link.execute(shellCall(script, args, options.input), options) };
    },
    async openSocket(host, path) {
      const client = await linkOf(host).client();
      return new Promise((resolve, reject) => {
        client.openssh_forwardOutStreamLocal(path, (error, stream) => {
          if (error) {
            const why = `the SSH server of ${host} opens no way to ${path}: ${error.message}`;
            reject(new Error(`${why}; the socket must be there for its user, and AllowStreamLocalForwarding be yes`));
          } else resolve(stream);
        });
      });
    },
    onLost(lost) {
      tellLost = lost;
    },
    close() {
      for (const link of links.values()) link.close();
      gate?.close();
    },
  };
}

function forward(client: Client, { address, port }: SshHost): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    client.forwardOut('127.0.0.1', 0, address, port, (error, stream) => {
      if (error) reject(new Error(`the jump host opens no way to ${address}:${port}: ${error.message}`));
      else resolve(stream);
    });
  });
}

interface Link {
  client(): Promise<Client>;
  execute(call: ShellCall, options: ShellOptions): Promise<ShellResult>;
  close(): void;
}

function createLink(name: string, open: () => Promise<Client>, lost: () => void): Link {
  const channels = createSlots(CHANNELS);
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
  async function execute(call: ShellCall, options: ShellOptions): Promise<ShellResult> {
    for (;;) {
      const result = await channels.run(async () => {
        options.signal.throwIfAborted();
        const open = await channel(await client(), call.command, options.signal);
        if (open !== 'refused') return converse(name, open, call.stdin, options);
        if (channels.active() <= 1) throw new Error(`the SSH server of ${name} opens no session; see its MaxSessions`);
        channels.limit(channels.active() - 1);
        return undefined;
      });
      if (result !== undefined) return result;
    }
  }

  return {
    client,
    execute,
    close() {
      closed = true;
      current?.then((client) => client.destroy()).catch(() => {});
    },
  };
}

function channel(client: Client, command: string, signal: AbortSignal): Promise<ClientChannel | 'refused'> {
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

function converse(
  name: string,
  stream: ClientChannel,
  input: Buffer,
  { timeoutMs, signal }: ShellOptions,
): Promise<ShellResult> {
  return new Promise((resolve, reject) => {
    const output = { stdout: collector(), stderr: collector() };
    let code: number | undefined;
    let killedBy: string | undefined;
    const giveUp = (error: Error) => {
      stream.close();
      done(() => reject(error));
    };
    const aborted = () => giveUp(signal.reason as Error);
    const timer = setTimeout(() => giveUp(new Error(`no answer from ${name} within ${timeoutMs / 1000} s`)), timeoutMs);
    const done = (act: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      act();
    };
    stream.on('data', output.stdout.add);
    stream.stderr.on('data', output.stderr.add);
    stream.on('error', () => {});
    stream.on('exit', (status: number | null, signalName?: string) => {
      if (status === null) killedBy = signalName ?? 'a signal';
      else code = status;
    });
    stream.once('close', () => {
      const texts = { stdout: output.stdout.text(), stderr: output.stderr.text() };
      const why = killedBy === undefined ? `the connection to ${name} was lost` : `it was ended by ${killedBy}`;
      done(code === undefined ? () => reject(new Error(why)) : () => resolve({ code: code ?? 0, ...texts }));
    });
    if (signal.aborted) return aborted();
    signal.addEventListener('abort', aborted, { once: true });
    stream.end(input);
  });
}

function collector() {
  const chunks: Buffer[] = [];
  let size = 0;
  return {
    add(chunk: Buffer) {
      if (size < MAX_OUTPUT) chunks.push(chunk.subarray(0, MAX_OUTPUT - size));
      size += chunk.length;
    },
    text: () => Buffer.concat(chunks).toString(),
  };
}
