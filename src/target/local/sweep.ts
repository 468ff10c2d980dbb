/** What an earlier operator left that belongs to no unit: it was killed just then, or the records were taken from under it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { forgetUnit } from '../replicas/end.ts';
import { openGroups } from './cgroup.ts';
import { unitFolder, unitsFolder } from './folders.ts';
import { findAttempts, isRunning, membersOf, sendSignal } from './processes.ts';
import { readResources, readUnitNames } from './record.ts';
import { groupsOfAny, type Host, type Unit } from './unit.ts';

const GRACE_MS = 10_000;

/** Removes what stopped units left (secrets may be in it), and begins to end processes that no record knows. */
export async function sweep(host: Host, units: Unit[]): Promise<void> {
  const { dataDir } = host;
  const known = new Map(units.map((unit) => [unit.folder, unit.record.attempt]));
  for (const resource of readResources(dataDir)) {
    for (const unit of readUnitNames(dataDir, resource)) {
      const folder = unitFolder(dataDir, resource, unit);
      if (!known.has(folder)) await forgetUnit(host.hold, folder);
    }
  }
  for (const { folder, attempt } of findAttempts(`${unitsFolder(dataDir)}/`)) {
    const own = known.get(folder);
    // Where the record was lost, whatever carries the folder belongs to the unit that is being ended.
    if (own === attempt || own === '') continue;
    host.log('processes that belong to no unit are ended', { folder, attempt });
    endStray(host, { folder, attempt }, own === undefined).catch(() => {});
  }
}

async function endStray(host: Host, name: { folder: string; attempt: string }, alone: boolean): Promise<void> {
  const { closing: signal } = host;
  // As they are now: those of an attempt that is started meanwhile are not among them. Of a unit that is there, they may be its own.
  const groups = alone ? groupsOfAny(host.groups, name.folder) : openGroups([]);
  const left = () => membersOf({ name, leaders: [], grouped: groups.members() });
  const deadline = performance.now() + GRACE_MS;
  host.guard();
  for (const mark of left()) sendSignal(mark, 'SIGTERM');
  while (left().length > 0 && performance.now() < deadline) await sleep(50, undefined, { signal });
  for (let marks = left(); marks.length > 0; marks = left().filter(isRunning)) {
    host.guard();
    for (const mark of marks) sendSignal(mark, 'SIGKILL');
    await sleep(50, undefined, { signal });
  }
  groups.remove();
}
