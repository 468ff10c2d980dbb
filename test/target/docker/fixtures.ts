/** A target on an engine of the test's own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PodTemplate, ResourceId, Runnable } from '../../../src/manifest/resource.ts';
import type { DockerTarget } from '../../../src/manifest/target.ts';
import { type DockerTargetOptions, openDockerTarget } from '../../../src/target/docker/target.ts';
import type { UnitDriver } from '../../../src/target/ports.ts';
import { container, type FakeRouter, fakeRouter, runnable } from '../local/fixtures.ts';
import type { TestEngine } from './engine.ts';

/** Tells what it knows of itself at `/`; `/fail` makes its health bad, `/exit` ends it, `/slow` answers after a while. */
export const SERVER = `
const http = require('node:http');
const fs = require('node:fs');
let healthy = true;
const began = Date.now();
const read = (path) => { try { return fs.readFileSync(path, 'utf8'); } catch (error) { return error.code; } };
setTimeout(() => http.createServer((request, response) => {
  const url = new URL(request.url, 'http://here');
  if (url.pathname === '/fail') healthy = false;
  if (url.pathname === '/exit') { console.error('Error: told to end'); process.exit(3); }
  if (url.pathname === '/slow') return setTimeout(() => response.end('slow'), 400);
  if (url.pathname === '/health' && !healthy) { response.statusCode = 500; return response.end('ill'); }
  if (url.pathname === '/read') return response.end(read(url.searchParams.get('path')));
  if (url.pathname === '/write') {
    try { fs.writeFileSync(url.searchParams.get('path'), 'written'); } catch (error) { return response.end(error.code); }
    return response.end('written');
  }
  response.end(JSON.stringify({ env: process.env, argv: process.argv, cwd: process.cwd(), uid: process.getuid(), status: read('/proc/self/status') }));
}).listen(process.env.PORT, () => console.log('listening')), Number(process.env.START_MS || 0));
process.on('SIGTERM', () => { console.log('terminated'); process.exit(0); });
`;

export interface DockerPlace {
  engine: TestEngine;
  dataDir: string;
  router: FakeRouter;
  secrets: Record<string, Record<string, Buffer>>;
  target: DockerTarget & { project: string };
  open(options?: Partial<DockerTargetOptions>): Promise<UnitDriver>;
}

interface Cleaning {
  teardown(clean: () => Promise<void>): void;
}

let places = 0;

/** With what they mounted of their own; of one project, whoever made them. */
export async function removeContainers({ docker }: TestEngine, project: string): Promise<void> {
  const filters = { label: [`sluice/project=${project}`] };
  for (const { Id } of await docker.listContainers({ all: true, filters }))
    await docker
      .getContainer(Id)
      .remove({ force: true, v: true })
      .catch(() => {});
}

export function dockerPlace(t: Cleaning, engine: TestEngine, more: Partial<DockerTarget> = {}): DockerPlace {
  const dataDir = mkdtempSync(join(tmpdir(), 'sluice-docker-data-'));
  const drivers: UnitDriver[] = [];
  let epoch = 0;
  const here: DockerPlace = {
    engine,
    dataDir,
    router: fakeRouter(),
    secrets: {},
    target: { host: engine.host, network: 'bridge', registries: [], project: `test-${++places}`, ...more },
    async open(options = {}) {
      const driver = await openDockerTarget({
        name: 'containers',
        dataDir,
        docker: here.target,
        router: here.router,
        secrets: { read: async (name) => here.secrets[name] },
        epoch: ++epoch,
        ...options,
      });
      drivers.push(driver);
      return driver;
    },
  };
  t.teardown(async () => {
    for (const driver of drivers) await driver.close();
    await removeContainers(engine, here.target.project);
    rmSync(dataDir, { recursive: true, force: true });
  });
  return here;
}

export interface Pod {
  containers?: Parameters<typeof container>[0][];
  volumes?: PodTemplate['spec']['volumes'];
  grace?: number;
  configMaps?: Runnable['configMaps'];
  resource?: ResourceId;
  revision?: string;
}

export function pod({ containers = [{}], revision = 'aaaaaaaaaa', ...rest }: Pod = {}): Runnable {
  return { ...runnable({ ...rest, containers: containers.map((fields) => container(fields)) }), revision };
}
