/**
 * Hosts that are there already, reached over SSH. All that is true of a unit lies beside it, on its host
 * (`~/.sluice/<Kind>-<name>/<unit>`, see hosts/scripts/parts.ts) and at the load balancer: nothing here must outlive the operator.
 */
import { setMaxListeners } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { isReplicasSpec } from '../../manifest/kinds.ts';
import type { AnyRunnable, InstanceSpec, ResourceId } from '../../manifest/resource.ts';
import type { SshHost, SshTarget } from '../../manifest/target.ts';
import type { Live, LiveInstance } from '../../plan/live.ts';
import type { Action } from '../../rollout/decision.ts';
import { openUnitPlace } from '../hosts/attempts.ts';
import { readDeclared } from '../hosts/declared.ts';
import { StaleEpoch, type UnitDriver } from '../ports.ts';
import { carryOut, type UnitAction } from './acts.ts';
import { openBalancer } from './balancer.ts';
import { openConnections } from './connections.ts';
import { liveInstance, serviceOf } from './instance.ts';
import { membersInOrder, unitFolder } from './members.ts';
import { precheckHosts } from './precheck.ts';
import { verifyHost } from './verify.ts';
import { type HostUnit, isRunning, newUnit, watchUnit } from './watch.ts';

export interface SshTargetOptions {
  /** As manifests name it. */
  name: string;
  ssh: SshTarget;
  epoch: number;
  /** A folder of the operator's machine, for nothing but caches. */
  dataDir: string;
  log?: (message: string, details: Record<string, unknown>) => void;
  /** Only for tests of what a new start of a host does. */
  bootIdFile?: string;
}

interface Tracked {
  resource: ResourceId;
  spec: InstanceSpec;
  units: Map<string, { unit: HostUnit; former: boolean; end: AbortController }>;
  /** What was told of each last. */
  told: WeakMap<HostUnit, string>;
}

const IDLE_MS = 5_000;
const IDLE_PER_HOST_MS = 20;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 15_000;

export async function openSshTarget(options: SshTargetOptions): Promise<UnitDriver> {
  const { name, ssh, epoch, dataDir, log = () => {} } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o755 });
  const declared = await readDeclared(dataDir);
  const connections = openConnections({ ssh });
  const closing = new AbortController();
  setMaxListeners(0, closing.signal);
  const subscribers = new Set<(resource: ResourceId) => void>();
  const tracked = new Map<ResourceId, Tracked>();
  let stale: StaleEpoch | undefined;
  const idleMs = IDLE_MS + IDLE_PER_HOST_MS * ssh.hosts.length;

  const tell = (resource: ResourceId) => {
    if (!closing.signal.aborted) for (const changed of subscribers) changed(resource);
  };
  /** Told only where one of them reads otherwise than before. */
  const noticed = (own: Tracked, those: Iterable<HostUnit>) => {
    let differs = false;
    for (const unit of those) {
      const now = JSON.stringify([liveOfUnit(own, unit), isKnown(unit)]);
      differs ||= own.told.get(unit) !== now;
      own.told.set(unit, now);
    }
    if (differs) tell(own.resource);
  };
  const unitsOf = (own: Tracked) => [...own.units.values()].map(({ unit }) => unit);
  const allUnits = () => [...tracked.values()].flatMap((own) => unitsOf(own).map((unit) => ({ own, unit })));

  const balancer = openBalancer(ssh, connections, {
    busy: () => allUnits().some(({ own, unit }) => unit.accepted !== undefined || isLeaving(own, unit)),
    changed: () => {
      for (const own of tracked.values()) noticed(own, unitsOf(own));
      holdOut();
    },
  });
  const serversOf = (unit: HostUnit) => balancer?.seen()?.get(unit.host.name);
  const isLeaving = ({ spec }: Tracked, unit: HostUnit) =>
    serviceOf({ unit, spec, servers: serversOf(unit), now: Date.now() }) === 'leaving';

  /** A load balancer that was started anew gives back what was taken; what is out stays out. */
  function holdOut(): void {
    for (const { unit } of allUnits()) {
      const back = serversOf(unit)?.filter(({ weight }) => weight > 0) ?? [];
      const mine = unit.view?.out !== undefined && unit.view.epoch <= epoch && unit.trouble === undefined;
      if (!mine || unit.accepted !== undefined || back.length === 0 || stale !== undefined) continue;
      const weights = Object.fromEntries(back.map(({ backend }) => [backend, 0]));
      balancer
        ?.setWeights(unit.host.name, weights, () => unit.place.check(closing.signal))
        .catch((error: Error) => log('weight', { message: error.message }));
    }
  }

  const isBalancerUnseen = () => balancer !== undefined && balancer.seen() === undefined;
  const isKnown = ({ view, trouble }: HostUnit) => view !== undefined || trouble !== undefined;

  function liveOfUnit({ spec }: Tracked, unit: HostUnit): LiveInstance {
    const instance = liveInstance({ unit, spec, servers: serversOf(unit), now: Date.now() });
    if (isBalancerUnseen()) instance.message ??= balancer?.trouble() ?? 'the load balancer was not asked yet';
    return instance;
  }

  function liveOf(own: Tracked): Live {
    const those = [...own.units.values()];
    const complete = !isBalancerUnseen() && those.every(({ unit }) => isKnown(unit));
    const instances = those.map(({ unit, former }) => ({ ...liveOfUnit(own, unit), ...(former && { former }) }));
    return { observedAt: Date.now(), complete, units: [], instances };
  }

  function watch(own: Tracked, host: SshHost, controlPlane: boolean): { unit: HostUnit; end: AbortController } {
    const end = new AbortController();
    setMaxListeners(0, end.signal);
    const place = openUnitPlace({
      shell: connections.shell(host.name),
      folder: unitFolder(own.resource, host),
      epoch,
      ...(options.bootIdFile !== undefined && { bootIdFile: options.bootIdFile }),
    });
    const unit = newUnit(host, place, controlPlane);
    const signal = AbortSignal.any([end.signal, closing.signal]);
    const versionCommand = () => (own.spec.kind === 'Cluster' ? own.spec.upgrade.versionCommand : undefined);
    void watchUnit({ unit, versionCommand, idleMs, signal, changed: () => noticed(own, [unit]) });
    return { unit, end };
  }

  /** Hosts are watched from when they are members of it until they are not, and no rollout has them. */
  function track(resource: ResourceId, spec: InstanceSpec, frozen: readonly string[] = []): Tracked {
    const own: Tracked = tracked.get(resource) ?? { resource, spec, units: new Map(), told: new WeakMap() };
    own.spec = spec;
    tracked.set(resource, own);
    const members = membersInOrder(ssh, spec, frozen);
    const before = own.units;
    own.units = new Map(
      members.map(({ host, controlPlane, former }) => [
        host.name,
        { ...(before.get(host.name) ?? watch(own, host, controlPlane)), former },
      ]),
    );
    for (const [member, { end }] of before) if (!own.units.has(member)) end.abort();
    return own;
  }

  for (const [resource, spec] of declared.specs) track(resource, spec);

  connections.onLost((host) => {
    for (const { unit } of allUnits()) if (unit.host.name === host) unit.hurry();
  });

  const known = (resource: ResourceId): Tracked => {
    const own = tracked.get(resource);
    if (own === undefined) throw new Error(`target ${name} knows nothing of ${resource}`);
    return own;
  };
  const unitOf = (resource: ResourceId, id: string): HostUnit => {
    const found = known(resource).units.get(id)?.unit;
    if (found === undefined) throw new Error(`${resource} has no host ${id} on target ${name}`);
    return found;
  };
  const placeOf = ({ host }: HostUnit) => `host ${host.name} of target ${name}`;
  const guard = () => {
    const [later] = allUnits()
      .map(({ unit }) => unit)
      .filter(({ view }) => (view?.epoch ?? 0) > epoch)
      .sort((a, b) => (b.view?.epoch ?? 0) - (a.view?.epoch ?? 0));
    if (later !== undefined) stale ??= new StaleEpoch(epoch, later.view?.epoch ?? 0, placeOf(later));
    if (stale !== undefined) throw stale;
  };

  /** Accepted at once. What goes wrong is tried again when it is asked for again, later each time. */
  function accept(own: Tracked, unit: HostUnit, action: UnitAction, runnable: AnyRunnable | undefined): void {
    const key = JSON.stringify(action);
    if (unit.accepted?.key === key) return;
    if (unit.failed?.key === key && Date.now() < unit.failed.until) return;
    const mark = markOf(unit, action);
    if (mark !== undefined) {
      unit.out = mark;
      noticed(own, [unit]);
      return;
    }
    const shown = action.kind === 'takeOut' ? { takeOut: action.attempt } : {};
    const begun = action.kind === 'update' ? { update: action.attempt } : {};
    const accepted = { key, ...shown, ...begun };
    unit.accepted = accepted;
    balancer?.hurry();
    const acting = { resource: own.resource, spec: own.spec, unit, balancer, signal: closing.signal };
    unit.acting = unit.acting.then(async () => {
      try {
        await carryOut(acting, action, runnable);
        unit.failed = undefined;
      } catch (error) {
        refused(own, unit, action, error as Error);
      }
      if (unit.accepted === accepted) unit.accepted = undefined;
      if (isRunning(unit)) unit.hurry();
      balancer?.hurry();
      noticed(own, [unit]);
    });
  }

  /** Nothing sends requests to it, so that nothing is done before its update, which marks it too. */
  const markOf = (unit: HostUnit, action: UnitAction): string | undefined => {
    if (balancer !== undefined || action.kind !== 'takeOut' || action.cordon) return undefined;
    return unit.view !== undefined && unit.trouble === undefined ? action.attempt : undefined;
  };

  function refused(own: Tracked, unit: HostUnit, action: UnitAction, error: Error): void {
    if (closing.signal.aborted) return;
    if (error instanceof StaleEpoch) stale = new StaleEpoch(epoch, error.highest, placeOf(unit));
    const key = JSON.stringify(action);
    const again = unit.failed?.key === key;
    const delay = Math.min(LONGEST_RETRY_MS, again ? (unit.failed?.delay ?? 0) * 2 : FIRST_RETRY_MS);
    unit.failed = { key, delay, message: `${action.kind}: ${error.message}`, until: Date.now() + delay };
    setTimeout(() => tell(own.resource), delay + 1).unref();
    log(`${action.kind} failed`, { unit: unit.host.name, message: error.message });
  }

  function release(resource: ResourceId): Promise<void> {
    for (const { end } of tracked.get(resource)?.units.values() ?? []) end.abort();
    tracked.delete(resource);
    declared.specs.delete(resource);
    return declared.save();
  }

  return {
    async observe(resources) {
      return new Map(
        resources.map((resource) => {
          const own = tracked.get(resource);
          return [resource, own ? liveOf(own) : { observedAt: Date.now(), complete: true, units: [], instances: [] }];
        }),
      );
    },
    async start(resource, action, runnable) {
      guard();
      if (action.kind === 'forget') return release(resource);
      if (isUnitAction(action)) return accept(known(resource), unitOf(resource, action.unit), action, runnable);
      if (action.kind !== 'remove') throw new Error(`${action.kind} is nothing that is done to a host`);
    },
    async precheck(resource, spec, runnable, plan, signal) {
      if (isReplicasSpec(spec) || 'template' in runnable) throw new Error(`${resource} has no hosts`);
      const units = [...known(resource).units.values()].filter(({ former }) => !former).map(({ unit }) => unit);
      return precheckHosts({ resource, spec, runnable, plan, units, balancer, connections, signal });
    },
    check: (resource) => Promise.reject(new Error(`${resource} has no versions to check`)),
    async verify(resource, id, checks, signal) {
      const { host } = unitOf(resource, id);
      return verifyHost({ resource, host, shell: connections.shell(host.name), signal }, checks);
    },
    async declare(resource, spec, frozen) {
      if (isReplicasSpec(spec)) throw new Error(`${resource} has replicas, and target ${name} has hosts only`);
      declared.specs.set(resource, spec);
      track(resource, spec, frozen);
      await declared.save();
    },
    subscribe(changed) {
      subscribers.add(changed);
      return () => subscribers.delete(changed);
    },
    async resources() {
      return [...tracked.keys()];
    },
    async close() {
      subscribers.clear();
      closing.abort(new Error('the target is closed'));
      balancer?.close();
      connections.close();
      await declared.save();
    },
  };
}

const isUnitAction = (action: Action): action is UnitAction =>
  action.kind === 'takeOut' || action.kind === 'update' || action.kind === 'putBack';

/** What was kept of the output of a unit's last attempts; opens a connection of its own. */
export async function readSshLogs(ssh: SshTarget, resource: ResourceId, unit: string): Promise<string> {
  const host = ssh.hosts.find(({ name }) => name === unit);
  if (host === undefined) throw new Error(`there is no host ${unit} on the target`);
  const connections = openConnections({ ssh });
  try {
    const place = openUnitPlace({ shell: connections.shell(unit), folder: unitFolder(resource, host), epoch: 0 });
    return await place.logs(new AbortController().signal);
  } finally {
    connections.close();
  }
}
