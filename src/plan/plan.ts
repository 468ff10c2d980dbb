import type { Check, Oid, Revision } from '../manifest/resource.ts';
import type { TrafficPolicy } from './live.ts';

/** So many replicas of each revision of one version, within bounds that hold on the way there. `''` is a workload's one version. */
export interface ReplicasGoal {
  kind: 'replicas';
  version: string;
  /** A revision that is not named is wanted 0 times. */
  want: Record<Revision, number>;
  maxTotal: number;
  minAvailable: number;
  minReadySeconds: number;
}
export interface TrafficGoal {
  kind: 'traffic';
  policy: TrafficPolicy;
}
/** What brings one unit to `to`: the scripts of the revisions in `undo` taken back, the first of them first; or, with none, `to`'s own run. */
export interface UnitChange {
  to: Revision;
  undo: Revision[];
}
/** Each of these units updated and back in service, at most so many of them under way. */
export interface UnitsGoal {
  kind: 'units';
  want: Record<string, UnitChange>;
  maxInFlight: number;
}
/** The instances that there are; with a size, the target creates what is missing, with this revision on it. */
export interface MembersGoal {
  kind: 'members';
  size?: number;
  /** Of a cluster: so many of them are its control plane. */
  controlPlane?: number;
  revision: Revision;
}
/** A predicate on what is live. */
export type Goal = ReplicasGoal | TrafficGoal | UnitsGoal | MembersGoal;

export const wantsAny = (goal: ReplicasGoal): boolean => Object.values(goal.want).some((n) => n > 0);

/** What must hold before the next stage. Windows and `paused` are asked before every stage and are not listed. */
export type Gate =
  | { kind: 'pause' }
  | { kind: 'soak'; seconds: number }
  | { kind: 'check'; check: Check; version: string };

export interface Stage {
  name: string;
  goal: Goal;
  gates: Gate[];
}

export interface Plan {
  /** 1, and one more each time that a how-only commit replaces the stages left. */
  generation: number;
  from?: Revision;
  to: Revision;
  /** The version that this rollout deploys or shifts traffic to; `''` for a workload. */
  version: string;
  stages: Stage[];
}

/** A version of a service, by name in `Settled.versions`. */
export interface Version {
  revision: Revision;
  /** The config commit that its specs, ConfigMaps and images are read from. */
  commit: Oid;
  /** The rollout that first deployed it. */
  rollout: number;
  /** What `stable` meant when it was first deployed. */
  stable: string;
}

/** What is known of a resource before a rollout: the planner's whole memory. */
export interface Settled {
  /** What the last rollout left as right; repairs hold live to it. Empty: nothing yet. */
  goals: Goal[];
  /** Applied revisions, oldest first; the last one is what runs. A rollback pops. */
  lineage: { revision: Revision; commit: Oid }[];
  /** Every version whose name is taken. */
  versions: Record<string, Version>;
  /** The version that was most recently at 100 %. */
  full?: string;
  /** A canceled rollout left some units of this revision beside the others. */
  partial?: Revision;
  /** Live was seen to hold the goals since they were set: from then on a difference is a repair. */
  observed: boolean;
}

export const nothingSettled: Settled = { goals: [], lineage: [], versions: {}, observed: false };

/** The revision that was last rolled out whole. */
export const settledRevision = (settled: Settled): Revision | undefined => settled.lineage.at(-1)?.revision;
