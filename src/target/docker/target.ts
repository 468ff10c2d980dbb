/** The driver of a Docker Engine: replicas as containers that outlive the operator. */
import { isReplicasSpec } from '../../manifest/kinds.ts';
import type { DockerTarget, ResourceId } from '../../manifest/resource.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import type { UnitLog } from '../local/logs.ts';
import { type SecretSource, StaleEpoch, type UnitDriver } from '../ports.ts';
import { backendsOf, newSubscribers, replicasDriver } from '../replicas/driver.ts';
import { openReplicas, type Replicas, type ReplicasOptions } from '../replicas/open.ts';
import { adoptUnit, completed, sweep } from './adopt.ts';
import { allContainers } from './containers.ts';
import { answered, connectEngine, saidBy } from './engine.ts';
import { checkEngineEpoch, claimEngineEpoch } from './epoch.ts';
import { openFeed } from './feed.ts';
import { openImages } from './images.ts';
import type { Scope } from './labels.ts';
import { readDockerLogs } from './logs.ts';
import { type AskedOfDocker, precheckDocker } from './precheck.ts';
import { type DockerContainer, type DockerHost, dockerRuntime, locate } from './runtime.ts';
import { removeResourceVolumes } from './volumes.ts';

export interface DockerTargetOptions
  extends Omit<ReplicasOptions<DockerContainer>, 'livedMs' | 'backends' | 'changed' | 'log'> {
  docker: DockerTarget & { project: string };
  log?: ReplicasOptions<DockerContainer>['log'];
}

const LIVED_MS = 1000;

/** Finds again what runs there, takes the target over for `epoch`, and goes on with every stop that was begun. */
export async function openDockerTarget({ log = () => {}, ...options }: DockerTargetOptions): Promise<UnitDriver> {
  const { name, docker: target, epoch, secrets } = options;
  const scope: Scope = { project: target.project, target: name };
  const { docker, close } = await connectEngine(target);
  const there = await reached(target.host, async () => {
    await answered(docker.ping());
    await claimEngineEpoch(docker, scope, epoch);
    return allContainers(docker, scope);
  }).catch((error) => {
    close();
    throw error;
  });
  const images = openImages({ docker, target, scope, secrets, log });
  const subscribers = newSubscribers();
  const limits = new Map<ResourceId, number>();
  const removing: DockerHost['removing'] = new Map();
  const replicas: Replicas<DockerContainer, DockerHost> = await openReplicas<DockerContainer, DockerHost>(
    { ...options, livedMs: LIVED_MS, backends: (_, units) => backendsOf(units), changed: subscribers.tell, log },
    {
      boot: '',
      host(core) {
        const turned = (up: boolean) => void relocated(host, up);
        const feed = openFeed({ docker, scope, closing: core.closing, turned });
        const insured = () => checkEngineEpoch(docker, scope, epoch);
        const host = { ...core, docker, target, scope, epoch, images, feed, insured, removing } as DockerHost;
        host.runtime = dockerRuntime(host);
        return host;
      },
      found: (recorded) => completed(recorded, there),
      adopt: (host, entry) => adoptUnit(host, entry, there),
      sweep: (host, units) => sweep(host, units, there),
      async forget(resource) {
        await Promise.all(removing.values());
        await removeResourceVolumes(docker, scope, resource);
        await images.prune(resource, new Set(), 0);
        limits.delete(resource);
      },
    },
  );

  /** Containers may have other addresses after the engine was away. */
  async function relocated(host: DockerHost, up: boolean): Promise<void> {
    log(up ? 'the engine answers again' : 'the engine does not answer', { host: target.host });
    for (const unit of up ? replicas.all() : []) {
      const moved = await locate(host, unit).catch(() => false);
      if (moved && !host.closing.aborted) host.note(unit);
      if (moved) host.changed(unit);
    }
    for (const resource of replicas.resources()) subscribers.tell(resource);
  }

  const driver = replicasDriver({
    replicas,
    subscribers,
    complete: () => replicas.host.feed.up(),
    async close() {
      close();
    },
    async accept() {
      try {
        await replicas.host.insured();
      } catch (error) {
        if (error instanceof StaleEpoch) replicas.close();
        throw error instanceof StaleEpoch ? error : new Error(`${target.host} does not answer: ${saidBy(error)}`);
      }
    },
    async precheck(resource, spec, runnable) {
      if (!isReplicasSpec(spec) || !('template' in runnable)) throw new Error(`${resource} has no replicas`);
      return precheckDocker({
        ...{ docker, target, images, spec, runnable },
        host: replicas.host,
        router: options.router,
      });
    },
  });
  return {
    ...driver,
    async declare(resource, spec) {
      limits.set(resource, spec.revisionHistoryLimit);
      await driver.declare(resource, spec);
    },
    async start(resource, action, runnable, signal) {
      await driver.start(resource, action, runnable, signal);
      if (action.kind !== 'stop') return;
      const revisions = new Set(replicas.of(resource).map(({ record }) => record.revision));
      images.prune(resource, revisions, limits.get(resource) ?? Number.POSITIVE_INFINITY).catch((error: Error) => {
        log('images of earlier revisions cannot be removed', { resource, message: saidBy(error) });
      });
    },
  };
}

/** The prechecks, where another process holds the target: nothing is opened for acting. */
export async function inspectDocker(
  asked: Omit<AskedOfDocker, 'docker' | 'target' | 'images' | 'host'> & {
    name: string;
    docker: DockerTarget & { project: string };
    secrets: SecretSource;
  },
): Promise<PrecheckResult[]> {
  const { name, docker: target, secrets } = asked;
  const { docker, close } = await connectEngine(target);
  const images = openImages({
    docker,
    target,
    scope: { project: target.project, target: name },
    secrets,
    log: () => {},
  });
  return precheckDocker({ ...asked, docker, target, images, host: { secrets } }).finally(close);
}

/** What the containers of a resource wrote. */
export async function readTargetLogs(
  name: string,
  target: DockerTarget & { project: string },
  resource: ResourceId,
  unit: string | undefined,
): Promise<UnitLog[]> {
  const { docker, close } = await connectEngine(target);
  return reached(target.host, () =>
    readDockerLogs(docker, { project: target.project, target: name }, resource, unit),
  ).finally(close);
}

async function reached<T>(host: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof StaleEpoch) throw error;
    throw new Error(`the Docker engine at ${host} does not answer: ${saidBy(error)}; start it, or correct docker.host`);
  }
}
