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
  parent: number;
  session: number;
  start: number;
}

function stat(pid: number): Stat | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // `7 (a name) with) S 1 7 7 …`: the name may hold anything, so the fields are counted from its last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state = '', parent, , session] = fields;
  return { gone: 'ZXx'.includes(state), parent: Number(parent), session: Number(session), start: Number(fields[19]) };
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
interface AttemptName {
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

/** How the processes of an attempt are told from others. */
export interface Belonging {
  name: AttemptName;
  /** Leaders of the attempt's sessions: they run, or were seen to run a moment ago. */
  leaders: ProcessMark[];
  /** Process ids in its control groups, read just now. */
  grouped: number[];
  /** No process of it began before this one; absent: not known. Environments of older processes need not be read. */
  first?: ProcessMark;
}

/** Every attempt that some process carries in its environment, of units whose folder begins like this. */
export function findAttempts(beginning: string): Required<AttemptName>[] {
  const found = new Map<string, Required<AttemptName>>();
  for (const pid of pids()) {
    const env = environmentOf(pid);
    const folder = env?.get('SLUICE_FOLDER');
    if (!folder?.startsWith(beginning) || pid === process.pid || markOf(pid) === undefined) continue;
    const attempt = env?.get('SLUICE_ATTEMPT') ?? '';
    found.set(`${folder} ${attempt}`, { folder, attempt });
  }
  return [...found.values()];
}

/**
 * Every process of an attempt that can be found: what is in its control groups, in the sessions of its leaders, or carries the
 * attempt in its environment; and what descends from any of these. One kind is out of reach, where no control group can be made or
 * within the first moments of a container's process: what has left its session, has cleared its environment and has lost its parent.
 */
export function membersOf({ name, leaders, grouped, first }: Belonging): ProcessMark[] {
  const all = new Map(pids().map((pid) => [pid, stat(pid)] as const));
  // The number of a session is not given again while it has members; whoever leads it now with another start leads another one.
  const sessions = new Set(
    leaders.filter(({ pid, start }) => (all.get(pid)?.start ?? start) === start).map(({ pid }) => pid),
  );
  const inGroup = new Set(grouped);
  const found = new Map<number, ProcessMark>();
  const add = (pid: number, { start }: Stat) => found.set(pid, { pid, start });
  for (const [pid, seen] of all) {
    if (seen === undefined || seen.gone || pid === process.pid) continue;
    const isOlder = first !== undefined && seen.start < first.start;
    if (sessions.has(seen.session) || inGroup.has(pid) || (!isOlder && belongs(pid, name))) add(pid, seen);
  }
  for (let before = -1; before < found.size; ) {
    before = found.size;
    for (const [pid, seen] of all) {
      if (seen === undefined || seen.gone || pid === process.pid) continue;
      if (!found.has(pid) && found.has(seen.parent)) add(pid, seen);
    }
  }
  return [...found.values()];
}

/** What a process has started and not outlived; empty where the system does not say. */
export function childrenOf(pid: number): number[] {
  return names(`/proc/${pid}/task`).flatMap((thread) =>
    (read(`/proc/${pid}/task/${thread}/children`) ?? '').split(' ').filter(Boolean).map(Number),
  );
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
  let files: string[];
  try {
    files = readdirSync(`/proc/${pid}/fd`);
  } catch {
    return undefined;
  }
  const inodes = files.flatMap((name) => /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/${name}`))?.[1] ?? []);
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

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
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
