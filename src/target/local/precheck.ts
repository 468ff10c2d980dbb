/** What must hold before units are started here. Looks, changes nothing; each answer says what to do. */
import { accessSync, constants, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { isAbsolute } from 'node:path';
import { formatPath } from '../../manifest/diagnostic.ts';
import { parseQuantity } from '../../manifest/quantity.ts';
import type { PodTemplate, ReplicasSpec, Runnable } from '../../manifest/resource.ts';
import { environment, run } from '../../process.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import { secretNames } from './describe.ts';
import { unitsFolder } from './folders.ts';
import { notHonoured } from './honour.ts';
import type { RouterClient } from './router/client.ts';
import { findProgram } from './start.ts';
import type { Host } from './unit.ts';
import { identityOf } from './user.ts';

export interface Asked {
  host: Pick<Host, 'dataDir' | 'user' | 'groups' | 'secrets'> & { images: Pick<Host['images'], 'look'> };
  router: Pick<RouterClient, 'answers' | 'address'>;
  spec: ReplicasSpec;
  runnable: Runnable;
}
export type Precheck<A> = (asked: A) => Promise<PrecheckResult[]> | PrecheckResult[];

const MIB = 2 ** 20;
const LEAST_SPACE = 100 * MIB;

export function precheckLocal(asked: Asked): Promise<PrecheckResult[]> {
  return askAll({ images, secrets, folder, capacity, limits, fields, router, user }, asked);
}

/** All of them run, whatever the others say. */
export async function askAll<A>(checks: Record<string, Precheck<A>>, asked: A): Promise<PrecheckResult[]> {
  const results = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      try {
        return await check(asked);
      } catch (error) {
        return [fail(name, (error as Error).message, 'correct this, then retry')];
      }
    }),
  );
  return results.flat();
}

export const pass = (name: string, message: string): PrecheckResult => ({ name, result: 'pass', message, remedy: '' });
export const warn = (name: string, message: string, remedy: string): PrecheckResult => ({
  name,
  result: 'warn',
  message,
  remedy,
});
export const fail = (name: string, message: string, remedy: string): PrecheckResult => ({
  name,
  result: 'fail',
  message,
  remedy,
});
export const orPass = (results: PrecheckResult[], name: string, message: string) =>
  results.length > 0 ? results : [pass(name, message)];

async function images({ host, runnable }: Asked): Promise<PrecheckResult[]> {
  const wrong: PrecheckResult[] = [];
  for (const { name, image, command, workingDir } of runnable.template.spec.containers) {
    try {
      const declared = runnable.images[image];
      if (declared === undefined) throw new Error(`image ${image} does not exist`);
      const found = (await host.images.look(declared)) ?? declared;
      const [program] = command ?? found.command;
      if (program === undefined) throw new Error(`neither image ${image} nor container ${name} gives a command`);
      if (!isThere(program)) throw new Error(`container ${name}: program ${program} is not on this machine's PATH`);
      if (workingDir !== undefined && isAbsolute(workingDir) && !isFolder(workingDir)) {
        throw new Error(`container ${name}: workingDir ${workingDir} is no folder of this machine`);
      }
    } catch (error) {
      wrong.push(fail('images', (error as Error).message, 'correct the manifest or the image'));
    }
  }
  return orPass(wrong, 'images', `${runnable.template.spec.containers.length} found`);
}

/** What is given by a path, or by a variable, is seen only when it is started; `node` is always there. */
export const isThere = (program: string): boolean =>
  program.includes('/') ||
  program === 'node' ||
  program.includes('$(') ||
  findProgram(program, process.env.PATH ?? '') !== undefined;

const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

export async function secrets({
  host,
  runnable,
}: {
  host: Pick<Host, 'secrets'>;
  runnable: Runnable;
}): Promise<PrecheckResult[]> {
  const wanted = keysWanted(runnable.template.spec);
  const wrong: PrecheckResult[] = [];
  for (const name of secretNames(runnable.template.spec)) {
    const found = await host.secrets.read(name);
    const { keys, required } = wanted(name);
    if (found === undefined) {
      if (required || keys.size > 0)
        wrong.push(
          fail(
            'secrets',
            `Secret ${name} does not exist`,
            `make the folder ${name} in --secrets-dir, with a file for each key`,
          ),
        );
      continue;
    }
    for (const key of keys) {
      if (found[key] === undefined)
        wrong.push(fail('secrets', `Secret ${name} has no key ${key}`, `add the file ${name}/${key} to --secrets-dir`));
    }
  }
  return orPass(wrong, 'secrets', 'all are there');
}

/** Of a secret: the keys that must be there, and whether it must be there whatever keys it has. */
function keysWanted({ containers, volumes }: PodTemplate['spec']) {
  const refs = containers.flatMap(({ env }) =>
    env.flatMap((entry) =>
      'valueFrom' in entry && 'secretKeyRef' in entry.valueFrom ? entry.valueFrom.secretKeyRef : [],
    ),
  );
  const sources = containers.flatMap(({ envFrom }) => envFrom.flatMap(({ secretRef }) => secretRef ?? []));
  const mounted = volumes.flatMap((volume) => ('secret' in volume ? volume.secret : []));
  return (name: string) => {
    const files = mounted.filter(({ secretName, optional }) => secretName === name && !optional);
    const keys = refs.filter((ref) => ref.name === name && !ref.optional).map(({ key }) => key);
    return {
      keys: new Set([...keys, ...files.flatMap(({ items = [] }) => items.map(({ key }) => key))]),
      required: files.length > 0 || sources.some((source) => source.name === name && !source.optional),
    };
  };
}

async function folder({ host, spec, runnable }: Asked): Promise<PrecheckResult[]> {
  const seen = await space({ host });
  if (seen.some(({ result }) => result !== 'pass')) return seen;
  const free = await freeSpace(host.dataDir);
  const disks = runnable.template.spec.volumes.reduce((sum, volume) => {
    if ('disk' in volume) return sum + spec.replicas * (parseQuantity(volume.disk.size) ?? 0);
    return sum + ('file' in volume ? (parseQuantity(volume.file.size) ?? 0) : 0);
  }, 0);
  if (disks <= free) return seen;
  const remedy = `free space on the disk of ${host.dataDir}`;
  return [warn(FOLDER, `the volumes may grow to ${mib(disks)}, but ${mib(free)} are left`, remedy)];
}

const FOLDER = 'data folder';

async function freeSpace(dataDir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dataDir);
  return bavail * bsize;
}

/** Whether the data folder can be written, and has space. */
export async function space({ host: { dataDir } }: { host: Pick<Host, 'dataDir'> }): Promise<PrecheckResult[]> {
  const name = FOLDER;
  try {
    accessSync(unitsFolder(dataDir), constants.W_OK);
  } catch (error) {
    return [fail(name, `${dataDir} cannot be written: ${(error as Error).message}`, 'correct its permissions')];
  }
  const free = await freeSpace(dataDir);
  const remedy = `free space on the disk of ${dataDir}`;
  if (free < LEAST_SPACE)
    return [fail(name, `${mib(free)} are left at ${dataDir}; at least ${mib(LEAST_SPACE)} are needed`, remedy)];
  return [pass(name, `${mib(free)} are left`)];
}

export const mib = (bytes: number) => `${Math.floor(bytes / MIB)} MiB`;

/** Without `requests`, `limits` count as what is needed, as in Kubernetes; but a limit alone stops nothing. */
function capacity({ spec, runnable }: Asked): PrecheckResult[] {
  const sum = (what: 'requests' | 'limits', unit: 'cpu' | 'memory') =>
    spec.replicas *
    runnable.template.spec.containers.reduce(
      (all, { resources }) => all + (parseQuantity(resources[what]?.[unit] ?? '') ?? 0),
      0,
    );
  const memory = sum('requests', 'memory');
  const remedy = 'lower `replicas` or `resources`, or take a larger machine';
  if (memory > totalmem()) {
    return [
      fail(
        'capacity',
        `${spec.replicas} replicas ask for ${mib(memory)} of memory; this machine has ${mib(totalmem())}`,
        remedy,
      ),
    ];
  }
  const most = Math.max(memory, sum('limits', 'memory'));
  if (most > freemem()) {
    return [
      warn('capacity', `${spec.replicas} replicas may take ${mib(most)} of memory; ${mib(freemem())} are free`, remedy),
    ];
  }
  const cpu = sum('requests', 'cpu');
  if (cpu > availableParallelism()) {
    return [
      warn(
        'capacity',
        `${spec.replicas} replicas ask for ${cpu} CPUs; this machine has ${availableParallelism()}`,
        remedy,
      ),
    ];
  }
  return [pass('capacity', `${mib(freemem())} of memory are free`)];
}

function limits({ host, runnable }: Asked): PrecheckResult[] {
  const unmet = (['cpu', 'memory'] as const).filter(
    (unit) =>
      host.groups[unit] === undefined &&
      runnable.template.spec.containers.some(({ resources }) => resources.limits?.[unit] !== undefined),
  );
  const wrong = unmet.map((unit) =>
    warn(
      'limits',
      `limits of ${unit} are not enforced: the operator may not make control groups here`,
      'run the operator as root, or with delegated control groups (systemd: Delegate=yes, DelegateSubgroup=operator)',
    ),
  );
  return orPass(wrong, 'limits', 'all can be enforced');
}

function fields({ runnable }: Asked): PrecheckResult[] {
  const found = notHonoured(runnable.template).map(({ path, result, message, remedy }) => ({
    ...{ name: 'fields', result, message: `template.${formatPath(path)}: ${message}`, remedy },
  }));
  return orPass(found, 'fields', 'all can be honoured');
}

export async function router({ router: client }: Pick<Asked, 'router'>): Promise<PrecheckResult[]> {
  const timeout = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error('no answer within 5 s')), 5000).unref();
  });
  try {
    await Promise.race([client.answers(), timeout]);
    const { host, port } = client.address();
    return [pass('router', `answers at ${host}:${port}`)];
  } catch (error) {
    return [
      fail('router', `the router does not answer: ${(error as Error).message}`, 'see its log in the data folder'),
    ];
  }
}

export async function user({ host }: { host: Pick<Host, 'dataDir' | 'user'> }): Promise<PrecheckResult[]> {
  const { user: as, dataDir } = host;
  if (as === undefined) return [];
  const own = process.getuid?.();
  if (own !== 0 && own !== as.uid) {
    return [
      fail('run-as', `only root may start processes as ${as.name}`, 'run the operator as root, or without --run-as'),
    ];
  }
  const units = unitsFolder(dataDir);
  const { code } = await run(['test', '-x', units], { env: environment(), cwd: '/', ...identityOf(as) });
  if (code === 0) return [pass('run-as', `units run as ${as.name}`)];
  return [
    fail(
      'run-as',
      `${as.name} may not enter ${units}`,
      `give every folder above it the permission x for others, e.g. chmod o+x ${dataDir}`,
    ),
  ];
}
