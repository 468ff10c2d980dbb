/** HAProxy through its runtime socket, wherever that is: weights and sessions of servers. */
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

export interface BalancedServer {
  backend: string;
  server: string;
  /** As it was set last, from 0 to 256; not what is left of it while it starts or is down. */
  weight: number;
  /** `UP`, `DOWN 1/2`, `DRAIN`, `MAINT` … */
  status: string;
  /** Connections under way or waiting for it. */
  sessions: number;
}

export interface HaproxyRuntime {
  /** All servers of the backends, by the server's name. Throws when one of the backends is not there. */
  servers(): Promise<Map<string, BalancedServer[]>>;
  /**
   * `allowed` is asked once the connection is there, and throws where it may not be done. HAProxy closes a connection that says
   * nothing for 10 s (`stats timeout`): an operator that is stopped right after it was allowed cannot do it long after.
   */
  setWeight(backend: string, server: string, weight: number, allowed?: () => Promise<unknown>): Promise<void>;
  /** `drain` takes nothing new whatever its weight is. */
  setState(backend: string, server: string, state: 'ready' | 'drain' | 'maint'): Promise<void>;
}

export interface HaproxyRuntimeOptions {
  backends: string[];
  /** A fresh stream to the socket. */
  open(): Promise<Duplex>;
}

const ANSWER_MS = 5_000;

export function openHaproxyRuntime({ backends, open }: HaproxyRuntimeOptions): HaproxyRuntime {
  const act = async (command: string, allowed = async (): Promise<unknown> => undefined) => {
    const said = (await ask(() => openFor(open, allowed), command)).trim();
    if (said !== '')
      throw new Error(`HAProxy answers ${JSON.stringify(said.slice(0, 200))} to "${command}"${hint(said)}`);
  };
  return {
    async servers() {
      const commands = [...backends.map((backend) => `show servers state ${word(backend)}`), 'show stat -1 4 -1'];
      return readServers(await ask(open, commands.join(';')), backends);
    },
    setWeight(backend, server, weight, allowed) {
      if (!Number.isInteger(weight) || weight < 0 || weight > 256)
        return Promise.reject(new RangeError(`${weight} is no weight of HAProxy: a whole number from 0 to 256`));
      return act(`set weight ${word(backend)}/${word(server)} ${weight}`, allowed);
    },
    setState: (backend, server, state) => act(`set server ${word(backend)}/${word(server)} state ${state}`),
  };
}

const hint = (said: string): string =>
  /permission denied/i.test(said) ? '; give the socket `level admin` in its configuration' : '';

/** A name that could be two words or two commands is none of HAProxy's. */
function word(name: string): string {
  if (/^[A-Za-z0-9_.:-]+$/.test(name)) return name;
  throw new Error(`${JSON.stringify(name)} is no name of a backend or a server in HAProxy`);
}

/** The socket on this machine. */
export function openUnixSocket(path: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error) => reject(new Error(`HAProxy does not answer at ${path}: ${error.message}`)));
  });
}

async function openFor(open: () => Promise<Duplex>, allowed: () => Promise<unknown>): Promise<Duplex> {
  const stream = await open();
  const closed = new Promise<never>((_, reject) => {
    stream.once('error', reject);
    stream.once('end', () => reject(new Error('HAProxy closed the connection before anything was said')));
  });
  closed.catch(() => {});
  stream.resume();
  try {
    await Promise.race([allowed(), closed]);
    return stream;
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

/** One line of commands, and what they bring with them; HAProxy closes after its answer, a master only where `last`: nothing more is asked. */
export async function ask(open: () => Promise<Duplex>, commands: string, last = false): Promise<string> {
  const stream = await open();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const fail = (why: string) => {
      stream.destroy();
      reject(new Error(`HAProxy does not answer: ${why}`));
    };
    const timer = setTimeout(() => fail(`nothing within ${ANSWER_MS / 1000} s`), ANSWER_MS);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', (error) => fail(error.message));
    stream.once('end', () => {
      clearTimeout(timer);
      stream.destroy();
      resolve(Buffer.concat(chunks).toString());
    });
    stream.once('close', () => {
      clearTimeout(timer);
      fail('it closed the connection');
    });
    if (last) stream.end(`${commands}\n`);
    else stream.write(`${commands}\n`);
  });
}

function readServers(answer: string, backends: string[]): Map<string, BalancedServer[]> {
  const found = new Map<string, BalancedServer[]>();
  const sessions = readStatistics(answer);
  const seen = new Set<string>();
  let columns: string[] = [];
  for (const line of answer.split('\n')) {
    if (line.startsWith('# be_id ')) columns = line.slice(2).split(' ');
    const fields = line.split(' ');
    if (columns.length === 0 || fields.length < 8 || line.startsWith('#')) continue;
    const at = (column: string) => fields[columns.indexOf(column)] ?? '';
    const [backend, server] = [at('be_name'), at('srv_name')];
    if (!backends.includes(backend)) continue;
    seen.add(backend);
    const { count = 0, status = '' } = sessions.get(`${backend}/${server}`) ?? {};
    const state = { backend, server, weight: Number(at('srv_uweight')), status, sessions: count };
    found.set(server, [...(found.get(server) ?? []), state]);
  }
  const missing = backends.filter((backend) => !seen.has(backend));
  if (missing.length === 0) return found;
  if (!answer.includes('pxname')) throw new Error(`HAProxy answers ${JSON.stringify(answer.trim().slice(0, 200))}`);
  throw new Error(`HAProxy has no backend ${missing.join(', ')} with servers; correct loadBalancer.haproxy.backends`);
}

/** By `backend/server`. */
function readStatistics(answer: string): Map<string, { count: number; status: string }> {
  const found = new Map<string, { count: number; status: string }>();
  for (const [name, row] of readTable(answer))
    found.set(name, { count: Number(row.scur) + Number(row.qcur), status: row.status ?? '' });
  return found;
}

/** What `show stat` answers, by `backend/server`; a backend's own line is `backend/BACKEND`. */
export function readTable(answer: string): Map<string, Record<string, string>> {
  const found = new Map<string, Record<string, string>>();
  let columns: string[] | undefined;
  for (const line of answer.split('\n')) {
    if (line.startsWith('# pxname,')) columns = line.slice(2).split(',');
    else if (columns !== undefined && line.includes(',')) {
      const fields = line.split(',');
      const row = Object.fromEntries(columns.map((column, at) => [column, fields[at] ?? '']));
      found.set(`${row.pxname}/${row.svname}`, row);
    }
  }
  return found;
}
