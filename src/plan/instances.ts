/** Rollouts of fleets and clusters: which units, in which batches, and what is done to each. */
import type { ClusterSpec, FleetSpec, Revision } from '../manifest/resource.ts';
import { doublingBatches, equalBatches, grouped } from './batches.ts';
import type { LiveInstance } from './live.ts';
import type { Gate, MembersGoal, Stage, UnitChange } from './plan.ts';

/**
 * What brings a unit from what was applied to it to `to`. Below the top: what is above is undone, top first; anything else
 * is run. Undefined: it is there already.
 *
 *   applied A, B, C; to A → undo C, B;   applied A, B; to C → run C;   applied A; to A → nothing
 */
export function changeTo(applied: Revision[], to: Revision): UnitChange | undefined {
  if (applied.at(-1) === to) return undefined;
  const at = applied.lastIndexOf(to);
  return { to, undo: at < 0 ? [] : applied.slice(at + 1).reverse() };
}

/** A run that ended badly, or of which nothing tells how it ended, brought the unit nowhere, though its revision is on top. */
function changeOf({ applied, attempt }: LiveInstance, to: Revision): UnitChange | undefined {
  const inVain = attempt?.state === 'failed' || attempt?.state === 'unknown';
  return changeTo(applied, to) ?? (inVain ? { to, undo: [] } : undefined);
}

/**
 * Whether a fleet's rollout comes to it. One that does not answer is passed over; but what the target created, and another revision was
 * brought to since, may be down because of that: a revert, or a fix, brings it up.
 */
export const isTaken = ({ ready, created, applied }: LiveInstance): boolean => ready || (created && applied.length > 1);

/** Fleets: the instances in service that differ, in equal batches, larger first; what is missing of `size` is created first. */
export function fleetStages(spec: FleetSpec, revision: Revision, instances: LiveInstance[]): Stage[] {
  const stages: Stage[] = [];
  if ('size' in spec.members && instances.length < spec.members.size) {
    stages.push({ name: 'create', goal: { kind: 'members', size: spec.members.size, revision }, gates: [] });
  }
  const units = instances.filter((instance) => isTaken(instance) && changeOf(instance, revision) !== undefined);
  return [...stages, ...batchStages(units, equalBatches(units.length, spec.batches), revision, spec.pause)];
}

/** Back over what was touched, in as many batches, with the same pauses. */
export function fleetStagesBack(spec: FleetSpec, touched: string[], undo: UnitChange): Stage[] {
  const groups = grouped(touched, equalBatches(touched.length, spec.batches));
  return groups.map((group, index) => unitsStage(group, index, groups.length, spec.pause, () => undo));
}

/** Clusters: each node of the control plane alone, then the others in doubling batches. */
export function clusterStages(spec: ClusterSpec, revision: Revision, instances: LiveInstance[]): Stage[] {
  const differing = instances.filter((instance) => changeOf(instance, revision) !== undefined);
  const masters = differing.filter((instance) => instance.controlPlane);
  const nodes = differing.filter((instance) => !instance.controlPlane);
  const all = instances.filter((instance) => !instance.controlPlane).length;
  const count = instances.length - all;
  const done = count - masters.length;
  const first = masters.map((node, index) => masterStage(node.id, done + index, count, changeOf(node, revision)));
  const sizes = doublingBatches(all, spec.upgrade.maxBatchPercent, nodes.length);
  const stages = [...first, ...batchStages(nodes, sizes, revision, 'never')];
  const goal = clusterMembers(spec, revision);
  // At last, since a node is never newer than the control plane.
  return instances.length < (goal.size ?? 0) ? [...stages, { name: 'create', goal, gates: [] }] : stages;
}

/** Of a target that creates them, all nodes are counted. */
export function clusterMembers({ create }: ClusterSpec, revision: Revision): MembersGoal {
  const count = create && { size: create.controlPlane + create.nodes, controlPlane: create.controlPlane };
  return { kind: 'members', ...count, revision };
}

type Want = Record<string, UnitChange>;

/** The batches that were begun, with the pauses that are declared now, and what is left in the batches that are left. */
export function fleetStagesAnew(spec: FleetSpec, left: Want, kept: Stage[]): Stage[] {
  const ids = Object.keys(left);
  const batches = kept.filter(({ goal }) => goal.kind === 'units').length;
  const groups = grouped(ids, equalBatches(ids.length, Math.max(1, spec.batches - batches)));
  const of = batches + groups.length;
  let index = 0;
  const again = kept.map((stage) => {
    if (stage.goal.kind !== 'units') return stage;
    const gates = pausesAfter(index++, of, spec.pause);
    return { ...stage, gates };
  });
  return [...again, ...groups.map((group, at) => unitsStage(group, batches + at, of, spec.pause, (id) => left[id]))];
}

/** What is left of a cluster, its nodes beginning at 1 again. */
export function clusterStagesLeft(spec: ClusterSpec, left: Want, kept: Stage[], instances: LiveInstance[]): Stage[] {
  const masters = new Set(instances.filter(({ controlPlane }) => controlPlane).map(({ id }) => id));
  const names = Object.keys(left);
  const first = names.filter((id) => masters.has(id));
  const nodes = names.filter((id) => !masters.has(id));
  const sizes = doublingBatches(instances.length - masters.size, spec.upgrade.maxBatchPercent, nodes.length);
  const done = kept.filter(({ goal, name }) => goal.kind === 'units' && name.startsWith('batch')).length;
  const groups = grouped(nodes, sizes);
  return [
    ...first.map((id, index) => masterStage(id, masters.size - first.length + index, masters.size, left[id])),
    ...groups.map((group, index) => unitsStage(group, done + index, done + groups.length, 'never', (id) => left[id])),
  ];
}

function masterStage(id: string, index: number, of: number, change: UnitChange | undefined): Stage {
  return {
    ...unitsStage([id], 0, 1, 'never', () => change),
    name: `control plane ${index + 1} of ${of}: ${id}`,
  };
}

function batchStages(units: LiveInstance[], sizes: number[], revision: Revision, pause: FleetSpec['pause']): Stage[] {
  const changes = new Map(units.map((unit) => [unit.id, changeOf(unit, revision)]));
  const groups = grouped([...changes.keys()], sizes);
  return groups.map((group, index) => unitsStage(group, index, groups.length, pause, (id) => changes.get(id)));
}

function unitsStage(
  group: string[],
  index: number,
  of: number,
  pause: FleetSpec['pause'],
  change: (id: string) => UnitChange | undefined,
): Stage {
  const gates = pausesAfter(index, of, pause);
  const want = Object.fromEntries(
    group.flatMap((id) => {
      const wanted = change(id);
      return wanted === undefined ? [] : [[id, wanted]];
    }),
  );
  return { name: `batch ${index + 1} of ${of}`, goal: { kind: 'units', want, maxInFlight: group.length }, gates };
}

/** There is nothing to wait for after the last batch. */
function pausesAfter(index: number, of: number, pause: FleetSpec['pause']): Gate[] {
  const pauses = index < of - 1 && (pause === 'everyBatch' || (pause === 'firstBatch' && index === 0));
  return pauses ? [{ kind: 'pause' }] : [];
}
