/** A look at the instances of this machine from beside the operator, by their records: nothing is taken over or changed. */
import { hostname } from 'node:os';
import type { InstanceResource } from '../../../manifest/resource.ts';
import type { Live } from '../../../plan/live.ts';
import type { Plan } from '../../../plan/plan.ts';
import type { PrecheckResult } from '../../../rollout/state.ts';
import { createUnit } from '../../replicas/unit.ts';
import { describeFound } from '../describe.ts';
import { unitFolder } from '../folders.ts';
import { lookingAt, openImages } from '../image.ts';
import { isRunning } from '../processes.ts';
import { readUnits } from '../record.ts';
import type { Unit } from '../unit.ts';
import type { User } from '../user.ts';
import { instancesFolder } from './folders.ts';
import { type Instance, inOrder, liveInstance, type Sight } from './instance.ts';
import { askVersion } from './node.ts';
import { type InstancesAsked, precheckInstances } from './precheck.ts';
import { seeInstances } from './record.ts';
import { placeOf } from './scripts.ts';
import { verifyInstance } from './verify.ts';

export interface InspectOptions {
  /** The target's. */
  dataDir: string;
  /** An absolute folder of images on this machine, in place of the config repository's. */
  imagesFolder?: string;
  user: User | undefined;
  router: InstancesAsked['router'];
}

/** Below any that an operator holds: whatever would act is refused. */
const NO_EPOCH = 0;

/** Prechecks of what `plan` makes of what is there now, and what that is. */
export async function inspectInstances(
  { id, spec, runnable }: InstanceResource,
  { dataDir, imagesFolder, user, router }: InspectOptions,
  plan: (live: Live) => Plan,
  signal: AbortSignal,
): Promise<{ live: Live; results: PrecheckResult[] }> {
  const root = instancesFolder(dataDir);
  const writesNothing = () => Promise.reject(new Error('a check writes no image'));
  const images = openImages(lookingAt(root), { materialize: writesNothing }, imagesFolder);
  const secrets = { read: async () => undefined };
  const found = readUnits(root, id).flatMap(({ record, runnable }) =>
    record && runnable ? [asItIs(createUnit(record, runnable, unitFolder(root, id, record.unit)))] : [],
  );
  for (const unit of found) await describeFound({ dataDir: root, hostname: hostname(), user, images, secrets }, unit);
  const units = new Map(found.map((unit) => [unit.record.unit, unit]));
  const sight: Sight = {
    root,
    units: { find: (_, unit) => units.get(unit), host: { user, closing: signal } },
    specOf: () => spec,
  };
  const instances = seeInstances(root, id)
    .map((record): Instance => ({ record, place: placeOf(sight, record, { epoch: NO_EPOCH, cwd: root }) }))
    .sort(inOrder);
  await Promise.all(instances.map((instance) => askVersion(sight, instance)));
  const live = instances.map((instance) => liveInstance(sight, instance));
  const seen: Live = { observedAt: Date.now(), complete: true, units: [], instances: live };
  const of = (unit: string) => instances.find(({ record }) => record.unit === unit);
  const ports = new Set(found.flatMap((unit) => unit.record.containers.flatMap(({ ports }) => Object.values(ports))));
  const results = await precheckInstances({
    ...{ host: { dataDir: root, user, ports, images }, router, spec, runnable, plan: plan(seen), live },
    undoable: (unit, revision) => of(unit)?.record.undo[revision]?.rollback,
    async ask(unit, command) {
      const instance = of(unit);
      if (instance === undefined) return { pass: false, message: 'it is gone' };
      return verifyInstance(sight, instance, [{ command }], signal);
    },
  });
  return { live: seen, results };
}

/** A record says what was so when the operator wrote it last. */
function asItIs(unit: Unit): Unit {
  const { record } = unit;
  const ended = record.containers.some(({ process }) => process !== undefined && !isRunning(process));
  if (ended && record.phase === 'running')
    Object.assign(record, { phase: 'dead', ready: false, message: 'its process is gone' });
  return unit;
}
