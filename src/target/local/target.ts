/**
 * The local target: replicas as operating-system processes that outlive the operator.
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
import { type Live, nothingLive } from '../../plan/live.ts';
import type { Action } from '../../rollout/decision.ts';
import { type ImageSource, type SecretSource, StaleEpoch, type UnitDriver } from '../ports.ts';
import { adoptUnit } from './adopt.ts';
import { findGroups } from './cgroup.ts';
import { checkUnits } from './check.ts';
import { stopUnit } from './end.ts';
import { checkEpoch, claimEpoch } from './epoch.ts';
import { resourceFolder, unitFolder, unitsFolder, volumesFolder } from './folders.ts';
import { openImages } from './image.ts';
import { precheckLocal } from './precheck.ts';
import { bootId } from './processes.ts';
import { beginRecord, readResources, readUnits, saveRecord, type UnitRecord } from './record.ts';
import type { RouterClient } from './router/client.ts';
import type { Backend } from './router/config.ts';
import { openRoutes } from './routes.ts';
import { startUnit } from './start.ts';
import { sweep } from './sweep.ts';
import { createUnit, type Host, liveUnit, routerName, servedPort, type Unit } from './unit.ts';
import { findUser } from './user.ts';

export interface LocalTargetOptions {
  /** As manifests name it. */
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
  log?: (message: string, details: Record<string, unknown>) => void;
}

const UNWRITTEN = 'its record cannot be written';

/** Finds again what runs there, takes the target over for `epoch`, and goes on with every stop that was begun. */
export async function openLocalTarget(options: LocalTargetOptions): Promise<UnitDriver> {
  const { epoch, router, log = () => {} } = options;
  if (process.platform !== 'linux') {
    throw new Error(
      `target ${options.name}: local targets need Linux and its /proc, not ${process.platform}; run the operator in a container`,
    );
  }
  const dataDir = openFolder(options.name, resolve(options.dataDir), epoch);
  const units = new Map<ResourceId, Map<string, Unit>>();
  const subscribers = new Set<(resource: ResourceId) => void>();
  const allUnits = () => [...units.values()].flatMap((those) => [...those.values()]);
  const unitsOf = (resource: ResourceId) => [...(units.get(resource)?.values() ?? [])];
  const tell = (resource: ResourceId) => {
    for (const changed of subscribers) changed(resource);
  };
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
    backends: (resource) => backendsOf(unitsOf(resource)),
    guard,
    closing: closing.signal,
    changed: tell,
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
    guard,
    ports: new Set(),
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
      tell(unit.record.resource);
    },
    published: (unit) => routes.insist(unit.record.resource),
    active: async (unit) => (await router.stats()).active[routerName(unit.record)] ?? 0,
    gone({ record }) {
      releasePorts(record);
      units.get(record.resource)?.delete(record.unit);
      if (units.get(record.resource)?.size === 0) units.delete(record.resource);
      routes.publish(record.resource).catch(() => {});
      tell(record.resource);
    },
    log,
  };
  const releasePorts = ({ containers }: UnitRecord) => {
    for (const port of containers.flatMap(({ ports }) => Object.values(ports))) host.ports.delete(port);
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

  const begin = (resource: ResourceId, action: Extract<Action, { kind: 'start' }>, runnable: Runnable) => {
    const { unit: id, attempt, revision, version, restarts } = action;
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
  };

  const forget = async (resource: ResourceId) => {
    const left = unitsOf(resource).map(({ record }) => record.unit);
    if (left.length > 0)
      throw new Error(`${resource} still has ${left.join(', ')}; stop its units before it is forgotten`);
    await routes.forget(resource);
    // The folder that makes the resource known goes last: after a crash it is forgotten once more, with all that is left.
    await rm(volumesFolder(dataDir, resource), { recursive: true, force: true });
    await rm(resourceFolder(dataDir, resource), { recursive: true, force: true });
    mine.delete(resource);
    tell(resource);
  };

  return {
    async observe(resources) {
      return new Map(
        resources.map((resource) => [
          resource,
          observed(unitsOf(resource), routes.traffic(resource), routes.known(resource)),
        ]),
      );
    },
    async start(resource, action, runnable) {
      guard();
      if (action.kind === 'route') return routes.route(resource, action.policy);
      if (action.kind === 'forget') return forget(resource);
      if (action.kind === 'start') {
        if (runnable === undefined) throw new Error(`${action.unit} cannot be started without what it runs`);
        return begin(resource, action, runnable);
      }
      const unit = units.get(resource)?.get(action.unit);
      if (unit?.record.attempt === action.attempt) void stopUnit(host, unit);
    },
    precheck: (_resource, spec, runnable) => precheckLocal({ host, router, spec, runnable }),
    check: (resource, version, check, signal) => checkUnits(unitsOf(resource), version, check, signal),
    async serve(resource, address) {
      guard();
      mkdirSync(resourceFolder(dataDir, resource), { recursive: true, mode: 0o755 });
      mine.add(resource);
      await routes.serve(resource, address);
    },
    subscribe(changed) {
      subscribers.add(changed);
      return () => subscribers.delete(changed);
    },
    async resources() {
      return [...mine];
    },
    async close() {
      subscribers.clear();
      letGo();
    },
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
