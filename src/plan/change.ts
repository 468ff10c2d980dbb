/** What a commit would do to one resource: the planner's answer before anything runs. */
import type { Oid, Resource, ResourceId, Revision } from '../manifest/resource.ts';
import type { LiveInstance } from './live.ts';
import { outdatedNotes, rolloutNotes } from './notes.ts';
import type { Gate, Goal, Plan } from './plan.ts';
import { nothingSettled, type Settled, settledRevision } from './plan.ts';
import { direction, planRollout, stepsAhead } from './planner.ts';
import { resettle, settle } from './settle.ts';
import { gateText, goalText } from './words.ts';

/** `adjust`: a how-only commit that acts at once, without a rollout. */
export type ChangeKind = 'create' | 'upgrade' | 'rollback' | 'adjust' | 'delete';

export interface PlannedStage {
  name: string;
  goal: string;
  /** Bounds that hold on the way to the goal; only of replicas. */
  bounds?: { maxTotal: number; minAvailable: number };
  gates: string[];
  /** From this resource's own history; absent: it has none of this stage. */
  predictedSeconds?: number;
}

export interface Change {
  resource: ResourceId;
  change: ChangeKind;
  /** The id that the rollout will have, where the status is known. */
  rollout?: number;
  from?: Revision;
  to?: Revision;
  version?: string;
  /** Of a cluster: what its nodes run before and after. */
  versions?: { from?: string; to: string };
  stages: PlannedStage[];
  predictedSeconds?: number;
  /** What else a person should know: held by a window, an earlier version that is stopped … */
  notes: string[];
}

/** What is known of a resource before the change. `nextId` absent: nothing is known of its rollouts. */
export interface Known {
  settled: Settled;
  /** What was declared, and tried in vain: it is not tried again by itself. */
  attempted?: Revision;
  history: { stages: { name: string; seconds: number }[] }[];
  nextId?: number;
  /** Of a fleet or a cluster: what the plan is made over. */
  instances?: LiveInstance[];
  /** What of `instances` nobody has seen. */
  assumed?: string;
}

/** Without a status, what `--from` declares is taken as settled. */
export function assumeSettled(before: Resource | undefined, commit: Oid): Settled {
  if (before === undefined) return nothingSettled;
  const plan = planRollout({ resource: before, settled: nothingSettled, id: 1, generation: 1 }, 'upgrade');
  return settle(nothingSettled, before, plan, commit, 1);
}

/** Undefined: nothing happens. */
export function changeOf(before: Resource | undefined, after: Resource | undefined, known: Known): Change | undefined {
  if (after === undefined) return before === undefined ? undefined : deletion(before, known);
  const { settled } = known;
  const current = settledRevision(settled);
  const isSettled = current === after.revision && settled.partial === undefined;
  if (isSettled || known.attempted === after.revision) return adjustment(before, after, known);
  const towards = before?.revision;
  const cause = direction(settled, after.revision, towards);
  return rollout(current === undefined ? 'create' : cause, before, after, known, cause);
}

function rollout(
  change: ChangeKind,
  before: Resource | undefined,
  after: Resource,
  known: Known,
  cause: 'upgrade' | 'rollback',
): Change {
  const { settled, nextId: id = 1, instances } = known;
  const asked = { resource: after, settled, id, generation: 1, ...(instances !== undefined && { instances }) };
  const plan = planRollout(asked, cause);
  const stages = plan.stages.map((stage) => plannedStage(stage.name, stage.goal, stage.gates, known));
  const total = stages.reduce<number | undefined>(
    (sum, stage) =>
      sum === undefined || stage.predictedSeconds === undefined ? undefined : sum + stage.predictedSeconds,
    0,
  );
  return {
    resource: after.id,
    change,
    ...(known.nextId !== undefined && { rollout: known.nextId }),
    ...fromTo(plan),
    ...(plan.version !== '' && { version: plan.version }),
    ...versionsOf(before, after),
    stages,
    ...(total !== undefined && stages.length > 0 && { predictedSeconds: total }),
    notes: [...rolloutNotes(before, after, plan, cause, instances), ...assumedNotes(known)],
  };
}

const fromTo = ({ from, to }: Plan) => ({ ...(from !== undefined && { from }), to });

function versionsOf(before: Resource | undefined, { spec }: Resource): Pick<Change, 'versions'> {
  if (spec.kind !== 'Cluster') return {};
  const from = before?.spec.kind === 'Cluster' ? before.spec.version : undefined;
  return { versions: { ...(from !== undefined && { from }), to: spec.version } };
}

const assumedNotes = ({ assumed }: Known): string[] => (assumed === undefined ? [] : [assumed]);

/** Only how it runs changes: a rollout where steps were added, else at once. */
function adjustment(before: Resource | undefined, after: Resource, known: Known): Change | undefined {
  const { spec, revision } = after;
  if (spec.kind === 'Service' && stepsAhead(spec, revision, known.settled))
    return rollout('upgrade', before, after, known, 'upgrade');
  const goals = differing(known.settled.goals, resettle(known.settled, after).goals);
  if (goals.length === 0 && before?.digest === after.digest) return undefined;
  if (goals.length === 0 && before === undefined) return undefined;
  return {
    resource: after.id,
    change: 'adjust',
    from: revision,
    to: revision,
    stages: goals.map((goal) => plannedStage('at once', goal, [], known)),
    notes: [
      'how it runs changes, not what runs: no rollout, no tag',
      ...(known.attempted === revision ? [`${revision} was tried in vain, and is not tried again before a retry`] : []),
      ...outdatedNotes(revision, known.instances),
    ],
  };
}

function differing(before: Goal[], after: Goal[]): Goal[] {
  const known = new Set(before.map((goal) => JSON.stringify(goal)));
  return after.filter((goal) => !known.has(JSON.stringify(goal)));
}

function deletion(before: Resource, known: Known): Change {
  const current = settledRevision(known.settled);
  return {
    resource: before.id,
    change: 'delete',
    ...(current !== undefined && { from: current }),
    stages: goingAway(before),
    notes: [],
  };
}

/** What was created goes; hosts are there with or without Sluice. */
function goingAway({ spec }: Resource): PlannedStage[] {
  const remove = { name: 'remove', goal: 'none', gates: [] };
  if (spec.kind === 'Workload' || spec.kind === 'Service') {
    return [{ name: 'traffic away', goal: 'none', gates: [] }, remove];
  }
  const created = spec.kind === 'Fleet' ? 'size' in spec.members : spec.create !== undefined;
  return created ? [remove] : [{ name: 'let go', goal: 'hosts stay as they are, in service', gates: [] }];
}

function plannedStage(name: string, goal: Goal, gates: Gate[], known: Known): PlannedStage {
  const taken = median(known.history.flatMap((entry) => entry.stages.filter((stage) => alike(stage.name, name))));
  const seconds = taken === undefined ? undefined : Math.max(taken, longestSoak(gates));
  return {
    name,
    goal: goalText(goal),
    ...(goal.kind === 'replicas' && { bounds: { maxTotal: goal.maxTotal, minAvailable: goal.minAvailable } }),
    gates: gates.map(gateText),
    ...(seconds !== undefined && { predictedSeconds: seconds }),
  };
}

/** A soak that is declared now is waited for, however short the stage was before. */
const longestSoak = (gates: Gate[]): number =>
  Math.max(0, ...gates.map((gate) => (gate.kind === 'soak' ? gate.seconds : 0)));

/** `deploy v7` took as long as `deploy v8` will. */
const alike = (a: string, b: string): boolean => a === b || (a.startsWith('deploy ') && b.startsWith('deploy '));

function median(stages: { seconds: number }[]): number | undefined {
  const sorted = stages.map((stage) => stage.seconds).sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}
