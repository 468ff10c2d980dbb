/** A look at the instances of this machine from beside the operator, by their records: nothing is taken over or changed. */
import { hostname } from 'node:os';
import type { InstanceResource } from '../../../manifest/resource.ts';
import type { Live } from '../../../plan/live.ts';
import type { Plan } from '../../../plan/plan.ts';
import type { PrecheckResult } from '../../../rollout/state.ts';
import { instancesFolder } from '../../instances/folders.ts';
import { inspectRecorded } from '../../instances/inspect.ts';
import { seeInstances } from '../../instances/record.ts';
import { createUnit } from '../../replicas/unit.ts';
import { describeFound } from '../describe.ts';
import { unitFolder } from '../folders.ts';
import { lookingAt, openImages } from '../image.ts';
import { isRunning } from '../processes.ts';
import { readUnits } from '../record.ts';
import type { Unit } from '../unit.ts';
import type { User } from '../user.ts';
import { lookingHere } from './ground.ts';
import { type AskedHere, precheckHere } from './precheck.ts';

export interface InspectOptions {
  /** The target's. */
  dataDir: string;
  /** An absolute folder of images on this machine, in place of the config repository's. */
  imagesFolder?: string;
  user: User | undefined;
  router: AskedHere['router'];
}

/** Prechecks of what `plan` makes of what is there now, and what that is. */
export async function inspectInstances(
  resource: InstanceResource,
  { dataDir, imagesFolder, user, router }: InspectOptions,
  plan: (live: Live) => Plan,
  signal: AbortSignal,
): Promise<{ live: Live; results: PrecheckResult[] }> {
  const { id } = resource;
  const root = instancesFolder(dataDir);
  const writesNothing = () => Promise.reject(new Error('a check writes no image'));
  const images = openImages(lookingAt(root), { materialize: writesNothing }, imagesFolder);
  const secrets = { read: async () => undefined };
  const found = readUnits(root, id).flatMap(({ record, runnable }) =>
    record && runnable ? [asItIs(createUnit(record, runnable, unitFolder(root, id, record.unit)))] : [],
  );
  for (const unit of found) await describeFound({ dataDir: root, hostname: hostname(), user, images, secrets }, unit);
  const ports = new Set(found.flatMap((unit) => unit.record.containers.flatMap(({ ports }) => Object.values(ports))));
  return inspectRecorded(resource, {
    ...{ ground: lookingHere(root, user), records: seeInstances(root, id), units: found, plan, signal },
    precheck: (asked) => precheckHere({ ...asked, host: { dataDir: root, user, ports, images }, router }),
  });
}

/** A record says what was so when the operator wrote it last. */
function asItIs(unit: Unit): Unit {
  const { record } = unit;
  const ended = record.containers.some(({ process }) => process !== undefined && !isRunning(process));
  if (ended && record.phase === 'running')
    Object.assign(record, { phase: 'dead', ready: false, message: 'its process is gone' });
  return unit;
}
