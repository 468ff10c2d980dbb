/** What STATUS.md and commit messages need of a status: small enough to keep for every resource. Pure. */
import type { Oid, Revision } from '../manifest/resource.ts';
import { trafficText } from '../plan/words.ts';
import type { Cause, Health, PauseReason, Phase } from '../rollout/state.ts';
import type { StatusDocument } from './document.ts';
import { policyFromDocument } from './goals.ts';
import { runsText } from './instances.ts';
import type { StagePhase } from './rollout.ts';

export interface RolloutSummary {
  id: number;
  cause: Cause;
  commit: Oid;
  to: Revision;
  phase: Phase;
  reason?: PauseReason;
  generation: number;
  /** Of the stage under way, from 0; `stages` when all are done. */
  stage: number;
  stages: number;
  stageName: string;
  stagePhase: StagePhase;
  /** Of the stage under way; absent: not observed, or all are done. */
  done?: number;
  total: number;
}

export interface Summary {
  commit: Oid;
  health: Health;
  message: string;
  revision?: Revision;
  /** Versions that run, by name. */
  versions: string[];
  /** Which instances run what, and which version is wanted; absent: it has none, or they were not observed. */
  runs?: string;
  traffic: string;
  rollout?: RolloutSummary;
  repairs: number;
  /** `name outcome` of each operation. */
  operations: string[];
  deletion: boolean;
}

/** Versions and operations named beyond these bounds change no message. */
const KEPT = 20;

export function summaryOf(document: StatusDocument): Summary {
  const { commit, health, message, revision, versions, traffic, instances } = document;
  const { rollout, repairs, operations, deletion } = document;
  return {
    commit,
    health,
    message,
    ...(revision !== undefined && { revision }),
    versions: (versions ?? [])
      .filter(({ total }) => (total ?? 0) > 0)
      .map(({ name }) => name)
      .slice(-KEPT),
    ...(instances !== undefined && { runs: instancesSummary(instances) }),
    traffic: traffic === undefined ? '' : trafficText(policyFromDocument(traffic)),
    ...(rollout !== undefined && { rollout: rolloutSummary(rollout) }),
    repairs: repairs.count,
    operations: operations.map(({ name, outcome }) => `${name} ${outcome}`).slice(-KEPT),
    deletion: deletion !== undefined,
  };
}

/** `1.36.3 on cp-1..3; 1.35.2 on node-1..40; wanted 1.36.3`. */
function instancesSummary(instances: NonNullable<StatusDocument['instances']>): string {
  const { wanted } = instances;
  return [runsText(instances, 3), ...(wanted === undefined ? [] : [`wanted ${wanted}`])].join('; ');
}

function rolloutSummary(rollout: NonNullable<StatusDocument['rollout']>): RolloutSummary {
  const { id, cause, commit, to, phase, reason, generation, stages } = rollout;
  const firstLeft = stages.findIndex((stage) => stage.phase !== 'Done');
  const stage = firstLeft === -1 ? stages.length : firstLeft;
  const current = stages[stage];
  return {
    id,
    cause,
    commit,
    to,
    phase,
    ...(reason !== undefined && { reason }),
    generation,
    stage,
    stages: stages.length,
    stageName: current?.name ?? '',
    stagePhase: current?.phase ?? 'Done',
    ...(current?.done !== undefined && { done: current.done }),
    total: current?.total ?? 0,
  };
}
