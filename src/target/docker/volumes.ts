/**
 * Volumes on an engine. A disk and a file are named volumes, which outlive attempts; an emptyDir and a ConfigMap are volumes of the
 * attempt. A secret lies in memory only: in a folder of this machine's tmpfs that is mounted into the containers of the attempt.
 */
import { existsSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type Docker from 'dockerode';
import type { MountConfig } from 'dockerode';
import { pack } from 'tar-stream';
import type { Container, Runnable, Volume } from '../../manifest/resource.ts';
import type { UnitRecord } from '../local/record.ts';
import type { Surroundings } from '../local/variables.ts';
import { below, type KeyFile, keyFiles, writeKeys } from '../local/volumes.ts';
import { answered, found } from './engine.ts';
import {
  asFilter,
  attemptLabels,
  attemptVolume,
  diskName,
  fileName,
  markOf,
  resourceLabel,
  type Scope,
  scopeLabels,
  unitLabels,
} from './labels.ts';

const MEMORY = ['/dev/shm', '/run'];
/** Undefined: this machine has none, and so no secret was ever put there. */
const memoryFolder = () => MEMORY.find((folder) => existsSync(folder));

/** One folder for each user, which nobody else may enter; below it one for each scope, and for each attempt. */
function secretsFolder({ project, target }: Scope): string {
  const memory = memoryFolder();
  if (memory === undefined) throw new Error(`secrets need a folder in memory, and there is no ${MEMORY.join(' or ')}`);
  return join(memory, `sluice-${process.getuid?.() ?? 0}`, `${project}.${target}`);
}
type AttemptName = Pick<UnitRecord, 'resource' | 'attempt'>;
const secretsName = ({ resource, attempt }: AttemptName) => encodeURIComponent(`${resource} ${attempt}`);
const secretsOf = (scope: Scope, record: AttemptName) => join(secretsFolder(scope), secretsName(record));

export interface VolumeWork {
  docker: Docker;
  scope: Scope;
  record: UnitRecord;
  runnable: Runnable;
  secrets: Surroundings['secrets'];
}

/** Makes what mounts need, labelled, so that it is found again. A disk and a file that are there stay as they are. */
export async function prepareVolumes(work: VolumeWork, image: string): Promise<void> {
  const { docker, scope, record, runnable, secrets } = work;
  const filled: { name: string; files: KeyFile[] }[] = [];
  for (const volume of runnable.template.spec.volumes) {
    if ('secret' in volume) await writeSecret(scope, record, volume.name, keyFiles(volume, runnable, secrets));
    else if ('configMap' in volume) filled.push({ name: volume.name, files: keyFiles(volume, runnable, secrets) });
    const name = volumeName(scope, record, volume);
    if (name === undefined) continue;
    const ofAttempt = 'emptyDir' in volume || 'configMap' in volume;
    const Labels = { ...scopeLabels(scope), ...(ofAttempt ? attemptLabels(record) : resourceLabel(record.resource)) };
    await answered(docker.createVolume({ Name: name, Labels }));
  }
  if (filled.length > 0) await fill(work, image, filled);
}

async function writeSecret(scope: Scope, record: UnitRecord, name: string, files: KeyFile[]): Promise<void> {
  const folder = join(secretsOf(scope, record), name);
  await ownFolder(join(secretsFolder(scope), '..'));
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o755 });
  // Whoever the container runs as may read them; nobody else gets past the folder above.
  await writeKeys(files, { folder, mode: 0o444, user: undefined });
}

/** Everybody may make folders beside it: one that somebody else has made is none to put a secret into. */
async function ownFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const seen = await lstat(folder);
  if (!seen.isDirectory() || seen.uid !== process.getuid?.())
    throw new Error(
      `${folder} is not the operator's own, so no secret is put there; see who has made it, and remove it`,
    );
  await chmod(folder, 0o700);
}

/** Through a container that is never started: whatever the image is, it needs no program for it. */
async function fill(work: VolumeWork, image: string, volumes: { name: string; files: KeyFile[] }[]): Promise<void> {
  const { docker, scope, record } = work;
  const Mounts: MountConfig = volumes.map(({ name }) => ({
    ...{ Type: 'volume', Source: attemptVolume(scope, record, name), Target: `/sluice/${name}`, ReadOnly: false },
    VolumeOptions: NO_COPY,
  }));
  const carrier = await answered(
    docker.createContainer({ Image: image, Cmd: ['none'], Labels: scopeLabels(scope), HostConfig: { Mounts } }),
  );
  try {
    const archive = pack();
    for (const { name, files } of volumes) {
      for (const { segments, content } of files) {
        archive.entry(
          { name: posix.join('sluice', name, ...segments), mode: 0o644 },
          typeof content === 'string' ? Buffer.from(content) : content,
        );
      }
    }
    archive.finalize();
    await answered(carrier.putArchive(archive, { path: '/' }));
  } finally {
    await found(carrier.remove({ force: true, v: false }));
  }
}

const NO_COPY = { NoCopy: true, Labels: {}, DriverConfig: { Name: 'local', Options: {} } };

function volumeName(scope: Scope, record: UnitRecord, volume: Volume): string | undefined {
  if ('disk' in volume) return diskName(scope, record.resource, volume.name, record.unit);
  if ('file' in volume) return fileName(scope, record.resource, volume.name);
  return 'secret' in volume ? undefined : attemptVolume(scope, record, volume.name);
}

export function mountsOf({ scope, record, runnable }: VolumeWork, container: Container): MountConfig {
  return container.volumeMounts.map(({ name, mountPath, readOnly = false, subPath }) => {
    const volume = runnable.template.spec.volumes.find((each) => each.name === name);
    if (volume === undefined)
      throw new Error(`container ${container.name} mounts volume ${name}, which is not declared`);
    const source = volumeName(scope, record, volume);
    if (source === undefined) {
      const Source = join(secretsOf(scope, record), name, ...below(subPath ?? ''));
      return { Type: 'bind' as const, Source, Target: mountPath, ReadOnly: true };
    }
    if (subPath !== undefined)
      throw new Error(`container ${container.name}: subPath ${subPath} of volume ${name} cannot be mounted`);
    const isConfig = 'configMap' in volume;
    const options = isConfig ? { VolumeOptions: NO_COPY } : {};
    return { Type: 'volume' as const, Source: source, Target: mountPath, ReadOnly: readOnly || isConfig, ...options };
  });
}

/** Of every attempt of a unit but one. */
export async function removeAttemptVolumes(
  docker: Docker,
  scope: Scope,
  record: Pick<UnitRecord, 'resource' | 'unit' | 'attempt'>,
  isOf: (attempt: string) => boolean,
): Promise<void> {
  for (const { Name, Labels } of await volumesOfUnit(docker, scope, record)) {
    const { attempt } = markOf(Labels ?? {});
    if (attempt !== '' && isOf(attempt)) await found(docker.getVolume(Name).remove({ force: true }));
  }
}

/** Those that are labelled with it: its disks may be labelled with the resource alone. */
export async function volumesOfUnit(docker: Docker, scope: Scope, record: Pick<UnitRecord, 'resource' | 'unit'>) {
  const labels = { ...scopeLabels(scope), ...unitLabels(record) };
  return (await answered(docker.listVolumes({ filters: asFilter(labels) as never }))).Volumes ?? [];
}

export async function removeSecrets(scope: Scope, record: AttemptName): Promise<void> {
  if (memoryFolder() !== undefined) await rm(secretsOf(scope, record), { recursive: true, force: true });
}

/** Secrets of attempts that are not there any more. */
export async function sweepSecrets(scope: Scope, there: AttemptName[]): Promise<void> {
  if (memoryFolder() === undefined) return;
  const folder = secretsFolder(scope);
  const known = new Set(there.map(secretsName));
  for (const name of await readdir(folder).catch(() => [])) {
    if (!known.has(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Disks and files of a resource that is forgotten. */
export async function removeResourceVolumes(
  docker: Docker,
  scope: Scope,
  resource: UnitRecord['resource'],
): Promise<void> {
  const labels = { ...scopeLabels(scope), ...resourceLabel(resource) };
  const { Volumes } = await answered(docker.listVolumes({ filters: asFilter(labels) as never }));
  for (const { Name } of Volumes ?? []) await found(docker.getVolume(Name).remove({ force: true }));
}
