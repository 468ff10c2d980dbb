/**
 * HAProxy as a process: a master and its workers, in the working directory, which outlives whoever started it.
 *
 * A master, because it takes a new configuration without closing its sockets, and because a worker that it has replaced can still be
 * asked what it has under way, and be told where to send what comes to it.
 */
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment, launch, run } from '../../../process.ts';
import { findLeaders, isRunning } from '../../local/processes.ts';
import type { ProcessMark } from '../../local/record.ts';
import { ask, openUnixSocket } from '../runtime.ts';
import { FILES } from './config.ts';

/** It cannot do what it is asked, and says why. */
export class HaproxyFailed extends Error {
  readonly code: 'absent' | 'refused' | 'in-use';
  constructor(code: HaproxyFailed['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface Master {
  mark: ProcessMark;
  /** The name of its socket. */
  socket: string;
}

export interface Workers {
  current: number;
  /** Replaced, and not yet at rest. */
  old: number[];
}

const MARK = 'SLUICE_FOLDER';
const START_MS = 10_000;

/** HAProxy's name, where the operator's PATH may leave out its folder. */
const searched = (): Record<string, string> => ({ PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin` });

/** Looked up in what runs, so that none is ever started beside another one. */
export function findMaster(folder: string): Master | undefined {
  const [found] = findLeaders({ folder });
  return found && { socket: found[0], mark: found[1] };
}

/** Throws where the configuration that lies there is none. */
export async function checkConfig(): Promise<void> {
  const { code, failure, stderr } = await run(['haproxy', '-c', '-q', '-f', FILES.config], {
    env: environment(searched()),
    timeoutMs: START_MS,
  });
  if (code === 0) return;
  if (code === undefined) throw new HaproxyFailed('absent', `haproxy cannot be started: ${failure}; install HAProxy`);
  throw new HaproxyFailed('refused', `HAProxy refuses its configuration ${FILES.config}: ${said(stderr)}`);
}

/** On the configuration that lies in `folder`, the working directory. `log`: a file descriptor for what it prints. */
export async function startMaster(folder: string, log: number): Promise<Master> {
  const socket = `master-${Date.now().toString(36)}-${process.pid}.sock`;
  const command = ['haproxy', '-W', '-q', '-S', `unix@${socket},level,admin,mode,600`, '-f', FILES.config];
  const child = launch(command, {
    env: environment({ ...searched(), [MARK]: folder, SLUICE_CONTAINER: socket }),
    cwd: folder,
    stdio: ['ignore', log, log],
  });
  let ended: string | undefined;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = `it ended with ${code ?? signal}`;
  });
  for (const deadline = Date.now() + START_MS; Date.now() < deadline && ended === undefined; await sleep(20)) {
    const master = findMaster(folder);
    const workers = master?.socket === socket ? await workersOf(master).catch(() => undefined) : undefined;
    if (master !== undefined && workers !== undefined) return master;
  }
  if (ended === undefined) child.kill('SIGKILL');
  await rm(socket, { force: true });
  if (ended === undefined) throw new Error(`HAProxy did not answer within ${START_MS / 1000} s; see router.log`);
  // What it refuses by itself was found when its configuration was checked.
  throw new HaproxyFailed('in-use', `HAProxy did not start: ${ended}; see router.log`);
}

/** Has a new worker read the configuration; throws where none came up, and the one before goes on then. */
export async function reload(master: Master): Promise<Workers> {
  const { current: before } = await workersOf(master);
  await askMaster(master, 'reload').catch(() => '');
  for (const deadline = Date.now() + START_MS; Date.now() < deadline; await sleep(20)) {
    const workers = await workersOf(master).catch(() => undefined);
    if (workers !== undefined && workers.current !== before) return workers;
  }
  throw new HaproxyFailed('refused', 'HAProxy did not take its new configuration up; see router.log');
}

export const runs = ({ mark }: Master): boolean => isRunning(mark);

/** Takes nothing new, and ends when nothing is under way any more, after `lingerMs` at the latest. */
export async function endMaster(
  { mark, socket }: Master,
  busy: () => Promise<boolean>,
  lingerMs: number,
): Promise<void> {
  const kill = (signal: NodeJS.Signals) => {
    if (isRunning(mark)) process.kill(mark.pid, signal);
  };
  const ends = async (within: number, goesOn: () => Promise<boolean>) => {
    for (const until = Date.now() + within; Date.now() < until && isRunning(mark) && (await goesOn()); )
      await sleep(20);
  };
  kill('SIGUSR1');
  await ends(lingerMs, busy);
  kill('SIGTERM');
  await ends(1000, async () => true);
  kill('SIGKILL');
  await rm(socket, { force: true }).catch(() => {});
}

const askMaster = ({ socket }: Master, command: string): Promise<string> =>
  ask(() => openUnixSocket(socket), command, true);

export const askWorker = (master: Master, pid: number, command: string): Promise<string> =>
  askMaster(master, `@!${pid} ${command}`);

/** `show proc`: the master, then `# workers`, `# old workers` and `# programs`, each with lines that begin with a number. */
export async function workersOf(master: Master): Promise<Workers> {
  const pids: Record<string, number[]> = {};
  let section = '';
  for (const line of (await askMaster(master, 'show proc')).split('\n')) {
    if (line.startsWith('# ')) section = line.slice(2).trim();
    const pid = /^(\d+)\s+worker/.exec(line)?.[1];
    if (pid !== undefined) pids[section] = [...(pids[section] ?? []), Number(pid)];
  }
  const [current] = pids.workers ?? [];
  if (current === undefined) throw new Error('HAProxy has no worker now; see router.log');
  return { current, old: pids['old workers'] ?? [] };
}

const said = (stderr: string): string =>
  stderr
    .split('\n')
    .filter((line) => line.includes('[ALERT]'))
    .map((line) => line.replace(/^\[ALERT\]\s*\(\d+\) : /, ''))
    .join('; ')
    .slice(0, 1000);
