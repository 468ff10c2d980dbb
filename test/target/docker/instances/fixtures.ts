/** Fleets and clusters on an engine of the test's own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ResourceId } from '../../../../src/manifest/resource.ts';
import type { DockerTarget } from '../../../../src/manifest/target.ts';
import { execute } from '../../../../src/target/docker/exec.ts';
import { type DockerInstancesOptions, openDockerInstances } from '../../../../src/target/docker/instances/target.ts';
import type { UnitDriver } from '../../../../src/target/ports.ts';
import { type FakeRouter, fakeRouter } from '../../local/fixtures.ts';
import { WEB } from '../../local/instances/fixtures.ts';
import type { TestEngine } from '../engine.ts';
import { removeContainers } from '../fixtures.ts';

/** Answers with what it knows. */
const SERVER = `
const http = require('node:http');
const server = http.createServer((request, response) => {
  if (request.url === '/exit') process.exit(3);
  response.end(JSON.stringify({ env: process.env }));
}).listen(process.env.PORT);
process.on('SIGTERM', () => process.exit(0));
`;

/** A node. Asks a peer where it is told to: `/peer/prod-cp-1` answers what that one does. */
export const NODE = `
const http = require('node:http');
const fs = require('node:fs');
http.createServer((request, response) => {
  const [, asked] = /^\\/peer\\/(.+)$/.exec(request.url) ?? [];
  if (asked === undefined) return response.end(JSON.stringify({ env: process.env }));
  const peers = fs.readFileSync(process.env.SLUICE_PEERS, 'utf8').trim().split('\\n').map((line) => line.split('='));
  const [, address] = peers.find(([name]) => name === asked) ?? [];
  http.get('http://' + address, (answer) => answer.pipe(response)).on('error', (error) => { response.statusCode = 500; response.end(error.message); });
}).listen(process.env.PORT);
process.on('SIGTERM', () => process.exit(0));
`;
/** Listens from its second start on. */
const LATE = `
const fs = require('node:fs');
if (fs.existsSync('/instance/started')) {${SERVER}} else setInterval(() => {}, 1000);
process.on('SIGTERM', () => process.exit(0));
fs.writeFileSync('/instance/started', '');
`;

export async function baseImages(engine: TestEngine): Promise<void> {
  for (const version of [1, 2]) await engine.image(`base:${version}`, SERVER, { NAME: `base${version}` });
  await engine.image('late:1', LATE);
  await engine.image('broken:1', 'console.error("Error: no such module"); process.exit(4);');
}

export interface DockerInstancesPlace {
  engine: TestEngine;
  dataDir: string;
  router: FakeRouter;
  open(options?: Partial<DockerInstancesOptions>): Promise<UnitDriver>;
  /** What a program in the container of an instance prints; '' where none runs. */
  inside(unit: string, command: string[], resource?: ResourceId): Promise<string>;
  containers(resource?: ResourceId): Promise<{ id: string; unit: string; attempt: string }[]>;
  volumes(): Promise<string[]>;
}

interface Cleaning {
  teardown(clean: () => Promise<void>): void;
}

let places = 0;

export function dockerInstances(
  t: Cleaning,
  engine: TestEngine,
  more: Partial<DockerTarget> = {},
): DockerInstancesPlace {
  const dataDir = mkdtempSync(join(tmpdir(), 'sluice-docker-instances-'));
  const drivers: UnitDriver[] = [];
  const project = `instances-${++places}`;
  const filters = { label: [`sluice/project=${project}`] };
  const router = fakeRouter();
  let epoch = 0;
  t.teardown(async () => {
    for (const driver of drivers) await driver.close();
    await removeContainers(engine, project);
    rmSync(dataDir, { recursive: true, force: true });
  });
  const here: DockerInstancesPlace = {
    ...{ engine, dataDir, router },
    async open(options = {}) {
      const driver = await openDockerInstances({
        ...{ name: 'containers', dataDir, router, epoch: ++epoch, secrets: { read: async () => undefined } },
        docker: { host: engine.host, network: 'bridge', registries: [], project, ...more },
        ...options,
      });
      drivers.push(driver);
      return driver;
    },
    async containers(resource = WEB) {
      const label = [`sluice/project=${project}`, `sluice/resource=${resource}`];
      const there = await engine.docker.listContainers({ filters: { label } });
      return there.map(({ Id, Labels }) => ({
        ...{ id: Id, unit: Labels['sluice/unit'] ?? '', attempt: Labels['sluice/attempt'] ?? '' },
      }));
    },
    async inside(unit, command, resource = WEB) {
      const there = (await here.containers(resource)).find((each) => each.unit === unit);
      if (there === undefined) return '';
      const ran = execute(engine.docker, there.id, { command, timeoutMs: 10_000 });
      return (await ran.catch(() => ({ stdout: '' }))).stdout;
    },
    async volumes() {
      const { Volumes } = await engine.docker.listVolumes({ filters: filters as never });
      return Volumes.map(({ Name }) => Name).filter((name) => !name.includes('.epoch.'));
    },
  };
  return here;
}
