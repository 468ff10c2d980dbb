/** Real processes for the tests of the local target: little programs, pod templates made of them, a router on paper. */
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Container,
  PodTemplate,
  Probe,
  ResourceId,
  Runnable,
  WorkloadSpec,
} from '../../../src/manifest/resource.ts';
import type { Live, LiveUnit } from '../../../src/plan/live.ts';
import { findGroups } from '../../../src/target/local/cgroup.ts';
import { resourceFolder, unitFolder } from '../../../src/target/local/folders.ts';
import { readResources, type UnitRecord } from '../../../src/target/local/record.ts';
import type { RouterClient } from '../../../src/target/local/router/client.ts';
import type { Route, RouterConfig } from '../../../src/target/local/router/config.ts';
import { type LocalTargetOptions, openLocalTarget } from '../../../src/target/local/target.ts';
import { groupsOfAny } from '../../../src/target/local/unit.ts';
import type { UnitDriver } from '../../../src/target/ports.ts';

export const WEB: ResourceId = 'Workload/web';

/** Serves what it knows about itself; `/fail` makes its health bad, `/slow` answers after a while, `/exit` ends it. */
const SERVER = `
const http = require('node:http');
let healthy = true;
let ill = 0;
const wait = Number(process.env.START_MS || 0);
setTimeout(() => http.createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/fail') healthy = false;
  if (path === '/heal') healthy = true;
  if (path === '/exit') process.exit(3);
  if (path === '/slow') return setTimeout(() => response.end('slow'), 400);
  if (path === '/health' && !healthy) { ill++; response.statusCode = 500; return response.end('ill'); }
  response.end(JSON.stringify({ env: process.env, argv: process.argv, cwd: process.cwd(), pid: process.pid, ill, headers: request.headers }));
}).listen(process.env.PORT, '127.0.0.1', () => console.log('listening')), wait);
process.on('SIGTERM', () => { console.log('terminated'); process.exit(0); });
`;

export interface FakeRouter extends RouterClient {
  config: RouterConfig;
  /** Every route that was set for the resource, in order; undefined where it was removed. */
  told: { resource: ResourceId; route: Route | undefined; at: number }[];
  active: Record<string, number>;
  /** While set, nothing can be told. */
  broken: boolean;
}

export function fakeRouter(): FakeRouter {
  const config: RouterConfig = { routes: {} };
  const fake: FakeRouter = {
    config,
    told: [],
    active: {},
    broken: false,
    async set(resource, route) {
      if (fake.broken) throw new Error('the router is away');
      const copy = structuredClone(route);
      fake.told.push({ resource, route: copy, at: Date.now() });
      if (copy === undefined) delete config.routes[resource];
      else config.routes[resource] = copy;
    },
    answers: async () => {},
    observe: async () => structuredClone(config),
    stats: async () => ({ versions: {}, active: { ...fake.active } }),
    keepLogsAfterwards: async () => {},
    close: async () => {},
    address: () => ({ host: '127.0.0.1', port: 1 }),
  };
  return fake;
}

export interface Place {
  dataDir: string;
  images: string;
  secrets: Record<string, Record<string, Buffer>>;
  router: FakeRouter;
  open(options?: Partial<LocalTargetOptions>): Promise<UnitDriver>;
  /** Makes an image of the target's own folder. */
  image(name: string, files: Record<string, string>, yaml?: string): void;
  record(unit: string, resource?: ResourceId): UnitRecord;
  folder(unit: string, resource?: ResourceId): string;
}

interface Cleaning {
  teardown(clean: () => Promise<void>): void;
}

/** A data folder with an image `web:1`; everything that was started in it is ended after the test. */
export function place(t: Cleaning): Place {
  const root = mkdtempSync(join(tmpdir(), 'sluice-local-'));
  chmodSync(root, 0o755);
  const dataDir = join(root, 'data');
  const images = join(root, 'images');
  const drivers: UnitDriver[] = [];
  const router = fakeRouter();
  let epoch = 0;
  const here: Place = {
    dataDir,
    images,
    router,
    secrets: {},
    async open(options = {}) {
      epoch++;
      const driver = await openLocalTarget({
        name: 'local',
        dataDir,
        epoch,
        router,
        images: { materialize: () => Promise.reject(new Error('no repository here')) },
        imagesFolder: images,
        secrets: { read: async (name) => here.secrets[name] },
        ...options,
      });
      drivers.push(driver);
      return driver;
    },
    image(name, files, yaml = 'command: [node, server.js]\n') {
      const folder = join(images, ...name.split(':'));
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'image.yaml'), yaml);
      for (const [path, content] of Object.entries(files)) {
        mkdirSync(join(folder, path, '..'), { recursive: true });
        writeFileSync(join(folder, path), content);
      }
    },
    record: (unit, resource = WEB) => JSON.parse(readFileSync(join(here.folder(unit, resource), 'unit.json'), 'utf8')),
    folder: (unit, resource = WEB) => unitFolder(dataDir, resource, unit),
  };
  here.image('web:1', { 'server.js': SERVER });
  t.teardown(async () => {
    for (const driver of drivers) await driver.close();
    await endEverything(dataDir);
    rmSync(root, { recursive: true, force: true });
  });
  return here;
}

/** Kills what carries a unit folder of this data folder in its environment, or is in a control group of such a unit. */
async function endEverything(dataDir: string): Promise<void> {
  const groups = findGroups();
  const units = readResources(dataDir).flatMap((resource) =>
    readdirSync(resourceFolder(dataDir, resource)).map((unit) =>
      groupsOfAny(groups, unitFolder(dataDir, resource, unit)),
    ),
  );
  const left = () => [...processesWith(`SLUICE_FOLDER=${dataDir}/`), ...units.flatMap((unit) => unit.members())];
  await until(() => {
    for (const pid of left()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {}
    }
    return left().length === 0;
  });
  for (const unit of units) unit.remove();
}

/** Ended, if not yet buried by its parent. */
export function isGone(pid: number): boolean {
  try {
    return /^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}

/** Process ids whose environment holds the text. */
export function processesWith(text: string): number[] {
  return readdirNumbers('/proc').filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(text) && !isGone(pid);
    } catch {
      return false;
    }
  });
}

const readdirNumbers = (folder: string) =>
  readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

export function container(fields: Partial<Container> = {}): Container {
  return {
    name: 'main',
    image: 'web:1',
    env: [],
    envFrom: [],
    ports: [{ name: 'http', containerPort: 8080 }],
    resources: {},
    volumeMounts: [],
    logs: [],
    ...fields,
  };
}

export const probe = <T>(handler: T, fields: Partial<Probe> = {}) => ({
  initialDelaySeconds: 0,
  periodSeconds: 1,
  timeoutSeconds: 1,
  successThreshold: 1,
  failureThreshold: 1,
  ...handler,
  ...fields,
});

export interface Pod {
  containers?: Container[];
  volumes?: PodTemplate['spec']['volumes'];
  grace?: number;
  labels?: Record<string, string>;
  configMaps?: Runnable['configMaps'];
  resource?: ResourceId;
}

export function runnable({
  containers = [container()],
  volumes = [],
  grace = 5,
  labels = {},
  configMaps = {},
  resource = WEB,
}: Pod = {}): Runnable {
  const template = { metadata: { labels }, spec: { containers, volumes, terminationGracePeriodSeconds: grace } };
  const images = Object.fromEntries(containers.map(({ image }) => [image, { name: image, command: [], env: {} }]));
  return { resource, revision: 'aaaaaaaaaa', template, configMaps, images };
}

export const workload = (replicas = 1): WorkloadSpec => ({
  kind: 'Workload',
  target: 'local',
  paused: false,
  onFailure: 'pause',
  progressDeadlineSeconds: 600,
  revisionHistoryLimit: 5,
  windows: [],
  replicas,
  host: 'web.localhost',
  strategy: { maxSurge: 1, maxUnavailable: 0 },
  minReadySeconds: 0,
});

const never = new AbortController().signal;
let attempts = 0;

export async function start(
  driver: UnitDriver,
  unit: string,
  runs: Runnable,
  restarts = 0,
  version = '',
): Promise<string> {
  const attempt = `${unit}.${++attempts}`;
  await driver.start(
    runs.resource,
    { kind: 'start', unit, revision: runs.revision, version, attempt, restarts },
    runs,
    never,
  );
  return attempt;
}

export async function stop(driver: UnitDriver, unit: string, resource: ResourceId = WEB): Promise<void> {
  const attempt = (await unitOf(driver, unit, resource))?.attempt ?? 'none';
  await driver.start(resource, { kind: 'stop', unit, attempt }, undefined, never);
}

export async function live(driver: UnitDriver, resource: ResourceId = WEB): Promise<Live> {
  const seen = (await driver.observe([resource], never)).get(resource);
  if (seen === undefined) throw new Error(`${resource} was not observed`);
  return seen;
}

export async function unitOf(
  driver: UnitDriver,
  unit: string,
  resource: ResourceId = WEB,
): Promise<LiveUnit | undefined> {
  return (await live(driver, resource)).units.find(({ id }) => id === unit);
}

/** Waits for a state of the unit that `holds`; says what it saw last when none comes. */
export async function unitWhere(
  driver: UnitDriver,
  unit: string,
  holds: (unit: LiveUnit) => boolean,
  resource: ResourceId = WEB,
): Promise<LiveUnit> {
  let seen: LiveUnit | undefined;
  await until(
    async () => {
      seen = await unitOf(driver, unit, resource);
      return seen !== undefined && holds(seen);
    },
    () => JSON.stringify(seen),
  );
  return seen as LiveUnit;
}

export const ready = (unit: LiveUnit) => unit.ready;
export const dead = (unit: LiveUnit) => unit.phase === 'dead';

export async function until(
  holds: () => boolean | Promise<boolean>,
  seen = () => '',
  withinMs = 120_000,
): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`did not come to hold within ${withinMs} ms; last seen: ${seen()}`);
    await sleep(10);
  }
}

export interface Told {
  env: Record<string, string>;
  argv: string[];
  cwd: string;
  pid: number;
  /** How often its health was asked while it was bad. */
  ill: number;
}

export async function get(address: string | undefined, path = '/'): Promise<Response> {
  if (address === undefined) throw new Error('the unit has no address');
  return fetch(`http://${address}${path}`, { headers: { connection: 'close' } });
}

export const told = async (address: string | undefined) => (await (await get(address)).json()) as Told;

export async function listen(port: number): Promise<Server> {
  const server = createServer((_, response) => response.end('not yours'));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

export { never };

/** A declaration that is served at this address. */
export function served(host: string): WorkloadSpec {
  const template = {
    metadata: { labels: {} },
    spec: { containers: [], volumes: [], terminationGracePeriodSeconds: 1 },
  };
  return {
    ...{ kind: 'Workload', target: 'local', paused: false, onFailure: 'pause', progressDeadlineSeconds: 600 },
    ...{ revisionHistoryLimit: 5, windows: [], replicas: 1, host, template, minReadySeconds: 0 },
    strategy: { maxSurge: 1, maxUnavailable: 0 },
  };
}
