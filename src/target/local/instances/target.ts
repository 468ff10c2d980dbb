/** Fleets and clusters of a local target: instances that are folders with a process each, and outlive the operator. */
import { rm } from 'node:fs/promises';
import type {
  AnyRunnable,
  ClusterRunnable,
  FleetRunnable,
  InstanceSpec,
  ResourceId,
  ScalingProcess,
} from '../../../manifest/resource.ts';
import { type Live, nothingLive } from '../../../plan/live.ts';
import type { Action } from '../../../rollout/decision.ts';
import type { UnitDriver } from '../../ports.ts';
import { stopUnit } from '../../replicas/end.ts';
import { routerName, servedPort } from '../../replicas/unit.ts';
import { freePort } from '../ports.ts';
import type { Backend } from '../router/config.ts';
import type { LocalTargetOptions } from '../target.ts';
import type { Unit } from '../unit.ts';
import { openUnits, type Units } from '../units.ts';
import { instancesFolder, memberFolder } from './folders.ts';
import { type Instance, inOrder, isNode, type Keeper, liveInstance } from './instance.ts';
import { drain, watchVersions } from './node.ts';
import { keepPort, letPort, openPeers } from './peers.ts';
import { precheckInstances } from './precheck.ts';
import {
  type InstanceRecord,
  newRecord,
  readInstances,
  readResourceRecords,
  saveInstance,
  saveResource,
} from './record.ts';
import { placeOf } from './scripts.ts';
import { leave, putBack, remove, takeOut } from './service.ts';
import { learn } from './serving.ts';
import { verifyInstance } from './verify.ts';
import { acceptHeal, acceptUpdate, begun, carryOut, running } from './work.ts';

export type LocalInstancesOptions = Omit<LocalTargetOptions, 'secrets'>;

/** A process that has never listened on its PORT may be about to; after so long it is taken for one that serves nothing. */
const LIVED_MS = 10_000;
/** All instances of a fleet are one version to the router, and each has a share of it. */
const ALL = { kind: 'percent', weights: { '': 100 } } as const;

/** Finds again what runs there, takes it over for `epoch`, and goes on with everything that was begun. */
export async function openLocalInstances({ log = () => {}, ...options }: LocalInstancesOptions): Promise<UnitDriver> {
  const root = instancesFolder(options.dataDir);
  const instances = new Map<ResourceId, Map<string, Instance>>();
  const held = new Map<ResourceId, ScalingProcess[]>();
  const declared = new Map<ResourceId, InstanceSpec>();
  const subscribers = new Set<(resource: ResourceId) => void>();
  const waiting = new Set<() => void>();
  const of = (resource: ResourceId) => [...(instances.get(resource)?.values() ?? [])];
  const everyOne = () => [...instances.values()].flatMap((those) => [...those.values()]);

  const records = [...readResourceRecords(root)].map(([resource, { suspended }]) => {
    held.set(resource, suspended);
    return readInstances(root, resource);
  });
  const known = new Map(records.flat().map((record) => [routerName(record), record]));
  const units: Units = await openUnits({
    ...options,
    log,
    dataDir: root,
    secrets: { read: async () => undefined },
    livedMs: LIVED_MS,
    backends: (_, those) => ({ '': those.flatMap((unit) => backendOf(unit, known.get(routerName(unit.record)))) }),
    changed: (resource) => tell(resource),
  });
  const { host, routes } = units;

  function tell(resource: ResourceId): void {
    for (const instance of of(resource)) learn(keeper, instance);
    for (const look of [...waiting]) look();
    for (const changed of subscribers) changed(resource);
  }

  const keeper: Keeper = {
    root,
    units,
    specOf: (resource) => declared.get(resource),
    remember({ record }, change) {
      const next = structuredClone(record);
      change(next);
      host.guard();
      saveInstance(host.hold, next);
      replace(record, next);
    },
    get peers() {
      return peers;
    },
    changed({ record }) {
      routes.publish(record.resource).catch(() => {});
      tell(record.resource);
    },
    until: (holds, ms) => untilHolds(waiting, holds, ms, host.closing),
    gone({ record }) {
      instances.get(record.resource)?.delete(record.unit);
      letPort(host, record);
      known.delete(routerName(record));
      peers.write(record.resource);
      routes.publish(record.resource).catch(() => {});
      tell(record.resource);
    },
  };
  const peers = openPeers(keeper, of);

  const keep = (record: InstanceRecord): Instance => {
    keepPort(host, record);
    const instance: Instance = {
      record,
      place: placeOf(keeper, record, { epoch: options.epoch, cwd: host.hold.reach(root) }),
    };
    const those = instances.get(record.resource) ?? new Map<string, Instance>();
    instances.set(record.resource, those.set(record.unit, instance));
    known.set(routerName(record), record);
    return instance;
  };
  const find = (resource: ResourceId, unit: string): Instance => {
    const instance = instances.get(resource)?.get(unit);
    if (instance === undefined) throw new Error(`${resource} has no instance ${unit}`);
    return instance;
  };

  for (const record of [...known.values()]) keep(record);
  for (const instance of everyOne()) {
    carryOut(keeper, instance);
    leave(keeper, instance);
    if (instance.record.removing) remove(keeper, instance);
  }
  // What runs for an instance whose record was taken away belongs to nobody.
  for (const unit of units.resources().flatMap(units.of)) {
    if (!known.has(routerName(unit.record))) void stopUnit(host, unit);
  }
  void watchVersions(keeper, everyOne);

  const create = async (
    resource: ResourceId,
    action: Extract<Action, { kind: 'create' }>,
    runnable: InstanceRunnable,
  ) => {
    const record = newRecord(resource, action.unit);
    if (isNode(record)) record.port = await freePort(host.ports);
    const there = instances.get(resource)?.get(action.unit);
    if (there !== undefined && record.port !== undefined) host.ports.delete(record.port);
    if (there?.record.attempt?.id === action.attempt) return;
    if (there !== undefined) throw new Error(`${resource} has an instance ${action.unit} already`);
    record.attempt = begun(action.attempt, running(record, action.revision, runnable));
    record.creating = action.attempt;
    host.guard();
    saveInstance(host.hold, record);
    const instance = keep(record);
    keeper.changed(instance);
    carryOut(keeper, instance);
  };

  const forget = async (resource: ResourceId) => {
    const left = of(resource).map(({ record }) => record.unit);
    if (left.length > 0)
      throw new Error(`${resource} still has ${left.join(', ')}; remove them before it is forgotten`);
    await units.forget(resource);
    await rm(host.hold.reach(memberFolder(root, resource)), { recursive: true, force: true });
    for (const map of [instances, held, declared]) map.delete(resource);
  };

  const observed = (resource: ResourceId): Live => ({
    ...nothingLive(Date.now()),
    complete: routes.known(resource),
    instances: of(resource)
      .sort(inOrder)
      .map((instance) => liveInstance(keeper, instance)),
    ...(resource.startsWith('Fleet/') && { suspended: [...(held.get(resource) ?? [])] }),
  });

  return {
    async observe(resources) {
      return new Map(resources.map((resource) => [resource, observed(resource)]));
    },
    async start(resource, action, runnable) {
      host.guard();
      switch (action.kind) {
        case 'create':
          return create(resource, action, instanceRunnable(action.unit, runnable));
        case 'update':
          return acceptUpdate(keeper, find(resource, action.unit), action, instanceRunnable(action.unit, runnable));
        case 'heal':
          return acceptHeal(keeper, find(resource, action.unit), action.attempt);
        case 'takeOut':
          return takeOut(keeper, find(resource, action.unit), action.attempt, action.cordon);
        case 'putBack':
          return putBack(keeper, find(resource, action.unit), action);
        case 'remove':
          return remove(keeper, find(resource, action.unit));
        case 'suspend':
          saveResource(host.hold, resource, { suspended: action.processes });
          held.set(resource, action.processes);
          return tell(resource);
        case 'forget':
          return forget(resource);
        default:
          throw new Error(`${action.kind} is nothing that is done to an instance`);
      }
    },
    async precheck(resource, spec, runnable, plan) {
      if ('template' in runnable || (spec.kind !== 'Fleet' && spec.kind !== 'Cluster')) throw noInstances(resource);
      const live = observed(resource).instances ?? [];
      const undoOf = (unit: string, revision: string) => instances.get(resource)?.get(unit)?.record.undo[revision];
      return precheckInstances({
        ...{ host, router: options.router, spec, runnable, plan, live },
        undoable: (unit, revision) => undoOf(unit, revision)?.rollback,
        ask: (unit, command) =>
          verifyInstance(keeper, find(resource, unit), [{ command }], AbortSignal.timeout(60_000)),
      });
    },
    check: (resource) => Promise.reject(new Error(`${resource} has no versions to check`)),
    verify: (resource, unit, checks, signal) => verifyInstance(keeper, find(resource, unit), checks, signal),
    async declare(resource, spec) {
      if (spec.kind !== 'Fleet' && spec.kind !== 'Cluster') throw noInstances(resource);
      host.guard();
      units.know(resource);
      host.hold.makeFolder(memberFolder(root, resource));
      declared.set(resource, spec);
      for (const instance of of(resource)) drain(keeper, instance);
      if (!held.has(resource)) held.set(resource, []);
      // Told at once, these are one change to the router.
      if (spec.kind === 'Fleet') await Promise.all([routes.serve(resource, spec.host), routes.route(resource, ALL)]);
    },
    subscribe(changed) {
      subscribers.add(changed);
      return () => subscribers.delete(changed);
    },
    async resources() {
      return [...new Set([...held.keys(), ...units.resources()])];
    },
    async close() {
      subscribers.clear();
      units.close();
    },
  };
}

type InstanceRunnable = FleetRunnable | ClusterRunnable;

function instanceRunnable(unit: string, runnable: AnyRunnable | undefined): InstanceRunnable {
  if (runnable === undefined || 'template' in runnable)
    throw new Error(`${unit} cannot be updated without what it gets`);
  return runnable;
}

const noInstances = (resource: ResourceId) => new Error(`${resource} has no instances`);

/** Only what is in service and ready gets requests, by its weight. */
function backendOf(unit: Unit, record: InstanceRecord | undefined): Backend[] {
  const port = servedPort(unit);
  if (record === undefined || port === undefined || !unit.record.ready || record.weight <= 0) return [];
  if (record.out !== undefined || record.creating !== undefined || record.removing) return [];
  return [{ unit: routerName(unit.record), port, weight: record.weight }];
}

function replace(record: InstanceRecord, next: InstanceRecord): void {
  for (const key of Object.keys(record)) if (!(key in next)) delete (record as Partial<InstanceRecord>)[key as 'out'];
  Object.assign(record, next);
}

function untilHolds(
  waiting: Set<() => void>,
  holds: () => boolean,
  ms: number,
  closing: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer);
      waiting.delete(look);
      closing.removeEventListener('abort', aborted);
      settle();
    };
    const look = () => {
      if (holds()) end(() => resolve(true));
    };
    const aborted = () => end(() => reject(closing.reason));
    const timer = setTimeout(() => end(() => resolve(false)), ms);
    timer.unref();
    waiting.add(look);
    closing.addEventListener('abort', aborted, { once: true });
    if (closing.aborted) aborted();
    else look();
  });
}
