/** Fleets and clusters of real processes: little images, what is declared, and the acts of a rollout by hand. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type {
  ClusterRunnable,
  ClusterSpec,
  FleetRunnable,
  FleetSpec,
  Image,
  ResourceId,
  Script,
} from '../../../../src/manifest/resource.ts';
import type { LiveInstance } from '../../../../src/plan/live.ts';
import type { UnitChange } from '../../../../src/plan/plan.ts';
import { homeFolder, instanceFolder, instancesFolder } from '../../../../src/target/instances/folders.ts';
import type { InstanceRecord } from '../../../../src/target/instances/record.ts';
import { type LocalInstancesOptions, openLocalInstances } from '../../../../src/target/local/instances/target.ts';
import type { UnitDriver } from '../../../../src/target/ports.ts';
import { type Place, place, processesWith, until } from '../fixtures.ts';

export const WEB: ResourceId = 'Fleet/web';
export const PROD: ResourceId = 'Cluster/prod';
export const never = new AbortController().signal;

/** Answers with what it knows; `/slow` after a while; `/wait` begins an answer that `/go` ends. */
const SERVER = `
const http = require('node:http');
const waiting = [];
http.createServer((request, response) => {
  const answer = () => response.end(JSON.stringify({ name: process.env.NAME, env: process.env, pid: process.pid }));
  if (request.url === '/exit') process.exit(3);
  if (request.url === '/wait') { response.write('it '); waiting.push(response); return; }
  if (request.url === '/go') for (const held of waiting) held.end('went on');
  if (request.url === '/slow') setTimeout(answer, 300); else answer();
}).listen(process.env.PORT, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
`;

export interface InstancesPlace extends Place {
  openInstances(options?: Partial<LocalInstancesOptions>): Promise<UnitDriver>;
  home(unit: string, resource?: ResourceId): string;
  instance(unit: string, resource?: ResourceId): InstanceRecord;
  /** What a file in the instance's folder holds; '' where there is none. */
  read(unit: string, file: string, resource?: ResourceId): string;
}

type Test = Parameters<typeof place>[0];

/** With images `base:1` and `base:2`, and `broken:1`, which ends at once. */
export function instancesPlace(t: Test): InstancesPlace {
  const drivers: UnitDriver[] = [];
  // After the folder's own teardown was registered comes ours: what it started is ended through the folder of the units.
  const here = place(t);
  const root = instancesFolder(here.dataDir);
  let epoch = 0;
  t.teardown(async () => {
    for (const driver of drivers) await driver.close();
    await endAll(root);
  });
  for (const version of [1, 2]) here.image(`base:${version}`, { 'server.js': SERVER }, imageYaml(`base${version}`));
  here.image('broken:1', { 'server.js': 'console.error("Error: no such module"); process.exit(4);' });
  return {
    ...here,
    async openInstances(options = {}) {
      epoch++;
      const driver = await openLocalInstances({
        ...{ name: 'local', dataDir: here.dataDir, epoch, router: here.router, imagesFolder: here.images },
        images: { materialize: () => Promise.reject(new Error('no repository here')) },
        ...options,
      });
      drivers.push(driver);
      return driver;
    },
    home: (unit, resource = WEB) => homeFolder(root, resource, unit),
    instance: (unit, resource = WEB) =>
      JSON.parse(readFileSync(join(instanceFolder(root, resource, unit), 'instance.json'), 'utf8')),
    read(unit, file, resource = WEB) {
      try {
        return readFileSync(join(homeFolder(root, resource, unit), file), 'utf8');
      } catch {
        return '';
      }
    },
  };
}

export const imageYaml = (name: string, more = '') => `command: [node, server.js]\nenv: {NAME: ${name}}\n${more}`;

async function endAll(root: string): Promise<void> {
  const left = () => [...processesWith(`SLUICE_FOLDER=${root}/`), ...processesWith(`HELD_BY=${dirname(root)}`)];
  await until(() => {
    for (const pid of left()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {}
    }
    return left().length === 0;
  });
}

const common = {
  target: 'local',
  paused: false,
  onFailure: 'pause' as const,
  progressDeadlineSeconds: 60,
  revisionHistoryLimit: 5,
  windows: [],
};

export const fleetSpec = (over: Partial<FleetSpec> = {}): FleetSpec => ({
  ...common,
  kind: 'Fleet',
  members: { size: 2 },
  host: 'web.localhost',
  ...{ batches: 2, pause: 'never', maxFailures: 0, check: [], suspend: [], suspended: [], schedules: [] },
  ...over,
});

export const clusterSpec = (version: string, upgrade: Partial<ClusterSpec['upgrade']> = {}): ClusterSpec => ({
  ...common,
  kind: 'Cluster',
  version,
  create: { image: 'node', controlPlane: 1, nodes: 1 },
  upgrade: { maxBatchPercent: 50, drain: { timeout: '1m' }, expireAfter: '15d', ...upgrade },
  prechecks: [],
});

export const image = (name: string): Image => ({ name, command: [], env: {} });
export const script = (run: string, rollback?: string, timeout = '1m'): Script => ({
  ...{ interpreter: 'sh', run, timeout },
  ...(rollback !== undefined && { rollback }),
});

export const runs = (revision: string, what: Omit<FleetRunnable, 'resource' | 'revision'> = {}): FleetRunnable => ({
  ...{ resource: WEB, revision },
  ...what,
});
export const node = (version: string, what: { script?: Script } = {}): ClusterRunnable => ({
  ...{ resource: PROD, revision: `r${version}`, version, image: image(`node:${version}`) },
  ...what,
});

export async function instancesOf(driver: UnitDriver, resource: ResourceId = WEB): Promise<LiveInstance[]> {
  return (await driver.observe([resource], never)).get(resource)?.instances ?? [];
}

export async function instanceWhere(
  driver: UnitDriver,
  unit: string,
  holds: (instance: LiveInstance) => boolean,
  resource: ResourceId = WEB,
): Promise<LiveInstance> {
  let seen: LiveInstance | undefined;
  await until(
    async () => {
      seen = (await instancesOf(driver, resource)).find(({ id }) => id === unit);
      return seen !== undefined && holds(seen);
    },
    () => JSON.stringify(seen),
  );
  return seen as LiveInstance;
}

export const inService = ({ ready, service }: LiveInstance) => ready && service === 'in';
export const ended = (attempt: string) => (instance: LiveInstance) =>
  instance.attempt?.id === attempt && instance.attempt.state !== 'running';

type Runnable = FleetRunnable | ClusterRunnable;

export async function create(driver: UnitDriver, unit: string, runnable: Runnable): Promise<LiveInstance> {
  const { resource, revision } = runnable;
  await driver.start(resource, { kind: 'create', unit, revision, attempt: `${unit}.created` }, runnable, never);
  return instanceWhere(driver, unit, inService, resource);
}

export async function takeOut(driver: UnitDriver, unit: string, attempt: string, resource: ResourceId = WEB) {
  const cordon = resource.startsWith('Cluster/');
  await driver.start(resource, { kind: 'takeOut', unit, attempt, cordon }, undefined, never);
  return instanceWhere(
    driver,
    unit,
    ({ service, drain }) => service === 'out' && (!cordon || drain?.state !== 'running'),
    resource,
  );
}

export async function putBack(driver: UnitDriver, unit: string, weight?: number, resource: ResourceId = WEB) {
  const action = { kind: 'putBack', unit, cordoned: false, ...(weight !== undefined && { weight }) } as const;
  await driver.start(resource, action, undefined, never);
  return instanceWhere(driver, unit, ({ service, cordoned }) => service === 'in' && !cordoned, resource);
}

/** Out, updated, and, where that succeeded, back again. */
export async function update(
  driver: UnitDriver,
  unit: string,
  attempt: string,
  runnable: Runnable,
  undo: UnitChange['undo'] = [],
): Promise<LiveInstance> {
  const { resource, revision: to } = runnable;
  const before = (await instancesOf(driver, resource)).find(({ id }) => id === unit);
  await takeOut(driver, unit, attempt, resource);
  await driver.start(resource, { kind: 'update', unit, attempt, change: { to, undo } }, runnable, never);
  const after = await instanceWhere(driver, unit, ended(attempt), resource);
  if (after.attempt?.state !== 'succeeded') return after;
  await instanceWhere(driver, unit, ({ ready }) => ready, resource);
  return putBack(driver, unit, before?.weight, resource);
}
