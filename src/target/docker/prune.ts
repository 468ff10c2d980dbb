/** Takes images of earlier revisions away after each change of what runs; as many as the manifest keeps stay. */
import type { ResourceId, Revision } from '../../manifest/resource.ts';
import type { Action } from '../../rollout/decision.ts';
import type { UnitDriver } from '../ports.ts';
import { saidBy } from './engine.ts';
import type { Engine } from './open.ts';

export interface Pruning {
  /** The act with which an earlier revision may have gone. */
  after: Action['kind'];
  /** The revisions that must stay, of which `limit` are kept besides what runs. */
  needed(resource: ResourceId, limit: number): Set<Revision> | Promise<Set<Revision>>;
}

export function withPruning(driver: UnitDriver, { images, log }: Engine, { after, needed }: Pruning): UnitDriver {
  const limits = new Map<ResourceId, number>();
  const prune = async (resource: ResourceId) => {
    const limit = limits.get(resource) ?? Number.POSITIVE_INFINITY;
    await images.prune(resource, await needed(resource, limit), limit);
  };
  return {
    ...driver,
    async declare(resource, spec, frozen) {
      limits.set(resource, spec.revisionHistoryLimit);
      await driver.declare(resource, spec, frozen);
    },
    async start(resource, action, runnable, signal) {
      await driver.start(resource, action, runnable, signal);
      if (action.kind === 'forget') limits.delete(resource);
      if (action.kind !== after) return;
      prune(resource).catch((error: Error) => {
        log('images of earlier revisions cannot be removed', { resource, message: saidBy(error) });
      });
    },
  };
}
