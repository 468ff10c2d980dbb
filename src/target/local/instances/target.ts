/** Fleets and clusters of a local target: instances that are folders with a process each. */

import { instancesFolder } from '../../instances/folders.ts';
import { openInstances } from '../../instances/target.ts';
import type { UnitDriver } from '../../ports.ts';
import type { LocalTargetOptions } from '../target.ts';
import { openUnits } from '../units.ts';
import { openGround } from './ground.ts';
import { precheckHere } from './precheck.ts';

export type LocalInstancesOptions = Omit<LocalTargetOptions, 'secrets'>;

/** Finds again what runs there, takes it over for `epoch`, and goes on with everything that was begun. */
export async function openLocalInstances({ log = () => {}, ...options }: LocalInstancesOptions): Promise<UnitDriver> {
  const root = instancesFolder(options.dataDir);
  const { epoch, router } = options;
  return openInstances({
    ...{ root, log },
    openUnits: (those) => openUnits({ ...options, ...those }),
    ground: ({ host }) => openGround(root, host, epoch),
    precheck: (asked, { host }) => precheckHere({ ...asked, host, router }),
  });
}
