/** Units go on writing while no operator runs: until one is back, the router keeps their log files within their sizes. */

import { instancesFolder } from '../../instances/folders.ts';
import { unitFolder } from '../folders.ts';
import { type Capped, keepWithin, logFilesOf } from '../logs.ts';
import { readResources, readUnits } from '../record.ts';

export interface LogKeeper {
  /** From now on, of all units below the data folders of these targets. */
  keep(dataDirs: readonly string[]): void;
  letGo(): void;
}

export function createLogKeeper(log: (message: string) => void): LogKeeper {
  let ends: (() => void)[] = [];
  const letGo = () => {
    for (const end of ends.splice(0)) end();
  };
  return {
    keep(dataDirs) {
      letGo();
      // No unit comes or goes without an operator: those that are there now are all.
      ends = dataDirs
        .flatMap(logFilesBelow)
        .map((files) => keepWithin(files, ({ message }) => log(`a log cannot be cut back: ${message}`)));
    },
    letGo,
  };
}

/** The log files of each unit of a target, by unit. */
function logFilesBelow(dataDir: string): Capped[][] {
  return [dataDir, instancesFolder(dataDir)].flatMap((root) =>
    readResources(root).flatMap((resource) =>
      readUnits(root, resource).map(({ unit, runnable }) =>
        (runnable?.template.spec.containers ?? []).flatMap((container) =>
          logFilesOf(unitFolder(root, resource, unit), container),
        ),
      ),
    ),
  );
}
