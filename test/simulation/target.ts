/** The simulated targets of a world, and the driver through which one operator sees them and acts on them. */
import type {
  AnyRunnable,
  Check,
  ClusterRunnable,
  FleetRunnable,
  ResourceId,
  Spec,
} from '../../src/manifest/resource.ts';
import type { HostTarget } from '../../src/manifest/target.ts';
import type { Targets } from '../../src/operator/targets.ts';
import type { Live } from '../../src/plan/live.ts';
import type { Action } from '../../src/rollout/decision.ts';
import type { PrecheckResult } from '../../src/rollout/state.ts';
import { StaleEpoch, type UnitDriver } from '../../src/target/ports.ts';
import { membersInOrder } from '../../src/target/ssh/members.ts';
import { createMachines, hostMachines, type Machine, type Machines } from './machines.ts';
import { ACT, type Process } from './process.ts';
import type { Random } from './random.ts';
import { createReplicas, type Replicas } from './replicas.ts';
import type { Timeline } from './timeline.ts';

export interface TargetFaults {
  /** Until then observing fails, and so does acting. */
  silentUntil: number;
  /** Until then not everything is seen. */
  partialUntil: number;
  /** So many actions from now are not accepted. */
  refuse: number;
  /** So many prechecks, and so many checks, from now fail. */
  precheck: number;
  check: number;
  /** The longest that an answer takes, in milliseconds. */
  slow: number;
  /** Releases that run well now and then run well from now on. */
  calm: boolean;
}

/** What is told of everything that an operator does to the targets and is told by them. */
export interface Witness {
  observed(process: Process, id: ResourceId, live: Live): void;
  /** Before it takes place. */
  acts(process: Process, id: ResourceId, action: Action): void;
  prechecked(id: ResourceId, revision: string, results: PrecheckResult[]): void;
}

export interface SimulatedTarget {
  faults: TargetFaults;
  replicas: Map<ResourceId, Replicas>;
  machines: Map<ResourceId, Machines>;
  /** What goes wrong on purpose between an operator and the targets. */
  spoilt: {
    act?: (id: ResourceId, action: Action) => Action[];
    see?: (id: ResourceId, live: Live) => Live;
    /** What was let through takes place whoever has taken over since. */
    unfenced?: boolean;
  };
  /** As if an operator had done it, whoever may act. */
  act(id: ResourceId, action: Action, by: Process): void;
  /** The highest that ever acted. */
  epoch(): number;
  open(process: Process, epoch: number, changed: (id: ResourceId) => void): Targets;
}

/** Asked for again and again until they are seen to have taken place. */
const REPEATED: readonly Action['kind'][] = [
  'takeOut',
  'putBack',
  'heal',
  'suspend',
  'route',
  'update',
  'remove',
  'stop',
  'start',
  'create',
];

export const isReplicasId = (id: ResourceId): boolean => id.startsWith('Workload/') || id.startsWith('Service/');

export function createTarget(timeline: Timeline, random: Random, witness: Witness): SimulatedTarget {
  const replicas = new Map<ResourceId, Replicas>();
  const machines = new Map<ResourceId, Machines>();
  const hosts = new Map<ResourceId, Machine[]>();
  const specs = new Map<ResourceId, { spec: Spec; frozen: readonly string[] }>();
  let hostTargets: ReadonlyMap<string, HostTarget> = new Map();
  const subscribers = new Set<(id: ResourceId) => void>();
  const faults: TargetFaults = {
    silentUntil: 0,
    partialUntil: 0,
    refuse: 0,
    precheck: 0,
    check: 0,
    slow: 0,
    calm: false,
  };
  const { now } = timeline;
  let highest = 0;

  const changed = (id: ResourceId) => {
    for (const call of [...subscribers]) call(id);
  };

  const replicasOf = (id: ResourceId): Replicas => {
    const found =
      replicas.get(id) ??
      createReplicas(
        timeline,
        () => faults.calm,
        () => changed(id),
      );
    replicas.set(id, found);
    return found;
  };

  const machinesOf = (id: ResourceId): Machines => {
    const known = machines.get(id);
    if (known !== undefined) return known;
    const [kind = '', name = ''] = id.split('/');
    const those = hosts.get(id) ?? hostMachines(kind as 'Fleet' | 'Cluster', name);
    hosts.set(id, those);
    const made = createMachines(timeline, those, () => changed(id));
    machines.set(id, made);
    return made;
  };

  const seen = (id: ResourceId): Live => {
    const live = isReplicasId(id)
      ? (replicas.get(id)?.live() ?? { observedAt: now(), complete: true, units: [] })
      : (machines.get(id)?.live() ?? { observedAt: now(), complete: true, units: [], instances: [] });
    if (now() >= faults.partialUntil) return live;
    const half = <T>(list: T[]): T[] => list.filter((_, index) => index % 2 === 0);
    const { traffic: _, ...rest } = live;
    return {
      ...rest,
      complete: false,
      units: half(live.units),
      ...(live.instances && { instances: half(live.instances) }),
    };
  };

  const exists = (id: ResourceId) => replicas.get(id)?.empty() === false || machines.has(id);

  const target: SimulatedTarget = {
    ...{ faults, replicas, machines, spoilt: {} },
    act: (id, action, by) => witness.acts(by, id, action),
    epoch: () => highest,
    open(process, epoch, wake) {
      const ask = <T>(name: string, work: () => T) =>
        process.effect(name, faults.slow === 0 ? 0 : random.below(faults.slow), () => {
          if (now() < faults.silentUntil) throw new Error('the target does not answer');
          return work();
        });
      const guard = () => {
        if (highest > epoch) throw new StaleEpoch(epoch, highest);
        highest = epoch;
      };
      if (highest <= epoch) highest = epoch;
      const subscriber = (id: ResourceId) => process.clock.soon(() => wake(id));
      subscribers.add(subscriber);
      process.onDeath(() => subscribers.delete(subscriber));

      const driver: UnitDriver = {
        observe: (ids) =>
          ask('observe', () => {
            const lives = new Map(ids.map((id) => [id, target.spoilt.see?.(id, seen(id)) ?? seen(id)]));
            for (const [id, live] of lives) witness.observed(process, id, live);
            return lives;
          }),
        async start(id, action, runnable) {
          await ask('accept', () => {
            guard();
            if (faults.refuse === 0) return;
            faults.refuse--;
            throw new Error('the target does not accept it');
          });
          await process.effect(`${ACT}${action.kind}`, 0, () => {
            // Who was stopped after it was let through, and taken over from meanwhile, finds nothing to act on.
            if (target.spoilt.unfenced !== true) guard();
            for (const done of target.spoilt.act?.(id, action) ?? [action]) {
              witness.acts(process, id, done);
              act(id, done, runnable);
            }
          });
        },
        precheck: (id, _spec, runnable) =>
          ask('precheck', () => {
            const failed = faults.precheck > 0;
            if (failed) faults.precheck--;
            const results: PrecheckResult[] = [
              { name: 'target', result: failed ? 'fail' : 'pass', message: failed ? 'no room' : 'answers', remedy: '' },
            ];
            witness.prechecked(id, runnable.revision, results);
            return results;
          }),
        check: (id, version, _check: Check) => ask('check', () => checked(id, version)),
        verify: (id, unit) =>
          ask('verify', () => {
            const pass = machines.get(id)?.all.get(unit)?.unwell === false && !failing();
            return { pass, message: pass ? '' : 'GET /health: 503' };
          }),
        declare: (id, spec, frozen = []) =>
          ask('declare', () => {
            guard();
            declare(id, spec, frozen);
          }),
        subscribe: () => () => {},
        resources: async () => [],
        close: async () => void subscribers.delete(subscriber),
      };
      return {
        async declare(_, declared) {
          hostTargets = declared;
          for (const [id, { spec, frozen }] of specs) if (machines.has(id)) declare(id, spec, frozen);
        },
        driverOf: () => driver,
        found: () => [...replicas.keys(), ...machines.keys()].filter(exists),
        close: async () => void subscribers.delete(subscriber),
      };
    },
  };
  return target;

  /** What an action is about, as it is. */
  function glimpse(id: ResourceId, action: Action): string | undefined {
    if (!REPEATED.includes(action.kind)) return undefined;
    if ('unit' in action)
      return JSON.stringify(replicas.get(id)?.units.get(action.unit) ?? machines.get(id)?.all.get(action.unit));
    return JSON.stringify([replicas.get(id)?.traffic, machines.get(id)?.suspended]);
  }

  /** As drivers do, it tells of what looks otherwise than before, and of nothing else. */
  function act(id: ResourceId, action: Action, runnable: AnyRunnable | undefined): void {
    const before = glimpse(id, action);
    carryOut(id, action, runnable);
    if (!REPEATED.includes(action.kind) || glimpse(id, action) !== before) changed(id);
  }

  function carryOut(id: ResourceId, action: Action, runnable: AnyRunnable | undefined): void {
    if (isReplicasId(id)) {
      if (runnable !== undefined && !('template' in runnable)) throw new Error(`${id}: no replica runs that`);
      replicasOf(id).act(action, runnable);
      if (action.kind === 'forget') replicas.delete(id);
      return;
    }
    machinesOf(id).act(action, runnable as FleetRunnable | ClusterRunnable | undefined);
    if (action.kind !== 'forget') return;
    machines.delete(id);
    specs.delete(id);
  }

  function failing(): boolean {
    if (faults.check === 0) return false;
    faults.check--;
    return true;
  }

  /** Of every ready unit of the version. */
  function checked(id: ResourceId, version: string): { pass: boolean; message: string } {
    const units = [...(replicas.get(id)?.units.values() ?? [])].filter(
      (unit) => unit.version === version && unit.ready,
    );
    const pass = units.length > 0 && units.every(({ release }) => release !== 'unwell') && !failing();
    return { pass, message: pass ? '' : 'GET /health: 503' };
  }

  function declare(id: ResourceId, spec: Spec, frozen: readonly string[]): void {
    if (spec.kind !== 'Fleet' && spec.kind !== 'Cluster') return;
    specs.set(id, { spec, frozen });
    const target = hostTargets.get(spec.target);
    machinesOf(id).declare(spec, target === undefined ? [] : membersInOrder(target.ssh, spec, frozen));
  }
}
