/** The driver of what has replicas, whatever runs them. */
import { isReplicasSpec } from '../../manifest/kinds.ts';
import type { ResourceId } from '../../manifest/resource.ts';
import { type Live, nothingLive } from '../../plan/live.ts';
import { checkUnits } from '../local/check.ts';
import type { Backend } from '../local/router/config.ts';
import type { UnitDriver } from '../ports.ts';
import { stopUnit } from './end.ts';
import type { Replicas } from './open.ts';
import { addressOf, type Core, liveUnit, type RunningContainer, routerName, servedPort, type Unit } from './unit.ts';

export interface Subscribers {
  add(changed: (resource: ResourceId) => void): () => void;
  tell(resource: ResourceId): void;
  clear(): void;
}

export function newSubscribers(): Subscribers {
  const subscribers = new Set<(resource: ResourceId) => void>();
  return {
    add(changed) {
      subscribers.add(changed);
      return () => subscribers.delete(changed);
    },
    tell(resource) {
      for (const changed of subscribers) changed(resource);
    },
    clear: () => subscribers.clear(),
  };
}

export interface DrivenBy<R extends RunningContainer, H extends Core<R>> extends Pick<UnitDriver, 'precheck'> {
  replicas: Replicas<R, H>;
  subscribers: Subscribers;
  /** False while it cannot be seen what runs. */
  complete?(): boolean;
  /** Before anything is started: throws where it must not or cannot be done now. */
  accept?(): Promise<void>;
  close?(): Promise<void>;
}

export function replicasDriver<R extends RunningContainer, H extends Core<R>>(by: DrivenBy<R, H>): UnitDriver {
  const { replicas, subscribers, precheck } = by;
  const { host, routes } = replicas;
  const observed = (resource: ResourceId): Live => {
    const traffic = routes.traffic(resource);
    return {
      ...nothingLive(Date.now()),
      complete: routes.known(resource) && (by.complete?.() ?? true),
      units: replicas.of(resource).map(liveUnit),
      ...(traffic === undefined ? {} : { traffic }),
    };
  };
  return {
    observe: async (resources) => new Map(resources.map((resource) => [resource, observed(resource)])),
    async start(resource, action, runnable) {
      host.guard();
      if (action.kind === 'start') await by.accept?.();
      if (action.kind === 'route') return routes.route(resource, action.policy);
      if (action.kind === 'forget') return replicas.forget(resource);
      if (action.kind === 'start') {
        if (runnable === undefined || !('template' in runnable))
          throw new Error(`${action.unit} cannot be started without what it runs`);
        return replicas.begin(resource, action, runnable);
      }
      if (action.kind !== 'stop') throw new Error(`${action.kind} is nothing that is done to a replica`);
      const unit = replicas.find(resource, action.unit);
      if (unit?.record.attempt === action.attempt) void stopUnit(host, unit);
    },
    precheck,
    check: (resource, version, check, signal) => checkUnits(host, replicas.of(resource), version, check, signal),
    verify: (resource) => Promise.reject(new Error(`${resource} has no instances`)),
    async declare(resource, spec) {
      if (!isReplicasSpec(spec)) throw new Error(`${resource} has no replicas`);
      host.guard();
      replicas.know(resource);
      await routes.serve(resource, spec.host);
    },
    subscribe: (changed) => subscribers.add(changed),
    resources: async () => replicas.resources(),
    async close() {
      subscribers.clear();
      replicas.close();
      await by.close?.();
    },
  };
}

/** A version with no ready unit is there all the same: its host is known. */
export function backendsOf(units: Unit[]): Record<string, Backend[]> {
  const versions: Record<string, Backend[]> = {};
  for (const unit of [...units].sort((a, b) => (a.record.unit < b.record.unit ? -1 : 1))) {
    versions[unit.record.version] ??= [];
    const port = servedPort(unit);
    const [first] = unit.containers;
    if (!unit.record.ready || port === undefined || first === undefined) continue;
    const host = addressOf(first.record);
    const elsewhere = host === '127.0.0.1' ? {} : { host };
    versions[unit.record.version]?.push({ unit: routerName(unit.record), port, ...elsewhere });
  }
  return versions;
}
