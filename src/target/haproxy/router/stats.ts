/** What HAProxy has counted, and has under way, over all its workers. */
import type { ResourceId } from '../../../manifest/resource.ts';
import type { Route, RouterConfig, RouterStats, VersionCounts } from '../../local/router/config.ts';
import { readTable } from '../runtime.ts';
import { keyOf, unitOf } from './picture.ts';
import { askWorker, workersOf } from './process.ts';
import { countsIn, type Worker } from './worker.ts';

type Table = Map<string, Record<string, string>>;

/** Backends and servers. */
const QUESTION = 'show stat -1 6 -1';

export async function statsOf(worker: Worker, routes: RouterConfig['routes']): Promise<RouterStats> {
  const { current, old } = await workersOf(worker.master);
  const tables = await Promise.all(
    [current, ...old].map(async (pid) => readTable(await askWorker(worker.master, pid, QUESTION))),
  );
  const [now] = tables;
  if (now === undefined || now.size === 0) throw new Error('HAProxy does not say what it has under way');
  return { versions: versionsIn(now, worker, routes), active: activeIn(tables) };
}

function activeIn(tables: Table[]): Record<string, number> {
  const active: Record<string, number> = {};
  for (const { svname = '', scur, qcur } of tables.flatMap((table) => [...table.values()])) {
    const count = Number(scur) + Number(qcur);
    const unit = unitOf(svname);
    if (unit !== '' && count > 0) active[unit] = (active[unit] ?? 0) + count;
  }
  return active;
}

/** HAProxy keeps no distribution of times. */
const NO_LATENCY = { p50: 0, p99: 0 };

function versionsIn(table: Table, { slots, before }: Worker, routes: RouterConfig['routes']): RouterStats['versions'] {
  const counted = (resource: ResourceId, version: string): [string, VersionCounts][] => {
    const slot = slots.get(keyOf(resource, version));
    if (slot === undefined) return [];
    const now = countsIn(table, slot);
    const { requests, errors } = before.get(slot) ?? { requests: 0, errors: 0 };
    return [[version, { requests: now.requests - requests, errors: now.errors - errors, latency: NO_LATENCY }]];
  };
  return Object.fromEntries(
    (Object.entries(routes) as [ResourceId, Route][]).map(([resource, { versions }]) => [
      resource,
      Object.fromEntries(Object.keys(versions).flatMap((version) => counted(resource, version))),
    ]),
  );
}
