/** The drivers of the targets that are declared, each opened when it is first needed. */
import { join } from 'node:path';
import type { Resource, ResourceId, Target } from '../manifest/resource.ts';
import type { RouterClient } from '../target/local/router/client.ts';
import { openLocalTarget } from '../target/local/target.ts';
import type { ImageSource, SecretSource, UnitDriver } from '../target/ports.ts';
import type { Log } from './options.ts';

export interface TargetsOptions {
  dataDir: string;
  images: ImageSource;
  secrets: SecretSource;
  router: RouterClient;
  epoch: number;
  runAs?: string;
  log: Log;
  changed(resource: ResourceId): void;
}

export interface Targets {
  /** Opens drivers of new targets; a target whose definition changed keeps its driver until the next start. */
  declare(targets: ReadonlyMap<string, Target>): Promise<void>;
  /** Where a resource runs, or, when it is not declared any more, where units of it were found. */
  driverOf(id: ResourceId, resource: Resource | undefined): UnitDriver | undefined;
  /** Every resource of which something exists on any target. */
  found(): ResourceId[];
  close(): Promise<void>;
}

export function createTargets(options: TargetsOptions): Targets {
  const drivers = new Map<string, UnitDriver>();
  const homes = new Map<ResourceId, UnitDriver>();

  async function open(target: Target): Promise<void> {
    const { images, dataDir } = target.local;
    const driver = await openLocalTarget({
      name: target.name,
      dataDir: dataDir ?? join(options.dataDir, 'targets', target.name),
      images: options.images,
      ...(images.startsWith('/') && { imagesFolder: images }),
      secrets: options.secrets,
      router: options.router,
      epoch: options.epoch,
      ...(options.runAs !== undefined && { runAs: options.runAs }),
      log: (message, details) => options.log('warn', message, { target: target.name, ...details }),
    });
    drivers.set(target.name, driver);
    driver.subscribe(options.changed);
    for (const id of await driver.resources()) homes.set(id, driver);
  }

  return {
    async declare(targets) {
      for (const target of targets.values()) {
        if (drivers.has(target.name)) continue;
        await open(target).catch((error: unknown) => {
          options.log('error', `target ${target.name} cannot be opened: ${messageOf(error)}`);
        });
      }
    },
    driverOf(id, resource) {
      if (resource === undefined) return homes.get(id);
      const driver = drivers.get(resource.spec.target);
      if (driver !== undefined) homes.set(id, driver);
      return driver;
    },
    found: () => [...homes.keys()],
    async close() {
      await Promise.all([...drivers.values()].map((driver) => driver.close()));
    },
  };
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
