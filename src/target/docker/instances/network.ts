/** A network for each cluster, in which its nodes reach each other by name, and the file that names them. */
import type Docker from 'dockerode';
import { pack } from 'tar-stream';
import type { ResourceId } from '../../../manifest/resource.ts';
import { answered, found, statusOf } from '../engine.ts';
import { execute } from '../exec.ts';
import { asFilter, fileName, imageRepository, networkName, resourceLabel, type Scope, scopeLabels } from '../labels.ts';
import { ROOT } from './shell.ts';

export const PEERS_VOLUME = 'peers';
export const PEERS_FOLDER = '/run/sluice';
const FILE = 'peers';
export const PEERS_FILE = `${PEERS_FOLDER}/${FILE}`;

const labelsOf = (scope: Scope, resource: ResourceId) => ({ ...scopeLabels(scope), ...resourceLabel(resource) });

export async function makeNetwork(docker: Docker, scope: Scope, resource: ResourceId): Promise<void> {
  const Name = networkName(scope, resource);
  if ((await found(docker.getNetwork(Name).inspect())) !== undefined) return;
  try {
    await answered(docker.createNetwork({ Name, CheckDuplicate: true, Labels: labelsOf(scope, resource) }));
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
  }
}

export async function removeNetwork(docker: Docker, scope: Scope, resource: ResourceId): Promise<void> {
  await found(docker.getNetwork(networkName(scope, resource)).remove());
}

/** By a rename in a container that runs, so that nobody reads a part; else by the engine, while nobody reads it. */
export async function writePeersFile(docker: Docker, scope: Scope, resource: ResourceId, text: string): Promise<void> {
  await answered(
    docker.createVolume({ Name: fileName(scope, resource, PEERS_VOLUME), Labels: labelsOf(scope, resource) }),
  );
  const running = await answered(docker.listContainers({ filters: asFilter(labelsOf(scope, resource)) }));
  for (const { Id } of running) {
    const command = ['sh', '-c', `printf %s "$1" >"$2.new" && mv "$2.new" "$2"`, 'sh', text, PEERS_FILE];
    const { code } = await execute(docker, Id, { command, timeoutMs: WRITE_MS, user: ROOT }).catch(() => ({ code: 1 }));
    if (code === 0) return;
  }
  await putFile(docker, scope, resource, text);
}

const WRITE_MS = 10_000;

/** Through a container that is never started, of any image of the cluster. */
async function putFile(docker: Docker, scope: Scope, resource: ResourceId, text: string): Promise<void> {
  const [image] = await answered(
    docker.listImages({ filters: { reference: [`${imageRepository(scope, resource)}:*`] } }),
  );
  if (image === undefined) throw new Error(`${resource} has no image yet`);
  const carrier = await answered(
    docker.createContainer({
      ...{ Image: image.Id, Cmd: ['none'], Labels: scopeLabels(scope) },
      HostConfig: {
        Mounts: [{ Type: 'volume', Source: fileName(scope, resource, PEERS_VOLUME), Target: PEERS_FOLDER } as never],
      },
    }),
  );
  try {
    const archive = pack();
    archive.entry({ name: FILE, mode: 0o644 }, text);
    archive.finalize();
    await answered(carrier.putArchive(archive, { path: PEERS_FOLDER }));
  } finally {
    await found(carrier.remove({ force: true, v: false }));
  }
}
