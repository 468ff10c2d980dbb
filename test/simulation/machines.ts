/** Simulated instances of one fleet or nodes of one cluster: hosts that are there already, or what the target creates. */
import type {
  ClusterRunnable,
  FleetRunnable,
  InstanceSpec,
  Revision,
  ScalingProcess,
} from '../../src/manifest/resource.ts';
import type { Live, LiveAttempt, LiveInstance } from '../../src/plan/live.ts';
import type { Action } from '../../src/rollout/decision.ts';
import type { Member } from '../../src/target/ssh/members.ts';
import { type ScriptBehaviour, scriptOf } from './behaviour.ts';
import { HOSTS_OF } from './drafts.ts';
import type { Timeline } from './timeline.ts';

export interface Machine extends LiveInstance {
  /** Answers on the network; a host that left does not. */
  reachable: boolean;
  /** It did not answer at some time: where it was left out of service then, it stays so. */
  left: boolean;
  /** What runs on it is up. */
  up: boolean;
  /** No check passes. */
  unwell: boolean;
  removing: boolean;
  /** Until its creation has come through: the version that it is to run, of a cluster. */
  creating?: { version: string | undefined };
  /** The weight that it had when it was first taken out, as it is kept beside it. */
  kept?: number;
  /** Likewise whether it was cordoned. */
  cordonedBefore?: boolean;
  /** How the scripts of revisions behave that were applied, and those that take them back. */
  behaviours: Map<Revision, { run: ScriptBehaviour; undo: ScriptBehaviour }>;
}

/** A script that was begun: `run` or `undo` of a revision under an attempt. */
export interface Began {
  unit: string;
  what: 'run' | 'undo';
  revision: Revision;
  attempt: string;
}

export interface Machines {
  all: Map<string, Machine>;
  suspended: ScalingProcess[];
  /** Every script that was ever begun, in order. */
  scripts: Began[];
  declare(spec: InstanceSpec, members: readonly Member[]): void;
  act(action: Action, runnable: FleetRunnable | ClusterRunnable | undefined): void;
  live(): Live;
  kill(machine: Machine): void;
  changed(): void;
  empty(): boolean;
}

const LEAVE_MS = 1500;
const SCRIPT_MS = 3000;
const UP_MS = 1000;
const UNDRAIN_MS = 500;
const SCRIPT_TIMEOUT_MS = 300_000;

function newMachine(id: string, over: Partial<Machine> = {}): Machine {
  return {
    ...{ id, created: false, controlPlane: false, applied: [], ready: true, service: 'in' as const, cordoned: false },
    ...{ restarts: 0, reachable: true, left: false, up: true, unwell: false, removing: false, behaviours: new Map() },
    ...over,
  };
}

/** The hosts of a target by name, as they are before Sluice comes; weights and cordons are the user's. */
export function hostMachines(kind: 'Fleet' | 'Cluster', name: string): Machine[] {
  return (HOSTS_OF[kind] ?? []).map((host, index) =>
    newMachine(`${name}-${host}`, {
      controlPlane: host.startsWith('c'),
      ...(kind === 'Fleet' && { weight: index === 1 ? 50 : 100 }),
      ...(kind === 'Cluster' && { version: '1.29.5', cordoned: index === 4 }),
    }),
  );
}

export function createMachines(timeline: Timeline, hosts: Machine[], changed: () => void): Machines {
  const all = new Map<string, Machine>();
  const { now } = timeline;
  const hostsById = new Map(hosts.map((host) => [host.id, host]));
  let isCluster = false;

  function later(machine: Machine, ms: number, call: () => void): void {
    timeline.at(now() + ms, () => {
      if (all.get(machine.id) !== machine && hostsById.get(machine.id) !== machine) return;
      call();
      changed();
    });
  }

  const find = (unit: string): Machine => {
    const machine = all.get(unit);
    if (machine === undefined) throw new Error(`no instance ${unit}`);
    return machine;
  };

  function takeOut(machine: Machine, { attempt, cordon }: Action & { kind: 'takeOut' }): void {
    if (!machine.reachable) return;
    if (cordon) machine.cordonedBefore ??= machine.cordoned;
    if (cordon) machine.cordoned = true;
    if (machine.service === 'in') {
      machine.service = 'leaving';
      if (machine.weight !== undefined) {
        machine.kept ??= machine.weight;
        machine.weight = 0;
      }
      later(machine, LEAVE_MS, () => {
        if (machine.service === 'leaving') machine.service = 'out';
      });
    }
    if (cordon && machine.drain?.id !== attempt) {
      machine.drain = { id: attempt, state: 'running', message: 'runs' };
      later(machine, LEAVE_MS, () => {
        if (machine.drain?.id === attempt) machine.drain = { id: attempt, state: 'succeeded', message: '' };
      });
    }
  }

  function putBack(machine: Machine, { weight, cordoned }: Action & { kind: 'putBack' }): void {
    if (!machine.reachable || machine.removing) return;
    const back = () => {
      Object.assign(machine, { service: 'in', cordoned });
      const before = weight ?? machine.kept;
      if (before !== undefined) machine.weight = before;
      delete machine.kept;
      delete machine.cordonedBefore;
      if (!cordoned) delete machine.drain;
    };
    // As targets do it: what takes a node's drain back takes its time, and who takes the node out meanwhile has the last word.
    const { drain } = machine;
    if (!isCluster) back();
    else
      later(machine, UNDRAIN_MS, () => {
        if (machine.drain?.id === drain?.id) back();
      });
  }

  /** Begins a script; its outcome stands beside the machine, whatever becomes of who asked for it. */
  function begin(machine: Machine, attempt: string, behaviour: ScriptBehaviour, done: () => void): void {
    const end = (state: LiveAttempt['state'], message: string) => {
      if (machine.attempt?.id !== attempt) return;
      machine.attempt = { id: attempt, state, message };
      // What did not end well has been at work all the same, and what was there goes on.
      machine.up = state === 'succeeded' || machine.creating === undefined;
      if (state === 'succeeded') delete machine.creating;
      else if (machine.creating !== undefined) machine.diedAt = now();
      if (state === 'succeeded') done();
    };
    if (behaviour === 'fails') later(machine, SCRIPT_MS, () => end('failed', 'script: exited with code 1'));
    else if (behaviour === 'lost') later(machine, SCRIPT_MS, () => end('unknown', 'no outcome was left'));
    else if (behaviour === 'hangs') later(machine, SCRIPT_TIMEOUT_MS, () => end('failed', 'script: ran for too long'));
    else later(machine, behaviour === 'late' ? 30_000 : SCRIPT_MS, () => end('succeeded', ''));
  }

  function update(
    machine: Machine,
    { attempt, change }: Action & { kind: 'update' },
    runnable: FleetRunnable | ClusterRunnable,
  ): void {
    if (machine.attempt?.id === attempt) return;
    if (!machine.reachable) return;
    if (machine.attempt?.state === 'running') throw new Error(`${machine.attempt.id} is still under way`);
    machine.attempt = { id: attempt, state: 'running', message: 'runs' };
    machine.up = false;
    if (change.undo.length > 0) undo(machine, attempt, change.undo);
    else run(machine, attempt, change.to, runnable);
  }

  function run(machine: Machine, attempt: string, to: Revision, runnable: FleetRunnable | ClusterRunnable): void {
    const { script } = runnable;
    const behaviour = scriptOf(script?.run);
    const undo = script?.rollback === undefined ? 'ok' : scriptOf(script.rollback);
    machine.behaviours.set(to, { run: behaviour, undo });
    if (machine.applied.at(-1) !== to) machine.applied.push(to);
    machines.scripts.push({ unit: machine.id, what: 'run', revision: to, attempt });
    begin(machine, attempt, behaviour, () => {
      machine.unwell = behaviour === 'unwell';
      machine.up = true;
      if ('version' in runnable) machine.version = runnable.version;
    });
  }

  /** Only what is on top, in this order. */
  function undo(machine: Machine, attempt: string, revisions: Revision[]): void {
    const left = [...machine.applied];
    const those = revisions.filter((revision) => left.at(-1) === revision && left.pop() !== undefined);
    const behaviours = those.map((revision) => machine.behaviours.get(revision)?.undo ?? 'ok');
    const bad = behaviours.find((behaviour) => behaviour !== 'ok' && behaviour !== 'late') ?? 'ok';
    for (const revision of those) machines.scripts.push({ unit: machine.id, what: 'undo', revision, attempt });
    begin(machine, attempt, bad, () => {
      for (const revision of those) if (machine.applied.at(-1) === revision) machine.applied.pop();
      machine.unwell = machine.behaviours.get(machine.applied.at(-1) ?? '')?.run === 'unwell';
      machine.up = true;
    });
  }

  function create(
    { unit, revision, attempt }: Action & { kind: 'create' },
    runnable: FleetRunnable | ClusterRunnable,
  ): void {
    const there = all.get(unit);
    if (there !== undefined) {
      if (there.attempt?.id === attempt) return;
      throw new Error(`there is an instance ${unit} already`);
    }
    const machine = newMachine(unit, { created: true, controlPlane: unit.includes('-cp-'), up: false, ready: false });
    if (!isCluster) machine.weight = 100;
    machine.attempt = { id: attempt, state: 'running', message: 'runs' };
    machine.creating = { version: 'version' in runnable ? runnable.version : undefined };
    all.set(unit, machine);
    run(machine, attempt, revision, runnable);
  }

  function remove(machine: Machine): void {
    if (machine.removing) return;
    machine.removing = true;
    if (!machine.created) {
      all.delete(machine.id);
      machine.removing = false;
      return;
    }
    machine.service = 'leaving';
    timeline.at(now() + LEAVE_MS, () => {
      if (all.get(machine.id) === machine) all.delete(machine.id);
      changed();
    });
  }

  function heal(machine: Machine, attempt: string): void {
    if (machine.removing || machine.attempt?.state === 'running') return;
    if (machine.diedAt === undefined) return;
    if (machine.creating !== undefined) {
      // Created anew, it comes up.
      machine.attempt = { id: attempt, state: 'succeeded', message: '' };
      if (machine.creating.version !== undefined) machine.version = machine.creating.version;
      delete machine.creating;
    }
    delete machine.diedAt;
    machine.restarts++;
    later(machine, UP_MS, () => {
      if (machine.diedAt === undefined) machine.up = true;
    });
  }

  const isReady = ({ up, reachable, attempt, removing }: Machine) =>
    up && reachable && !removing && attempt?.state !== 'running';

  /** All fields by hand: it is asked for more often than anything else. */
  function seen(machine: Machine): LiveInstance {
    const ready = isReady(machine);
    const instance: LiveInstance = {
      id: machine.id,
      created: machine.created,
      controlPlane: machine.controlPlane,
      applied: [...machine.applied],
      ready,
      service: machine.removing ? 'leaving' : machine.service,
      cordoned: machine.cordoned,
      restarts: machine.restarts,
    };
    if (machine.former) instance.former = true;
    if (machine.version !== undefined) instance.version = machine.version;
    if (machine.weight !== undefined) instance.weight = machine.weight;
    if (machine.drain !== undefined) instance.drain = machine.drain;
    if (machine.attempt !== undefined) instance.attempt = machine.attempt;
    // What is at work on it, or going away, is not dead.
    const busy = machine.removing || machine.attempt?.state === 'running';
    if (machine.diedAt !== undefined && !busy) instance.diedAt = machine.diedAt;
    if (machine.reachable && machine.cordonedBefore !== undefined) instance.cordonedBefore = machine.cordonedBefore;
    if (!ready) instance.message = machine.reachable ? (machine.message ?? 'is not up') : 'does not answer';
    return instance;
  }

  const machines: Machines = {
    all,
    suspended: [],
    scripts: [],
    declare(spec, members) {
      isCluster = spec.kind === 'Cluster';
      const those = new Map(members.map(({ host, former }) => [host.name, former]));
      for (const [id, former] of those) {
        const host = hostsById.get(id);
        if (host === undefined) continue;
        all.set(id, host);
        host.former = former;
      }
      for (const [id, machine] of all) if (!machine.created && !those.has(id)) all.delete(id);
    },
    act(action, runnable) {
      switch (action.kind) {
        case 'create':
          if (runnable !== undefined) create(action, runnable);
          break;
        case 'update':
          if (runnable !== undefined) update(find(action.unit), action, runnable);
          break;
        case 'takeOut':
          takeOut(find(action.unit), action);
          break;
        case 'putBack':
          putBack(find(action.unit), action);
          break;
        case 'remove':
          remove(find(action.unit));
          break;
        case 'heal':
          heal(find(action.unit), action.attempt);
          break;
        case 'suspend':
          machines.suspended = action.processes;
          break;
        case 'forget':
          for (const [id, machine] of all) if (!machine.created) all.delete(id);
          if (all.size > 0) throw new Error('there are instances left');
          machines.suspended = [];
          break;
        default:
          throw new Error(`${action.kind} is nothing that is done to an instance`);
      }
    },
    live: () => ({
      ...{ observedAt: now(), complete: true, units: [] },
      instances: [...all.values()].sort(byPlaneThenName).map(seen),
      ...(!isCluster && { suspended: [...machines.suspended] }),
    }),
    kill(machine) {
      if (!machine.created || machine.diedAt !== undefined) return;
      machine.up = false;
      machine.diedAt = now();
      changed();
    },
    changed,
    empty: () => ![...all.values()].some(({ created }) => created),
  };
  return machines;
}

const byPlaneThenName = (a: Machine, b: Machine) =>
  Number(b.controlPlane) - Number(a.controlPlane) || (a.id < b.id ? -1 : 1);
