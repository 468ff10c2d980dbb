/** HAProxys of targets that are not declared any more: each is ended once nothing of any resource is on its target. */
import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { ResourceId } from '../manifest/resource.ts';
import { endMaster, findMaster } from '../target/haproxy/router/process.ts';
import { instancesFolder } from '../target/instances/folders.ts';
import { readResourceRecords } from '../target/instances/record.ts';
import { readResources } from '../target/local/record.ts';
import { routerDirectory } from '../target/local/router/launch.ts';
import { type Connection, dial } from '../target/local/router/wire.ts';
import type { Log } from './options.ts';

/** How long one whose keeper has died goes on with what it serves. */
const LINGER_MS = 5000;

/** A HAProxy that runs, with its keeper where that is alive. */
interface Left {
  keeper: Connection | undefined;
  end(): Promise<void>;
}

export interface Retiring {
  /** One folder for each target that ever had something here. */
  targetsFolder: string;
  epoch: number;
  log: Log;
  isGone(name: string): boolean;
  /** What an open driver has found on it. */
  found(name: string): Promise<ResourceId[]>;
  /** Lets go of it, so that nobody starts its HAProxy again. */
  release(name: string): Promise<void>;
}

/** Told once by each operator. */
export type Kept = Set<string>;

export async function retireRouters(retiring: Retiring, kept: Kept): Promise<void> {
  const { targetsFolder, log, isGone } = retiring;
  const names = await readdir(targetsFolder).catch((): string[] => []);
  for (const name of names.filter(isGone)) {
    await retire(retiring, name, kept).catch((error: Error) =>
      log('warn', `target ${name} is not declared any more, and its HAProxy could not be ended: ${error.message}`),
    );
  }
}

async function retire(retiring: Retiring, name: string, kept: Kept): Promise<void> {
  const { targetsFolder, epoch, log } = retiring;
  const folder = join(targetsFolder, name);
  const left = await leftIn(routerDirectory(folder));
  if (left === undefined) return;
  try {
    // Throws where a later operator has it.
    await left.keeper?.call('operate', epoch);
    const routed = Object.keys((await left.keeper?.call('observe', null))?.routes ?? {});
    const there = new Set([...routed, ...(await retiring.found(name)), ...recordedIn(folder)]);
    if (there.size > 0) {
      if (!kept.has(name))
        log(
          'warn',
          `target ${name} is not declared any more, but its HAProxy goes on: ${[...there].join(', ')} is there; delete that, or declare the target again`,
        );
      kept.add(name);
      return;
    }
    await retiring.release(name);
    await left.end();
    log('info', `target ${name} is not declared any more and nothing is on it: its HAProxy was ended`);
  } finally {
    left.keeper?.close();
  }
}

async function leftIn(directory: string): Promise<Left | undefined> {
  const keeper = await dial(directory);
  if (keeper !== undefined)
    return {
      keeper,
      async end() {
        await keeper.call('stop', null);
        await keeper.closed;
      },
    };
  const master = await realpath(directory).then(findMaster, () => undefined);
  return master && { keeper, end: () => endMaster(master, async () => true, LINGER_MS) };
}

function recordedIn(folder: string): ResourceId[] {
  const root = instancesFolder(folder);
  return [...readResources(folder), ...readResources(root), ...readResourceRecords(root).keys()];
}
