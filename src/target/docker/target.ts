/** The driver of a Docker Engine: replicas as containers that outlive the operator. */
import { isReplicasSpec } from '../../manifest/kinds.ts';
import type { ResourceId } from '../../manifest/resource.ts';
import type { DockerTarget } from '../../manifest/target.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import type { UnitLog } from '../local/logs.ts';
import type { SecretSource, UnitDriver } from '../ports.ts';
import { backendsOf, newSubscribers, replicasDriver } from '../replicas/driver.ts';
import type { ReplicasOptions } from '../replicas/open.ts';
import { connectEngine } from './engine.ts';
import { openImages } from './images.ts';
import { readScriptLogs } from './instances/logs.ts';
import { isOfInstances } from './labels.ts';
import { readDockerLogs } from './logs.ts';
import { acceptsOf, openContainers, reached, takeEngine } from './open.ts';
import { type AskedOfDocker, precheckDocker } from './precheck.ts';
import { withPruning } from './prune.ts';
import type { DockerContainer } from './runtime.ts';
import { sweepSecrets } from './volumes.ts';

export interface DockerTargetOptions
  extends Omit<ReplicasOptions<DockerContainer>, 'livedMs' | 'backends' | 'changed' | 'log'> {
  docker: DockerTarget & { project: string };
  log?: ReplicasOptions<DockerContainer>['log'];
}

const LIVED_MS = 1000;

/** Finds again what runs there, takes the target over for `epoch`, and goes on with every stop that was begun. */
export async function openDockerTarget({ log = () => {}, ...options }: DockerTargetOptions): Promise<UnitDriver> {
  const engine = await takeEngine({ ...options, log });
  const { docker, target, images } = engine;
  const subscribers = newSubscribers();
  const replicas = await openContainers(
    engine,
    { ...options, livedMs: LIVED_MS, backends: (_, units) => backendsOf(units), changed: subscribers.tell, log },
    {
      isOurs: (resource) => !isOfInstances(resource),
      swept: (units) =>
        sweepSecrets(
          engine.scope,
          units.map(({ record }) => record),
        ),
    },
  );

  const driver = replicasDriver({
    replicas,
    subscribers,
    complete: () => replicas.host.feed.up(),
    async close() {
      engine.close();
    },
    accept: () => acceptsOf(engine, replicas),
    async precheck(resource, spec, runnable) {
      if (!isReplicasSpec(spec) || !('template' in runnable)) throw new Error(`${resource} has no replicas`);
      return precheckDocker({
        ...{ docker, target, images, spec, runnable },
        host: replicas.host,
        router: options.router,
      });
    },
  });
  return withPruning(driver, engine, {
    after: 'stop',
    needed: (resource) => new Set(replicas.of(resource).map(({ record }) => record.revision)),
  });
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
  const scope = { project: target.project, target: name };
  return reached(target.host, async () => {
    const logs = await readDockerLogs(docker, scope, resource, unit);
    return isOfInstances(resource) ? [...logs, ...(await readScriptLogs(docker, scope, resource, unit))] : logs;
  }).finally(close);
}
