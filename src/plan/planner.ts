/** One entry for all kinds: from what is declared and what is settled to the stages of a rollout. */
import type { Resource, Revision, ServiceSpec, WorkloadSpec } from '../manifest/resource.ts';
import { bounds } from './bounds.ts';
import { clusterStages, fleetStages } from './instances.ts';
import type { LiveInstance, TrafficPolicy } from './live.ts';
import { type Goal, type Plan, type ReplicasGoal, type Settled, type Stage, settledRevision } from './plan.ts';
import { finalPolicy, percentPolicy, policyStage, samePolicy, shareOf, trafficStages } from './traffic.ts';
import { runningVersions, stableFor, versionName, versionOf } from './versions.ts';

export type Direction = 'upgrade' | 'rollback';

export interface Ask {
  resource: Resource;
  settled: Settled;
  /** The id that the rollout has or will have. */
  id: number;
  generation: number;
  /** Of a fleet or a cluster: what is there at the start. */
  instances?: LiveInstance[];
}

/**
 * A rollout to a revision that was applied before, or away from a canary back to what is settled, is a rollback; all else
 * is an upgrade. `towards` is what an active rollout was going to. A rollback pops what it goes back over, so a revert of
 * a revert is an upgrade again:
 *
 *   applied A, B; declared A → rollback, applied A; declared B → upgrade, applied A, B
 */
export function direction(settled: Settled, revision: Revision, towards?: Revision): Direction {
  const applied = settled.lineage.map((entry) => entry.revision);
  if (!applied.includes(revision)) return 'upgrade';
  if (revision !== applied.at(-1)) return 'rollback';
  const away = towards ?? settled.partial;
  return away !== undefined && away !== revision ? 'rollback' : 'upgrade';
}

/** The plan of a rollout of what is declared. The same inputs give the same plan. */
export function planRollout(ask: Ask, going: Direction): Plan {
  const { spec, revision } = ask.resource;
  const from = settledRevision(ask.settled);
  const base = { generation: ask.generation, ...(from === undefined ? {} : { from }), to: revision };
  if (spec.kind === 'Workload') {
    return { ...base, version: '', stages: [{ name: 'roll', goal: workloadGoal(spec, revision), gates: [] }] };
  }
  if (spec.kind === 'Fleet') return { ...base, version: '', stages: fleetStages(spec, revision, ask.instances ?? []) };
  if (spec.kind === 'Cluster')
    return { ...base, version: '', stages: clusterStages(spec, revision, ask.instances ?? []) };
  const version = versionName(spec, ask.settled, revision, ask.id).name;
  return { ...base, version, stages: serviceStages(spec, revision, version, ask.settled, going) };
}

/** All new, none old, under two bounds. */
export function workloadGoal(spec: WorkloadSpec, revision: Revision): ReplicasGoal {
  return {
    kind: 'replicas',
    version: '',
    want: { [revision]: spec.replicas },
    ...bounds(spec.replicas, spec.strategy),
    minReadySeconds: spec.minReadySeconds,
  };
}

/** A version has nothing beside it to lean on: one more while it changes, none less. */
export function versionGoal(spec: ServiceSpec, version: string, revision: Revision): ReplicasGoal {
  const limits = bounds(spec.replicas, { maxSurge: 1, maxUnavailable: 0 });
  return { kind: 'replicas', version, want: { [revision]: spec.replicas }, ...limits, minReadySeconds: 0 };
}

function serviceStages(
  spec: ServiceSpec,
  revision: Revision,
  version: string,
  settled: Settled,
  going: Direction,
): Stage[] {
  const goal = versionGoal(spec, version, revision);
  const before = settledTraffic(settled);
  const roles = { latest: version, stable: stableFor(settled, version) };
  const stages: Stage[] = [];
  const updatesInPlace =
    before !== undefined && settled.versions[version]?.revision !== revision && runs(settled, version);
  if (updatesInPlace) return [{ name: `update ${version}`, goal, gates: [] }];
  if (!runs(settled, version)) stages.push({ name: `deploy ${version}`, goal, gates: [] });
  if (before === undefined) return [...stages, policyStage(percentPolicy(100, roles), roles)];
  if (going === 'upgrade') {
    const stays = samePolicy(finalPolicy(spec.traffic, roles), before);
    return stays ? stages : [...stages, ...trafficStages(spec.traffic, roles, shareOf(before, version))];
  }
  const back = finalPolicy(spec.traffic, roles);
  return back === undefined ? stages : [...stages, policyStage(back, roles)];
}

const runs = (settled: Settled, version: string) => runningVersions(settled).includes(version);

export function settledTraffic(settled: Settled): TrafficPolicy | undefined {
  return settled.goals.find((goal): goal is Goal & { kind: 'traffic' } => goal.kind === 'traffic')?.policy;
}

/**
 * A how-only commit to a service at rest is a rollout when it adds steps that are still ahead of the traffic;
 * any other acts at once.
 */
export function stepsAhead(spec: ServiceSpec, revision: Revision, settled: Settled): boolean {
  const version = versionOf(settled, revision);
  if (version === undefined || !('steps' in spec.traffic)) return false;
  const roles = { latest: version, stable: stableFor(settled, version) };
  return !samePolicy(finalPolicy(spec.traffic, roles), settledTraffic(settled));
}
