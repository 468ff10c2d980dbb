/** The router's control path: one JSON document a line over a Unix socket in the router's folder. */
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ResourceId } from '../../../manifest/resource.ts';
import type { Route, RouterConfig, RouterStats } from './config.ts';

export const SOCKET = 'control.sock';

/**
 * Raised with every change after which a router and an operator of different versions would not understand each other. `health`
 * and `stop` mean the same in all protocols.
 */
export const PROTOCOL = 3;

export interface Health {
  protocol: number;
  pid: number;
  host: string;
  port: number;
}

/** What can be asked, with argument and answer. */
export interface Calls {
  health: [argument: null, answer: Health];
  /** Answered when the routes are on disk and in force. Null removes one. */
  change: [argument: Record<ResourceId, Route | null>, answer: null];
  /** This connection is the operator's with that epoch: what one with a lower epoch wants changed from now on is refused. */
  operate: [epoch: number, answer: null];
  observe: [argument: null, answer: RouterConfig];
  stats: [argument: null, answer: RouterStats];
  /**
   * Whoever asks this keeps the logs of the units in these data folders as long as its connection lasts; from then on the router does,
   * until somebody asks it again.
   */
  logsOf: [argument: string[], answer: null];
  /** Answered at once; the process ends when it has finished what it serves, after 5 s at the latest. */
  stop: [argument: null, answer: null];
}
export type Call = keyof Calls;

export interface CallMessage {
  id: number;
  call: Call;
  argument: unknown;
}
interface AnswerMessage {
  id: number;
  answer?: unknown;
  error?: string;
}

/** Calls `each` with every line that arrives, parsed; a line that is no JSON ends the connection. */
export function onMessage<T>(socket: Socket, each: (message: T) => void): void {
  let parts: string[] = [];
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = text.split('\n');
    for (const [at, line] of lines.entries()) {
      parts.push(line);
      if (at === lines.length - 1) return;
      const whole = parts.join('');
      parts = [];
      try {
        each(JSON.parse(whole));
      } catch {
        socket.destroy();
        return;
      }
    }
  });
}

export const send = (socket: Socket, message: CallMessage | AnswerMessage): void => {
  socket.write(`${JSON.stringify(message)}\n`);
};

export class RouterError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export interface Connection {
  readonly health: Health;
  /** Throws a `RouterError`: `router-gone` when the connection broke first, `router-silent` after 10 s without an answer. */
  call<C extends Call>(call: C, argument: Calls[C][0]): Promise<Calls[C][1]>;
  closed: Promise<void>;
  close(): void;
}

/** Connects to the router of a folder; undefined when none is running. */
export async function dial(directory: string): Promise<Connection | undefined> {
  const socket = await connect(directory);
  if (socket === undefined) return undefined;
  const waiting = new Map<number, (message: AnswerMessage | undefined) => void>();
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => {});
  socket.once('close', () => {
    for (const settle of waiting.values()) settle(undefined);
  });
  onMessage<AnswerMessage>(socket, (message) => waiting.get(message.id)?.(message));
  let ids = 0;
  const call: Connection['call'] = async (name, argument) => {
    const id = ++ids;
    const message = await new Promise<AnswerMessage | undefined>((resolve, reject) => {
      if (socket.destroyed) return resolve(undefined);
      const timer = setTimeout(() => reject(silent(directory)), 10_000);
      waiting.set(id, (message) => {
        clearTimeout(timer);
        resolve(message);
      });
      send(socket, { id, call: name, argument });
    }).finally(() => waiting.delete(id));
    if (message === undefined)
      throw new RouterError('router-gone', `the router of ${directory} ended while it was asked`);
    if (message.error !== undefined) throw new RouterError('router-failed', message.error);
    return message.answer as Calls[typeof name][1];
  };
  try {
    return { health: await call('health', null), call, closed, close: () => socket.destroy() };
  } catch (error) {
    socket.destroy();
    if (error instanceof RouterError && error.code === 'router-gone') return undefined;
    throw error;
  }
}

const silent = (directory: string) =>
  new RouterError(
    'router-silent',
    `the router of ${directory} runs but has not answered for 10 s; look at its router.log`,
  );

/** A socket's path holds at most 103 bytes (107 on Linux): a longer one is reached through a short link that lives for the moment. */
const LONGEST_PATH = 103;

async function connect(directory: string): Promise<Socket | undefined> {
  const path = join(directory, SOCKET);
  if (Buffer.byteLength(path) <= LONGEST_PATH) return open(path);
  const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
  try {
    await symlink(directory, join(folder, 'd'));
    return await open(join(folder, 'd', SOCKET));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** No socket, one that nobody listens on, or one whose router ended before it took the connection: no router. */
const ABSENT = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET']);

function open(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (ABSENT.has(error.code ?? '')) resolve(undefined);
      else
        reject(
          new RouterError('router-unreachable', `cannot reach the router's control socket ${path}: ${error.message}`),
        );
    });
  });
}
