/** A driver of real hosts, and what tests of it do again and again. */
import { join } from 'node:path';
import type { Test } from 'tap';
import type {
  ClusterRunnable,
  ClusterSpec,
  FleetRunnable,
  FleetSpec,
  ResourceId,
  Script,
} from '../../../src/manifest/resource.ts';
import type { Live, LiveInstance } from '../../../src/plan/live.ts';
import type { UnitDriver } from '../../../src/target/ports.ts';
import { openSshTarget, type SshTargetOptions } from '../../../src/target/ssh/target.ts';
import type { TestHosts } from './hosts.ts';

const { signal } = new AbortController();

export interface Driven {
  driver: UnitDriver;
  id: ResourceId;
  look(): Promise<Live>;
  unit(name: string): Promise<LiveInstance>;
  /** Waits for what is observed; `act` is asked for again whenever something changed, as the operator does. */
  until(what: string, holds: (live: Live) => boolean, act?: () => Promise<void>): Promise<Live>;
  takeOut(unit: string, attempt: string, cordon?: boolean): Promise<void>;
  update(
    unit: string,
    attempt: string,
    to: string,
    script: Partial<Script> | undefined,
    undo?: string[],
  ): Promise<void>;
  putBack(unit: string, weight?: number, cordoned?: boolean): Promise<void>;
}

const common = {
  target: 'hosts',
  paused: false,
  onFailure: 'pause' as const,
  progressDeadlineSeconds: 600,
  revisionHistoryLimit: 5,
  windows: [],
};

export const fleetSpec = (over: Partial<FleetSpec> = {}): FleetSpec => ({
  ...common,
  ...{ kind: 'Fleet', members: { selector: { role: 'web' } }, host: 'web.localhost' },
  ...{ batches: 2, pause: 'never', maxFailures: 0, check: [], suspend: [], suspended: [], schedules: [] },
  ...over,
});

export const clusterSpec = (
  upgrade: Partial<ClusterSpec['upgrade']>,
  over: Partial<ClusterSpec> = {},
): ClusterSpec => ({
  ...{ ...common, kind: 'Cluster', version: '1.36.3', prechecks: [] },
  upgrade: { maxBatchPercent: 50, drain: { timeout: '1m' }, expireAfter: '15d', ...upgrade },
  ...over,
});

export function runnableOf(
  id: ResourceId,
  revision: string,
  script: Partial<Script> | undefined,
  version?: string,
): FleetRunnable | ClusterRunnable {
  const filled: Script | undefined = script && { interpreter: 'sh', run: 'true', timeout: '1m', ...script };
  return { resource: id, revision, ...(filled && { script: filled }), ...(version !== undefined && { version }) };
}

/** Closed with the test, unless it was closed before. */
export async function drive(
  t: Test,
  hosts: TestHosts,
  spec: FleetSpec | ClusterSpec,
  over: Partial<SshTargetOptions> = {},
): Promise<Driven> {
  const id: ResourceId = spec.kind === 'Fleet' ? 'Fleet/web' : 'Cluster/prod';
  const dataDir = join(hosts.root, 'cache');
  const driver = await openSshTarget({ name: 'hosts', ssh: hosts.ssh, epoch: 1, dataDir, ...over });
  t.teardown(() => driver.close());
  await driver.declare(id, spec);
  const version = spec.kind === 'Cluster' ? spec.version : undefined;
  const look = async () => {
    const live = (await driver.observe([id], signal)).get(id);
    if (live === undefined) throw new Error('nothing was observed');
    return live;
  };
  return {
    driver,
    id,
    look,
    async unit(name) {
      const found = (await look()).instances?.find((instance) => instance.id === name);
      if (found === undefined) throw new Error(`${name} is not there`);
      return found;
    },
    until: (what, holds, act) => observedUntil(driver, look, what, holds, act),
    takeOut: (unit, attempt, cordon = false) =>
      driver.start(id, { kind: 'takeOut', unit, attempt, cordon }, undefined, signal),
    update: (unit, attempt, to, script, undo = []) =>
      driver.start(
        id,
        { kind: 'update', unit, attempt, change: { to, undo } },
        runnableOf(id, to, script, version),
        signal,
      ),
    putBack: (unit, weight, cordoned = false) =>
      driver.start(id, { kind: 'putBack', unit, ...(weight !== undefined && { weight }), cordoned }, undefined, signal),
  };
}

/** Only what the driver tells of wakes it: a change that it keeps to itself is found out. */
async function observedUntil(
  driver: UnitDriver,
  look: () => Promise<Live>,
  what: string,
  holds: (live: Live) => boolean,
  act: () => Promise<void> = async () => {},
): Promise<Live> {
  const end = Date.now() + 180_000;
  let wake = () => {};
  const unsubscribe = driver.subscribe(() => wake());
  try {
    for (;;) {
      const told = new Promise<void>((told) => {
        wake = told;
      });
      const live = await look();
      if (holds(live)) return live;
      await act();
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        told,
        new Promise((_, late) => {
          timer = setTimeout(() => late(new Error(`not told of: ${what}; ${JSON.stringify(live)}`)), end - Date.now());
        }),
      ]);
      clearTimeout(timer);
    }
  } finally {
    unsubscribe();
  }
}

export const inLive = (name: string, test: (instance: LiveInstance) => boolean) => (live: Live) =>
  live.complete && (live.instances ?? []).some((instance) => instance.id === name && test(instance));
export const all = (test: (instance: LiveInstance) => boolean) => (live: Live) =>
  live.complete && (live.instances ?? []).every(test);
export const ended = (name: string, attempt: string) =>
  inLive(name, (instance) => instance.attempt?.id === attempt && instance.attempt.state !== 'running');
