/** One container of a pod template → what the engine is told to create. PURE. */
import { posix } from 'node:path';
import type { ContainerCreateOptions, MountConfig } from 'dockerode';
import { parseQuantity } from '../../manifest/quantity.ts';
import type { Container } from '../../manifest/resource.ts';
import type { DockerTarget } from '../../manifest/target.ts';
import { wantedPorts } from '../local/ports.ts';
import type { UnitRecord } from '../local/record.ts';
import {
  expandWords,
  mountVariables,
  plainVariables,
  portVariables,
  type Surroundings,
  type Variables,
  variablesOf,
} from '../local/variables.ts';
import { containerLabels, containerName, type Scope, scopeLabels } from './labels.ts';

/** What an image says about what is made of it. */
export interface ImageConfig {
  env: Record<string, string>;
  workingDir: string;
  exposed: number[];
}

/** The port of a first container that declares none: what its image exposes, or this one; it is told it as `PORT`. */
const USUAL_PORT = 8080;

export const usualPort = (exposed: number[]): number => (exposed.length > 0 ? Math.min(...exposed) : USUAL_PORT);

/** The port that stands for each declared one: in a container that is the port itself. `0` as in `wantedPorts`. */
export function innerPorts(container: Container, isFirst: boolean, { exposed }: Pick<ImageConfig, 'exposed'>) {
  const usual = usualPort(exposed);
  return Object.fromEntries(wantedPorts(container, isFirst).map((port) => [port, port === 0 ? usual : port]));
}

export interface Described {
  scope: Scope;
  docker: DockerTarget;
  network: string;
  epoch: number;
  record: UnitRecord;
  container: Container;
  /** The engine's id of its image, as it was resolved, and what people call it. */
  image: ImageConfig & { id: string; digest: string };
  ports: Record<string, number>;
  variables: Variables;
  mounts: MountConfig;
  /** Of a unit with several containers: the engine's id of the first, in whose network all others are. */
  inNetworkOf: string | undefined;
  /** Ports of all containers, for the first. */
  allPorts: number[];
  template: Surroundings['runnable']['template'];
}

/** Throws where a variable that it needs is not there. */
export function variablesIn(
  record: UnitRecord,
  container: Container,
  image: ImageConfig,
  ports: Record<string, number>,
  around: Pick<Surroundings, 'runnable' | 'secrets' | 'hostname'>,
): Variables {
  return variablesOf({
    ...around,
    container,
    unit: record.unit,
    base: {},
    image: image.env,
    own: {
      ...portVariables(container, ports),
      ...mountVariables(container.volumeMounts.map(({ name, mountPath }) => ({ volume: name, folder: mountPath }))),
      SLUICE_RESOURCE: record.resource,
      SLUICE_REVISION: record.revision,
      SLUICE_VERSION: record.version,
      SLUICE_UNIT: record.unit,
      SLUICE_ATTEMPT: record.attempt,
      SLUICE_CONTAINER: container.name,
    },
  });
}

/** Both files of `json-file` together are the cap of the output. */
const LOGS = { Type: 'json-file', Config: { 'max-size': '5m', 'max-file': '2' } };

export function createOptions(described: Described): ContainerCreateOptions {
  const {
    scope,
    docker,
    network,
    epoch,
    record,
    container,
    image,
    variables,
    mounts,
    inNetworkOf,
    allPorts,
    template,
  } = described;
  const { command, args, workingDir, securityContext } = container;
  const words = (list: string[]) => expandWords(container, list, variables);
  const mark = { name: container.name, epoch, image: image.digest, template };
  const isFirst = inNetworkOf === undefined;
  return {
    name: containerName(scope, record, container.name),
    Image: image.id,
    ...(isFirst ? { Hostname: record.unit.slice(0, 63) } : {}),
    Labels: { ...template.metadata.labels, ...scopeLabels(scope), ...containerLabels(record, mark) },
    Env: Object.entries(plainVariables(variables)).map(([name, value]) => `${name}=${value}`),
    // With an entrypoint of its own, nothing of the image's command is left; arguments alone follow the image's entrypoint.
    ...(command === undefined ? {} : { Entrypoint: words(command) }),
    ...(args === undefined ? {} : { Cmd: words(args) }),
    ...(workingDir === undefined ? {} : { WorkingDir: posix.resolve('/', image.workingDir, workingDir) }),
    ...userOf(securityContext),
    ...(isFirst ? { ExposedPorts: Object.fromEntries(allPorts.map((port) => [`${port}/tcp`, {}])) } : {}),
    ...(isFirst && network !== docker.network ? named(network, record.unit) : {}),
    HostConfig: {
      NetworkMode: isFirst ? network : `container:${inNetworkOf}`,
      ...(isFirst && docker.address !== undefined ? { PortBindings: published(allPorts, docker.address) } : {}),
      Mounts: mounts,
      ...limits(container),
      RestartPolicy: { Name: 'no' },
      LogConfig: LOGS,
      CapDrop: ['ALL'],
      CapAdd: securityContext?.capabilities?.add ?? [],
      SecurityOpt: ['no-new-privileges'],
      ReadonlyRootfs: securityContext?.readOnlyRootFilesystem ?? false,
    },
  };
}

/** In a network of its own it is reached by the name of its unit. */
const named = (network: string, unit: string) => ({
  NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [unit] } } },
});

function userOf(context: Container['securityContext']): { User?: string } {
  const { runAsUser, runAsGroup } = context ?? {};
  if (runAsUser === undefined && runAsGroup === undefined) return {};
  return { User: runAsGroup === undefined ? `${runAsUser}` : `${runAsUser ?? 0}:${runAsGroup}` };
}

const published = (ports: number[], address: string) =>
  Object.fromEntries(ports.map((port) => [`${port}/tcp`, [{ HostIp: address, HostPort: '' }]]));

const SHARES = 1024;

/** A limit of memory is one of memory and swap together. Requests are shares of what is there, as in Kubernetes. */
function limits({ resources: { requests, limits: most } }: Container) {
  const amount = (text: string | undefined) => (text === undefined ? undefined : parseQuantity(text));
  const [cpu, memory] = [amount(most?.cpu), amount(most?.memory)];
  const [share, reserved] = [amount(requests?.cpu), amount(requests?.memory)];
  return {
    ...(cpu === undefined ? {} : { NanoCpus: Math.round(cpu * 1e9) }),
    ...(memory === undefined ? {} : { Memory: Math.floor(memory), MemorySwap: Math.floor(memory) }),
    ...(share === undefined ? {} : { CpuShares: Math.max(2, Math.round(share * SHARES)) }),
    ...(reserved === undefined ? {} : { MemoryReservation: Math.floor(reserved) }),
  };
}
