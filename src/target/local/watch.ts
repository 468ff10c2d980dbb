/** Watches the processes of a unit: whether they run, whether its sockets are its own, what its probes say. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Probe } from '../../manifest/resource.ts';
import { StaleEpoch } from '../ports.ts';
import { endUnit, processEnded } from './end.ts';
import { type Answer, ask, askPort } from './handler.ts';
import { keepWithin, logFilesOf } from './logs.ts';
import { mainPort } from './ports.ts';
import { isRunning, listenersOn, membersOf, socketsOf, userOf } from './processes.ts';
import { belongingOf, type Host, type Running, servedPort, type Unit } from './unit.ts';

/** Then it is said what a start waits for. */
const SAID_MS = 1000;
/** How often it is asked whether a process that somebody else started still runs. */
const ALIVE_MS = 250;

/** From before its first process starts until its last one has ended (`unit.letLogs`), or this operator lets go of it. */
export function keepLogs(host: Host, unit: Unit): void {
  const files = unit.containers.flatMap(({ container }) => logFilesOf(unit.folder, container));
  const end = keepWithin(files, (error) => {
    host.log('log cannot be cut back', { unit: unit.record.unit, message: error.message });
  });
  unit.letLogs = () => {
    end();
    host.closing.removeEventListener('abort', end);
  };
  host.closing.addEventListener('abort', end, { once: true });
}

/** Until `unit.watching` is aborted. */
export function watchUnit(host: Host, unit: Unit): void {
  const { signal } = unit.watching;
  for (const running of unit.containers) {
    for (const task of [watchAlive, watchSocket, watchProbes, watchLived]) {
      task(host, unit, running).catch((error) => {
        if (signal.aborted || error instanceof StaleEpoch) return;
        void endUnit(host, unit, { message: `could not be watched: ${error.message}`, crashed: false });
      });
    }
  }
  judge(host, unit);
}

/** Ready when every container is, and the socket that the router would send to is the unit's own. */
function judge(host: Host, unit: Unit): void {
  if (unit.watching.signal.aborted) return;
  const { record } = unit;
  const [first] = unit.containers;
  const served = first === undefined || first.container.ports.length === 0 || first.listening;
  const ready = served && unit.containers.every(({ started, passing }) => started && passing);
  const telling = `${ready} ${servedPort(unit)}`;
  if (unit.told === telling && ready === record.ready) return;
  unit.told = telling;
  if (ready !== record.ready) {
    record.ready = ready;
    delete record.readySince;
    if (ready) {
      record.readySince = Date.now();
      record.phase = 'running';
      delete record.message;
    }
    host.note(unit);
  }
  host.changed(unit);
}

/** The end of a process of its own is told to this operator at once; of one that it found it learns by looking. */
async function watchAlive(host: Host, unit: Unit, running: Running): Promise<void> {
  if (running.spawned) return;
  while (running.record.process !== undefined && isRunning(running.record.process)) {
    await sleep(ALIVE_MS, undefined, { signal: unit.watching.signal });
  }
  processEnded(host, unit, running, 'ended; its exit code is unknown, because an earlier operator had started it');
}

async function watchLived(host: Host, unit: Unit, running: Running): Promise<void> {
  const { container } = running;
  if (container.readinessProbe !== undefined || container.ports.length > 0) return;
  if (!unit.record.ready) await delayed(unit, host.livedMs);
  running.passing = true;
  judge(host, unit);
}

/** Soon after the start often, later seldom: so a start is noticed within 1.5 % of the time that it took. */
function soon(since: number, least = 10): number {
  return Math.min(1000, Math.max(least, (performance.now() - since) * 0.015));
}

/** Looks until the main port is held by a socket of the container's own. */
async function watchSocket(host: Host, unit: Unit, running: Running): Promise<void> {
  const port = mainPort(running.container, running.record.ports);
  if (port === undefined) return;
  const { signal } = unit.watching;
  const since = performance.now();
  while (!running.listening) {
    const holder = await holderOf(host, unit, running, port);
    if (signal.aborted) return;
    if (holder === 'other') {
      if (running.container.ports.length === 0) return;
      await endUnit(host, unit, { message: `port ${port} is held by another process`, crashed: false });
      return;
    }
    running.listening = holder === 'own';
    if (running.listening) break;
    if (unit.record.phase === 'starting' && performance.now() - since >= SAID_MS)
      unit.record.message ??= `not ready yet: nothing listens on 127.0.0.1:${port}, the port it was given as PORT`;
    await sleep(soon(since), undefined, { signal });
  }
  if (running.container.readinessProbe === undefined) running.passing = true;
  judge(host, unit);
}

/** Whose socket listens on a loopback port: looked at twice before another process is blamed, since processes come and go. */
export async function holderOf(
  host: Host,
  unit: Unit,
  running: Running,
  port: number,
): Promise<'nobody' | 'own' | 'other'> {
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

/** The startup probe gates the others; readiness waits for the socket besides. */
async function watchProbes(host: Host, unit: Unit, running: Running): Promise<void> {
  const { startupProbe, readinessProbe, livenessProbe } = running.container;
  if (startupProbe !== undefined && !running.started) {
    if (!(await startedUp(host, unit, running, startupProbe))) return;
    running.started = true;
    judge(host, unit);
  }
  await Promise.all([
    readinessProbe === undefined ? undefined : watchReadiness(host, unit, running, readinessProbe),
    livenessProbe === undefined ? undefined : watchLiveness(host, unit, running, livenessProbe),
  ]);
}

const askProbe = (probe: Probe, { beside }: Running): Promise<Answer> =>
  ask(probe, beside, probe.timeoutSeconds * 1000);

/** Until so long after the start; never longer than that, whatever the clock says. */
async function delayed(unit: Unit, delayMs: number): Promise<void> {
  const left = Math.min(delayMs, unit.record.startedAt + delayMs - Date.now());
  if (left > 0) await sleep(left, undefined, { signal: unit.watching.signal });
}

/** A command costs a process each time. */
const leastPause = (probe: Probe) => ('exec' in probe ? 200 : 15);

/** Asked often, so that a success is seen early; it has failed when its periods are over: `failureThreshold × periodSeconds`. */
async function startedUp(host: Host, unit: Unit, running: Running, probe: Probe): Promise<boolean> {
  const { signal } = unit.watching;
  await delayed(unit, probe.initialDelaySeconds * 1000);
  const since = performance.now();
  const deadline = since + probe.failureThreshold * probe.periodSeconds * 1000;
  let successes = 0;
  for (;;) {
    const { pass, message } = await askProbe(probe, running);
    if (signal.aborted) return false;
    successes = pass ? successes + 1 : 0;
    if (successes >= probe.successThreshold) return true;
    if (performance.now() >= deadline) {
      await endUnit(host, unit, { message: `startup probe failed: ${message}`, crashed: false });
      return false;
    }
    const period = pass
      ? probe.periodSeconds * 1000
      : Math.min(probe.periodSeconds * 1000, soon(since, leastPause(probe)));
    await sleep(Math.min(period, Math.max(1, deadline - performance.now())), undefined, { signal });
  }
}

/** Until it has first passed it is asked often; from then on as declared, and thresholds count. */
async function watchReadiness(host: Host, unit: Unit, running: Running, probe: Probe): Promise<void> {
  const { signal } = unit.watching;
  await delayed(unit, probe.initialDelaySeconds * 1000);
  const since = performance.now();
  let streak = { pass: running.passing, count: 0 };
  for (;;) {
    const { pass, message } = await askProbe(probe, running);
    if (signal.aborted) return;
    streak = { pass, count: streak.pass === pass ? streak.count + 1 : 1 };
    if (pass !== running.passing && streak.count >= (pass ? probe.successThreshold : probe.failureThreshold)) {
      running.passing = pass;
      if (!pass) unit.record.message = `not ready: ${message}`;
      judge(host, unit);
    }
    const first = !pass && unit.record.phase === 'starting';
    if (first) unit.record.message = `not ready yet: ${message}`;
    const period = probe.periodSeconds * 1000;
    await sleep(first ? Math.min(period, soon(since, leastPause(probe))) : period, undefined, { signal });
  }
}

async function watchLiveness(host: Host, unit: Unit, running: Running, probe: Probe): Promise<void> {
  const { signal } = unit.watching;
  await delayed(unit, probe.initialDelaySeconds * 1000);
  for (let failures = 0; ; ) {
    const { pass, message } = await askProbe(probe, running);
    if (signal.aborted) return;
    failures = pass ? 0 : failures + 1;
    if (failures >= probe.failureThreshold) {
      await endUnit(host, unit, { message: `liveness probe failed: ${message}`, crashed: false });
      return;
    }
    await sleep(probe.periodSeconds * 1000, undefined, { signal });
  }
}
