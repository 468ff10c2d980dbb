/** The local target: replicas as operating-system processes that outlive the operator. */
import type { ResourceId } from '../../manifest/resource.ts';
import { type Live, nothingLive } from '../../plan/live.ts';
import type { UnitDriver } from '../ports.ts';
import { checkUnits } from './check.ts';
import { stopUnit } from './end.ts';
import { precheckLocal } from './precheck.ts';
import type { Backend } from './router/config.ts';
import { liveUnit, routerName, servedPort, type Unit } from './unit.ts';
import { openUnits, type UnitsOptions } from './units.ts';

export type LocalTargetOptions = Omit<UnitsOptions, 'livedMs' | 'backends' | 'changed' | 'log'> & {
  log?: UnitsOptions['log'];
};

const LIVED_MS = 1000;

/** Finds again what runs there, takes the target over for `epoch`, and goes on with every stop that was begun. */
export async function openLocalTarget({ log = () => {}, ...options }: LocalTargetOptions): Promise<UnitDriver> {
  const subscribers = new Set<(resource: ResourceId) => void>();
  const tell = (resource: ResourceId) => {
    for (const changed of subscribers) changed(resource);
  };
  const backends = (_: ResourceId, units: Unit[]) => backendsOf(units);
  const units = await openUnits({ ...options, livedMs: LIVED_MS, backends, changed: tell, log });
  const { host, routes } = units;

  return {
    async observe(resources) {
      return new Map(
        resources.map((resource) => [
          resource,
          observed(units.of(resource), routes.traffic(resource), routes.known(resource)),
        ]),
      );
    },
    async start(resource, action, runnable) {
      host.guard();
      if (action.kind === 'route') return routes.route(resource, action.policy);
      if (action.kind === 'forget') return units.forget(resource);
      if (action.kind === 'start') {
        if (runnable === undefined || !('template' in runnable))
          throw new Error(`${action.unit} cannot be started without what it runs`);
        return units.begin(resource, action, runnable);
      }
      if (action.kind !== 'stop') throw new Error(`${action.kind} is nothing that is done to a replica`);
      const unit = units.find(resource, action.unit);
      if (unit?.record.attempt === action.attempt) void stopUnit(host, unit);
    },
    async precheck(resource, spec, runnable) {
      if (!('template' in spec) || !('template' in runnable)) throw new Error(`${resource} has no replicas`);
      return precheckLocal({ host, router: options.router, spec, runnable });
    },
    check: (resource, version, check, signal) => checkUnits(units.of(resource), version, check, signal),
    verify: (resource) => Promise.reject(new Error(`${resource} has no instances`)),
    async declare(resource, spec) {
      if (!('template' in spec)) throw new Error(`${resource} has no replicas`);
      host.guard();
      units.know(resource);
      await routes.serve(resource, spec.host);
    },
    subscribe(changed) {
      subscribers.add(changed);
      return () => subscribers.delete(changed);
    },
    async resources() {
      return units.resources();
    },
    async close() {
      subscribers.clear();
      units.close();
    },
  };
}

function observed(units: Unit[], traffic: Live['traffic'], complete: boolean): Live {
  const live = { ...nothingLive(Date.now()), complete, units: units.map(liveUnit) };
  return traffic === undefined ? live : { ...live, traffic };
}

/** A version with no ready unit is there all the same: its host is known. */
function backendsOf(units: Unit[]): Record<string, Backend[]> {
  const versions: Record<string, Backend[]> = {};
  for (const unit of [...units].sort((a, b) => (a.record.unit < b.record.unit ? -1 : 1))) {
    versions[unit.record.version] ??= [];
    const port = servedPort(unit);
    if (unit.record.ready && port !== undefined)
      versions[unit.record.version]?.push({ unit: routerName(unit.record), port });
  }
  return versions;
}
