/** What a rollout leaves as right: the goals that repairs hold live to from then on. */
import { isReplicasSpec } from '../manifest/kinds.ts';
import type { Oid, ReplicasSpec, Resource, Revision, ServiceSpec, Spec } from '../manifest/resource.ts';
import { clusterMembers } from './instances.ts';
import type { TrafficPolicy } from './live.ts';
import { type Goal, type Plan, type ReplicasGoal, type Settled, settledRevision, type Version } from './plan.ts';
import { settledTraffic, versionGoal, workloadGoal } from './planner.ts';
import { finalPolicy } from './traffic.ts';
import { runningVersions, stableFor, trafficNames, versionOf } from './versions.ts';

/** After a rollout that succeeded. */
export function settle(settled: Settled, resource: Resource, plan: Plan, commit: Oid, id: number): Settled {
  const { spec } = resource;
  const lineage = applied(settled.lineage, plan.to, commit, spec.revisionHistoryLimit);
  const after: Settled = { goals: [], lineage, versions: { ...settled.versions }, observed: false };
  if (spec.kind !== 'Service') return { ...after, goals: restGoals(spec, plan.to) };
  const named = nameVersion(settled, plan, commit, id);
  const policy = lastPolicy(plan) ?? settledTraffic(settled);
  return serve(spec, { ...after, ...fullAfter(settled, policy), versions: named }, settled, policy, plan.version);
}

/** What a kind without versions is held to once a revision runs. */
function restGoals(spec: Exclude<Spec, ServiceSpec>, revision: Revision): Goal[] {
  if (spec.kind === 'Workload') return [workloadGoal(spec, revision)];
  if (spec.kind === 'Cluster') return [clusterMembers(spec, revision)];
  const size = 'size' in spec.members ? { size: spec.members.size } : {};
  return [{ kind: 'members', ...size, revision }];
}

/** The new version's name is taken from the start of its rollout, also if that fails. */
export function nameVersion(settled: Settled, plan: Plan, commit: Oid, id: number): Record<string, Version> {
  if (plan.version === '') return settled.versions;
  const known = settled.versions[plan.version];
  const entry: Version = known
    ? { ...known, revision: plan.to, commit: known.revision === plan.to ? known.commit : commit }
    : { revision: plan.to, commit, rollout: id, stable: stableFor(settled, plan.version) };
  return { ...settled.versions, [plan.version]: entry };
}

/** After a how-only commit at rest: replicas and, for a service, traffic and kept versions; what runs stays. */
export function resettle(settled: Settled, resource: Resource): Settled {
  const { spec } = resource;
  if (spec.kind !== 'Service' || resource.revision !== settledRevision(settled)) return rescale(settled, resource);
  const latest = versionOf(settled, resource.revision);
  if (latest === undefined) return settled;
  const policy = finalPolicy(spec.traffic, { latest, stable: stableFor(settled, latest) });
  return rescale(settled, resource, policy);
}

/**
 * The settled revision and versions, or what a cancel left of several, with the declared numbers; traffic stays, unless `policy` says
 * where it goes.
 */
export function rescale(settled: Settled, resource: Resource, policy = settledTraffic(settled)): Settled {
  const { spec } = resource;
  const revision = settledRevision(settled);
  if (revision === undefined) return settled;
  if (isReplicasSpec(spec) && settled.partial !== undefined) return rescaleMixed(settled, spec, revision);
  if (spec.kind !== 'Service') return { ...settled, goals: restGoals(spec, revision), observed: false };
  const latest = versionOf(settled, revision);
  if (latest === undefined) return settled;
  return serve(spec, { ...settled, ...fullAfter(settled, policy), observed: false }, settled, policy, latest);
}

/** After a cancel: what is there, as it is. `counts` are the units of each version and revision that were left. */
export function settleAsIs(
  settled: Settled,
  resource: Resource,
  plan: Plan,
  counts: Map<string, Record<Revision, number>>,
  policy: TrafficPolicy | undefined,
): Settled {
  const { spec } = resource;
  const goalOf = (version: string): Goal[] =>
    spec.kind === 'Service' ? [versionGoal(spec, version, plan.to)] : restGoals(spec, plan.to);
  const goals: Goal[] = [...counts].flatMap(([version, want]) =>
    goalOf(version).map((goal) => (goal.kind === 'replicas' ? { ...goal, want } : goal)),
  );
  if (spec.kind === 'Service' && policy !== undefined) goals.push({ kind: 'traffic', policy });
  return { ...settled, goals, partial: plan.to, observed: false };
}

/** The goals that a cancel left, with the declared numbers. */
function rescaleMixed(settled: Settled, spec: ReplicasSpec, revision: Revision): Settled {
  const goals = settled.goals.map((goal): Goal => {
    if (goal.kind !== 'replicas') return goal;
    const fresh = spec.kind === 'Service' ? versionGoal(spec, goal.version, revision) : workloadGoal(spec, revision);
    return { ...fresh, want: mixed(goal.want, settled, revision, spec.replicas) };
  });
  return { ...settled, goals, observed: false };
}

/**
 * What was done stays, and none of it is added: the revision that ran before makes up the rest.
 *
 *   3 of A, 2 of B: 7 → 5 of A, 2 of B;   4 → 2 of A, 2 of B;   1 → 0 of A, 1 of B
 */
function mixed(want: ReplicasGoal['want'], { partial }: Settled, revision: Revision, replicas: number) {
  const earlier = Object.keys(want).filter((one) => one !== partial);
  const before = earlier.includes(revision) ? revision : earlier.at(-1);
  let left = replicas;
  const counts = Object.entries(want).map(([one, count]): [Revision, number] => {
    if (one === before) return [one, 0];
    const stays = Math.min(count, left);
    left -= stays;
    return [one, stays];
  });
  return { ...Object.fromEntries(counts), ...(before !== undefined && { [before]: left }) };
}

/**
 * Versions that stay: those that traffic names, the latest, and `keepVersions` others, the most recently deployed first.
 * What a canceled rollout left is none to go back to, and may never have been ready.
 */
function serve(
  spec: ServiceSpec,
  after: Settled,
  before: Settled,
  policy: TrafficPolicy | undefined,
  latest: string,
): Settled {
  const needed = new Set([...trafficNames(policy), latest]);
  const others = runningVersions(before)
    .filter((name) => !needed.has(name) && !leftByCancel(before, name))
    .sort((a, b) => (after.versions[b]?.rollout ?? 0) - (after.versions[a]?.rollout ?? 0))
    .slice(0, spec.keepVersions);
  const goals: Goal[] = [];
  for (const name of [...needed, ...others].sort()) {
    const version = after.versions[name];
    if (version) goals.push(versionGoal(spec, name, version.revision));
  }
  if (policy !== undefined) goals.push({ kind: 'traffic', policy });
  return { ...after, goals, versions: remembered(after.versions, goals) };
}

/** After a cancel only what once was rolled out to its end counts as an earlier version. */
function leftByCancel({ partial, lineage, versions }: Settled, name: string): boolean {
  return partial !== undefined && !lineage.some(({ revision }) => revision === versions[name]?.revision);
}

/** Names are remembered for so many versions besides those that run; an older one may be used again. */
const NAMES = 100;

function remembered(versions: Settled['versions'], goals: Goal[]): Settled['versions'] {
  const running = new Set(goals.flatMap((goal) => (goal.kind === 'replicas' ? [goal.version] : [])));
  const newestFirst = Object.entries(versions).sort(([, a], [, b]) => b.rollout - a.rollout);
  return Object.fromEntries(newestFirst.filter(([name], index) => index < NAMES || running.has(name)).reverse());
}

function fullAfter(settled: Settled, policy: TrafficPolicy | undefined): { full?: string } {
  const names = policy?.kind === 'percent' ? trafficNames(policy) : [];
  const full = names.length === 1 ? names[0] : settled.full;
  return full === undefined ? {} : { full };
}

function lastPolicy(plan: Plan): TrafficPolicy | undefined {
  return plan.stages.flatMap(({ goal }) => (goal.kind === 'traffic' ? [goal.policy] : [])).at(-1);
}

/**
 * Going back pops what is above; anything else is pushed. `limit` entries are kept below the top.
 *
 *   A, B to C → A, B, C;   A, B, C to A → A;   A to B → A, B
 */
function applied(lineage: Settled['lineage'], revision: Revision, commit: Oid, limit: number): Settled['lineage'] {
  const at = lineage.findIndex((entry) => entry.revision === revision);
  const kept = at < 0 ? [...lineage, { revision, commit }] : lineage.slice(0, at + 1);
  return kept.slice(-(limit + 1));
}
