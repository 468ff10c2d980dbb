/** The operator's handle on the router: a process of its own that outlives the operator and is started again when it dies. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ResourceId } from '../../../manifest/resource.ts';
import type { Route, RouterConfig, RouterStats } from './config.ts';
import { type Address, reach, routerDirectory, understood } from './launch.ts';
import { type Call, type Calls, type Connection, dial, RouterError } from './wire.ts';

/** All of these wait for a router that is being started again, and throw a `RouterError` when that fails. */
export interface RouterClient {
  /** On disk and in force when it resolves. What is set at once goes in one write; of one resource the last counts. */
  set(resource: ResourceId, route: Route | undefined): Promise<void>;
  /** Returns when the router has answered: cheap, however much it routes. */
  answers(): Promise<void>;
  /** What the router routes now. */
  observe(): Promise<RouterConfig>;
  stats(): Promise<RouterStats>;
  /** Has the router keep the logs of a target's units within their sizes from when this operator ends until the next one says this. */
  keepLogsAfterwards(dataDir: string): Promise<void>;
  /** Where it serves. */
  address(): Address;
  /** Lets go of the router, which goes on serving. */
  close(): Promise<void>;
}

export interface RouterOptions {
  dataDir: string;
  listen: Address;
  /** The operator's: with a lower one than the router has seen it changes nothing. */
  epoch?: number;
  /** The program of the router; default: the embedded one. */
  main?: string;
}

/** Finds the router of `dataDir`, or starts it on `listen`. */
export async function openRouter({ dataDir, listen, epoch = 0, main }: RouterOptions): Promise<RouterClient> {
  const logsOf: string[] = [];
  const directory = routerDirectory(dataDir);
  const link = await keepConnected(
    (address) => reach(directory, address, main),
    listen,
    async (connection) => {
      await connection.call('operate', epoch).catch((error: unknown) => {
        connection.close();
        throw error;
      });
      await connection.call('logsOf', logsOf);
    },
  );
  const set = batched((changes) => link.call('change', changes));
  return {
    set: (resource, route) => set(resource, route ?? null),
    async answers() {
      await link.call('health', null);
    },
    observe: () => link.call('observe', null),
    stats: () => link.call('stats', null),
    async keepLogsAfterwards(dataDir) {
      logsOf.push(dataDir);
      await link.call('logsOf', logsOf);
    },
    address: link.address,
    close: link.close,
  };
}

/** What the router of `dataDir` has counted; undefined when none is running. Starts nothing. */
export const readStats = (dataDir: string): Promise<RouterStats | undefined> =>
  asked(dataDir, (connection) => understood(connection, routerDirectory(dataDir)).call('stats', null));

/** Ends the router of `dataDir`, if one is running, when it has finished what it serves (5 s at most). */
export async function stopRouter(dataDir: string): Promise<void> {
  await asked(dataDir, async (connection) => {
    await connection.call('stop', null);
    await connection.closed;
  });
}

async function asked<T>(dataDir: string, ask: (connection: Connection) => Promise<T>): Promise<T | undefined> {
  const connection = await dial(routerDirectory(dataDir));
  try {
    return connection && (await ask(connection));
  } finally {
    connection?.close();
  }
}

/** A router that lived shorter than this counts as a failed start: the next comes after a growing delay. */
const LASTING_MS = 10_000;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5000;

/** One connection to the router, made anew whenever it breaks, with a new router where the old one has died. */
async function keepConnected(
  reached: (address: Address) => Promise<Connection>,
  listen: Address,
  greet: (connection: Connection) => Promise<void>,
) {
  const closing = new AbortController();
  let wait = FIRST_DELAY_MS;
  let address = listen;
  let current: Promise<Connection>;

  const connect = async () => {
    const connection = await reached(address);
    // The same port again, even where any would have done.
    address = { host: connection.health.host, port: connection.health.port };
    if (closing.signal.aborted) connection.close();
    else await greet(connection);
    return connection;
  };
  const watch = async (connection: Connection) => {
    const since = Date.now();
    await connection.closed;
    if (closing.signal.aborted) return;
    if (Date.now() - since > LASTING_MS) wait = FIRST_DELAY_MS;
    revive(connection);
  };
  const revive = (broken?: Connection) => {
    const pause = broken === undefined || wait > FIRST_DELAY_MS ? wait : 0;
    wait = Math.min(wait * 2, LONGEST_DELAY_MS);
    current = delay(pause, undefined, { signal: closing.signal }).then(connect);
    current.then(watch, () => {
      if (!closing.signal.aborted) revive();
    });
  };

  const first = await connect();
  current = Promise.resolve(first);
  watch(first);
  return {
    /** Asks once more where the router died under the question: all of them may be asked twice. */
    async call<C extends Call>(call: C, argument: Calls[C][0]): Promise<Calls[C][1]> {
      const connection = await current;
      try {
        return await connection.call(call, argument);
      } catch (error) {
        if (closing.signal.aborted || !(error instanceof RouterError) || error.code !== 'router-gone') throw error;
        // `watch` waited for this first: by now the next connection is on its way.
        await connection.closed;
        return (await current).call(call, argument);
      }
    },
    address: () => address,
    async close() {
      closing.abort();
      const connection = await current.catch(() => undefined);
      connection?.close();
    },
  };
}

/** Gathers what is set while a write is under way, or in the same turn, into one next write. */
function batched(write: (changes: Record<ResourceId, Route | null>) => Promise<unknown>) {
  let changes: Record<ResourceId, Route | null> = {};
  let next: Promise<unknown> | undefined;
  let last: Promise<unknown> = Promise.resolve();
  return async (resource: ResourceId, route: Route | null): Promise<void> => {
    changes[resource] = route;
    next ??= last.then(() => {
      const batch = changes;
      changes = {};
      next = undefined;
      return write(batch);
    });
    last = next.catch(() => {});
    await next;
  };
}
