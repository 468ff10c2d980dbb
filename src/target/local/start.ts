/** Starts the processes of an attempt, or finds those of an earlier operator again. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, closeSync, constants, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { Container, Image } from '../../manifest/resource.ts';
import { environment, launch } from '../../process.ts';
import { findLimits, makeLimits } from './cgroup.ts';
import { endUnit, processEnded } from './end.ts';
import { workFolder } from './folders.ts';
import { ask } from './handler.ts';
import { openOutput } from './logs.ts';
import { freePort, wantedPorts } from './ports.ts';
import { markOf } from './processes.ts';
import type { ContainerRecord } from './record.ts';
import type { Host, Running, Unit } from './unit.ts';
import { identityOf } from './user.ts';
import {
  commandLine,
  mountVariables,
  plainVariables,
  portVariables,
  redactor,
  type Surroundings,
  type Variables,
  variablesOf,
} from './variables.ts';
import { mountsOf, prepareVolumes, prepareWorkFolder, volumeFolders } from './volumes.ts';
import { watchUnit } from './watch.ts';

/** Resolves when the processes are started, or the unit has died of it. Its record is on the disk already, as `starting`. */
export async function startUnit(host: Host, unit: Unit): Promise<void> {
  try {
    await prepare(host, unit);
    for (const [index, running] of unit.containers.entries()) {
      if (isOver(unit)) return;
      await spawnContainer(host, unit, running, index);
    }
    await postStart(host, unit);
    if (!isOver(unit)) watchUnit(host, unit);
  } catch (error) {
    if (unit.watching.signal.aborted) return;
    await endUnit(host, unit, { message: (error as Error).message, crashed: true });
  }
}

/** It is to be stopped, has died meanwhile, or belongs to another operator now. */
const isOver = (unit: Unit) => unit.record.phase !== 'starting' || unit.watching.signal.aborted;

/** Folders, ports and environments; what was prepared is in the record before anything is spawned. */
async function prepare(host: Host, unit: Unit): Promise<void> {
  const { record, runnable, folder } = unit;
  const secrets = await readSecrets(host, unit);
  const place = { ...record, dataDir: host.dataDir, folder, user: host.user, secrets };
  await prepareVolumes(place, runnable);
  for (const [index, container] of runnable.template.spec.containers.entries()) {
    const ports: Record<string, number> = {};
    for (const wanted of wantedPorts(container, index === 0)) {
      ports[wanted] = await freePort(host.ports);
    }
    record.containers.push({ name: container.name, ports });
  }
  unit.watching.signal.throwIfAborted();
  host.save(unit);
  const volumes = volumeFolders(place, runnable);
  for (const entry of record.containers) {
    const running = await describe(host, unit, entry, secrets);
    const mounts = mountsOf(running.container, volumes);
    await prepareWorkFolder(folder, running.container, running.image.folder, mounts, host.user);
    unit.containers.push(running);
  }
}

/** Everything that is known of a container without its process: the same for a new attempt and for one that is found again. */
async function describe(
  host: Host,
  unit: Unit,
  record: ContainerRecord,
  secrets: Surroundings['secrets'],
): Promise<Running> {
  const container = containerOf(unit, record.name);
  const image = await host.images.locate(imageOf(unit, container));
  const variables = variablesFor(host, unit, record, image.env, secrets);
  return {
    container,
    record,
    image,
    command: commandLine(container, image.command, variables),
    beside: {
      container,
      ports: record.ports,
      env: plainVariables(variables),
      cwd: workingDirectory(unit, container),
      user: host.user,
      redact: redactor(variables, secrets),
    },
    limits: findLimits(host.groups, limitsName(unit, container)),
    spawned: false,
    listening: false,
    started: container.startupProbe === undefined,
    passing: false,
  };
}

function containerOf({ runnable }: Unit, name: string): Container {
  const container = runnable.template.spec.containers.find((entry) => entry.name === name);
  if (container === undefined) throw new Error(`the template has no container ${name}`);
  return container;
}

function imageOf({ runnable }: Unit, { image }: Container): Image {
  const found = runnable.images[image];
  if (found === undefined) throw new Error(`image ${image} does not exist`);
  return found;
}

/** Unique on the machine: an attempt's id is only unique within its resource. */
function limitsName({ record, folder }: Unit, { name }: Container): string {
  return createHash('sha256').update([folder, record.attempt, name].join('\0')).digest('hex').slice(0, 16);
}

function workingDirectory({ folder }: Unit, { name, workingDir }: Container): string {
  if (workingDir !== undefined && isAbsolute(workingDir)) return workingDir;
  return join(workFolder(folder, name), workingDir ?? '');
}

function variablesFor(
  host: Host,
  unit: Unit,
  { name, ports }: ContainerRecord,
  image: Record<string, string>,
  secrets: Surroundings['secrets'],
): Variables {
  const { record, runnable, folder } = unit;
  const { user, hostname, dataDir } = host;
  const container = containerOf(unit, name);
  const place = { ...record, dataDir, folder, user };
  const home = workFolder(folder, name);
  return variablesOf({
    runnable,
    container,
    image,
    secrets,
    hostname,
    unit: record.unit,
    base: environment(user === undefined ? {} : { HOME: home, USER: user.name, LOGNAME: user.name }),
    own: {
      ...portVariables(container, ports),
      ...mountVariables(mountsOf(container, volumeFolders(place, runnable))),
      SLUICE_RESOURCE: record.resource,
      SLUICE_REVISION: record.revision,
      SLUICE_VERSION: record.version,
      SLUICE_UNIT: record.unit,
      SLUICE_ATTEMPT: record.attempt,
      SLUICE_CONTAINER: name,
      SLUICE_FOLDER: folder,
    },
  });
}

async function readSecrets({ secrets }: Host, { runnable }: Unit): Promise<Surroundings['secrets']> {
  const names = secretNames(runnable.template.spec);
  return new Map(await Promise.all([...names].map(async (name) => [name, await secrets.read(name)] as const)));
}

/** Every secret that a template names. */
export function secretNames({ containers, volumes }: Unit['runnable']['template']['spec']): Set<string> {
  const names = new Set<string>();
  for (const { env, envFrom } of containers) {
    for (const { secretRef } of envFrom) if (secretRef !== undefined) names.add(secretRef.name);
    for (const variable of env) {
      if ('valueFrom' in variable && 'secretKeyRef' in variable.valueFrom)
        names.add(variable.valueFrom.secretKeyRef.name);
    }
  }
  for (const volume of volumes) if ('secret' in volume) names.add(volume.secret.secretName);
  return names;
}

/**
 * Between the spawn and the record of its process id nothing else happens in this process; should it be killed just there,
 * the next operator finds the process by its environment.
 */
async function spawnContainer(host: Host, unit: Unit, running: Running, index: number): Promise<void> {
  const { record, folder } = unit;
  const { container, beside } = running;
  const command = withProgram(running.command, beside.env, beside.cwd);
  const limits = makeLimits(host.groups, limitsName(unit, container), container.resources.limits);
  running.limits = limits;
  const output = openOutput(folder, container.name, record.attempt, new Date());
  host.guard();
  if (index === 0) record.startedAt = Date.now();
  try {
    const child = launch(command, {
      env: beside.env,
      cwd: beside.cwd,
      stdio: ['ignore', output, output],
      ...identityOf(host.user),
    });
    if (child.pid === undefined) {
      const [error] = await once(child, 'error');
      throw new Error(`container ${container.name}: ${(error as Error).message}`);
    }
    const mark = markOf(child.pid);
    running.spawned = true;
    child.once('exit', (code, signal) => {
      running.ended = code === null ? `ended by signal ${signal}` : `exited with code ${code}`;
      processEnded(host, unit, running);
    });
    limits.enter(child.pid);
    if (mark !== undefined) running.record.process = mark;
    host.save(unit);
  } finally {
    closeSync(output);
  }
  if (index === 0) host.changed(unit);
}

/** Says in words what a bare ENOENT hides; `node` is always there, because the operator runs on it. */
function withProgram(command: string[], env: Record<string, string>, cwd: string): string[] {
  if (!isDirectory(cwd)) throw new Error(`working directory ${cwd} does not exist; correct \`workingDir\``);
  const [program = '', ...args] = command;
  if (program.includes('/')) return command;
  if (findProgram(program, env.PATH ?? '') !== undefined) return command;
  if (program === 'node') return [process.execPath, ...args];
  throw new Error(
    `program ${program} is not on this machine's PATH; install it, or write ./${program} for a file of the image`,
  );
}

/** Where a program lies on the PATH. */
export function findProgram(name: string, path: string): string | undefined {
  return path
    .split(':')
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
      } catch {
        return false;
      }
    });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

const HOOK_MS = 600_000;

/** A hook that fails ends the unit. */
async function postStart(host: Host, unit: Unit): Promise<void> {
  await Promise.all(
    unit.containers.map(async ({ container, record, beside }) => {
      const hook = container.lifecycle?.postStart;
      if (hook === undefined || isOver(unit)) return;
      record.postStart = 'begun';
      host.save(unit);
      const { pass, message } = await orAborted(unit.watching.signal, ask(hook, beside, HOOK_MS));
      if (!pass) throw new Error(`container ${container.name}: postStart failed: ${message}`);
      record.postStart = 'done';
      host.save(unit);
    }),
  );
}

function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  return Promise.race([work, aborted]);
}

/** Knows again what an earlier operator started; its processes are proven to run. */
export async function describeFound(host: Host, unit: Unit): Promise<void> {
  const secrets = await readSecrets(host, unit);
  for (const entry of unit.record.containers) unit.containers.push(await describe(host, unit, entry, secrets));
}
