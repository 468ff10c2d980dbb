/** A rollback touches only what was updated; what fails its prechecks is never begun. */
import type { ResourceId, Revision } from '../../../src/manifest/resource.ts';
import { choice } from '../drafts.ts';
import type { World } from '../world.ts';
import type { Checker } from './checker.ts';
import { createDrafted } from './drafted.ts';

export const rollbackTouches: Checker = (report) => {
  let world: World | undefined;
  return {
    begins(begun) {
      world = begun;
    },
    acts(_, id, action) {
      const told = world?.published.get(id);
      const rollout = told?.rollout;
      if (world === undefined || rollout?.phase !== 'RollingBack') return;
      if (action.kind === 'takeOut' || action.kind === 'update') {
        const machine = world.target.machines.get(id)?.all.get(action.unit);
        const record = rollout.units?.records[rollout.units.ids.indexOf(action.unit)];
        const begunOn = machine?.attempt?.id === action.attempt || machine?.applied.at(-1) === rollout.to;
        // What was being taken out when it turned goes on to where it was going.
        // Of one that is not there any more nothing is known, and nothing comes of it.
        if (machine !== undefined && !begunOn && rollout.back === true && record?.state !== 'TakingOut')
          report(`${id}: ${action.unit} was not updated, and the way back does ${action.kind}`);
      }
      if (action.kind !== 'stop') return;
      const units = [...(world.target.replicas.get(id)?.units.values() ?? [])];
      const unit = units.find((one) => one.id === action.unit);
      if (unit === undefined || unit.revision === rollout.to || unit.phase === 'dead') return;
      const goals = told?.settled.goals.flatMap((goal) => ('replicas' in goal ? [goal.replicas] : [])) ?? [];
      const goal = goals.find(({ version = '' }) => version === unit.version);
      const want = goal?.want[unit.revision] ?? 0;
      const same = units.filter(
        (one) => one.version === unit.version && one.revision === unit.revision && one.phase !== 'stopping',
      );
      if (same.length <= want) report(`${id}: the way back stops ${unit.id}, which runs what is gone back to`);
    },
  };
};

/** As answered: a revision is begun only once its prechecks have passed, and not after they failed. */
export const prechecksFirst: Checker = (report) => {
  const passed = new Map<ResourceId, Map<Revision, boolean>>();
  return {
    prechecked(id, revision, results) {
      const own = passed.get(id) ?? new Map<Revision, boolean>();
      const good = results.every(({ result }) => result !== 'fail');
      passed.set(id, own.set(revision, good || own.get(revision) === true));
    },
    acts(_, id, action) {
      const revision =
        action.kind === 'update'
          ? action.change.to
          : action.kind === 'start' || action.kind === 'create'
            ? action.revision
            : undefined;
      if (revision === undefined || passed.get(id)?.get(revision) === true) return;
      report(`${id}: ${action.kind} of ${revision}, whose prechecks never passed`);
    },
  };
};

/** Nothing of a resource goes because its manifest cannot be read, or because many were deleted and nobody confirmed it. */
export const neverByMistake: Checker = (report) => {
  const drafted = createDrafted();
  let world: World | undefined;
  return {
    begins(begun) {
      world = begun;
      drafted.begins(begun);
    },
    acts(_, id, action) {
      const takesAway = action.kind === 'forget' || (action.kind === 'route' && action.policy === undefined);
      if (!takesAway || world === undefined) return;
      const toNothing = drafted.of(id).some((draft) => draft && choice('Workload', draft, 'replicas') === '0');
      if (action.kind === 'route' && id.startsWith('Workload/') && toNothing) return;
      const why = world.config.deletion(id);
      if (why === 'present') report(`${id}: ${action.kind}, and its manifest was never deleted`);
      if (why === 'unconfirmed') report(`${id}: ${action.kind}, and nobody confirmed that it goes`);
    },
  };
};
