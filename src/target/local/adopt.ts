import { damagedUnit, halfBegun, recheckReady } from '../replicas/adopt.ts';
import { endUnit } from '../replicas/end.ts';
import { createUnit } from '../replicas/unit.ts';
import { watchUnit } from '../replicas/watch.ts';
import { openGroups } from './cgroup.ts';
import { describeFound } from './describe.ts';
import { unitFolder } from './folders.ts';
import { findLeaders, isRunning } from './processes.ts';
import type { FoundUnit, UnitRecord } from './record.ts';
import { obituary } from './runtime.ts';
import { keepLogs } from './start.ts';
import { belongingOf, type Host, type Running, type Unit } from './unit.ts';

/**
 * Never throws for the sake of one unit, and waits for the end of none. A unit that is to be stopped comes back as `stopping`: the caller
 * goes on with it.
 */
export async function adoptUnit(host: Host, found: FoundUnit, boot: string): Promise<Unit> {
  const folder = unitFolder(host.dataDir, found.resource, found.unit);
  if (found.record === undefined || found.runnable === undefined) {
    // The processes that may run carry its folder in their environment.
    const unit = damagedUnit<Running>(found, folder, boot);
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
  if (why !== undefined || record.condemned !== undefined) {
    void endUnit(host, unit, { message: record.condemned ?? why ?? '', crashed: why !== undefined });
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
  return halfBegun(unit);
}
