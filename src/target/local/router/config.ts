/** What the router is told: a file on its disk, replaced as a whole. */
import type { ResourceId } from '../../../manifest/resource.ts';
import type { TrafficPolicy } from '../../../plan/live.ts';

export interface Backend {
  unit: string;
  port: number;
}

/** One resource behind one host. `<version>.<host>` reaches a version directly, whatever the policy says. */
export interface Route {
  host: string;
  /** Absent: the host is known, but nothing is routed yet (503). */
  policy?: TrafficPolicy;
  /** The ready units of each version; a workload's one version is `''`. */
  versions: Record<string, Backend[]>;
}

export interface RouterConfig {
  routes: Record<ResourceId, Route>;
}

/** Since the router process started. Latencies in milliseconds. */
export interface VersionCounts {
  requests: number;
  /** Answers of 500 and above, and requests that no backend answered. */
  errors: number;
  latency: { p50: number; p99: number };
}

export interface RouterStats {
  versions: Record<ResourceId, Record<string, VersionCounts>>;
  /** Requests and upgraded connections under way, by unit; absent: none. A unit that was removed from the routes stays here until it is at rest. */
  active: Record<string, number>;
}
