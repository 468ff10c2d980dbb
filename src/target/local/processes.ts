/** Processes as `/proc` shows them. Everything here is a look at one moment; nothing is kept. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { ProcessMark } from './record.ts';

/** Changes with every boot of the machine. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

interface Stat {
  /** Zombies count as gone. */
  gone: boolean;
  session: number;
  start: number;
}

function stat(pid: number): Stat | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // `7 (a name) with) S 1 7 7 …`: the name may hold anything, so the fields are counted from its last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { gone: 'ZXx'.includes(fields[0] ?? ''), session: Number(fields[3]), start: Number(fields[19]) };
}

/** The mark of a process that runs now; undefined when there is none. */
export function markOf(pid: number): ProcessMark | undefined {
  const seen = stat(pid);
  return seen === undefined || seen.gone ? undefined : { pid, start: seen.start };
}

/** Whether the very process of the mark still runs. Marks are only comparable within one boot. */
export function isRunning(mark: ProcessMark): boolean {
  return markOf(mark.pid)?.start === mark.start;
}

/** The environment that a process was started with; undefined when it may not be read. A process may have overwritten its own. */
function environmentOf(pid: number): Map<string, string> | undefined {
  const text = read(`/proc/${pid}/environ`);
  if (text === undefined) return undefined;
  return new Map(
    text.split('\0').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
  );
}

/** What a process of ours carries in its environment. The folder of a unit is unique on the machine, an attempt in its folder. */
export interface AttemptName {
  folder: string;
  /** Absent: any attempt of the unit. */
  attempt?: string;
}

function belongs(pid: number, { folder, attempt }: AttemptName): Map<string, string> | undefined {
  const env = environmentOf(pid);
  const ours = env?.get('SLUICE_FOLDER') === folder && (attempt === undefined || env.get('SLUICE_ATTEMPT') === attempt);
  return ours ? env : undefined;
}

/** The session leaders that carry the attempt in their environment, by container: what was spawned but never recorded. */
export function findLeaders(name: AttemptName): Map<string, ProcessMark> {
  const found = new Map<string, ProcessMark>();
  for (const pid of pids()) {
    const container = belongs(pid, name)?.get('SLUICE_CONTAINER');
    const seen = container === undefined ? undefined : stat(pid);
    if (container === undefined || seen === undefined || seen.gone || seen.session !== pid) continue;
    found.set(container, { pid, start: seen.start });
  }
  return found;
}

/**
 * Every process of an attempt: what carries the attempt in its environment, and all of `sessions`, which the caller knows
 * to be the attempt's: their leaders run, or their end was seen just now.
 */
export function membersOf(name: AttemptName, sessions: number[]): ProcessMark[] {
  return pids().flatMap((pid) => {
    const seen = stat(pid);
    if (seen === undefined || seen.gone || pid === process.pid) return [];
    return sessions.includes(seen.session) || belongs(pid, name) ? [{ pid, start: seen.start }] : [];
  });
}

/** Sends a signal to the very process of the mark, and to no other. False when it is gone already. */
export function sendSignal(mark: ProcessMark, name: NodeJS.Signals): boolean {
  if (!isRunning(mark)) return false;
  try {
    return process.kill(mark.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** The inodes of the sockets that a process holds; undefined when they may not be seen. */
export function socketsOf(pid: number): Set<string> | undefined {
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
  } catch {
    return undefined;
  }
  const inodes = names.flatMap((name) => /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/${name}`))?.[1] ?? []);
  return new Set(inodes);
}

export interface Listener {
  inode: string;
  uid: number;
}

/** Sockets that listen on a TCP port of the loopback interface or of all interfaces. */
export function listenersOn(port: number): Listener[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const text = (read('/proc/net/tcp') ?? '') + (read('/proc/net/tcp6') ?? '');
  // `0: 0100007F:A1B2 00000000:0000 0A tx:rx tr:tm retr uid timeout inode …`; 0A is LISTEN.
  return text.split('\n').flatMap((line) => {
    if (!line.includes(`:${wanted} `)) return [];
    const [, local, , state, , , , uid, , inode] = line.trim().split(/\s+/);
    const listens = state === '0A' && local?.endsWith(`:${wanted}`);
    return listens && inode !== undefined ? [{ inode, uid: Number(uid) }] : [];
  });
}

/** The user that a process runs as. */
export function userOf(pid: number): number | undefined {
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1];
  return uid === undefined ? undefined : Number(uid);
}

function pids(): number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
