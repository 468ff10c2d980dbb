/** total ≤ replicas + surge; by choice available never goes below replicas − unavailable. */
import type { Kind, ResourceId } from '../../../src/manifest/resource.ts';
import type { LiveUnit } from '../../../src/plan/live.ts';
import { trafficNames } from '../../../src/plan/versions.ts';
import { choice } from '../drafts.ts';
import type { World } from '../world.ts';
import { type Checker, createSights } from './checker.ts';
import { boundsOf, createDrafted } from './drafted.ts';

const kindOf = (id: ResourceId) => id.slice(0, id.indexOf('/')) as Kind;

export const mostUnits: Checker = (report) => {
  const drafted = createDrafted();
  let world: World | undefined;
  return {
    begins(begun) {
      world = begun;
      drafted.begins(begun);
    },
    acts(_, id, action) {
      if (action.kind !== 'start') return;
      const units = world?.target.replicas.get(id)?.units ?? new Map<string, LiveUnit>();
      if (units.has(action.unit)) return;
      const total = 1 + [...units.values()].filter((unit) => unit.version === action.version).length;
      const most = Math.max(0, ...drafted.of(id).map((draft) => (draft ? boundsOf(kindOf(id), draft).most : 0)));
      if (total > most) report(`${id}: ${total} units of version "${action.version}", at most ${most} may be there`);
    },
  };
};

export const leastAvailable: Checker = (report) => {
  const drafted = createDrafted();
  const sights = createSights();
  let world: World | undefined;
  return {
    begins(begun) {
      world = begun;
      drafted.begins(begun);
    },
    observed: sights.note,
    acts(process, id, action) {
      if (action.kind !== 'stop' || world === undefined) return;
      const replicas = world.target.replicas.get(id);
      const seen = sights.of(process, id);
      const unit = replicas?.units.get(action.unit);
      if (seen === undefined || unit === undefined || unit.attempt !== action.attempt) return;
      if (!seen.complete) report(`${id}: ${action.unit} is stopped although not everything could be seen`);
      const serves = kindOf(id) === 'Workload' || trafficNames(replicas?.traffic).includes(unit.version);
      if (!serves) return;
      const drafts = drafted.of(id);
      const shortest = Math.min(
        ...drafts.map((draft) => (draft ? Number(choice(kindOf(id), draft, 'minReady')) || 0 : 0)),
      );
      // As it was seen, without what was stopped since: what died meanwhile is nobody's choice.
      const available = seen.units.filter(({ id: other, version, ready, phase, readySince = 0 }) => {
        const now = replicas?.units.get(other);
        const still = now === undefined || now.phase !== 'stopping';
        const longEnough = seen.observedAt - readySince >= shortest * 1000;
        return still && version === unit.version && ready && phase !== 'stopping' && longEnough;
      });
      const left = available.filter((other) => other.id !== action.unit).length;
      if (left === available.length) return;
      const least = Math.min(...drafts.map((draft) => (draft ? boundsOf(kindOf(id), draft).least : 0)));
      if (left < least) report(`${id}: ${action.unit} is stopped: ${left} left available, at least ${least} must be`);
    },
  };
};
