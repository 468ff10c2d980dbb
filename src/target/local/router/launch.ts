/** Finds the router of a folder, or starts it. */
import { chmod, mkdir, open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { environment, launch } from '../../../process.ts';
import { type Connection, dial, PROTOCOL, RouterError } from './wire.ts';

export interface Address {
  host: string;
  /** 0: any free one. */
  port: number;
}

/** How a router process says why it did not start. */
export const EXIT = {
  twin: 3,
  EADDRINUSE: 4,
  EACCES: 5,
  EADDRNOTAVAIL: 6,
  ENOTFOUND: 7,
  absent: 8,
  refused: 9,
} as const;

const START_MS = 15_000;
/** A router that gave way: that of another operator, started at the same time, may still be on its way. */
const TWIN_MS = 1500;
const LOG_BYTES = 1024 * 1024;
/** Of the embedded router: a program that serves, or has another one serve, on an address. */
const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

export const routerDirectory = (dataDir: string) => join(dataDir, 'router');

export function parseAddress(text: string): Address {
  const [, host, port] = /^\[?([^\]]*)\]?:(\d+)$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535)
    throw new RouterError('router-address', `\`${text}\` is no address; expected HOST:PORT, e.g. 127.0.0.1:8080`);
  return { host, port: Number(port) };
}

const formatAddress = ({ host, port }: Address) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** The router of `directory`, running and connected. Throws a `RouterError` that says what to do. */
export async function reach(directory: string, listen: Address, main = MAIN): Promise<Connection> {
  const running = understood((await dial(directory)) ?? (await start(directory, listen, main)), directory);
  const { pid, host, port } = running.health;
  if (host === listen.host && (listen.port === 0 || port === listen.port)) return running;
  running.close();
  throw new RouterError(
    'router-elsewhere',
    `the router of ${directory} already serves on ${formatAddress({ host, port })} (process ${pid}), not on ${formatAddress(listen)}; ` +
      `use --router ${formatAddress({ host, port })}, or end it with \`kill ${pid}\` and start again`,
  );
}

/**
 * A router is kept over upgrades of Sluice as long as it speaks the same protocol. Another one is not ended for its operator, since requests
 * would be refused until the next one listens: when that may be is for a person to say.
 */
export function understood(connection: Connection, directory: string): Connection {
  const { pid, protocol } = connection.health;
  if (protocol === PROTOCOL) return connection;
  connection.close();
  throw new RouterError(
    'router-version',
    `the router of ${directory} (process ${pid}) is of another version of Sluice: it speaks protocol ${protocol ?? 'unknown'}, this one ${PROTOCOL}; ` +
      `end it with \`kill ${pid}\` (it finishes what it serves, for 5 s at most) and start again, or go back to the version that it is of`,
  );
}

async function start(directory: string, listen: Address, main: string): Promise<Connection> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  const log = await openLog(join(directory, 'router.log'));
  let ended: { code: number | string; at: number } | undefined;
  const child = launch([process.execPath, main, directory, formatAddress(listen)], {
    env: environment(),
    cwd: directory,
    stdio: ['ignore', log.fd, log.fd],
  });
  child.once('error', (error) => {
    ended = { code: error.message, at: Date.now() };
  });
  child.once('exit', (code, signal) => {
    ended = { code: code ?? signal ?? '', at: Date.now() };
  });
  await log.close();
  const until = Date.now() + START_MS;
  for (;;) {
    const connection = await dial(directory);
    if (connection !== undefined) return connection;
    if (Date.now() > (ended === undefined ? until : ended.at + patienceWith(ended.code))) break;
    await delay(20);
  }
  throw notStarted(directory, listen, ended?.code);
}

const patienceWith = (code: number | string) => (code === EXIT.twin || code === EXIT.EADDRINUSE ? TWIN_MS : 0);

/** A log that has grown is put aside: two files of about 1 MiB at the most, as a router writes a few lines in its life. */
async function openLog(path: string) {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size > LOG_BYTES) await rename(path, `${path}.1`);
  return open(path, 'a', 0o600);
}

function notStarted(directory: string, listen: Address, code: number | string | undefined): RouterError {
  const address = formatAddress(listen);
  const another = 'choose another with --router HOST:PORT';
  switch (code) {
    case EXIT.EADDRINUSE:
      return new RouterError('router-address-in-use', `${address} is taken by another program; ${another}`);
    case EXIT.EACCES:
      return new RouterError('router-address-denied', `this user may not listen on ${address}; ${another}`);
    case EXIT.EADDRNOTAVAIL:
    case EXIT.ENOTFOUND:
      return new RouterError('router-address', `${address} is no address of this machine; ${another}`);
    case EXIT.absent:
      return new RouterError('router-absent', 'there is no haproxy here; install HAProxy 2.6 or later');
    case EXIT.refused:
      return new RouterError(
        'router-refused',
        `HAProxy refuses the configuration; see ${join(directory, 'router.log')}`,
      );
    case undefined:
      return new RouterError(
        'router-start',
        `the router did not get ready in ${START_MS / 1000} s; see ${join(directory, 'router.log')}`,
      );
    default:
      return new RouterError(
        'router-start',
        `the router ended at once (${code}); see ${join(directory, 'router.log')}`,
      );
  }
}
