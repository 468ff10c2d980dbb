/** The router's end of the control path. */
import { chmod, rm, stat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import type { ResourceId } from '../../../manifest/resource.ts';
import type { Route, RouterStats } from './config.ts';
import { createLogKeeper } from './log-keeper.ts';
import { save } from './store.ts';
import type { Table } from './table.ts';
import {
  type Call,
  type CallMessage,
  type Calls,
  dial,
  type Health,
  onMessage,
  PROTOCOL,
  SOCKET,
  send,
} from './wire.ts';

/** The routes, and who carries them out: this process, or another that it tells. */
interface ToldTable {
  config: Table['config'];
  change(changes: Record<ResourceId, Route | null>): Promise<void> | void;
  stats(): Promise<RouterStats> | RouterStats;
}

export interface Control {
  table: ToldTable;
  health: Omit<Health, 'protocol'>;
  log(message: string): void;
  stop(): void;
}

type Handlers = { [C in Call]: (argument: Calls[C][0], asker: Socket) => Promise<Calls[C][1]> | Calls[C][1] };

/**
 * Listens in the working directory. False: another router of this folder runs already. A socket file that nobody listens on is replaced.
 */
export async function serveControl(control: Control): Promise<boolean> {
  const twin = await dial('.');
  if (twin !== undefined) {
    twin.close();
    return false;
  }
  const handlers = handlersOf(control);
  const inode = await listen(handlers);
  keepSocket(inode, handlers, control.stop);
  return true;
}

function handlersOf({ table, health, log, stop }: Control): Handlers {
  const logsOf = logKeeping(log);
  const operators = fencing();
  let writing: Promise<void> = Promise.resolve();
  return {
    health: () => ({ protocol: PROTOCOL, ...health }),
    observe: () => table.config(),
    stats: () => table.stats(),
    logsOf,
    operate: operators.operate,
    async change(changes: Record<ResourceId, Route | null>, asker) {
      operators.refuseEarlier(asker);
      // In force first, as a backend that is gone should lose its traffic now; answered when a restart would find it, too.
      await table.change(changes);
      writing = writing.catch(() => {}).then(() => save(table.config()));
      await writing;
      return null;
    },
    stop() {
      setImmediate(stop);
      return null;
    },
  };
}

/** An operator may be stopped between its last look at the epoch and what it sends. */
function fencing() {
  let highest = 0;
  const epochs = new WeakMap<Socket, number>();
  const refuseEarlier = (asker: Socket) => {
    if ((epochs.get(asker) ?? 0) < highest) throw new Error(`an operator with epoch ${highest} has taken over`);
  };
  return {
    refuseEarlier,
    operate(epoch: number, asker: Socket): null {
      epochs.set(asker, epoch);
      refuseEarlier(asker);
      highest = epoch;
      return null;
    },
  };
}

function logKeeping(log: (message: string) => void): Handlers['logsOf'] {
  const keeper = createLogKeeper(log);
  let last: { asker: Socket; dataDirs: string[] } | undefined;
  return (dataDirs, asker) => {
    keeper.letGo();
    if (last?.asker !== asker)
      asker.once('close', () => {
        if (last?.asker === asker) keeper.keep(last.dataDirs);
      });
    last = { asker, dataDirs };
    return null;
  };
}

async function listen(handlers: Handlers): Promise<number> {
  await rm(SOCKET, { force: true });
  const server: Server = createServer((socket) => {
    socket.on('error', () => {});
    onMessage<CallMessage>(socket, async ({ id, call, argument }) => {
      try {
        const handle = handlers[call] as (argument: unknown, asker: Socket) => unknown;
        send(socket, { id, answer: (await handle(argument, socket)) ?? null });
      } catch (error) {
        send(socket, { id, error: `the router could not carry out ${call}: ${(error as Error).message}` });
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(SOCKET, resolve);
  });
  await chmod(SOCKET, 0o600);
  return (await stat(SOCKET)).ino;
}

/**
 * A router that cannot be told anything any more must not live on: it ends when its folder is gone or another router has taken its place there.
 * Where only the socket file was removed it listens anew.
 */
function keepSocket(inode: number, handlers: Handlers, stop: () => void): void {
  let mine = inode;
  const look = async () => {
    const there = await stat(SOCKET).catch(() => undefined);
    if (there?.ino === mine) return;
    const folder = await stat('.').catch(() => undefined);
    if (there !== undefined || folder === undefined || folder.nlink === 0) stop();
    else mine = await listen(handlers);
  };
  setInterval(() => look().catch(stop), 1000).unref();
}
