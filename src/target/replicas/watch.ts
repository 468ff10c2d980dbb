/** Watches the containers of a unit: whether they run, whether its sockets are its own, what its probes say. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Probe } from '../../manifest/resource.ts';
import type { Answer } from '../local/handler.ts';
import { mainPort } from '../local/ports.ts';
import { StaleEpoch } from '../ports.ts';
import { endUnit } from './end.ts';
import { addressOf, type Core, type RunningContainer, servedAt, type Unit } from './unit.ts';

/** Then it is said what a start waits for. */
const SAID_MS = 1000;

/** Until `unit.watching` is aborted. */
export function watchUnit<R extends RunningContainer>(host: Core<R>, unit: Unit<R>): void {
  const { signal } = unit.watching;
  for (const running of unit.containers) {
    const tasks = [host.runtime.watchEnd(unit, running), ...TASKS.map((task) => task(host, unit, running))];
    for (const task of tasks) {
      task.catch((error) => {
        if (signal.aborted || error instanceof StaleEpoch) return;
        void endUnit(host, unit, { message: `could not be watched: ${error.message}`, crashed: false });
      });
    }
  }
  judge(host, unit);
}

const TASKS = [watchSocket, watchProbes, watchLived];

/** Ready when every container is, and the socket that the router would send to is the unit's own. */
function judge<R extends RunningContainer>(host: Core<R>, unit: Unit<R>): void {
  if (unit.watching.signal.aborted) return;
  const { record } = unit;
  const [first] = unit.containers;
  const served = first === undefined || first.container.ports.length === 0 || first.listening;
  const ready = served && unit.containers.every(({ started, passing }) => started && passing);
  const telling = `${ready} ${servedAt(unit)}`;
  if (unit.told === telling && ready === record.ready) return;
  unit.told = telling;
  if (ready) host.runtime.gotReady?.(unit);
  if (ready !== record.ready) {
    record.ready = ready;
    delete record.readySince;
    delete record.unreadySince;
    if (!ready) record.unreadySince = Date.now();
    else {
      record.readySince = Date.now();
      record.phase = 'running';
      delete record.message;
    }
    host.note(unit);
  }
  host.changed(unit);
}

async function watchLived<R extends RunningContainer>(host: Core<R>, unit: Unit<R>, running: R): Promise<void> {
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
async function watchSocket<R extends RunningContainer>(host: Core<R>, unit: Unit<R>, running: R): Promise<void> {
  const port = mainPort(running.container, running.record.ports);
  if (port === undefined) return;
  const { signal } = unit.watching;
  const since = performance.now();
  while (!running.listening) {
    const holder = await host.runtime.holder(unit, running, port);
    if (signal.aborted) return;
    if (holder === 'other') {
      if (running.container.ports.length === 0) return;
      await endUnit(host, unit, { message: `port ${port} is held by another process`, crashed: false });
      return;
    }
    running.listening = holder === 'own';
    if (running.listening) break;
    if (unit.record.phase === 'starting' && performance.now() - since >= SAID_MS)
      unit.record.message ??= `not ready yet: nothing listens on ${addressOf(running.record)}:${port}, the port it was given as PORT`;
    await sleep(soon(since), undefined, { signal });
  }
  if (running.container.readinessProbe === undefined) running.passing = true;
  judge(host, unit);
}

/** The startup probe gates the others; readiness waits for the socket besides. */
async function watchProbes<R extends RunningContainer>(host: Core<R>, unit: Unit<R>, running: R): Promise<void> {
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

const askProbe = <R extends RunningContainer>(host: Core<R>, probe: Probe, running: R): Promise<Answer> =>
  host.runtime.ask(running, probe, probe.timeoutSeconds * 1000);

/** Until so long after the start; never longer than that, whatever the clock says. */
async function delayed(unit: Unit, delayMs: number): Promise<void> {
  const left = Math.min(delayMs, unit.record.startedAt + delayMs - Date.now());
  if (left > 0) await sleep(left, undefined, { signal: unit.watching.signal });
}

/** A command costs a process each time. */
const leastPause = (probe: Probe) => ('exec' in probe ? 200 : 15);

/** Asked often, so that a success is seen early; it has failed when its periods are over: `failureThreshold × periodSeconds`. */
async function startedUp<R extends RunningContainer>(
  host: Core<R>,
  unit: Unit<R>,
  running: R,
  probe: Probe,
): Promise<boolean> {
  const { signal } = unit.watching;
  await delayed(unit, probe.initialDelaySeconds * 1000);
  const since = performance.now();
  const deadline = since + probe.failureThreshold * probe.periodSeconds * 1000;
  let successes = 0;
  for (;;) {
    const { pass, message } = await askProbe(host, probe, running);
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
async function watchReadiness<R extends RunningContainer>(
  host: Core<R>,
  unit: Unit<R>,
  running: R,
  probe: Probe,
): Promise<void> {
  const { signal } = unit.watching;
  await delayed(unit, probe.initialDelaySeconds * 1000);
  const since = performance.now();
  let streak = { pass: running.passing, count: 0 };
  for (;;) {
    const { pass, message } = await askProbe(host, probe, running);
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

async function watchLiveness<R extends RunningContainer>(
  host: Core<R>,
  unit: Unit<R>,
  running: R,
  probe: Probe,
): Promise<void> {
  const { signal } = unit.watching;
  await delayed(unit, probe.initialDelaySeconds * 1000);
  for (let failures = 0; ; ) {
    const { pass, message } = await askProbe(host, probe, running);
    if (signal.aborted) return;
    failures = pass ? 0 : failures + 1;
    if (failures >= probe.failureThreshold) {
      await endUnit(host, unit, { message: `liveness probe failed: ${message}`, crashed: false });
      return;
    }
    await sleep(probe.periodSeconds * 1000, undefined, { signal });
  }
}
