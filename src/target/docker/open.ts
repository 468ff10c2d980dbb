/** What both drivers of an engine stand on, that of replicas and that of instances: the way to it, and its containers as units. */
import type Docker from 'dockerode';
import type { ResourceId } from '../../manifest/resource.ts';
import type { DockerTarget } from '../../manifest/target.ts';
import type { FoundUnit } from '../local/record.ts';
import { type SecretSource, StaleEpoch } from '../ports.ts';
import { openReplicas, type Replicas, type ReplicasOptions } from '../replicas/open.ts';
import type { Unit } from '../replicas/unit.ts';
import { adoptUnit, completed, sweep } from './adopt.ts';
import { allContainers, type Found } from './containers.ts';
import { answered, connectEngine, saidBy } from './engine.ts';
import { checkEngineEpoch, claimEngineEpoch } from './epoch.ts';
import { openFeed } from './feed.ts';
import { type Images, openImages } from './images.ts';
import type { Scope } from './labels.ts';
import { type DockerContainer, type DockerHost, dockerRuntime, locate } from './runtime.ts';
import { removeResourceVolumes } from './volumes.ts';

type Log = ReplicasOptions<DockerContainer>['log'];

export interface EngineOptions {
  /** The target's, as manifests name it. */
  name: string;
  docker: DockerTarget & { project: string };
  epoch: number;
  secrets: SecretSource;
  log: Log;
}

/** An engine that was taken over for an operator. */
export interface Engine {
  docker: Docker;
  target: DockerTarget;
  scope: Scope;
  epoch: number;
  images: Images;
  log: Log;
  /** Every container of the target when it was opened. */
  there: Found[];
  /** Throws StaleEpoch when a later operator has taken over, on whatever machine. */
  insured(): Promise<void>;
  /** Whether it takes a new connection. */
  answers(): Promise<boolean>;
  close(): void;
}

export async function takeEngine({ name, docker: target, epoch, secrets, log }: EngineOptions): Promise<Engine> {
  const scope: Scope = { project: target.project, target: name };
  const { docker, answers, close } = await connectEngine(target);
  const there = await reached(target.host, async () => {
    await answered(docker.ping());
    await claimEngineEpoch(docker, scope, epoch);
    return allContainers(docker, scope);
  }).catch((error) => {
    close();
    throw error;
  });
  return {
    ...{ docker, target, scope, epoch, log, there, answers, close },
    images: openImages({ docker, target, scope, secrets, log }),
    insured: () => checkEngineEpoch(docker, scope, epoch),
  };
}

export interface Special {
  /** Whether a resource is one of this driver: the other has units of its own on the same engine. */
  isOurs(resource: ResourceId): boolean;
  /** What is known of units besides. */
  found?(units: FoundUnit[]): FoundUnit[];
  /** The network in which a resource has its containers; absent: the target's. */
  networkOf?(resource: ResourceId): string;
  /** What belongs to no unit is to be removed. */
  swept?(units: Unit<DockerContainer>[]): Promise<void>;
  /** A resource has no containers and no volumes any more. */
  forgotten?(resource: ResourceId): Promise<void>;
}

export async function openContainers(
  engine: Engine,
  options: ReplicasOptions<DockerContainer>,
  special: Special,
): Promise<Replicas<DockerContainer, DockerHost>> {
  const { docker, target, scope, epoch, images, insured, log } = engine;
  const there = engine.there.filter(({ mark }) => special.isOurs(mark.resource));
  const removing: DockerHost['removing'] = new Map();
  const networkOf = special.networkOf ?? (() => target.network);
  const replicas: Replicas<DockerContainer, DockerHost> = await openReplicas<DockerContainer, DockerHost>(options, {
    boot: '',
    host(core) {
      const turned = (up: boolean) => void relocated(host, up);
      const feed = openFeed({ docker, scope, closing: core.closing, turned });
      const host = { ...core, docker, target, scope, epoch, images, feed, insured, removing, networkOf } as DockerHost;
      host.runtime = dockerRuntime(host);
      return host;
    },
    found(recorded) {
      const all = completed(recorded, there);
      return special.found?.(all) ?? all;
    },
    adopt: (host, entry) => adoptUnit(host, entry, there),
    async sweep(host, units) {
      await sweep(host, units, there);
      await special.swept?.(units);
    },
    async forget(resource) {
      await Promise.all(removing.values());
      await removeResourceVolumes(docker, scope, resource);
      await images.prune(resource, new Set(), 0);
      await special.forgotten?.(resource);
    },
  });

  /** Containers may have other addresses after the engine was away. */
  async function relocated(host: DockerHost, up: boolean): Promise<void> {
    log(up ? 'the engine answers again' : 'the engine does not answer', { host: target.host });
    for (const unit of up ? replicas.all() : []) {
      const moved = await locate(host, unit).catch(() => false);
      if (moved && !host.closing.aborted) host.note(unit);
      if (moved) host.changed(unit);
    }
    for (const resource of replicas.resources()) options.changed(resource);
  }

  return replicas;
}

/** Before anything is begun: throws where it must not or cannot be done now. */
export async function acceptsOf(
  { insured, target }: Engine,
  replicas: Pick<Replicas<DockerContainer, DockerHost>, 'close'>,
): Promise<void> {
  try {
    await insured();
  } catch (error) {
    if (error instanceof StaleEpoch) replicas.close();
    throw error instanceof StaleEpoch ? error : new Error(`${target.host} does not answer: ${saidBy(error)}`);
  }
}

export async function reached<T>(host: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof StaleEpoch) throw error;
    throw new Error(`the Docker engine at ${host} does not answer: ${saidBy(error)}; start it, or correct docker.host`);
  }
}
