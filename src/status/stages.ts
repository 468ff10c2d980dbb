/** The stages of a rollout in a status file: the plan's own words, and beside them what is seen of each. Pure. */
import type { Live } from '../plan/live.ts';
import type { ReplicasGoal, Settled, Stage } from '../plan/plan.ts';
import { goalText } from '../plan/words.ts';
import type { Rollout } from '../rollout/state.ts';
import { active } from '../rollout/transitions.ts';
import { gateFromDocument, gateToDocument, goalFromDocument, goalToDocument } from './goals.ts';
import { doneUnits, recordsOf, seenOf, totalOf, unitsOf } from './observed.ts';
import type { StageDocument, StagePhase } from './rollout.ts';
import { fromTime, toTime } from './time.ts';

export function stageDocuments(rollout: Rollout, settled: Settled, live: Live | undefined): StageDocument[] {
  const forwards = active(rollout) && !rollout.turned;
  return rollout.plan.stages.map((stage, index) => {
    const phase = stagePhase(rollout, index);
    const time = rollout.times[index];
    const done = stageDone(rollout, stage, phase, live);
    const aim = forwards ? replicasOf(stage) : settledGoal(settled, stage);
    const seen = live !== undefined && aim !== undefined && showsUnits(rollout, index) ? unitsOf(aim, live) : undefined;
    const units = stage.goal.kind === 'units' ? recordsOf(stage.goal, rollout) : seen;
    return {
      name: stage.name,
      phase,
      goal: goalText(stage.goal),
      ...(done !== undefined && { done }),
      total: totalOf(stage.goal),
      ...(time !== undefined && { begunAt: toTime(time.begun) }),
      ...(time?.done !== undefined && { doneAt: toTime(time.done) }),
      want: goalToDocument(stage.goal),
      ...(stage.gates.length > 0 && { gates: stage.gates.map(gateToDocument) }),
      ...(units !== undefined && { units }),
    };
  });
}

export function stageFromDocument({ name, want, gates }: StageDocument): Stage {
  return { name, goal: goalFromDocument(want), gates: (gates ?? []).map(gateFromDocument) };
}

export function timesFromDocument(stages: StageDocument[]): Rollout['times'] {
  const times: Rollout['times'] = [];
  for (const { begunAt, doneAt } of stages) {
    if (begunAt === undefined) break;
    times.push({ begun: fromTime(begunAt), ...(doneAt !== undefined && { done: fromTime(doneAt) }) });
  }
  return times;
}

function stagePhase(rollout: Rollout, index: number): StagePhase {
  if (index < rollout.stage) return 'Done';
  if (index > rollout.stage || rollout.times[index] === undefined) return 'Pending';
  const walks = !rollout.turned || rollout.back === true;
  if (rollout.reachedAt !== undefined && active(rollout) && walks) return 'Waiting';
  return rollout.phase === 'Progressing' || (rollout.phase === 'RollingBack' && walks) ? 'Progressing' : 'Stopped';
}

/**
 * A stage is done when its goal was observed: that stands, whatever a later stage made of it. Of units, as many are done as
 * the record says: some may have failed in a stage that was left behind.
 */
function stageDone(rollout: Rollout, stage: Stage, phase: StagePhase, live: Live | undefined): number | undefined {
  if (stage.goal.kind === 'units') return doneUnits(stage.goal, rollout);
  if (phase === 'Done') return totalOf(stage.goal);
  if (phase === 'Pending') return 0;
  return live === undefined ? undefined : seenOf(stage.goal, live);
}

/** Units stand once: in the last stage that was begun of those that are about them. */
function showsUnits({ plan, times, stage }: Rollout, index: number): boolean {
  const version = replicasVersion(plan.stages[index]);
  if (version === undefined || (times[index] === undefined && index >= stage)) return false;
  return !plan.stages.some(
    (later, at) => at > index && replicasVersion(later) === version && (times[at] !== undefined || at < stage),
  );
}

const replicasOf = (stage: Stage | undefined): ReplicasGoal | undefined =>
  stage?.goal.kind === 'replicas' ? stage.goal : undefined;

const replicasVersion = (stage: Stage | undefined): string | undefined => replicasOf(stage)?.version;

/** What the units of a stage's version are held to once the rollout has turned or ended. */
function settledGoal(settled: Settled, stage: Stage): ReplicasGoal | undefined {
  const version = replicasVersion(stage);
  if (version === undefined) return undefined;
  const goals = settled.goals.filter((goal) => goal.kind === 'replicas');
  const none = { kind: 'replicas', version, want: {}, maxTotal: 0, minAvailable: 0, minReadySeconds: 0 } as const;
  return goals.find((goal) => goal.version === version) ?? none;
}
