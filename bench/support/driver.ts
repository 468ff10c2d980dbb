/** A target without processes: what is started is ready at once. For benchmarks of everything but the target. */
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { Live, LiveUnit, TrafficPolicy } from '../../src/plan/live.ts';
import type { UnitDriver } from '../../src/target/ports.ts';

export function createMemoryDriver(): UnitDriver {
  const units = new Map<ResourceId, Map<string, LiveUnit>>();
  const traffic = new Map<ResourceId, TrafficPolicy>();

  function live(id: ResourceId): Live {
    const policy = traffic.get(id);
    return {
      observedAt: Date.now(),
      complete: true,
      units: [...(units.get(id)?.values() ?? [])],
      ...(policy && { traffic: policy }),
    };
  }

  return {
    observe: async (ids) => new Map(ids.map((id) => [id, live(id)])),
    async start(id, action) {
      if (action.kind === 'route') {
        if (action.policy === undefined) traffic.delete(id);
        else traffic.set(id, action.policy);
      } else if (action.kind === 'stop') units.get(id)?.delete(action.unit);
      else if (action.kind === 'start') {
        const { unit, revision, version, attempt, restarts } = action;
        const own = units.get(id) ?? new Map<string, LiveUnit>();
        units.set(id, own);
        own.set(unit, {
          id: unit,
          ...{ revision, version, attempt, restarts },
          ...{ phase: 'running', ready: true, readySince: Date.now() },
        });
      }
    },
    precheck: async () => [{ name: 'target', result: 'pass', message: 'answers', remedy: '' }],
    check: async () => ({ pass: true, message: 'passed' }),
    verify: async () => ({ pass: true, message: 'passed' }),
    async declare() {},
    subscribe: () => () => {},
    resources: async () => [...units.keys()],
    async close() {},
  };
}
