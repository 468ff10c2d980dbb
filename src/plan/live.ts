import type { Revision } from '../manifest/resource.ts';

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
  attempt: string;
  /** Starts in a row that did not last: 0 for a unit that has been fine. */
  restarts: number;
  /** When it died; set with phase `dead`. */
  diedAt?: Instant;
  /** What a person should know: `exited with code 1: cannot find module …`. */
  message?: string;
  /** `127.0.0.1:41233`, where it has one. */
  address?: string;
}

/** What is there. `complete: false`: something could not be seen, so nothing may be removed. */
export interface Live {
  observedAt: Instant;
  complete: boolean;
  units: LiveUnit[];
  /** What the proxy really does now; absent: it routes nothing for this resource, or could not be asked (`complete: false`). */
  traffic?: TrafficPolicy;
}

export const nothingLive = (observedAt: Instant): Live => ({ observedAt, complete: true, units: [] });
