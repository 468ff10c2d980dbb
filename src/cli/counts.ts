/** What the router of this machine has counted: measured here and now, and no part of the committed status. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { StatusDocument } from '../status/document.ts';
import { readStats } from '../target/local/router/client.ts';
import type { RouterStats, VersionCounts } from '../target/local/router/config.ts';
import { RouterError } from '../target/local/router/wire.ts';
import { noteOnce } from './print.ts';

/** Absent for a workload, which has no versions. */
export type Counts = VersionCounts & { version?: string };

/** `router` is beside what the status branch holds; absent: no router answers here, or it does not know the resource. */
export type Measured = StatusDocument & { router?: Counts[] };

export async function measured(documents: StatusDocument[], dataDir: string): Promise<Measured[]> {
  const stats = await statsOf(dataDir);
  return documents.map((document) => {
    const versions = stats.versions[document.resource];
    return versions === undefined ? document : { ...document, router: Object.entries(versions).map(named) };
  });
}

const named = ([version, counts]: [string, VersionCounts]): Counts =>
  version === '' ? counts : { version, ...counts };

/** That of the operator, and those that targets have of their own. */
async function statsOf(dataDir: string): Promise<Pick<RouterStats, 'versions'>> {
  const targets = await readdir(join(dataDir, 'targets')).catch(() => []);
  const folders = [dataDir, ...targets.map((name) => join(dataDir, 'targets', name))];
  const all = await Promise.all(folders.map(countedBy));
  return { versions: Object.assign({}, ...all.map((stats) => stats?.versions)) };
}

/** A router that does not answer is told once, and keeps nobody from the status. */
async function countedBy(folder: string): Promise<RouterStats | undefined> {
  try {
    return await readStats(folder);
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    noteOnce(`no counts: ${error.message}`);
    return undefined;
  }
}
