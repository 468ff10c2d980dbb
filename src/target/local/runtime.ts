/** Containers as processes of this machine: how they are asked, watched and ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { containerEnded, forgetUnit } from '../replicas/end.ts';
import { graceMs, type Runtime } from '../replicas/unit.ts';
import { ask, askCommand, askPort } from './handler.ts';
import { lastWords } from './logs.ts';
import { goAbreast } from './priority.ts';
import { isRunning, listenersOn, membersOf, sendSignal, socketsOf, userOf } from './processes.ts';
import type { ProcessMark } from './record.ts';
import { startProcesses } from './start.ts';
import { belongingOf, groupsOf, type Host, type Running, type Unit } from './unit.ts';

export const localRuntime = (host: Host): Runtime<Running> => ({
  start: (unit) => startProcesses(host, unit),
  ask: ({ beside }, handler, timeoutMs) =>
    ask(
      handler,
      {
        ...beside,
        address: LOOPBACK,
        run: (command, ms) => askCommand(command, { ...beside, cwd: host.hold.reach(beside.cwd) }, ms),
      },
      timeoutMs,
    ),
  gotReady({ containers }) {
    for (const { record } of containers) if (record.process !== undefined) goAbreast(record.process.pid);
  },
  holder: (unit, running, port) => holderOf(host, unit, running, port),
  watchEnd: (unit, running) => watchEnd(host, unit, running),
  runs,
  terminate: (unit, hooks) => terminate(host, unit, hooks),
  obituary,
  discard: ({ folder }) => forgetUnit(host.hold, folder),
});

const LOOPBACK = '127.0.0.1';
/** How often it is asked whether a process that somebody else started still runs. */
const ALIVE_MS = 250;

/** The end of a process of its own is told to this operator at once; of one that it found it learns by looking. */
async function watchEnd(host: Host, unit: Unit, running: Running): Promise<void> {
  if (running.spawned) return;
  while (running.record.process !== undefined && isRunning(running.record.process)) {
    await sleep(ALIVE_MS, undefined, { signal: unit.watching.signal });
  }
  containerEnded(host, unit, running, 'ended; its exit code is unknown, because an earlier operator had started it');
}

/** `exited with code 1: Error: Cannot find module 'x'`; of several containers, the one that ended is named. */
export function obituary(unit: Unit, { container, groups, beside }: Running, how: string): string {
  const memory = groups.outOfMemory() ? `, out of memory (limit ${container.resources.limits?.memory})` : '';
  const words = beside.redact(lastWords(unit.folder, container.name, unit.record.attempt));
  const which = unit.containers.length > 1 ? `container ${container.name} ` : '';
  return `${which}${how}${memory}${words === '' ? '' : `: ${words}`}`;
}

/** Whose socket listens on a loopback port: looked at twice before another process is blamed, since processes come and go. */
async function holderOf(host: Host, unit: Unit, running: Running, port: number): Promise<'nobody' | 'own' | 'other'> {
  for (let look = 0; look < 2; look++) {
    if (look > 0) await sleep(50);
    if (!(await askPort(port, 1000)).pass) return 'nobody';
    if (holds(host, unit, running, port)) return 'own';
  }
  return listenersOn(port).length === 0 ? 'nobody' : 'other';
}

function holds(host: Host, unit: Unit, { record }: Running, port: number): boolean {
  const listeners = listenersOn(port);
  if (record.process === undefined || listeners.length === 0) return false;
  const { pid } = record.process;
  const holding = (sockets: Set<string> | undefined) => listeners.some(({ inode }) => sockets?.has(inode));
  const own = socketsOf(pid);
  // A program with privileges of its own may not be looked into: then its user must do.
  if (own === undefined) return listeners.some(({ uid }) => uid === userOf(pid));
  if (holding(own)) return true;
  const members = membersOf(belongingOf(host, unit, [record.process]));
  return members.some((member) => holding(socketsOf(member.pid)));
}

const markOf = ({ record }: Running): ProcessMark[] => (record.process === undefined ? [] : [record.process]);
const runs = (running: Running) => running.ended === undefined && markOf(running).some(isRunning);

/** The containers are started one after the other: undefined where one is missing, whose process may be the first. */
function firstOf({ containers }: Unit): ProcessMark | undefined {
  const marks = containers.flatMap(markOf);
  if (marks.length < containers.length) return undefined;
  return marks.reduce<ProcessMark | undefined>(
    (first, mark) => (first !== undefined && first.start <= mark.start ? first : mark),
    undefined,
  );
}

/** Ends every process of the unit that can be found (`membersOf`); resolves when none is left. */
async function terminate(host: Host, unit: Unit, hooks: (deadline: number) => Promise<boolean>): Promise<void> {
  const { closing: signal } = host;
  const deadline = performance.now() + graceMs(unit);
  const leaders = unit.containers.filter((running) => running.ended !== undefined || runs(running)).flatMap(markOf);
  // Gathered, since a process whose parent has ended may not be found again.
  const known = new Map<string, ProcessMark>();
  const first = firstOf(unit);
  const look = () => {
    const members = membersOf({ ...belongingOf(host, unit, leaders), ...(first && { first }) });
    for (const mark of members) known.set(`${mark.pid} ${mark.start}`, mark);
  };
  look();
  if (await hooks(deadline)) look();
  host.guard();
  signal.throwIfAborted();
  for (const mark of unit.containers.flatMap(markOf)) sendSignal(mark, 'SIGTERM');
  // Often at first: most end within some milliseconds, and a rolling upgrade waits for each.
  for (let wait = 2; unit.containers.some(runs) && performance.now() < deadline; wait = Math.min(wait * 1.3, 50)) {
    await sleep(wait, undefined, { signal });
  }
  for (let wait = 5; ; wait = Math.min(wait * 2, 1000)) {
    look();
    const left = [...known.values()].filter(isRunning);
    if (left.length === 0) break;
    host.guard();
    for (const mark of left) sendSignal(mark, 'SIGKILL');
    await sleep(wait, undefined, { signal });
  }
  groupsOf(host, unit).remove();
  unit.letLogs?.();
}
