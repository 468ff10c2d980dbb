/** No traffic to what is not ready; nothing is stopped or updated before it has lost its traffic. */
import { trafficNames } from '../../../src/plan/versions.ts';
import type { World } from '../world.ts';
import { type Checker, createSights } from './checker.ts';

export const trafficToReady: Checker = (report) => {
  const sights = createSights();
  return {
    observed: sights.note,
    acts(process, id, action) {
      if (action.kind !== 'route') return;
      const seen = sights.of(process, id);
      for (const version of trafficNames(action.policy)) {
        const ready = seen?.units.some((unit) => unit.version === version && unit.ready && unit.phase !== 'stopping');
        if (ready !== true) report(`${id}: traffic goes to "${version}", of which nothing was seen ready`);
      }
    },
  };
};

export const trafficFirst: Checker = (report) => {
  let world: World | undefined;
  const sights = createSights();
  return {
    observed: sights.note,
    begins(begun) {
      world = begun;
    },
    acts(process, id, action) {
      if (action.kind === 'update') {
        const machine = world?.target.machines.get(id)?.all.get(action.unit);
        if (machine !== undefined && machine.attempt?.id !== action.attempt && machine.service !== 'out')
          report(`${id}: ${action.unit} is updated while it is ${machine.service}`);
      }
      if (action.kind !== 'stop' || id.startsWith('Workload/')) return;
      const replicas = world?.target.replicas.get(id);
      const unit = replicas?.units.get(action.unit);
      if (replicas === undefined || unit === undefined || !unit.ready || unit.phase === 'stopping') return;
      // As they were seen: one may die between the look and the act.
      const others = (sights.of(process, id)?.units ?? []).filter(
        (other) => other.id !== unit.id && other.version === unit.version && other.ready && other.phase !== 'stopping',
      );
      const wanted = trafficNames(replicas.traffic).includes(unit.version);
      if (wanted && others.length === 0)
        report(`${id}: ${action.unit}, the last of "${unit.version}", still has traffic`);
    },
  };
};
