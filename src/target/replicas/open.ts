/**
 * The units of one data folder, by resource and unit: found again when it is opened, started, watched, stopped.
 *
 * A unit is a folder (`local/folders.ts`) with a record (`local/record.ts`), written before anything is done to its containers. After
 * a restart the records say what should be there, and the runtime says what is.
 */
import { setMaxListeners } from 'node:events';
import { accessSync, constants, mkdirSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { ResourceId, Runnable } from '../../manifest/resource.ts';
import type { Action } from '../../rollout/decision.ts';
import { type Hold, takeHold } from '../local/epoch.ts';
import { resourceFolder, unitFolder, unitsFolder, volumesFolder } from '../local/folders.ts';
import { beginRecord, type FoundUnit, readResources, readUnits, saveRecord, type UnitRecord } from '../local/record.ts';
import type { RouterClient } from '../local/router/client.ts';
import type { Backend } from '../local/router/config.ts';
import { openRoutes, type Routes } from '../local/routes.ts';
import { type SecretSource, StaleEpoch } from '../ports.ts';
import { stopUnit } from './end.ts';
import { startUnit } from './start.ts';
import { type Core, createUnit, type RunningContainer, routerName, type Unit } from './unit.ts';

export interface ReplicasOptions<R extends RunningContainer> {
  /** The target's, as manifests name it. */
  name: string;
  /** Units, volumes and markers; belongs to the target and outlives the operator. */
  dataDir: string;
  secrets: SecretSource;
  router: RouterClient;
  epoch: number;
  /** What serves nothing is taken for started when it has lived so long. */
  livedMs: number;
  /** Which of a resource's units the router sends to. */
  backends(resource: ResourceId, units: Unit<R>[]): Record<string, Backend[]>;
  /** Something about a resource is different. */
  changed(resource: ResourceId): void;
  log(message: string, details: Record<string, unknown>): void;
}

/** What is special to one kind of target. */
export interface Kind<R extends RunningContainer, H extends Core<R>> {
  /** The containers of a unit mean nothing after another boot of what runs them. */
  boot: string;
  host(core: Omit<Core<R>, 'runtime'>): H;
  /** All units that there are: besides those of which there is a record on this machine, what the runtime itself knows. */
  found(recorded: FoundUnit[]): FoundUnit[];
  /** Never throws for the sake of one unit, and waits for the end of none. */
  adopt(host: H, found: FoundUnit): Promise<Unit<R>>;
  /** Removes what belongs to no unit. */
  sweep(host: H, units: Unit<R>[], found: FoundUnit[]): Promise<void>;
  /** This attempt has ended for good. */
  release?(record: UnitRecord): void;
  /** The last of a resource that has no units any more. */
  forget?(resource: ResourceId): Promise<void>;
}

type StartAction = Extract<Action, { kind: 'start' }>;

export interface Replicas<R extends RunningContainer, H extends Core<R>> {
  host: H;
  routes: Routes;
  /** Every resource that was ever served from here and not forgotten. */
  resources(): ResourceId[];
  /** Makes a resource known, durably. */
  know(resource: ResourceId): void;
  of(resource: ResourceId): Unit<R>[];
  all(): Unit<R>[];
  find(resource: ResourceId, unit: string): Unit<R> | undefined;
  /** Nothing happens when this attempt is there already. `port`: its main one, if nobody else listens there by now. */
  begin(resource: ResourceId, action: StartAction, runnable: Runnable, port?: number): void;
  /** Throws while it still has units. */
  forget(resource: ResourceId): Promise<void>;
  /** Stops watching; what runs goes on running. */
  close(): void;
}

const UNWRITTEN = 'its record cannot be written';

/** Finds again what runs there, takes the folder over for `epoch`, and goes on with every stop that was begun. */
export async function openReplicas<R extends RunningContainer, H extends Core<R>>(
  options: ReplicasOptions<R>,
  kind: Kind<R, H>,
): Promise<Replicas<R, H>> {
  const { epoch, router, log, changed } = options;
  const hold = openFolder(options.name, resolve(options.dataDir), epoch);
  const { dataDir } = hold;
  const units = new Map<ResourceId, Map<string, Unit<R>>>();
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
      hold.check();
    } catch (error) {
      if (error instanceof StaleEpoch) letGo();
      throw error;
    }
  };
  const mine = new Set(readResources(dataDir));
  const recorded = [...mine].flatMap((resource) => readUnits(dataDir, resource));
  const found = kind.found(recorded);
  for (const { resource } of found) mine.add(resource);
  const routes = await openRoutes({
    router,
    mine: [...mine],
    backends: (resource) => options.backends(resource, unitsOf(resource)),
    guard,
    closing: closing.signal,
    changed,
    log,
  });
  const save = (unit: Unit<R>) => {
    guard();
    saveRecord(hold, unit.record);
  };
  let opened = false;
  const host: H = kind.host({
    dataDir,
    hold,
    hostname: hostname(),
    secrets: options.secrets,
    livedMs: options.livedMs,
    guard,
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
      kind.release?.(record);
      units.get(record.resource)?.delete(record.unit);
      if (units.get(record.resource)?.size === 0) units.delete(record.resource);
      routes.publish(record.resource).catch(() => {});
      changed(record.resource);
    },
    log,
  });
  const keep = (unit: Unit<R>) => {
    const those = units.get(unit.record.resource) ?? new Map<string, Unit<R>>();
    units.set(unit.record.resource, those.set(unit.record.unit, unit));
  };

  for (const unit of await Promise.all(found.map((entry) => kind.adopt(host, entry)))) keep(unit);
  opened = true;
  await kind.sweep(host, allUnits(), found);
  for (const resource of mine) routes.publish(resource).catch(() => {});
  for (const unit of allUnits()) if (unit.record.phase === 'stopping') void stopUnit(host, unit);

  return {
    host,
    routes,
    resources: () => [...mine],
    know(resource) {
      hold.makeFolder(resourceFolder(dataDir, resource));
      mine.add(resource);
    },
    of: unitsOf,
    all: allUnits,
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
        ...{ resource, unit: id, attempt, revision, version, restarts, boot: kind.boot },
        ...{ phase: 'starting', containers: [], ready: false, startedAt: Date.now() },
        ...(before?.record.message !== undefined && { formerDeath: before.record.message }),
      };
      if (before !== undefined) kind.release?.(before.record);
      const unit = createUnit<R>(record, runnable, unitFolder(dataDir, resource, id));
      if (port !== undefined) unit.formerPort = port;
      keep(unit);
      mine.add(resource);
      try {
        beginRecord(hold, record, runnable);
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
      await kind.forget?.(resource);
      // The folder that makes the resource known goes last: after a crash it is forgotten once more, with all that is left.
      await rm(hold.reach(volumesFolder(dataDir, resource)), { recursive: true, force: true });
      await rm(hold.reach(resourceFolder(dataDir, resource)), { recursive: true, force: true });
      mine.delete(resource);
      changed(resource);
    },
    close: letGo,
  };
}

/** Takes the folder over. By its real path, so that a unit's folder is always called the same. */
function openFolder(name: string, dataDir: string, epoch: number): Hold {
  try {
    mkdirSync(unitsFolder(dataDir), { recursive: true, mode: 0o755 });
    accessSync(dataDir, constants.W_OK);
    return takeHold(realpathSync(dataDir), epoch);
  } catch (error) {
    if (error instanceof StaleEpoch) throw error;
    throw new Error(
      `target ${name}: the data folder ${dataDir} cannot be written (${(error as Error).message}); correct --data-dir or its permissions, or free space on its disk`,
    );
  }
}
