/** One rollout in a status file: all that is remembered of it, and beside its stages what is seen of them. Pure. */
import type { Oid, Revision } from '../manifest/resource.ts';
import type { Live } from '../plan/live.ts';
import type { Plan, Settled } from '../plan/plan.ts';
import type { Cause, PauseReason, Phase, PrecheckResult, Rollout } from '../rollout/state.ts';
import type { GateDocument, GoalDocument } from './goals.ts';
import type { UnitDocument } from './observed.ts';
import { stageDocuments, stageFromDocument, timesFromDocument } from './stages.ts';
import { fromTime, type Time, toTime } from './time.ts';
import { type UnitsDocument, unitsFromDocument, unitsToDocument } from './units.ts';

/** `Waiting`: the goal is observed, its gates are not open yet. `Stopped`: the rollout paused, turned or ended in it. */
export type StagePhase = 'Pending' | 'Progressing' | 'Waiting' | 'Stopped' | 'Done';

export interface StageDocument {
  name: string;
  phase: StagePhase;
  /** `want` in words. */
  goal: string;
  /** Absent: not observed. */
  done?: number;
  total: number;
  begunAt?: Time;
  doneAt?: Time;
  want: GoalDocument;
  gates?: GateDocument[];
  /** Absent: not observed, not begun, or shown by a later stage. */
  units?: UnitDocument[];
}

export interface RolloutDocument {
  id: number;
  cause: Cause;
  commit: Oid;
  from?: Revision;
  to: Revision;
  /** Absent for a workload. */
  version?: string;
  phase: Phase;
  reason?: PauseReason;
  message: string;
  startedAt: Time;
  finishedAt?: Time;
  prechecks: PrecheckResult[];
  generation: number;
  /** The stage under way is the first that is not `Done`. */
  stages: StageDocument[];
  /** When the goal of the stage under way was reached. */
  reachedAt?: Time;
  /** Of the stage under way; absent: none asked yet. */
  checks?: { passedAt?: Time; askedAt?: Time; failures: number; message?: string };
  continued?: true;
  held?: true;
  turned?: true;
  retriedAt?: Time;
  /** Of a fleet or a cluster; absent: not begun. */
  units?: UnitsDocument;
  back?: true;
  tampered?: true;
  closing?: NonNullable<Rollout['closing']>;
  successor?: NonNullable<Rollout['successor']>;
  pausedAt?: Time;
  progress: { mark: string; at: Time };
}

/** Stops compiling when a field was added that the conversion does not know. */
const nothingElse = (_rest: Record<string, never>): void => {};

export function rolloutToDocument(rollout: Rollout, settled: Settled, live: Live | undefined): RolloutDocument {
  const { id, cause, commit, phase, reason, message, startedAt, finishedAt, prechecks, plan, ...more } = rollout;
  const { stage: _, times: __, reachedAt, checks, progress, continued, held, turned, retriedAt, ...others } = more;
  const { units, back, tampered, closing, successor, pausedAt, ...rest } = others;
  nothingElse(rest);
  const { generation, from, to, version, stages: ___, ...planRest } = plan;
  nothingElse(planRest);
  const asked = checks.failures > 0 || Object.keys(checks).length > 1;
  return {
    id,
    cause,
    commit,
    ...(from !== undefined && { from }),
    to,
    ...(version !== '' && { version }),
    phase,
    ...(reason !== undefined && { reason }),
    message,
    startedAt: toTime(startedAt),
    ...(finishedAt !== undefined && { finishedAt: toTime(finishedAt) }),
    prechecks,
    generation,
    stages: stageDocuments(rollout, settled, live),
    ...(reachedAt !== undefined && { reachedAt: toTime(reachedAt) }),
    ...(asked && { checks: checksToDocument(checks) }),
    ...(continued && { continued }),
    ...(held && { held }),
    ...(turned && { turned }),
    ...(retriedAt !== undefined && { retriedAt: toTime(retriedAt) }),
    ...(units !== undefined && { units: unitsToDocument(units) }),
    ...(back && { back }),
    ...(tampered && { tampered }),
    ...(closing !== undefined && { closing }),
    ...(successor !== undefined && { successor }),
    ...(pausedAt !== undefined && { pausedAt: toTime(pausedAt) }),
    progress: { mark: progress.mark, at: toTime(progress.at) },
  };
}

export function rolloutFromDocument(document: RolloutDocument): Rollout {
  const { id, cause, commit, from, to, version, phase, reason, message, prechecks, generation, stages } = document;
  const { startedAt, finishedAt, reachedAt, checks, continued, held, turned, retriedAt, progress } = document;
  const { units, back, tampered, closing, successor, pausedAt } = document;
  const plan: Plan = {
    generation,
    ...(from !== undefined && { from }),
    to,
    version: version ?? '',
    stages: stages.map(stageFromDocument),
  };
  const firstLeft = stages.findIndex((stage) => stage.phase !== 'Done');
  return {
    id,
    cause,
    commit,
    phase,
    ...(reason !== undefined && { reason }),
    message,
    startedAt: fromTime(startedAt),
    ...(finishedAt !== undefined && { finishedAt: fromTime(finishedAt) }),
    prechecks,
    plan,
    stage: firstLeft === -1 ? stages.length : firstLeft,
    times: timesFromDocument(stages),
    ...(reachedAt !== undefined && { reachedAt: fromTime(reachedAt) }),
    checks: checks === undefined ? { failures: 0 } : checksFromDocument(checks),
    progress: { mark: progress.mark, at: fromTime(progress.at) },
    continued: continued ?? false,
    held: held ?? false,
    turned: turned ?? false,
    ...(retriedAt !== undefined && { retriedAt: fromTime(retriedAt) }),
    ...(units !== undefined && { units: unitsFromDocument(units) }),
    ...(back && { back }),
    ...(tampered && { tampered }),
    ...(closing !== undefined && { closing }),
    ...(successor !== undefined && { successor }),
    ...(pausedAt !== undefined && { pausedAt: fromTime(pausedAt) }),
  };
}

function checksToDocument({ passedAt, askedAt, ...rest }: Rollout['checks']): NonNullable<RolloutDocument['checks']> {
  return {
    ...(passedAt !== undefined && { passedAt: toTime(passedAt) }),
    ...(askedAt !== undefined && { askedAt: toTime(askedAt) }),
    ...rest,
  };
}

function checksFromDocument({ passedAt, askedAt, ...rest }: NonNullable<RolloutDocument['checks']>): Rollout['checks'] {
  return {
    ...(passedAt !== undefined && { passedAt: fromTime(passedAt) }),
    ...(askedAt !== undefined && { askedAt: fromTime(askedAt) }),
    ...rest,
  };
}
