/** The driver of a namespace of Kubernetes: replicas as pods of a ReplicaSet for each revision. Kubernetes schedules, heals and runs; Sluice stages. */
import { isReplicasSpec } from '../../manifest/kinds.ts';
import type { ResourceId } from '../../manifest/resource.ts';
import type { KubernetesTarget } from '../../manifest/target.ts';
import { type LiveUnit, nothingLive } from '../../plan/live.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import type { SecretSource, StaleEpoch, UnitDriver } from '../ports.ts';
import { type AskDigest, digestAt as overNetwork } from '../registry/digest.ts';
import { newSubscribers } from '../replicas/driver.ts';
import { type AskedPod, checkPods } from './ask.ts';
import { type KubeObject, openKube, statusOf } from './client.ts';
import { checkKubernetesEpoch, claimKubernetesEpoch } from './epoch.ts';
import { openFence, removeExactly } from './fence.ts';
import { openImages } from './images.ts';
import { corePath, resourceLabels, type Scope, setsPath } from './names.ts';
import { type AskedOfKubernetes, precheckKubernetes } from './precheck.ts';
import { openScale } from './scale.ts';
import { openScalers } from './scalers.ts';
import { LOST_MS, openStore, unitsOf } from './store.ts';
import { openTraffic } from './traffic.ts';
import { type SetView, setView } from './view.ts';

export interface KubernetesTargetOptions {
  /** The target's, as manifests name it. */
  name: string;
  kubernetes: KubernetesTarget & { project: string };
  secrets: SecretSource;
  epoch: number;
  /** Default: over the network. */
  digestAt?: AskDigest;
  log?(message: string, details: Record<string, unknown>): void;
}

const scopeOf = (name: string, { namespace, project }: KubernetesTarget & { project: string }): Scope => ({
  ...{ namespace, project },
  target: name,
});

/** Takes the target over for `epoch` and begins to watch it. */
export async function openKubernetesTarget(options: KubernetesTargetOptions): Promise<UnitDriver> {
  const { name, kubernetes: target, secrets, epoch, log = () => {} } = options;
  const { digestAt = overNetwork } = options;
  const scope = scopeOf(name, target);
  const kube = await openKube(target);
  const { drainSeconds, gateway } = target;
  const subscribers = newSubscribers();
  const limits = new Map<ResourceId, number>();
  const tidying = new Map<ResourceId, Promise<void>>();
  const timers = new Map<ResourceId, NodeJS.Timeout>();
  const gathering = new Map<ResourceId, NodeJS.Timeout>();
  let stale: StaleEpoch | undefined;
  let closed = false;

  await claimKubernetesEpoch(kube, scope, epoch).catch((error) => {
    kube.close();
    if (statusOf(error) === 404)
      throw new Error(`there is no namespace ${scope.namespace}; create it, or correct kubernetes.namespace`);
    throw error;
  });
  /** Of hundreds of pods something changes all the time: it is told together. */
  const changed = (resource: ResourceId) => {
    if (gathering.has(resource) || closed) return;
    const pods = store.sets(resource).reduce((sum, set) => sum + set.replicas, 0);
    const told = () => {
      gathering.delete(resource);
      subscribers.tell(resource);
      tidySoon(resource);
    };
    gathering.set(resource, setTimeout(told, Math.min(GATHER_MS, pods)));
  };
  const turned = (up: boolean, message: string) => {
    if (!up) log(`${kube.server} cannot be watched: ${message}`, {});
    for (const resource of store.resources()) subscribers.tell(resource);
  };
  const overtaken = (error: StaleEpoch) => {
    stale = error;
    log(error.message, {});
  };
  const fence = openFence({ kube, scope, epoch, stale: overtaken });
  const store = openStore({ kube, scope, changed, turned });
  const traffic = openTraffic({ kube, scope, fence, gateway, drainSeconds, store, changed, turned, log });
  const scalers = openScalers({ kube, scope, fence, store, changed, turned });
  const images = openImages({ kube, scope, target, secrets, digestAt });
  const scale = openScale({
    ...{ images, kube, scope, fence, epoch, secrets, drainSeconds, store, changed, log },
    ...{ before: scalers.hold, stale: overtaken },
  });
  const isUp = () => [store, traffic, scalers].every(({ up }) => up());

  const setsOf = (resource: ResourceId): SetView[] => [...store.sets(resource), ...scale.coming(resource)];
  const unitsIn = (resource: ResourceId, now: number): LiveUnit[] =>
    setsOf(resource).flatMap((set) => unitsOf(set, store.pods(set), scale.wanted(set), now));

  /** A pod that should be gone by then is not waited for any longer. */
  function wakeForLost(resource: ResourceId, now: number): void {
    const due = store
      .sets(resource)
      .flatMap((set) => store.pods(set).flatMap(({ goneAt }) => (goneAt === undefined ? [] : [goneAt + LOST_MS])))
      .filter((at) => at >= now);
    clearTimeout(timers.get(resource));
    if (due.length > 0) timers.set(resource, setTimeout(() => changed(resource), Math.min(...due) - now + 10).unref());
  }

  /** One at a time of each resource, and none while something of it is being made. */
  function tidySoon(resource: ResourceId): void {
    if (tidying.has(resource) || closed || !isUp()) return;
    const work = new Promise((resolve) => setTimeout(resolve, TIDY_MS))
      .then(() => (closed || stale !== undefined ? undefined : tidy(resource)))
      .catch((error: Error) => log(`what is left of ${resource} cannot be tidied: ${error.message}`, { resource }))
      .finally(() => tidying.delete(resource));
    tidying.set(resource, work);
  }

  async function tidy(resource: ResourceId): Promise<void> {
    if (scale.rests(resource)) await scalers.release(resource);
    await traffic.tidy(resource);
    const limit = limits.get(resource);
    if (limit === undefined) return;
    const idle = store
      .sets(resource)
      .filter((set) => set.replicas === 0 && scale.wanted(set) === 0 && store.pods(set).length === 0)
      .sort((a, b) => b.scaledAt - a.scaledAt);
    for (const set of idle.slice(limit)) await remove(set);
  }

  const remove = ({ name: set, uid }: SetView) =>
    fence.remove(setsPath(scope, set), (found) => found.metadata.uid === uid && setView(found).replicas === 0);

  async function forget(resource: ResourceId): Promise<void> {
    await scale.idle();
    await tidying.get(resource);
    const left = unitsIn(resource, Date.now());
    if (left.length > 0)
      throw new Error(
        `${resource} still has ${left.map(({ id }) => id).join(', ')}; stop its units before it is forgotten`,
      );
    await traffic.forget(resource);
    await scalers.forget(resource);
    const labelSelector = Object.entries(resourceLabels(scope, resource))
      .map((pair) => pair.join('='))
      .join(',');
    const claims = corePath(scope, 'persistentvolumeclaims');
    const { items } = await kube.ask<{ items: KubeObject[] }>('GET', claims, { query: { labelSelector } });
    // What a later operator has made was made after it had taken over.
    await checkKubernetesEpoch(kube, scope, epoch);
    for (const claim of items) await removeExactly(kube, `${claims}/${claim.metadata.name}`, claim);
    // They make the resource known: after a crash it is forgotten once more.
    for (const set of store.sets(resource)) await remove(set);
    limits.delete(resource);
  }

  function stop(resource: ResourceId, unit: string, attempt: string): void {
    for (const set of setsOf(resource)) {
      if (!unit.startsWith(`${set.name}-`)) continue;
      const known = store.pods(set).find((pod) => pod.name === unit);
      if (known === undefined && !attempt.endsWith('.0')) continue;
      if (known !== undefined && (known.goneAt !== undefined || !attempt.endsWith(known.uid.slice(0, 8)))) continue;
      scale.stop(set, attempt);
    }
  }

  try {
    await Promise.all([store.ready, traffic.ready, scalers.ready]);
    await fence.takeOver([store, traffic, scalers].flatMap((each) => each.marked()));
  } catch (error) {
    close();
    throw error;
  }

  function close(): void {
    closed = true;
    store.close();
    traffic.close();
    scalers.close();
    for (const timer of [...timers.values(), ...gathering.values()]) clearTimeout(timer);
    subscribers.clear();
    kube.close();
  }

  return {
    async observe(resources) {
      const now = Date.now();
      return new Map(
        resources.map((resource) => {
          wakeForLost(resource, now);
          const policy = traffic.policy(resource);
          const live = { ...nothingLive(now), complete: isUp(), units: unitsIn(resource, now) };
          const routing = traffic.routing(resource);
          const refused = traffic.refused(resource);
          const scaled = scalers.scaled(resource);
          const routes = {
            ...(scaled && { scaled }),
            ...(policy && { traffic: policy }),
            ...(routing && { routing }),
            ...(refused && { refused }),
          };
          return [resource, { ...live, ...routes }];
        }),
      );
    },
    async start(resource, action, runnable) {
      if (stale !== undefined) throw stale;
      if (action.kind === 'route') return traffic.route(resource, action.policy);
      if (action.kind === 'forget') return forget(resource);
      if (action.kind === 'stop') {
        stop(resource, action.unit, action.attempt);
        return;
      }
      if (action.kind !== 'start') throw new Error(`${action.kind} is nothing that is done to a replica`);
      if (runnable === undefined || !('template' in runnable))
        throw new Error(`${action.unit} cannot be started without what it runs`);
      const { version, revision, attempt } = action;
      scale.start({ resource, version, revision }, attempt, runnable);
    },
    async precheck(resource, spec, runnable) {
      if (!isReplicasSpec(spec) || !('template' in runnable)) throw new Error(`${resource} has no replicas`);
      return precheckKubernetes({ kube, scope, target, secrets, images, spec, runnable });
    },
    async check(resource, version, check, signal) {
      const pods = store.sets(resource).flatMap((set): AskedPod[] => {
        if (set.version !== version) return [];
        return store.pods(set).flatMap((pod) => (pod.ready ? [{ pod, ports: set.ports }] : []));
      });
      return checkPods(kube, scope, pods, version, check, signal);
    },
    verify: (resource) => Promise.reject(new Error(`${resource} has no instances`)),
    async declare(resource, spec) {
      if (!isReplicasSpec(spec)) throw new Error(`${resource} has no replicas`);
      limits.set(resource, spec.revisionHistoryLimit);
      traffic.declare(resource, spec);
      tidySoon(resource);
    },
    subscribe: (listener) => subscribers.add(listener),
    resources: async () => [...new Set([...store.resources(), ...traffic.resources()])],
    async close() {
      await scale.idle();
      await Promise.all(tidying.values());
      close();
    },
  };
}

/** At most; a millisecond for each pod. */
const GATHER_MS = 250;

/** Enough for what follows at once to be part of it. */
const TIDY_MS = 250;

/** The prechecks, where another process holds the target: nothing is opened for acting. */
export async function inspectKubernetes(
  asked: Omit<AskedOfKubernetes, 'kube' | 'scope' | 'target' | 'images'> & {
    name: string;
    kubernetes: KubernetesTarget & { project: string };
  },
): Promise<PrecheckResult[]> {
  const { name, kubernetes: target, ...rest } = asked;
  const kube = await openKube(target);
  const scope = scopeOf(name, target);
  const images = openImages({ kube, scope, target, secrets: rest.secrets, digestAt: overNetwork });
  return precheckKubernetes({ ...rest, kube, target, scope, images }).finally(() => kube.close());
}
