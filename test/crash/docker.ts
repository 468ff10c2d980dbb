/** A fleet and a cluster on a Docker engine of the harness's own, whose containers are reached at their own addresses. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startEngine, type TestEngine, whyNoEngine } from '../target/docker/engine.ts';
import { expectedMarks, type Owner, type Subject, wrongMarks } from './subjects.ts';

/** Why it cannot be walked through here; false: it can. */
export const noDocker = whyNoEngine() ?? false;

/** Ready 50 ms after its start; each answer takes 20 ms, and is lost when the server is killed meanwhile. */
const SERVER = `
const server = require('node:http').createServer((_, response) => setTimeout(() => response.end(process.env.ROUND), 20));
setTimeout(() => server.listen(process.env.PORT), 50);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;

/** In the folder of the instance, which outlives its containers. */
const MARKS = 'marks';
const marks = (act: string) => `echo "${act} $SLUICE_INSTANCE" >>${MARKS}`;

export async function dockerFleet(owner: Owner): Promise<Subject> {
  const engine = await ownEngine(owner);
  const members = ['web-1', 'web-2', 'web-3'];
  return {
    ...onEngine(engine),
    resource: 'Fleet/web',
    units: 3,
    bounds: { total: 3, available: 1 },
    clients: { host: 'web.localhost' },
    async files(_, round) {
      await imageOf(engine, `hello:${round}`, round);
      return {
        'place.yaml': targetOf(engine),
        'web.yaml': `apiVersion: sluice/v1
kind: Fleet
metadata: {name: web}
spec:
  target: place
  size: 3
  image: "hello:${round}"
  batches: 2
  check: [{http: {path: /}}]
  script: {run: '${marks(`run ${round}`)}', rollback: '${marks(`undo ${round}`)}'}
`,
      };
    },
    wrong: (_, round) => wrongMarks(marksOn(engine), expectedMarks(['run'], members, round)),
  };
}

export async function dockerCluster(owner: Owner): Promise<Subject> {
  const engine = await ownEngine(owner);
  const members = ['prod-cp-1', 'prod-node-1', 'prod-node-2'];
  const command = (act: string) => `[sh, -c, '${marks(`${act} $SLUICE_ROLLOUT`)}']`;
  return {
    ...onEngine(engine),
    resource: 'Cluster/prod',
    units: 3,
    bounds: { total: 3, available: 0 },
    async files(_, round) {
      await imageOf(engine, `node:1.36.${round}`, round);
      return {
        'place.yaml': targetOf(engine),
        'prod.yaml': `apiVersion: sluice/v1
kind: Cluster
metadata: {name: prod}
spec:
  target: place
  version: 1.36.${round}
  image: node
  controlPlane: 1
  nodes: 2
  upgrade:
    maxBatchPercent: 100
    drain: {timeout: 1m, command: ${command('drain')}, undo: ${command('undrain')}}
`,
      };
    },
    // The first round makes the nodes: there is nothing to be drained.
    wrong: (_, round) => wrongMarks(marksOn(engine), expectedMarks(['drain', 'undrain'], members, round, 2)),
  };
}

async function ownEngine(owner: Owner): Promise<TestEngine> {
  const engine = await startEngine();
  owner.teardown(() => engine.end());
  return engine;
}

const targetOf = ({ host }: TestEngine) => `apiVersion: sluice/v1
kind: Target
metadata: {name: place}
spec: {docker: {host: "${host}"}}
`;

const imageOf = ({ image, root }: TestEngine, name: string, round: number) =>
  image(name, SERVER, { ROUND: String(round), ENGINE: root });

function onEngine({ docker, root }: TestEngine): Pick<Subject, 'marked' | 'hostOf' | 'seen'> {
  const label = (attempt: string) => ({ label: [`sluice/attempt=${attempt}`] });
  return {
    marked: root,
    async hostOf(attempt) {
      const [found] = await docker.listContainers({ filters: label(attempt) });
      const [network] = Object.values(found?.NetworkSettings.Networks ?? {});
      return network?.IPAddress ?? '';
    },
    async seen() {
      const containers = await docker.listContainers({ all: true });
      const { Volumes } = await docker.listVolumes();
      return [
        ...containers.map(({ Id, Names, State }) => `container ${Names} ${Id} ${State}`),
        ...Volumes.map(({ Name }) => `volume ${Name}`),
        ...(await docker.listNetworks()).map(({ Name, Id }) => `network ${Name} ${Id}`),
        ...(await docker.listImages()).flatMap(({ RepoTags, Id }) =>
          (RepoTags ?? []).map((tag) => `image ${tag} ${Id}`),
        ),
      ];
    },
  };
}

/** As they lie on this machine, where the engine is. */
function marksOn({ root }: TestEngine): string[] {
  const volumes = join(root, 'data', 'volumes');
  return readdirSync(volumes)
    .map((name) => join(volumes, name, '_data', MARKS))
    .filter((file) => existsSync(file))
    .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    .filter((line) => line !== '');
}
