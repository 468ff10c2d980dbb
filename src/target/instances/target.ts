/** Fleets and clusters of a target that creates what they consist of: instances with a process each, which outlive the operator. */
import { rm } from 'node:fs/promises';
import type {
  AnyRunnable,
  ClusterRunnable,
  FleetRunnable,
  InstanceSpec,
  ResourceId,
  ScalingProcess,
} from '../../manifest/resource.ts';
import { type Live, nothingLive } from '../../plan/live.ts';
import type { Plan } from '../../plan/plan.ts';
import type { Action } from '../../rollout/decision.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import type { Backend } from '../local/router/config.ts';
import type { UnitDriver } from '../ports.ts';
import { stopUnit } from '../replicas/end.ts';
import type { ReplicasOptions } from '../replicas/open.ts';
import { addressOf, type RunningContainer, routerName, servedPort, type Unit } from '../replicas/unit.ts';
import { memberFolder } from './folders.ts';
import type { Ground } from './ground.ts';
import { type Instance, inOrder, isNode, type Keeper, liveInstance, type Units } from './instance.ts';
import { drain, watchVersions } from './node.ts';
import { openPeers } from './peers.ts';
import type { InstancesAsked } from './precheck.ts';
import {
  type InstanceRecord,
  newRecord,
  readInstances,
  readResourceRecords,
  saveInstance,
  saveResource,
} from './record.ts';
import { leave, putBack, remove, takeOut } from './service.ts';
import { learn } from './serving.ts';
import { verifyInstance } from './verify.ts';
import { acceptHeal, acceptUpdate, begun, carryOut, running } from './work.ts';

/** What the processes of instances are opened with. */
export type UnitsOptions = Pick<
  ReplicasOptions<RunningContainer>,
  'dataDir' | 'secrets' | 'livedMs' | 'backends' | 'changed' | 'log'
>;

export interface InstancesOptions<U extends Units> {
  /** The folder of their records. */
  root: string;
  log(message: string, details: Record<string, unknown>): void;
  openUnits(options: UnitsOptions): Promise<U>;
  ground(units: U): Ground;
  /** All instances that there are: those of which there is a record on this machine, and what is known of them elsewhere. */
  found?(recorded: InstanceRecord[]): InstanceRecord[];
  /** False while it cannot be seen what runs. */
  complete?(units: U): boolean;
  precheck(asked: InstancesAsked, units: U): Promise<PrecheckResult[]>;
  close?(): Promise<void>;
}

/** A process that has never listened on its PORT may be about to; after so long it is taken for one that serves nothing. */
const LIVED_MS = 10_000;
/** All instances of a fleet are one version to the router, and each has a share of it. */
const ALL = { kind: 'percent', weights: { '': 100 } } as const;

/** Finds again what runs there, takes it over, and goes on with everything that was begun. */
export async function openInstances<U extends Units>({
  root,
  log,
  ...options
}: InstancesOptions<U>): Promise<UnitDriver> {
  const instances = new Map<ResourceId, Map<string, Instance>>();
  const held = new Map<ResourceId, ScalingProcess[]>();
  const declared = new Map<ResourceId, InstanceSpec>();
  const subscribers = new Set<(resource: ResourceId) => void>();
  const waiting = new Set<() => void>();
  const of = (resource: ResourceId) => [...(instances.get(resource)?.values() ?? [])];
  const everyOne = () => [...instances.values()].flatMap((those) => [...those.values()]);

  const records = [...readResourceRecords(root)].flatMap(([resource, { suspended }]) => {
    held.set(resource, suspended);
    return readInstances(root, resource);
  });
  const all = options.found?.(records) ?? records;
  for (const { resource } of all) if (!held.has(resource)) held.set(resource, []);
  const known = new Map(all.map((record) => [routerName(record), record]));
  const units = await options.openUnits({
    dataDir: root,
    secrets: { read: async () => undefined },
    livedMs: LIVED_MS,
    backends: (_, those) => ({ '': those.flatMap((unit) => backendOf(unit, known.get(routerName(unit.record)))) }),
    changed: (resource) => tell(resource),
    log,
  });
  const { host, routes } = units;
  const ground = options.ground(units);

  function tell(resource: ResourceId): void {
    for (const instance of of(resource)) learn(keeper, instance);
    for (const look of [...waiting]) look();
    for (const changed of subscribers) changed(resource);
  }

  const keeper: Keeper = {
    ground,
    units,
    log,
    specOf: (resource) => declared.get(resource),
    remember({ record }, change) {
      const next = structuredClone(record);
      change(next);
      host.guard();
      write(next);
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
      ground.ports?.let(record);
      known.delete(routerName(record));
      peers.write(record.resource);
      routes.publish(record.resource).catch(() => {});
      tell(record.resource);
    },
  };
  const peers = openPeers(keeper, of);

  function write(record: InstanceRecord): void {
    ground.stamp?.(record);
    saveInstance(host.hold, record);
    ground.kept?.(record);
  }

  const keep = (record: InstanceRecord): Instance => {
    ground.ports?.keep(record);
    const instance: Instance = { record, place: ground.placeOf(record) };
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

  const recorded = new Set(records);
  for (const record of [...known.values()]) {
    if (!recorded.has(record)) saveInstance(host.hold, record);
    keep(record);
  }
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
  void ground.claim?.(everyOne());

  const create = async (
    resource: ResourceId,
    action: Extract<Action, { kind: 'create' }>,
    runnable: InstanceRunnable,
  ) => {
    const record = newRecord(resource, action.unit);
    if (isNode(record) && ground.ports !== undefined) record.port = await ground.ports.reserve();
    const there = instances.get(resource)?.get(action.unit);
    if (there !== undefined && record.port !== undefined) ground.ports?.free(record.port);
    if (there?.record.attempt?.id === action.attempt) return;
    if (there !== undefined) throw new Error(`${resource} has an instance ${action.unit} already`);
    record.attempt = begun(action.attempt, running(record, action.revision, runnable));
    record.creating = action.attempt;
    host.guard();
    write(record);
    const instance = keep(record);
    keeper.changed(instance);
    carryOut(keeper, instance);
  };

  const forget = async (resource: ResourceId) => {
    const left = of(resource).map(({ record }) => record.unit);
    if (left.length > 0)
      throw new Error(`${resource} still has ${left.join(', ')}; remove them before it is forgotten`);
    await peers.settled(resource);
    await units.forget(resource);
    await rm(host.hold.reach(memberFolder(root, resource)), { recursive: true, force: true });
    for (const map of [instances, held, declared]) map.delete(resource);
  };

  const observed = (resource: ResourceId): Live => ({
    ...nothingLive(Date.now()),
    complete: routes.known(resource) && (options.complete?.(units) ?? true),
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
      await ground.accept?.();
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
    async precheck(resource, spec, runnable, plan: Plan) {
      if ('template' in runnable || (spec.kind !== 'Fleet' && spec.kind !== 'Cluster')) throw noInstances(resource);
      const live = observed(resource).instances ?? [];
      const undoOf = (unit: string, revision: string) => instances.get(resource)?.get(unit)?.record.undo[revision];
      return options.precheck(
        {
          ...{ spec, runnable, plan, live },
          undoable: (unit, revision) => undoOf(unit, revision)?.rollback,
          ask: (unit, command) =>
            verifyInstance(keeper, find(resource, unit), [{ command }], AbortSignal.timeout(60_000)),
        },
        units,
      );
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
      await options.close?.();
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
  const [first] = unit.containers;
  if (first === undefined) return [];
  if (record === undefined || port === undefined || !unit.record.ready || record.weight <= 0) return [];
  if (record.out !== undefined || record.creating !== undefined || record.removing) return [];
  const address = addressOf(first.record);
  const elsewhere = address === '127.0.0.1' ? {} : { host: address };
  return [{ unit: routerName(unit.record), port, weight: record.weight, ...elsewhere }];
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
