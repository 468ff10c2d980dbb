/** The routes as the router looks them up: by host, then by policy, then by load. */
import type { ResourceId } from '../../../manifest/resource.ts';
import type { TrafficPolicy } from '../../../plan/live.ts';
import { type Chooser, compile } from '../../../plan/route.ts';
import type { Backend, Route, RouterConfig, RouterStats } from './config.ts';
import { type Counter, newCounter, summarize } from './counts.ts';
import { type Balancer, createBalancer, createUpstream, pick, type Upstream } from './upstream.ts';

/** Where a request goes. Without `upstream` nothing can serve it now; without `counter` nothing is routed at all. */
export interface Destination {
  counter?: Counter;
  upstream?: Upstream;
}

interface Version {
  counter: Counter;
  balancer: Balancer;
}
interface Entry {
  route: Route;
  choose?: Chooser;
  versions: Map<string, Version>;
}
/** `version`: reached directly; absent: the policy chooses. */
interface Host {
  entry: Entry;
  version?: string;
}

export interface Table {
  config(): RouterConfig;
  /** Replaces the routes that `changes` names; null removes one. What is under way on removed backends goes on. */
  change(changes: Record<ResourceId, Route | null>): void;
  /** `host` in lower case and without port; undefined: no such host. Backends in `tried` are left out. */
  find(host: string, url: string, random: number, tried: readonly Upstream[]): Destination | undefined;
  stats(): RouterStats;
  /** All that is under way, over all backends. */
  active(): number;
}

export function createTable(): Table {
  const entries = new Map<ResourceId, Entry>();
  const upstreams = new Map<string, Upstream>();
  /** No longer routed to, not yet at rest. */
  const retiring = new Set<Upstream>();
  let hosts = new Map<string, Host>();

  const upstreamOf = (backend: Backend): Upstream => {
    const key = keyOf(backend);
    const known = upstreams.get(key) ?? createUpstream(backend);
    upstreams.set(key, known);
    return known;
  };

  const retireUnused = () => {
    const used = new Set<Upstream>();
    for (const { versions } of entries.values())
      for (const { balancer } of versions.values()) for (const upstream of balancer.upstreams) used.add(upstream);
    for (const [key, upstream] of upstreams) {
      if (used.has(upstream)) continue;
      upstreams.delete(key);
      upstream.retire();
      retiring.add(upstream);
    }
  };

  const forgetRested = () => {
    for (const upstream of retiring) if (upstream.active === 0) retiring.delete(upstream);
  };

  return {
    config: () => ({
      routes: Object.fromEntries([...entries].map(([resource, { route }]) => [resource, route])),
    }),
    change(changes) {
      for (const [resource, route] of Object.entries(changes) as [ResourceId, Route | null][]) {
        if (route === null) entries.delete(resource);
        else entries.set(resource, createEntry(route, entries.get(resource), upstreamOf));
      }
      hosts = index(entries);
      retireUnused();
      forgetRested();
    },
    find(name, url, random, tried) {
      const host = hosts.get(name);
      if (host === undefined) return undefined;
      const chosen = host.version ?? host.entry.choose?.(url, random);
      const version = chosen === undefined ? undefined : host.entry.versions.get(chosen);
      if (version === undefined) return {};
      const upstream = pick(version.balancer, tried);
      return upstream === undefined ? { counter: version.counter } : { counter: version.counter, upstream };
    },
    stats() {
      forgetRested();
      const active: Record<string, number> = {};
      for (const upstream of [...upstreams.values(), ...retiring])
        if (upstream.active > 0) active[upstream.unit] = (active[upstream.unit] ?? 0) + upstream.active;
      const versions = Object.fromEntries(
        [...entries].map(([resource, entry]) => [
          resource,
          Object.fromEntries([...entry.versions].map(([name, { counter }]) => [name, summarize(counter)])),
        ]),
      );
      return { versions, active };
    },
    active: () => [...upstreams.values(), ...retiring].reduce((sum, upstream) => sum + upstream.active, 0),
  };
}

const keyOf = ({ unit, port, host = '' }: Backend) => `${host} ${port} ${unit}`;

function createEntry(route: Route, before: Entry | undefined, upstreamOf: (backend: Backend) => Upstream): Entry {
  const named = new Set([...Object.keys(route.versions), ...versionsOf(route.policy)]);
  const versions = new Map(
    [...named].map((name) => {
      const known = before?.versions.get(name);
      const backends = route.versions[name] ?? [];
      const balancer = createBalancer(backends.map(upstreamOf), backends, known?.balancer.next ?? 0);
      return [name, { counter: known?.counter ?? newCounter(), balancer }];
    }),
  );
  const policy = route.policy && withoutAbsent(route.policy, route.versions);
  return { route, versions, ...(policy === undefined ? {} : { choose: compile(policy) }) };
}

export function versionsOf(policy: TrafficPolicy | undefined): string[] {
  if (policy === undefined) return [];
  return policy.kind === 'percent'
    ? Object.keys(policy.weights)
    : [...policy.rules.map((rule) => rule.version), policy.default];
}

/** A share whose version has no backend falls to the others in proportion; with no version left, it stands as it is (503). */
export function withoutAbsent(policy: TrafficPolicy, versions: Route['versions']): TrafficPolicy {
  if (policy.kind === 'match') return policy;
  const present = Object.entries(policy.weights).filter(
    ([name, weight]) => weight > 0 && (versions[name]?.length ?? 0) > 0,
  );
  return present.length === 0 ? policy : { kind: 'percent', weights: Object.fromEntries(present) };
}

/** A declared host stands before another resource's version address; of two equal ones the resource that sorts first has it. */
function index(entries: Map<ResourceId, Entry>): Map<string, Host> {
  const declared = new Map<string, Host>();
  const direct = new Map<string, Host>();
  for (const resource of [...entries.keys()].sort().reverse()) {
    const entry = entries.get(resource) as Entry;
    const host = entry.route.host.toLowerCase();
    declared.set(host, { entry });
    for (const version of entry.versions.keys())
      if (version !== '') direct.set(`${version}.${host}`.toLowerCase(), { entry, version });
  }
  return new Map([...direct, ...declared]);
}
