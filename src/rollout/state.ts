import type { Oid, Revision } from '../manifest/resource.ts';
import type { Instant, Scaled } from '../plan/live.ts';
import type { Plan, Settled } from '../plan/plan.ts';

export type Phase =
  | 'Pending'
  | 'Checking'
  | 'Progressing'
  | 'Paused'
  | 'RollingBack'
  | 'Succeeded'
  | 'RolledBack'
  | 'Canceled'
  | 'Failed'
  | 'Superseded'
  | 'Expired';
export type PauseReason = 'Batch' | 'Step' | 'Failure' | 'Operator' | 'Window' | 'Unknown';
/** `Skipped` counts as success, `Canceled` as failure. `Unknown`: it was begun and nothing tells how it ended. */
export type UnitState =
  | 'Pending'
  | 'TakingOut'
  | 'Updating'
  | 'Verifying'
  | 'PuttingBack'
  | 'Succeeded'
  | 'Failed'
  | 'Skipped'
  | 'Canceled'
  | 'Unknown';

/** One unit on its way through a rollout. */
export interface UnitRecord {
  state: UnitState;
  /** Since when it is in this state. */
  since: Instant;
  /** What a person should know of it; empty: nothing. */
  message: string;
  /** Which try this is, from 1: part of the attempt's id, so that a retry is another attempt and a restart is not. */
  tries: number;
  /** What it had before it was touched, and gets back. */
  before: { inService: boolean; weight?: number; cordoned: boolean };
  /** What it becomes once it is back in service; absent: `Succeeded`. */
  as?: 'Skipped' | 'Canceled' | 'Failed';
  /** Verifying: so many checks failed in a row; asked last; passed. */
  checks: { failures: number; askedAt?: Instant; passed: boolean };
}

/** In the order of the plan; `ids` is the same list as long as the rollout lasts. */
export interface Units {
  readonly ids: readonly string[];
  readonly records: readonly UnitRecord[];
}

export type Cause = 'upgrade' | 'rollback';
export type Health = 'Healthy' | 'Progressing' | 'Paused' | 'Degraded' | 'Invalid';

export interface PrecheckResult {
  name: string;
  result: 'pass' | 'warn' | 'fail';
  message: string;
  /** What to do about it; empty where there is nothing to do. */
  remedy: string;
}

export interface Rollout {
  id: number;
  cause: Cause;
  /** The config commit that asked for it. */
  commit: Oid;
  phase: Phase;
  /** Only with `Paused`. */
  reason?: PauseReason;
  /** What a person should know now: why it waits, what failed. */
  message: string;
  startedAt: Instant;
  finishedAt?: Instant;
  prechecks: PrecheckResult[];
  plan: Plan;
  /** Index of the stage under way; `plan.stages.length` when all are done. */
  stage: number;
  /** When each stage was begun and when its gates opened, by index: the source of predicted durations. */
  times: { begun: Instant; done?: Instant }[];
  /** When the goal of the stage under way was last first observed; absent: not reached. Soak counts from here. */
  reachedAt?: Instant;
  /** The result of the stage's checks so far. */
  checks: { passedAt?: Instant; askedAt?: Instant; failures: number; message?: string };
  /** The progress clock: what was last seen done, and when. It stops while paused. */
  progress: { mark: string; at: Instant };
  /** Somebody said `continue` for this stage's pause. */
  continued: boolean;
  /** An operation paused it; only an operation lets it go on. */
  held: boolean;
  /** It has turned: what was updated goes back to the settled goals. */
  turned: boolean;
  /** Units that died before this are started again without a delay. */
  retriedAt?: Instant;
  /** Of fleets and clusters: the units of the plan, frozen at the start. */
  units?: Units;
  /** The stages are those of the way back. */
  back?: boolean;
  /** Paused because the status branch holds a tip that the operator did not write. */
  tampered?: boolean;
  /** It ends so once the units under way have finished and all that was taken out is back. */
  closing?: { phase: 'Canceled' | 'Superseded' | 'Expired' | 'Failed'; message: string };
  /** Another revision was declared meanwhile; it takes over if its prechecks hold. */
  successor?: { revision: Revision; prechecks: PrecheckResult[] };
  /** Since when it is paused; absent: it is not. */
  pausedAt?: Instant;
}

export interface OperationOutcome {
  digest: string;
  outcome: 'applied' | 'refused';
  message: string;
  at: Instant;
}

export interface HistoryEntry {
  id: number;
  cause: Cause;
  commit: Oid;
  revision: Revision;
  phase: Phase;
  startedAt: Instant;
  finishedAt: Instant;
  /** Seconds that each stage took, by its name. */
  stages: { name: string; seconds: number }[];
  message: string;
}

/** All that is remembered of one resource; what the status file holds. */
export interface State {
  /** The newest config commit that changed this resource's inputs. */
  commit: Oid;
  /** The digest of the declaration that was last acted on. */
  digest: string;
  settled: Settled;
  /** The active rollout, or the last one. */
  rollout?: Rollout;
  operations: Record<string, OperationOutcome>;
  /** Who else says how many replicas there are to be, as it was seen last. */
  scaled?: Scaled;
  repairs: { count: number; last?: Instant };
  history: HistoryEntry[];
  /** The declared revision that the last rollout tried in vain: not tried again until a retry, or until something else was declared. */
  attempted?: Revision;
  /** The manifest is gone: since which commit, and whether removal may start. */
  deletion?: { commit: Oid; confirmed: boolean };
}
