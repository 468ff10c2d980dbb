/** What is known of a container without its process: the same for a new attempt and for one that is found again. */
import { isAbsolute, join } from 'node:path';
import type { Container, Image, Probe } from '../../manifest/resource.ts';
import { environment } from '../../process.ts';
import { openGroups } from './cgroup.ts';
import { workFolder } from './folders.ts';
import type { ContainerRecord } from './record.ts';
import type { Host, Running, Unit } from './unit.ts';
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
import { mountsOf, volumeFolders } from './volumes.ts';

/** What a description is made from. */
type Describer = Pick<Host, 'dataDir' | 'hostname' | 'user' | 'images' | 'secrets'>;

/** Throws where a secret, an image or a variable that it needs is not there. */
export async function describe(
  host: Describer,
  unit: Unit,
  record: ContainerRecord,
  secrets: Surroundings['secrets'],
): Promise<Running> {
  const container = containerOf(unit, record.name);
  const image = await host.images.locate(imageOf(unit, container));
  const variables = variablesFor(host, unit, record, image.env, secrets);
  return {
    ...newRunning(container, record),
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

function workingDirectory({ folder }: Unit, { name, workingDir }: Container): string {
  if (workingDir !== undefined && isAbsolute(workingDir)) return workingDir;
  return join(workFolder(folder, name), workingDir ?? '');
}

function variablesFor(
  host: Describer,
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

export async function readSecrets(
  { secrets }: Pick<Host, 'secrets'>,
  { runnable }: Pick<Unit, 'runnable'>,
): Promise<Surroundings['secrets']> {
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
 * Knows again what an earlier operator started. What its environment or its image was may not be known any more (a secret is gone, the
 * disk is full): then it goes on serving, watched and stopped without the commands that would need them.
 */
export async function describeFound(host: Describer, unit: Unit): Promise<void> {
  const { containers } = unit.runnable.template.spec;
  for (const entry of unit.record.containers.filter(({ name }) =>
    containers.some((declared) => declared.name === name),
  )) {
    try {
      unit.containers.push(await describe(host, unit, entry, await readSecrets(host, unit)));
    } catch (error) {
      unit.record.message = `its probes and hooks that are commands cannot be run: ${(error as Error).message}`;
      unit.containers.push(describeBare(host, unit, entry));
    }
  }
}

function describeBare(host: Describer, unit: Unit, record: ContainerRecord): Running {
  const container = withoutCommands(containerOf(unit, record.name), unit.record.ready);
  return {
    ...newRunning(container, record),
    image: { folder: '', command: [], env: {} },
    command: [],
    beside: {
      ...{
        container,
        ports: record.ports,
        env: environment(),
        cwd: workingDirectory(unit, container),
        user: host.user,
      },
      // Secrets that are not known cannot be taken out of a text: all of it is.
      redact: () => '',
    },
  };
}

/** What was ready stays so, and what was not does not become it by itself: the last answer of a readiness probe stands. */
function withoutCommands(container: Container, ready: boolean): Container {
  const { startupProbe, readinessProbe, livenessProbe, lifecycle, ...rest } = container;
  const kept = <T extends object>(name: string, handler: T | undefined) =>
    handler === undefined || 'exec' in handler ? {} : { [name]: handler };
  const standing = (name: string, probe: Probe | undefined) =>
    probe !== undefined && 'exec' in probe
      ? { [name]: { ...probe, exec: { command: [ready ? 'true' : 'false'] } } }
      : kept(name, probe);
  return {
    ...rest,
    ...standing('startupProbe', startupProbe),
    ...standing('readinessProbe', readinessProbe),
    ...kept('livenessProbe', livenessProbe),
    lifecycle: kept('preStop', lifecycle?.preStop),
  };
}

/** Before anything is known of its process. */
const newRunning = (container: Container, record: ContainerRecord) => ({
  container,
  record,
  groups: openGroups(record.groups),
  spawned: false,
  listening: false,
  started: container.startupProbe === undefined,
  passing: false,
});
