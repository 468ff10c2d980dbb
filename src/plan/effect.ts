/** Which goals hold at a point of a rollout. */
import type { Kind } from '../manifest/resource.ts';
import { type Goal, type Settled, type Stage, wantsAny } from './plan.ts';

/**
 * The settled goals with those of the stages up to and including `upTo` laid over them: a stage's replicas replace
 * those of the same version, its traffic replaces the traffic. What is in no goal is wanted 0 times.
 * A workload that has replicas serves all that are ready, always.
 */
export function goalsInEffect(kind: Kind, settled: Settled, stages: Stage[], upTo: number): Goal[] {
  const byPlace = new Map<string, Goal>();
  const lay = (goal: Goal) => byPlace.set(goal.kind === 'replicas' ? `replicas ${goal.version}` : goal.kind, goal);
  for (const goal of settled.goals) lay(goal);
  for (const stage of stages.slice(0, upTo + 1)) lay(stage.goal);
  const goals = [...byPlace.values()];
  const serves = kind === 'Workload' && goals.some((goal) => goal.kind === 'replicas' && wantsAny(goal));
  return serves ? [...goals, { kind: 'traffic', policy: { kind: 'percent', weights: { '': 100 } } }] : goals;
}
