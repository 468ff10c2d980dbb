/** What the router is told about each resource: its host, its policy, and the ready units of each version. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { ResourceId } from '../../manifest/resource.ts';
import type { TrafficPolicy } from '../../plan/live.ts';
import { StaleEpoch } from '../ports.ts';
import type { RouterClient } from './router/client.ts';
import type { Backend, Route } from './router/config.ts';

export interface Routes {
  /** What the router really does; undefined: it routes nothing for the resource. */
  traffic(resource: ResourceId): TrafficPolicy | undefined;
  /** False while the router could not be told something, so that nobody knows what it does. */
  known(resource: ResourceId): boolean;
  serve(resource: ResourceId, host: string): Promise<void>;
  route(resource: ResourceId, policy: TrafficPolicy | undefined): Promise<void>;
  /**
   * Resolves when the router runs with the units as they were when this was called, or later. A failure is tried again in the
   * background.
   */
  publish(resource: ResourceId): Promise<void>;
  /** The same, and resolves only when it has succeeded. */
  insist(resource: ResourceId): Promise<void>;
  forget(resource: ResourceId): Promise<void>;
}

interface Wanted {
  host: string;
  policy?: TrafficPolicy;
}

export interface RoutesOptions {
  router: RouterClient;
  /** The resources of this target; the router serves other targets too. */
  mine: ResourceId[];
  backends(resource: ResourceId): Record<string, Backend[]>;
  /** Throws StaleEpoch when a later operator has taken over. */
  guard(): void;
  /** Aborted when this operator lets go. */
  closing: AbortSignal;
  /** The router runs with something new for the resource. */
  changed(resource: ResourceId): void;
  log(message: string, details: Record<string, unknown>): void;
}

const RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;

/** Goes on from what the router runs with: its configuration outlives the operator. */
export async function openRoutes({
  router,
  mine,
  backends,
  guard,
  closing,
  changed,
  log,
}: RoutesOptions): Promise<Routes> {
  const { routes } = await router.observe();
  const running = new Map(
    mine.flatMap((resource) => (routes[resource] === undefined ? [] : [[resource, routes[resource]]])),
  );
  const wanted = new Map<ResourceId, Wanted>([...running].map(([resource, route]) => [resource, remembered(route)]));
  /** How often in a row the router could not be told. */
  const unknown = new Map<ResourceId, number>();
  const pause = (resource: ResourceId) =>
    Math.min(RETRY_MS * 2 ** ((unknown.get(resource) ?? 1) - 1), LONGEST_RETRY_MS);
  const next = new Map<ResourceId, Promise<void>>();
  const last = new Map<ResourceId, Promise<void>>();

  const apply = async (resource: ResourceId): Promise<void> => {
    const want = wanted.get(resource);
    const route = want && { ...want, versions: backends(resource) };
    closing.throwIfAborted();
    if (!unknown.has(resource) && isDeepStrictEqual(route, running.get(resource))) return;
    guard();
    try {
      await router.set(resource, route);
    } catch (error) {
      closing.throwIfAborted();
      unknown.set(resource, (unknown.get(resource) ?? 0) + 1);
      log('router could not be told', { resource, message: (error as Error).message });
      sleep(pause(resource), undefined, { signal: closing })
        .then(() => publish(resource))
        .catch(() => {});
      throw error;
    }
    if (route === undefined) running.delete(resource);
    else running.set(resource, route);
    unknown.delete(resource);
    changed(resource);
  };

  /** One change at a time for a resource; all that is asked for meanwhile is one next change. */
  const publish = (resource: ResourceId): Promise<void> => {
    const waiting = next.get(resource);
    if (waiting !== undefined) return waiting;
    const turn = (last.get(resource) ?? Promise.resolve()).then(() => {
      next.delete(resource);
      return apply(resource);
    });
    next.set(resource, turn);
    const settled = turn.catch(() => {});
    last.set(resource, settled);
    return turn;
  };

  return {
    traffic: (resource) => running.get(resource)?.policy,
    known: (resource) => !unknown.has(resource),
    serve(resource, host) {
      wanted.set(resource, { ...wanted.get(resource), host });
      return publish(resource);
    },
    async route(resource, policy) {
      const { host } = wanted.get(resource) ?? {};
      if (host === undefined) throw new Error(`${resource} has no host yet, so nothing can be routed to it`);
      wanted.set(resource, { host, ...(policy === undefined ? {} : { policy }) });
      await publish(resource);
    },
    publish,
    async insist(resource) {
      for (;;) {
        try {
          return await publish(resource);
        } catch (error) {
          if (error instanceof StaleEpoch || closing.aborted) throw error;
          await sleep(pause(resource), undefined, { signal: closing });
        }
      }
    },
    forget(resource) {
      wanted.delete(resource);
      return publish(resource);
    },
  };
}

const remembered = ({ host, policy }: Route): Wanted => ({ host, ...(policy === undefined ? {} : { policy }) });
