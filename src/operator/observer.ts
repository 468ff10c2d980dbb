/** What is live of resources, as their drivers see it. A driver is told first what is declared, once for each declaration. */
import type { Clock } from '../clock.ts';
import type { Resource, ResourceId } from '../manifest/resource.ts';
import { type Live, nothingLive } from '../plan/live.ts';
import type { UnitDriver } from '../target/ports.ts';

export interface ObserverPorts {
  clock: Clock;
  /** What the newest commit declares of it; undefined: nothing that is valid. */
  declared(id: ResourceId): Resource | undefined;
  /** The units of the rollout that is under way. */
  frozen(id: ResourceId): readonly string[];
  /** The driver of the target where the resource runs or ran; undefined: there is none. */
  driverOf(id: ResourceId, resource: Resource | undefined): UnitDriver | undefined;
  /** The targets that were declared and have no driver, and why. */
  unopened?(): ReadonlyMap<string, string>;
  /** It is tried again by itself; gives back what went wrong in words for the status. */
  trouble(id: ResourceId, what: string, error: unknown): string;
  signal: AbortSignal;
}

export interface Observer {
  /** Of each of them; what cannot be seen is told as incomplete, with the reason. */
  look(ids: readonly ResourceId[]): Promise<Map<ResourceId, Live>>;
  /** It is gone: whoever bears its name next is told to the driver anew. */
  forget(id: ResourceId): void;
}

export function createObserver(ports: ObserverPorts): Observer {
  /** What was told last, and to whom: hosts that change bring another driver. */
  const told = new Map<ResourceId, { driver: UnitDriver; digest: string; frozen: readonly string[] }>();

  const unseen = (why: string): Live => ({ ...nothingLive(ports.clock.now()), complete: false, unseen: why });

  /**
   * What is on a target that is not open cannot be seen; on one that was never declared there is nothing. Of what is not declared any
   * more it is not known where it ran.
   */
  function withoutDriver(resource: Resource | undefined): Live {
    for (const [target, why] of ports.unopened?.() ?? []) {
      const mayBeThere = resource === undefined || resource.spec.target === target;
      if (mayBeThere) return unseen(`target ${target} cannot be opened: ${why}`);
    }
    return nothingLive(ports.clock.now());
  }

  /** Undefined: the driver knows what is declared. */
  async function refusal(id: ResourceId, resource: Resource | undefined, driver: UnitDriver) {
    if (resource === undefined) return undefined;
    const { digest, spec } = resource;
    const frozen = ports.frozen(id);
    const last = told.get(id);
    if (last?.driver === driver && last.digest === digest && last.frozen === frozen) return undefined;
    try {
      await driver.declare(id, spec, frozen);
      told.set(id, { driver, digest, frozen });
      return undefined;
    } catch (error) {
      return ports.trouble(id, 'its target does not take what is declared', error);
    }
  }

  return {
    async look(ids) {
      const byDriver = new Map<UnitDriver, ResourceId[]>();
      const lives = new Map<ResourceId, Live>();
      // Told at once, what many of them declare is one change to a driver that gathers.
      const asked = await Promise.all(
        ids.map(async (id) => {
          const resource = ports.declared(id);
          const driver = ports.driverOf(id, resource);
          return { id, resource, driver, refused: driver && (await refusal(id, resource, driver)) };
        }),
      );
      for (const { id, resource, driver, refused } of asked) {
        if (driver === undefined) lives.set(id, withoutDriver(resource));
        else if (refused !== undefined) lives.set(id, unseen(refused));
        else byDriver.set(driver, [...(byDriver.get(driver) ?? []), id]);
      }
      for (const [driver, those] of byDriver) {
        try {
          for (const [id, live] of await driver.observe(those, ports.signal)) lives.set(id, live);
        } catch (error) {
          for (const id of those) lives.set(id, unseen(ports.trouble(id, 'its target does not answer', error)));
        }
      }
      return lives;
    },
    forget: (id) => void told.delete(id),
  };
}
