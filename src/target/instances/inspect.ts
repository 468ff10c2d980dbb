/** A look at instances from beside the operator, by their records: nothing is taken over or changed. */
import type { InstanceResource } from '../../manifest/resource.ts';
import type { Live } from '../../plan/live.ts';
import type { Plan } from '../../plan/plan.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import type { Unit } from '../replicas/unit.ts';
import type { Looking } from './ground.ts';
import { inOrder, liveInstance, type Seen, type Sight } from './instance.ts';
import { askVersion } from './node.ts';
import type { InstancesAsked } from './precheck.ts';
import type { InstanceRecord } from './record.ts';
import { verifyInstance } from './verify.ts';

export interface Inspected {
  ground: Looking;
  records: InstanceRecord[];
  /** Their processes. */
  units: Unit[];
  precheck(asked: InstancesAsked): Promise<PrecheckResult[]>;
  plan(live: Live): Plan;
  signal: AbortSignal;
}

/** Prechecks of what `plan` makes of what is there now, and what that is. */
export async function inspectRecorded(
  { spec, runnable }: InstanceResource,
  { ground, records, units: found, precheck, plan, signal }: Inspected,
): Promise<{ live: Live; results: PrecheckResult[] }> {
  const units = new Map(found.map((unit) => [unit.record.unit, unit]));
  const sight: Sight = {
    ground,
    units: { find: (_, unit) => units.get(unit), host: { closing: signal } },
    specOf: () => spec,
  };
  const instances = records.map((record): Seen => ({ record })).sort(inOrder);
  await Promise.all(instances.map((instance) => askVersion(sight, instance)));
  const live = instances.map((instance) => liveInstance(sight, instance));
  const seen: Live = { observedAt: Date.now(), complete: true, units: [], instances: live };
  const of = (unit: string) => instances.find(({ record }) => record.unit === unit);
  const results = await precheck({
    ...{ spec, runnable, plan: plan(seen), live },
    undoable: (unit, revision) => of(unit)?.record.undo[revision]?.rollback,
    async ask(unit, command) {
      const instance = of(unit);
      if (instance === undefined) return { pass: false, message: 'it is gone' };
      return verifyInstance(sight, instance, [{ command }], signal);
    },
  });
  return { live: seen, results };
}
