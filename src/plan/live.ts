import type { Revision, ScalingProcess } from '../manifest/resource.ts';

/** Milliseconds since the epoch. Time is always an argument. */
export type Instant = number;

/**
 * Where traffic goes, in version names. A workload has the one version `''`.
 * `percent`: whole numbers, sum 100. `match`: the first rule that matches wins, else `default`.
 */
export type TrafficPolicy =
  | { kind: 'percent'; weights: Record<string, number> }
  | { kind: 'match'; rules: { version: string; query: Record<string, string> }[]; default: string };

/** `starting`: not yet ready for the first time; `running`: was ready once; `stopping`: losing traffic or being stopped; `dead`: its process is gone. */
export type UnitPhase = 'starting' | 'running' | 'stopping' | 'dead';

export interface LiveUnit {
  /** e.g. `tomcat-3`; a slot: reused after the unit is gone, so that its disk can be. */
  id: string;
  revision: Revision;
  /** `''` for a workload. */
  version: string;
  phase: UnitPhase;
  ready: boolean;
  /** Since when it is ready without a break. */
  readySince?: Instant;
  /** Since when it is not: since its start, or since it was ready last. */
  unreadySince?: Instant;
  attempt: string;
  /** Starts in a row that did not last: 0 for a unit that has been fine. */
  restarts: number;
  /** When it died; set with phase `dead`. */
  diedAt?: Instant;
  /** What a person should know: `exited with code 1: cannot find module …`. */
  message?: string;
  /** `127.0.0.1:41233`, where it has one. */
  address?: string;
  /** Waiting will not make it ready, by what its target says, which is its message: since when. */
  stuckSince?: Instant;
}

/** The last thing that was run on an instance, by the marker beside it. `unknown`: it was begun, its process is gone, no outcome was left. */
export interface LiveAttempt {
  id: string;
  state: 'running' | 'succeeded' | 'failed' | 'unknown';
  /** `exited with code 1: disk full`; empty: nothing to say. */
  message: string;
}

/** One of a fleet's instances or a cluster's nodes. */
export interface LiveInstance {
  id: string;
  /** The target created it, and takes it away; else it is a host that is only used. */
  created: boolean;
  /** It is selected no more: only the rollout that began with it goes on with it. */
  former?: boolean;
  /** A cluster's control plane is upgraded first, each node of it alone. */
  controlPlane: boolean;
  /** Revisions applied to it, oldest first: each from the moment at which its run began. */
  applied: Revision[];
  /** It answers, and what should run on it does. */
  ready: boolean;
  /** `leaving`: it gets nothing new and still has something under way. */
  service: 'in' | 'leaving' | 'out';
  /** Its share at the load balancer; absent: it is behind none. */
  weight?: number;
  /** Nothing new is put on it by whoever schedules there. */
  cordoned: boolean;
  /** Of one that is out of service: whether it was cordoned before that, where the target remembers it. */
  cordonedBefore?: boolean;
  /** Its last `update`. */
  attempt?: LiveAttempt;
  /** Its last taking out of service, where something is run for it: a drain. */
  drain?: LiveAttempt;
  /** What a node says that it runs; absent: it does not say. */
  version?: string;
  address?: string;
  /** Of what the target created: when its process died, while it is dead. */
  diedAt?: Instant;
  /** Starts in a row that did not last. */
  restarts: number;
  message?: string;
}

/** Somebody other than the manifest says how many replicas there are to be: how many, and who. */
export interface Scaled {
  replicas: number;
  /** `HorizontalPodAutoscaler tomcat` */
  by: string;
}

/** What is there. `complete: false`: something could not be seen, so nothing may be removed. */
export interface Live {
  observedAt: Instant;
  complete: boolean;
  /** Why nothing could be seen, where that is known. */
  unseen?: string;
  units: LiveUnit[];
  /** Of a workload that is scaled beside its manifest. */
  scaled?: Scaled;
  /** What the proxy really does now; absent: it routes nothing for this resource, or could not be asked (`complete: false`). */
  traffic?: TrafficPolicy;
  /** What the proxy was told and does not do yet, where that takes its time: it is not told again. */
  routing?: TrafficPolicy;
  /** Why the proxy will not do what it was told, in its own words: since when. */
  refused?: { message: string; since: Instant };
  /** Of a fleet or a cluster, in the order in which they are upgraded. */
  instances?: LiveInstance[];
  /** Of a fleet: what is held from going on by itself. */
  suspended?: ScalingProcess[];
}

/** Of those that are there, what the resource has by what is declared now. */
export const membersOf = ({ instances = [] }: Live): LiveInstance[] => instances.filter(({ former }) => !former);

export const nothingLive = (observedAt: Instant): Live => ({ observedAt, complete: true, units: [] });
