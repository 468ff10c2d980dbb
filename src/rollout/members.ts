/** Holds a fleet or a cluster to its size, its instances to their health, and what goes on by itself to what is allowed now. */
import type { FleetSpec, InstanceSpec, ScalingProcess } from '../manifest/resource.ts';
import type { Instant, Live, LiveInstance } from '../plan/live.ts';
import type { MembersGoal } from '../plan/plan.ts';
import type { Action } from './decision.ts';
import { type Gap, restartDelay } from './gap.ts';
import { earliest } from './times.ts';

export interface MembersOptions {
  name: string;
  now: Instant;
  /** A rollout is under way: what `suspend` names is held as well; of a cluster, whatever would come or go. */
  rolling: boolean;
  /** The goal is that of a stage: what is missing is created, whatever is held. */
  asked: boolean;
  /** Units that a rollout is at work on: they are left to it. */
  busy: ReadonlySet<string>;
}

export function closeMembers(
  spec: InstanceSpec,
  goal: MembersGoal | undefined,
  live: Live,
  options: MembersOptions,
): Gap {
  if (!live.complete) return { actions: [] };
  const held = spec.kind === 'Fleet' ? heldNow(spec, options.rolling) : clusterHeld(options.rolling);
  const gap: Gap = { actions: spec.kind === 'Fleet' ? suspension(held, live.suspended) : [] };
  if (!options.rolling) gap.actions.push(...backInService(live));
  if (goal === undefined) return gap;
  const mayCreate = options.asked || !held.includes('scaleOut');
  gap.actions.push(...(mayCreate ? create(goal, live, options) : []));
  gap.actions.push(...(held.includes('scaleIn') ? [] : removeSurplus(goal, live)));
  return held.includes('healthCheck') ? gap : heal(gap, live, options);
}

export function heldNow({ suspend, suspended }: FleetSpec, rolling: boolean): ScalingProcess[] {
  return [...new Set([...suspended, ...(rolling ? suspend : [])])].sort();
}

const clusterHeld = (rolling: boolean): ScalingProcess[] => (rolling ? ['scaleIn', 'scaleOut'] : []);

/** What a rollout left out because it did not answer, and does by now. Nobody else takes out what the target created. */
const backInService = ({ instances = [] }: Live): Action[] =>
  instances
    .filter(({ created, ready, service }) => created && ready && service === 'out')
    .map(({ id }) => ({ kind: 'putBack', unit: id, cordoned: false }));

/** A target that has no such processes tells of none. */
function suspension(held: ScalingProcess[], seen: ScalingProcess[] | undefined): Action[] {
  if (seen === undefined || [...seen].sort().join() === held.join()) return [];
  return [{ kind: 'suspend', processes: held }];
}

/** Instances that are counted together, and named alike: `web-1` …; of a cluster `prod-cp-1` … and `prod-node-1` … */
interface Group {
  prefix: string;
  size: number;
  there: LiveInstance[];
}

function groupsOf({ size = 0, controlPlane }: MembersGoal, instances: LiveInstance[], name: string): Group[] {
  if (controlPlane === undefined) return [{ prefix: name, size, there: instances }];
  const of = (masters: boolean) => instances.filter((instance) => instance.controlPlane === masters);
  return [
    { prefix: `${name}-cp`, size: controlPlane, there: of(true) },
    { prefix: `${name}-node`, size: size - controlPlane, there: of(false) },
  ];
}

/** The lowest numbers that are free. Nodes wait for their control plane. */
function create(goal: MembersGoal, { instances = [] }: Live, { name, now }: MembersOptions): Action[] {
  const actions: Action[] = [];
  for (const { prefix, size, there } of groupsOf(goal, instances, name)) {
    const taken = new Set(there.map(({ id }) => id));
    for (let slot = 1; taken.size < size; slot++) {
      const unit = `${prefix}-${slot}`;
      if (taken.has(unit)) continue;
      taken.add(unit);
      const { revision } = goal;
      actions.push({ kind: 'create', unit, revision, attempt: `${unit}.${now.toString(36)}` });
    }
    if (actions.length > 0 || there.some(({ ready }) => !ready)) break;
  }
  return actions;
}

/** The highest numbers go first; of a cluster, one at a time. */
function removeSurplus(goal: MembersGoal, { instances = [] }: Live): Action[] {
  if (goal.size === undefined) return [];
  const surplus = groupsOf(goal, instances, '').flatMap(({ size, there }) => {
    const created = there.filter((instance) => instance.created).sort((a, b) => slotOf(b) - slotOf(a));
    return created.slice(0, Math.max(0, there.length - size));
  });
  const now = goal.controlPlane === undefined ? surplus : surplus.slice(0, 1);
  return now.map(({ id }) => ({ kind: 'remove', unit: id }));
}

const slotOf = ({ id }: LiveInstance): number => Number(id.slice(id.lastIndexOf('-') + 1));

/** What died is started again, after a delay that grows with each start that did not last. */
function heal(gap: Gap, { instances = [] }: Live, { now, busy }: MembersOptions): Gap {
  const wakes = [gap.wakeAt];
  const actions = [...gap.actions];
  for (const { id, created, diedAt, restarts } of instances) {
    if (!created || diedAt === undefined || busy.has(id)) continue;
    const dueAt = diedAt + restartDelay(restarts);
    if (dueAt > now) wakes.push(dueAt);
    else actions.push({ kind: 'heal', unit: id, attempt: `${id}.${now.toString(36)}` });
  }
  const wakeAt = earliest(wakes);
  return { actions, ...(wakeAt !== undefined && { wakeAt }) };
}
