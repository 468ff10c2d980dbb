/** What the router is told: a file on its disk, replaced as a whole. */
import type { ResourceId } from '../../../manifest/resource.ts';
import type { TrafficPolicy } from '../../../plan/live.ts';

export interface Backend {
  /** Opaque to the router; requests under way are counted by it, so that it must be unique across resources. */
  unit: string;
  /** Where it listens on `host`. */
  port: number;
  /** An address; absent: 127.0.0.1. */
  host?: string;
  /** Its share beside the others of its version; absent in all of them: the least busy is taken. */
  weight?: number;
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

/** Since the router process started, for the versions that are routed now. */
export interface VersionCounts {
  requests: number;
  /** Answers of 500 and above, and requests that no backend answered to the end. A client that left is none. */
  errors: number;
  /** Milliseconds from a request's head to its answer's head, within 5 %; 0 before the first. */
  latency: { p50: number; p99: number };
}

export interface RouterStats {
  versions: Record<ResourceId, Record<string, VersionCounts>>;
  /** Requests and upgraded connections under way, by unit; absent: none. A unit that was removed from the routes stays here until it is at rest. */
  active: Record<string, number>;
}
