/** What an earlier operator left: found again beyond doubt, or reported dead. */
import type { Runnable } from '../../manifest/resource.ts';
import { endUnit } from '../replicas/end.ts';
import { createUnit } from '../replicas/unit.ts';
import { watchUnit } from '../replicas/watch.ts';
import { openGroups } from './cgroup.ts';
import { describeFound } from './describe.ts';
import { unitFolder } from './folders.ts';
import { mainPort } from './ports.ts';
import { findLeaders, isRunning } from './processes.ts';
import type { FoundUnit, UnitRecord } from './record.ts';
import { holderOf, obituary } from './runtime.ts';
import { keepLogs } from './start.ts';
import { belongingOf, type Host, type Running, type Unit } from './unit.ts';

/**
 * Never throws for the sake of one unit, and waits for the end of none. A unit that is to be stopped comes back as `stopping`: the caller
 * goes on with it.
 */
export async function adoptUnit(host: Host, found: FoundUnit, boot: string): Promise<Unit> {
  const folder = unitFolder(host.dataDir, found.resource, found.unit);
  if (found.record === undefined || found.runnable === undefined) {
    const unit = damaged(found, folder, boot);
    void endUnit(host, unit, { message: `its record ${folder}/unit.json cannot be read`, crashed: true });
    return unit;
  }
  const { record } = found;
  const unit = createUnit<Running>(record, found.runnable, folder);
  const rebooted = record.boot !== boot;
  for (const { ports } of record.containers) for (const port of Object.values(ports)) host.ports.add(port);
  if (rebooted) forgetProcesses(record, boot);
  else findUnrecorded(host, unit);
  await describeFound(host, unit);
  if (record.phase === 'dead') return unit;
  keepLogs(host, unit);
  if (record.phase === 'stopping') return unit;
  const why = rebooted ? 'the machine was started again' : whyDead(unit);
  if (why !== undefined) {
    void endUnit(host, unit, { message: why, crashed: true });
    return unit;
  }
  await recheckReady(host, unit);
  watchUnit(host, unit);
  return unit;
}

/** Process ids of another boot mean nothing. */
function forgetProcesses(record: UnitRecord, boot: string): void {
  record.boot = boot;
  for (const container of record.containers) delete container.process;
}

/** Killed between a spawn and the record of it, the earlier operator left a process that only its environment names. */
function findUnrecorded(host: Host, unit: Unit): void {
  const unrecorded = unit.record.containers.filter((container) => container.process === undefined);
  if (unrecorded.length === 0) return;
  const leaders = findLeaders(belongingOf(host, unit, []).name);
  for (const container of unrecorded) {
    const mark = leaders.get(container.name);
    if (mark === undefined) continue;
    container.process = mark;
    void openGroups(container.groups).follow(mark.pid);
  }
}

/** Why the unit cannot go on as it is; undefined where it can. */
function whyDead(unit: Unit): string | undefined {
  const { runnable, containers: described } = unit;
  const { containers } = unit.record;
  const missing = containers.find((container) => container.process === undefined);
  if (missing !== undefined || containers.length < runnable.template.spec.containers.length) {
    return 'the operator was stopped before it had started this';
  }
  const ended = containers.find(({ process }) => process !== undefined && !isRunning(process));
  if (ended !== undefined) {
    const how = 'ended while no operator was watching: its exit code is unknown';
    const running = described.find(({ record }) => record === ended);
    return running === undefined ? how : obituary(unit, running, how);
  }
  const half = containers.find((container) => container.postStart === 'begun');
  if (half !== undefined) return `the operator was stopped while postStart of container ${half.name} ran`;
  const hook = runnable.template.spec.containers.find(({ lifecycle }) => lifecycle?.postStart !== undefined);
  const done = containers.find(({ name }) => name === hook?.name)?.postStart === 'done';
  return hook === undefined || done
    ? undefined
    : `the operator was stopped before postStart of container ${hook.name} ran`;
}

/**
 * What was ready stays ready when its sockets are still its own, so that no traffic is lost to a restart of the operator;
 * the probes go on from there.
 */
async function recheckReady(host: Host, unit: Unit): Promise<void> {
  const wasReady = unit.record.ready;
  for (const running of unit.containers) {
    const port = mainPort(running.container, running.record.ports);
    running.listening = port !== undefined && (await holderOf(host, unit, running, port)) === 'own';
    running.started ||= wasReady;
    running.passing = wasReady && (running.listening || running.container.ports.length === 0);
  }
  host.note(unit);
}

/** Nothing is known of it but its folder, which the processes that may run carry in their environment. */
function damaged({ resource, unit: id }: FoundUnit, folder: string, boot: string): Unit {
  const record: UnitRecord = {
    ...{ resource, unit: id, attempt: '', revision: '', version: '', restarts: 0, boot },
    ...{ phase: 'starting', containers: [], ready: false, startedAt: Date.now() },
  };
  const template = {
    metadata: { labels: {} },
    spec: { containers: [], volumes: [], terminationGracePeriodSeconds: 0 },
  };
  const runnable: Runnable = { resource, revision: '', template, configMaps: {}, images: {} };
  return createUnit<Running>(record, runnable, folder);
}
