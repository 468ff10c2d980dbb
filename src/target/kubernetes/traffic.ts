/**
 * Which pods are reached under which name: a Kubernetes Service for each version, and an HTTPRoute where the target has a Gateway. Traffic counts as
 * moved when the Gateway says that it has taken up the change, and what was under way has had its time.
 */
import type { ReplicasSpec, ResourceId } from '../../manifest/resource.ts';
import type { TrafficPolicy } from '../../plan/live.ts';
import { samePolicy } from '../../plan/traffic.ts';
import { trafficNames } from '../../plan/versions.ts';
import { type Cache, openCache } from './cache.ts';
import type { Kube, KubeObject } from './client.ts';
import type { Fence, Marked } from './fence.ts';
import { refuseOthers } from './make.ts';
import {
  ANNOTATION,
  corePath,
  epochOf,
  LABEL,
  nameOf,
  resourceOf,
  routesPath,
  type Scope,
  scopeSelector,
  versionName,
} from './names.ts';
import { service } from './objects.ts';
import {
  type Acceptance,
  acceptance,
  beforeOf,
  type Gateway,
  type HttpRoute,
  httpRoute,
  policyOf,
  versionRoute,
} from './route.ts';
import type { Store } from './store.ts';
import type { ServedPort } from './view.ts';

export interface TrafficOptions {
  kube: Kube;
  scope: Scope;
  fence: Fence;
  gateway: Gateway | undefined;
  drainSeconds: number;
  store: Store;
  changed(resource: ResourceId): void;
  turned(up: boolean, message: string): void;
  log(message: string, details: Record<string, unknown>): void;
}

interface ServiceView {
  resource: ResourceId;
  version: string;
  name: string;
  ports: ServedPort[];
  epoch: number;
}

export interface Traffic {
  ready: Promise<void>;
  up(): boolean;
  declare(resource: ResourceId, spec: ReplicasSpec): void;
  /** What is really done now. */
  policy(resource: ResourceId): TrafficPolicy | undefined;
  /** What the Gateway was told. */
  routing(resource: ResourceId): TrafficPolicy | undefined;
  /** Why what was asked for last is not done, where somebody refuses it. */
  refused(resource: ResourceId): { message: string; since: number } | undefined;
  route(resource: ResourceId, policy: TrafficPolicy | undefined): Promise<void>;
  /** Brings the Services of its versions to what runs, and takes away those of which nothing does. */
  tidy(resource: ResourceId): Promise<void>;
  resources(): Set<ResourceId>;
  marked(): Marked[];
  /** Takes all of it away. */
  forget(resource: ResourceId): Promise<void>;
  close(): void;
}

const ALL: TrafficPolicy = { kind: 'percent', weights: { '': 100 } };
const isService = (resource: ResourceId) => resource.startsWith('Service/');

export function openTraffic(options: TrafficOptions): Traffic {
  const { kube, scope, fence, gateway, drainSeconds, store, changed, turned, log } = options;
  const specs = new Map<ResourceId, ReplicasSpec>();
  /** Since when a Gateway is seen to have taken up a generation of a route, by its uid and generation. */
  const accepted = new Map<string, number>();
  /** Of routes that are gone: what they did, and until when that may be under way. */
  const leaving = new Map<ResourceId, { policy: TrafficPolicy; until: number }>();
  const refusals = new Map<ResourceId, { message: string; since: number }>();
  const common = { kube, selector: scopeSelector(scope), turned };

  const services: Cache<ServiceView> = openCache({
    ...common,
    path: corePath(scope, 'services'),
    keep: serviceView,
    changed: (now, before) => changed((now ?? before)?.resource as ResourceId),
  });
  const routes: Cache<HttpRoute> | undefined =
    gateway &&
    openCache({
      ...common,
      path: routesPath(scope),
      keep: ({
        metadata: { managedFields: _, ...metadata },
        ...rest
      }: KubeObject & { metadata: { managedFields?: unknown } }) => ({ ...rest, metadata }) as HttpRoute,
      changed: (now, before) => changed(resourceOf((now ?? before)?.metadata.labels)),
    });
  const mine = <T extends { metadata: KubeObject['metadata'] }>(object: T | undefined, resource: ResourceId) =>
    object !== undefined && resourceOf(object.metadata.labels) === resource ? object : undefined;
  const routeOf = (resource: ResourceId) => mine(routes?.get(nameOf(resource)), resource);
  const servicesOf = (resource: ResourceId) => [...services.all()].filter((each) => each.resource === resource);
  const later = (resource: ResourceId, ms: number) => void setTimeout(() => changed(resource), ms + 1).unref();

  function policy(resource: ResourceId): TrafficPolicy | undefined {
    const now = Date.now();
    const routed = gateway !== undefined && services.get(nameOf(resource))?.ports.length !== 0;
    const there = routed ? routePolicy(resource, gateway, now) : servicePolicy(resource);
    const left = leaving.get(resource);
    if (there !== undefined || left === undefined) return there;
    if (now < left.until) return left.policy;
    leaving.delete(resource);
    return undefined;
  }

  function servicePolicy(resource: ResourceId): TrafficPolicy | undefined {
    return !isService(resource) && services.get(nameOf(resource))?.resource === resource ? ALL : undefined;
  }

  function routePolicy(resource: ResourceId, parent: Gateway, now: number): TrafficPolicy | undefined {
    const route = routeOf(resource);
    if (route === undefined) return undefined;
    const before = beforeOf(route);
    const said = acceptance(route, parent);
    note(resource, said, now);
    if (!said.accepted) return before;
    const does = policyOf(resource, route);
    if (before === undefined || trafficNames(before).every((name) => trafficNames(does).includes(name))) return does;
    const key = `${route.metadata.uid} ${route.metadata.generation}`;
    const since = accepted.get(key) ?? now;
    accepted.set(key, since);
    const left = since + drainSeconds * 1000 - now;
    if (left > 0) {
      later(resource, left);
      return before;
    }
    void forgetBefore(route);
    return does;
  }

  /** From now on it is settled, whoever looks. */
  async function forgetBefore({ metadata: { name, generation } }: HttpRoute): Promise<void> {
    try {
      const settled = { metadata: { annotations: { [ANNOTATION.before]: null } } };
      keep(
        routes,
        await fence.change(routesPath(scope, name), (found) => (isAt(found, generation) ? settled : undefined)),
      );
    } catch (error) {
      log(`HTTPRoute ${name} cannot be changed: ${(error as Error).message}`, {});
    }
  }

  function note(resource: ResourceId, { refused, message }: Acceptance, now: number): void {
    if (!refused) refusals.delete(resource);
    else if (refusals.get(resource)?.message !== message) {
      refusals.set(resource, { message, since: now });
      log(message, { resource });
    }
  }

  /** The ports that the pods of a version serve: those of its ReplicaSet that was scaled last. */
  function portsOf(resource: ResourceId, version: string): ServedPort[] {
    const sets = store.sets(resource).filter((set) => set.version === version);
    const [newest] = sets.sort((a, b) => Number(b.replicas > 0) - Number(a.replicas > 0) || b.scaledAt - a.scaledAt);
    return newest?.ports ?? services.get(versionName(resource, version))?.ports ?? [];
  }

  async function putService(resource: ResourceId, version: string): Promise<void> {
    const name = versionName(resource, version);
    const ports = portsOf(resource, version);
    const there = services.get(name);
    if (there?.resource === resource && samePorts(there.ports, ports)) return;
    const path = corePath(scope, 'services', name);
    if (there !== undefined && (there.ports.length === 0) !== (ports.length === 0)) await remove(path, resource);
    await apply(services, path, resource, service(scope, { resource, version, ports }));
  }

  async function putVersionRoute(resource: ResourceId, version: string): Promise<void> {
    const host = specs.get(resource)?.host;
    const [port] = portsOf(resource, version);
    if (gateway === undefined || host === undefined || port === undefined || version === '') return;
    const name = versionName(resource, version);
    const hostname = `${version}.${host}`;
    if (mine(routes?.get(name), resource)?.spec.hostnames[0] === hostname) return;
    const object = versionRoute(scope, gateway, resource, version, host, port.containerPort);
    await apply(routes, routesPath(scope, name), resource, object);
  }

  async function apply(cache: Cached, path: string, resource: ResourceId, object: object): Promise<void> {
    const made = await fence.apply(path, (found) => {
      refuseOthers(scope, resource, found);
      return object;
    });
    keep(cache, made);
  }

  const remove = (path: string, resource: ResourceId) =>
    fence.remove(path, (found) => mine(found, resource) !== undefined);

  async function unroute(resource: ResourceId): Promise<void> {
    const does = policy(resource);
    if (does !== undefined) leaving.set(resource, { policy: does, until: Date.now() + drainSeconds * 1000 });
    later(resource, drainSeconds * 1000);
    if (routeOf(resource) !== undefined) await remove(routesPath(scope, nameOf(resource)), resource);
    if (!isService(resource) && servicePolicy(resource))
      await remove(corePath(scope, 'services', nameOf(resource)), resource);
  }

  async function routeTo(resource: ResourceId, wanted: TrafficPolicy | undefined): Promise<void> {
    if (wanted === undefined) return unroute(resource);
    if (gateway === undefined && isService(resource))
      throw new Error(`${resource} needs a Gateway: give the target kubernetes.gateway`);
    leaving.delete(resource);
    const host = specs.get(resource)?.host;
    for (const version of trafficNames(wanted)) await putService(resource, version);
    const ports: Record<string, number> = {};
    for (const version of trafficNames(wanted)) {
      const [port] = portsOf(resource, version);
      if (port !== undefined) ports[version] = port.containerPort;
    }
    if (gateway === undefined || host === undefined || Object.keys(ports).length === 0) return;
    await putRoute(resource, gateway, host, wanted, ports);
  }

  async function putRoute(
    resource: ResourceId,
    gateway: Gateway,
    host: string,
    wanted: TrafficPolicy,
    ports: Record<string, number>,
  ): Promise<void> {
    const there = routeOf(resource);
    if (there !== undefined && there.spec.hostnames[0] === host && samePolicy(policyOf(resource, there), wanted))
      return;
    const before = policy(resource);
    const object = httpRoute(scope, gateway, { resource, host, policy: wanted, before, ports });
    await apply(routes, routesPath(scope, nameOf(resource)), resource, object);
  }

  async function tidy(resource: ResourceId): Promise<void> {
    const does = trafficNames(policy(resource));
    const runs = new Set(
      store.sets(resource).flatMap((set) => (set.replicas > 0 || store.pods(set).length > 0 ? [set.version] : [])),
    );
    for (const version of runs) {
      if (version === '' && !services.get(nameOf(resource))) continue;
      await putService(resource, version);
      await putVersionRoute(resource, version);
    }
    const route = routeOf(resource);
    const host = specs.get(resource)?.host;
    // Declared under another name.
    const still = route && policyOf(resource, route);
    if (still !== undefined && host !== undefined && route?.spec.hostnames[0] !== host) await routeTo(resource, still);
    for (const { version } of servicesOf(resource)) {
      if (version === '' || runs.has(version) || does.includes(version)) continue;
      const name = versionName(resource, version);
      if (mine(routes?.get(name), resource)) await remove(routesPath(scope, name), resource);
      await remove(corePath(scope, 'services', name), resource);
    }
  }

  return {
    ready: Promise.all([services.ready, routes?.ready]).then(() => {}),
    up: () => services.up() && (routes?.up() ?? true),
    declare(resource, spec) {
      specs.set(resource, spec);
    },
    policy,
    routing(resource) {
      const route = routeOf(resource);
      return route === undefined ? undefined : policyOf(resource, route);
    },
    route: routeTo,
    refused: (resource) => refusals.get(resource),
    tidy,
    resources: () => new Set([...services.all()].map(({ resource }) => resource)),
    marked: () => [
      ...[...services.all()].map(({ name, epoch }) => ({
        ...{ path: corePath(scope, 'services', name), epoch, put: services.put },
      })),
      ...[...(routes?.all() ?? [])].map((route) => ({
        ...{ path: routesPath(scope, route.metadata.name), epoch: epochOf(route) },
        put: (object: KubeObject) => keep(routes, object),
      })),
    ],
    async forget(resource) {
      for (const each of routes?.all() ?? [])
        if (mine(each, resource)) await remove(routesPath(scope, each.metadata.name), resource);
      for (const { name } of servicesOf(resource)) await remove(corePath(scope, 'services', name), resource);
      specs.delete(resource);
      leaving.delete(resource);
      refusals.delete(resource);
    },
    close() {
      services.close();
      routes?.close();
    },
  };
}

type Cached = Pick<Cache<unknown>, 'put'> | undefined;
const keep = (cache: Cached, object: KubeObject | undefined) => object !== undefined && cache?.put(object);
const isAt = ({ metadata }: KubeObject, generation: number | undefined) => metadata.generation === generation;

function serviceView(object: KubeObject): ServiceView {
  const { metadata, spec } = object as KubeObject & { spec?: { ports?: { name?: string; port: number }[] } };
  return {
    resource: resourceOf(metadata.labels),
    version: metadata.labels?.[LABEL.version] ?? '',
    name: metadata.name,
    epoch: epochOf(object),
    ports: (spec?.ports ?? []).map(({ name, port }) => ({ ...(name !== undefined && { name }), containerPort: port })),
  };
}

const portText = (ports: ServedPort[]) =>
  ports.map(({ name, containerPort }) => `${name ?? `port-${containerPort}`} ${containerPort}`).join();
const samePorts = (a: ServedPort[], b: ServedPort[]): boolean => portText(a) === portText(b);
