/**
 * Volumes and working directories as folders.
 *
 * Processes of this target share the machine's file system, so nothing can be mounted at an absolute path. Instead every
 * container has a working directory of its own, made anew for each attempt, that stands for the root of its container: it
 * holds a link to every entry of the image, and `mountPath: /data` is `./data` in it, over whatever the image has there.
 * `SLUICE_MOUNT_<VOLUME>` holds the absolute path of the volume's folder. Log files that a container declares are links too,
 * to files that outlive the attempt.
 */
import { readdirSync, symlinkSync } from 'node:fs';
import { appendFile, chmod, lstat, mkdir, readlink, stat, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import type { Container, KeyToPath, ResourceId, Runnable, Volume } from '../../manifest/resource.ts';
import type { Hold } from './epoch.ts';
import { attemptVolumes, logsFolder, volumesFolder, workFolder } from './folders.ts';
import { removeTree } from './remove.ts';
import { giveTo, type User } from './user.ts';
import type { Surroundings } from './variables.ts';

export interface VolumePlace {
  dataDir: string;
  hold: Pick<Hold, 'reach' | 'makeFolder'>;
  resource: ResourceId;
  unit: string;
  /** The unit's folder. */
  folder: string;
  user: User | undefined;
  secrets: Surroundings['secrets'];
}

type Lying = Omit<VolumePlace, 'secrets' | 'hold'>;

/** Where each volume of the template lies, whether it is there already or not. */
export const volumeFolders = (place: Lying, runnable: Runnable): Map<string, string> =>
  new Map(runnable.template.spec.volumes.map((volume) => [volume.name, volumeFolder(place, volume)]));

/** Makes every volume of the template ready for a new attempt. Disks and files keep what is in them. */
export async function prepareVolumes(place: VolumePlace, runnable: Runnable): Promise<void> {
  const { reach, makeFolder } = place.hold;
  await removeTree(reach(join(place.folder, 'run')));
  makeFolder(attemptVolumes(place.folder));
  for (const volume of runnable.template.spec.volumes) {
    const lasting = volumeFolder(place, volume);
    const folder = reach(lasting);
    const secret = 'secret' in volume;
    makeFolder(lasting);
    if (secret) await chmod(folder, 0o700);
    await giveTo(place.user, folder);
    const files = keyFiles(volume, runnable, place.secrets);
    await writeKeys(files, { folder, mode: secret ? 0o600 : 0o644, user: place.user });
  }
}

function volumeFolder({ dataDir, resource, unit, folder }: Lying, volume: Volume): string {
  if ('disk' in volume) return join(volumesFolder(dataDir, resource), 'disk', volume.name, unit);
  if ('file' in volume) return join(volumesFolder(dataDir, resource), 'file', volume.name);
  return join(attemptVolumes(folder), volume.name);
}

/** One file of a volume, by its path in the volume. */
export interface KeyFile {
  segments: string[];
  content: string | Buffer;
}

/** What a ConfigMap or a Secret puts into a volume; nothing for other volumes. Throws where something is not there. */
export function keyFiles(volume: Volume, { configMaps }: Runnable, secrets: VolumePlace['secrets']): KeyFile[] {
  if ('configMap' in volume) {
    const { name, items, optional = false } = volume.configMap;
    const found = configMaps[name];
    if (found === undefined && !optional) throw new Error(`volume ${volume.name}: ConfigMap ${name} does not exist`);
    const binary = Object.entries(found?.binaryData ?? {}).map(([key, text]) => [key, Buffer.from(text, 'base64')]);
    const content = { ...found?.data, ...Object.fromEntries(binary) } as Keys['content'];
    return chosen({ content, items, optional, what: `ConfigMap ${name}` });
  }
  if (!('secret' in volume)) return [];
  const { secretName, items, optional = false } = volume.secret;
  const content = secrets.get(secretName);
  if (content === undefined && !optional) throw new Error(`volume ${volume.name}: Secret ${secretName} does not exist`);
  return chosen({ content: content ?? {}, items, optional, what: `Secret ${secretName}` });
}

interface Keys {
  content: Record<string, string | Buffer>;
  items: KeyToPath[] | undefined;
  optional: boolean;
  what: string;
}

function chosen({ content, items, optional, what }: Keys): KeyFile[] {
  const wanted = items ?? Object.keys(content).map((name) => ({ key: name, path: name }));
  return wanted.flatMap(({ key, path }) => {
    const value = content[key];
    if (value === undefined && !optional) throw new Error(`${what} has no key ${key}`);
    return value === undefined ? [] : [{ segments: below(path), content: value }];
  });
}

/** In a folder that is there; it may be there itself. */
async function makeIn(folder: string, mode = 0o755): Promise<void> {
  await mkdir(folder, { mode }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

/** `mode`: of the files; folders can be entered by whoever may read them. */
export async function writeKeys(
  files: KeyFile[],
  { folder, mode, user }: { folder: string; mode: number; user: User | undefined },
): Promise<void> {
  for (const { segments, content } of files) {
    let parent = folder;
    for (const segment of segments.slice(0, -1)) {
      parent = join(parent, segment);
      await makeIn(parent, mode === 0o600 ? 0o700 : 0o755);
      await giveTo(user, parent);
    }
    const file = join(parent, segments.at(-1) ?? '');
    await writeFile(file, content, { mode, flag: 'wx' });
    await giveTo(user, file);
  }
}

export interface Mount {
  volume: string;
  /** The volume's folder, and what `subPath` names in it. */
  root: string;
  inside: string[];
  /** Both together. */
  folder: string;
  /** Its place in the working directory. */
  path: string;
}

export function mountsOf(container: Container, volumes: Map<string, string>): Mount[] {
  return container.volumeMounts.map(({ name, mountPath, subPath }) => {
    const root = volumes.get(name);
    if (root === undefined) throw new Error(`container ${container.name} mounts volume ${name}, which is not declared`);
    const inside = below(subPath ?? '');
    return { volume: name, root, inside, folder: join(root, ...inside), path: mountPath };
  });
}

/** Makes the working directory of a container: the image's entries, its mounts over them, its log files. Returns its path. */
export async function prepareWorkFolder(
  { hold, folder: unit, user }: Pick<VolumePlace, 'hold' | 'folder' | 'user'>,
  container: Container,
  image: string,
  mounts: Mount[],
): Promise<string> {
  const lasting = workFolder(unit, container.name);
  const work = hold.reach(lasting);
  hold.makeFolder(lasting);
  await giveTo(user, work);
  linkEntries(image, work);
  // Outer mounts first, so that an inner one is seen to lie inside.
  for (const mount of [...mounts].sort((a, b) => below(a.path).length - below(b.path).length)) {
    await makeInside(mount, user);
    await place({ work, path: mount.path, target: mount.folder, image, user });
  }
  for (const { path } of container.logs) {
    const target = logFile(unit, container.name, path);
    hold.makeFolder(dirname(target));
    await appendFile(hold.reach(target), '');
    await giveTo(user, target);
    await place({ work, path, target, image, user });
  }
  return lasting;
}

/** The volume belongs to the process, which may have left links there: what is made and given away must not follow them. */
async function makeInside({ root, inside, volume }: Mount, user: User | undefined): Promise<void> {
  let folder = root;
  for (const segment of inside) {
    folder = join(folder, segment);
    const seen = await lstat(folder).catch(() => undefined);
    if (seen?.isSymbolicLink())
      throw new Error(`subPath ${inside.join('/')} of volume ${volume} passes a link, ${folder}`);
    if (seen !== undefined) continue;
    await mkdir(folder, { mode: 0o755 });
    await giveTo(user, folder);
  }
}

/** Where a declared log file really lies, e.g. `logs/main/var%2Flog%2Fapp.log`. */
export const logFile = (unit: string, container: string, path: string) =>
  join(logsFolder(unit, container), encodeURIComponent(below(path).join('/')));

/** At once: there are few of them, and each would wait for its turn elsewhere. */
function linkEntries(from: string, to: string): void {
  for (const name of readdirSync(from)) symlinkSync(join(from, name), join(to, name));
}

interface Placing {
  work: string;
  path: string;
  target: string;
  image: string;
  user: User | undefined;
}

/** Puts a link to `target` at `path`, over what the image has there. A linked folder on the way becomes a folder of links. */
async function place({ work, path, target, image, user }: Placing): Promise<void> {
  const segments = below(path);
  const name = segments.pop();
  if (name === undefined) throw new Error(`${path} is the whole of the working directory; give it a folder below`);
  let parent = work;
  for (const segment of segments) {
    parent = join(parent, segment);
    const linked = await linkTarget(parent);
    if (linked !== undefined) {
      const folder = linked.startsWith(`${image}/`) && (await stat(linked)).isDirectory();
      if (!folder) throw new Error(`${path} lies inside another mount or below a file; give it a folder of its own`);
      await unlink(parent);
    }
    await makeIn(parent);
    await giveTo(user, parent);
    if (linked !== undefined) linkEntries(linked, parent);
  }
  const link = join(parent, name);
  const linked = await linkTarget(link);
  if (linked?.startsWith(`${image}/`)) await unlink(link);
  else if (linked !== undefined || (await exists(link))) throw new Error(`two mounts or log files meet at ${path}`);
  symlinkSync(target, link);
}

async function linkTarget(path: string): Promise<string | undefined> {
  return readlink(path).catch(() => undefined);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** `/var//log/` is `['var', 'log']`. Throws where the path climbs out. */
export function below(path: string): string[] {
  const segments = normalize(path)
    .split('/')
    .filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) throw new Error(`${path} leaves its folder; write it without ..`);
  return segments;
}
