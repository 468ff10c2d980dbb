/** Names of a service's versions, and which of them `latest` and `stable` mean. */
import type { Revision, ServiceSpec } from '../manifest/resource.ts';
import type { TrafficPolicy } from './live.ts';
import { type ReplicasGoal, type Settled, settledRevision, wantsAny } from './plan.ts';

/** The version that runs a revision, if any has its name. */
export function versionOf(settled: Settled, revision: Revision | undefined): string | undefined {
  return Object.keys(settled.versions).find((name) => settled.versions[name]?.revision === revision);
}

/** Versions that the settled goals keep running. */
export function runningVersions(settled: Settled): string[] {
  return settled.goals
    .filter((goal): goal is ReplicasGoal => goal.kind === 'replicas' && wantsAny(goal))
    .map((goal) => goal.version);
}

/**
 * The name under which `revision` is deployed by rollout `id`. A name belongs to one revision for good, so a revision
 * that had one gets it again; an upgrade in place keeps the name that runs. `conflict` names the revision that holds the
 * declared name already.
 */
export function versionName(
  spec: ServiceSpec,
  settled: Settled,
  revision: Revision,
  id: number,
): { name: string; conflict?: Revision } {
  const known = versionOf(settled, revision);
  if (known !== undefined) return { name: known };
  const current = versionOf(settled, settledRevision(settled));
  if (spec.upgrade === 'inPlace' && current !== undefined) return { name: current };
  if (spec.version === undefined) return { name: freeName(`v${id}`, settled) };
  const holder = settled.versions[spec.version]?.revision;
  return holder === undefined ? { name: spec.version } : { name: spec.version, conflict: holder };
}

function freeName(wanted: string, settled: Settled): string {
  for (let suffix = 1; ; suffix++) {
    const name = suffix === 1 ? wanted : `${wanted}-${suffix}`;
    if (settled.versions[name] === undefined) return name;
  }
}

/** What `stable` means for a version: fixed when it was first deployed; itself when that one does not run any more. */
export function stableFor(settled: Settled, version: string): string {
  const stable = settled.versions[version]?.stable ?? settled.full ?? version;
  return runningVersions(settled).includes(stable) ? stable : version;
}

/** Versions that get traffic under a policy. */
export function trafficNames(policy: TrafficPolicy | undefined): string[] {
  if (policy === undefined) return [];
  if (policy.kind === 'percent') return Object.keys(policy.weights).filter((name) => (policy.weights[name] ?? 0) > 0);
  return [...new Set([...policy.rules.map((rule) => rule.version), policy.default])];
}
