/**
 * The processes of one data folder, by resource and unit: found again when it is opened, started, watched, stopped.
 *
 * A unit is a folder (`folders.ts`) with a record (`record.ts`), written before anything is done to its processes. After a
 * restart the records say what should be there and `/proc` says what is.
 */
import { setMaxListeners } from 'node:events';
import { accessSync, constants, mkdirSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { ResourceId, Runnable } from '../../manifest/resource.ts';
import type { Action } from '../../rollout/decision.ts';
import { type ImageSource, type SecretSource, StaleEpoch } from '../ports.ts';
import { adoptUnit } from './adopt.ts';
import { findGroups } from './cgroup.ts';
import { stopUnit } from './end.ts';
import { checkEpoch, claimEpoch } from './epoch.ts';
import { resourceFolder, unitFolder, unitsFolder, volumesFolder } from './folders.ts';
import { openImages } from './image.ts';
import { bootId } from './processes.ts';
import { beginRecord, readResources, readUnits, saveRecord, type UnitRecord } from './record.ts';
import type { RouterClient } from './router/client.ts';
import type { Backend } from './router/config.ts';
import { openRoutes, type Routes } from './routes.ts';
import { startUnit } from './start.ts';
import { sweep } from './sweep.ts';
import { createUnit, type Host, routerName, type Unit } from './unit.ts';
import { findUser } from './user.ts';

export interface UnitsOptions {
  /** The target's, as manifests name it. */
  name: string;
  /** Units, volumes and markers; belongs to the target and outlives the operator. */
  dataDir: string;
  images: ImageSource;
  /** An absolute folder of images on this machine, in place of the config repository's. */
  imagesFolder?: string;
  secrets: SecretSource;
  router: RouterClient;
  epoch: number;
  /** The user that units run as; absent: the operator's own. */
  runAs?: string;
  /** A process that serves nothing is taken for started when it has lived so long. */
  livedMs: number;
  /** Which of a resource's units the router sends to. */
  backends(resource: ResourceId, units: Unit[]): Record<string, Backend[]>;
  /** Something about a resource is different. */
  changed(resource: ResourceId): void;
  log(message: string, details: Record<string, unknown>): void;
}

type StartAction = Extract<Action, { kind: 'start' }>;

export interface Units {
  host: Host;
  routes: Routes;
  /** Every resource that was ever served from here and not forgotten. */
  resources(): ResourceId[];
  /** Makes a resource known, durably. */
  know(resource: ResourceId): void;
  of(resource: ResourceId): Unit[];
  find(resource: ResourceId, unit: string): Unit | undefined;
  /** Nothing happens when this attempt is there already. `port`: its main one, if nobody else listens there by now. */
  begin(resource: ResourceId, action: StartAction, runnable: Runnable, port?: number): void;
  /** Throws while it still has units. */
  forget(resource: ResourceId): Promise<void>;
  /** Stops watching; what runs goes on running. */
  close(): void;
}

const UNWRITTEN = 'its record cannot be written';

/** Finds again what runs there, takes the folder over for `epoch`, and goes on with every stop that was begun. */
export async function openUnits(options: UnitsOptions): Promise<Units> {
  const { epoch, router, log, changed } = options;
  if (process.platform !== 'linux') {
    throw new Error(
      `target ${options.name}: local targets need Linux and its /proc, not ${process.platform}; run the operator in a container`,
    );
  }
  const dataDir = openFolder(options.name, resolve(options.dataDir), epoch);
  const units = new Map<ResourceId, Map<string, Unit>>();
  const allUnits = () => [...units.values()].flatMap((those) => [...those.values()]);
  const unitsOf = (resource: ResourceId) => [...(units.get(resource)?.values() ?? [])];
  const closing = new AbortController();
  setMaxListeners(0, closing.signal);
  const letGo = () => {
    closing.abort();
    for (const unit of allUnits()) unit.watching.abort();
  };
  const guard = () => {
    try {
      checkEpoch(dataDir, epoch);
    } catch (error) {
      if (error instanceof StaleEpoch) letGo();
      throw error;
    }
  };
  const mine = new Set(readResources(dataDir));
  const routes = await openRoutes({
    router,
    mine: [...mine],
    backends: (resource) => options.backends(resource, unitsOf(resource)),
    guard,
    closing: closing.signal,
    changed,
    log,
  });
  const save = (unit: Unit) => {
    guard();
    saveRecord(dataDir, unit.record);
  };
  let opened = false;
  const host: Host = {
    dataDir,
    hostname: hostname(),
    user: options.runAs === undefined ? undefined : await findUser(options.runAs),
    groups: findGroups(),
    images: openImages(dataDir, options.images, options.imagesFolder),
    secrets: options.secrets,
    livedMs: options.livedMs,
    guard,
    ports: new Set(),
    keptPorts: new Set(),
    closing: closing.signal,
    save,
    note(unit) {
      try {
        if (unit.record.message?.startsWith(UNWRITTEN)) delete unit.record.message;
        save(unit);
      } catch (error) {
        if (error instanceof StaleEpoch) throw error;
        unit.record.message ??= `${UNWRITTEN}: ${(error as Error).message}`;
        log('record cannot be written', { unit: unit.record.unit, message: (error as Error).message });
      }
    },
    changed(unit) {
      // The router must not be told of a part: it would take it for the whole.
      if (!opened) return;
      routes.publish(unit.record.resource).catch(() => {});
      changed(unit.record.resource);
    },
    published: (unit) => routes.insist(unit.record.resource),
    active: async (unit) => (await router.stats()).active[routerName(unit.record)] ?? 0,
    gone({ record }) {
      releasePorts(record);
      units.get(record.resource)?.delete(record.unit);
      if (units.get(record.resource)?.size === 0) units.delete(record.resource);
      routes.publish(record.resource).catch(() => {});
      changed(record.resource);
    },
    log,
  };
  const releasePorts = ({ containers }: UnitRecord) => {
    for (const port of containers.flatMap(({ ports }) => Object.values(ports)))
      if (!host.keptPorts.has(port)) host.ports.delete(port);
  };
  const keep = (unit: Unit) => {
    const those = units.get(unit.record.resource) ?? new Map<string, Unit>();
    units.set(unit.record.resource, those.set(unit.record.unit, unit));
  };

  const boot = bootId();
  const found = [...mine].flatMap((resource) => readUnits(dataDir, resource));
  for (const unit of await Promise.all(found.map((entry) => adoptUnit(host, entry, boot)))) keep(unit);
  opened = true;
  await sweep(host, allUnits());
  await host.images.prune(new Set(found.flatMap(({ runnable }) => treesOf(runnable))));
  for (const resource of mine) routes.publish(resource).catch(() => {});
  for (const unit of allUnits()) if (unit.record.phase === 'stopping') void stopUnit(host, unit);

  return {
    host,
    routes,
    resources: () => [...mine],
    know(resource) {
      mkdirSync(resourceFolder(dataDir, resource), { recursive: true, mode: 0o755 });
      mine.add(resource);
    },
    of: unitsOf,
    find: (resource, unit) => units.get(resource)?.get(unit),
    begin(resource, { unit: id, attempt, revision, version, restarts }, runnable, port) {
      const before = units.get(resource)?.get(id);
      if (before?.record.attempt === attempt) return;
      if (before !== undefined && before.record.phase !== 'dead') {
        throw new Error(
          `${resource} has a unit ${id} that is ${before.record.phase}; it can only be started again when it is dead`,
        );
      }
      const record: UnitRecord = {
        ...{ resource, unit: id, attempt, revision, version, restarts, boot },
        ...{ phase: 'starting', containers: [], ready: false, startedAt: Date.now() },
      };
      if (before !== undefined) releasePorts(before.record);
      const unit = createUnit(record, runnable, unitFolder(dataDir, resource, id));
      if (port !== undefined) unit.formerPort = port;
      keep(unit);
      mine.add(resource);
      try {
        beginRecord(dataDir, record, runnable);
        unit.starting = startUnit(host, unit);
      } catch (error) {
        record.phase = 'dead';
        record.diedAt = Date.now();
        record.message = `cannot be recorded in ${dataDir}: ${(error as Error).message}`;
      }
      host.changed(unit);
    },
    async forget(resource) {
      const left = unitsOf(resource).map(({ record }) => record.unit);
      if (left.length > 0)
        throw new Error(`${resource} still has ${left.join(', ')}; stop its units before it is forgotten`);
      await routes.forget(resource);
      // The folder that makes the resource known goes last: after a crash it is forgotten once more, with all that is left.
      await rm(volumesFolder(dataDir, resource), { recursive: true, force: true });
      await rm(resourceFolder(dataDir, resource), { recursive: true, force: true });
      mine.delete(resource);
      changed(resource);
    },
    close: letGo,
  };
}

/** Takes the folder over. By its real path, so that a unit's folder is always called the same. */
function openFolder(name: string, dataDir: string, epoch: number): string {
  try {
    mkdirSync(unitsFolder(dataDir), { recursive: true, mode: 0o755 });
    accessSync(dataDir, constants.W_OK);
    claimEpoch(dataDir, epoch);
    return realpathSync(dataDir);
  } catch (error) {
    if (error instanceof StaleEpoch) throw error;
    throw new Error(
      `target ${name}: the data folder ${dataDir} cannot be written (${(error as Error).message}); correct --data-dir or its permissions, or free space on its disk`,
    );
  }
}

const treesOf = (runnable: Runnable | undefined) =>
  Object.values(runnable?.images ?? {}).flatMap(({ tree }) => (tree === undefined ? [] : [tree]));
