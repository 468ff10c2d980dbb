/** Over which instances `sluice plan` plans a fleet or a cluster, and what it can tell of their versions. */
import { isInstances } from '../manifest/kinds.ts';
import type { Resource } from '../manifest/resource.ts';
import type { HostTarget } from '../manifest/target.ts';
import { assumeInstances } from '../plan/assumed.ts';
import type { Change, Known } from '../plan/change.ts';
import { versionChecks } from '../rollout/version-skew.ts';
import { type InstancesDocument, instancesFromDocument } from '../status/instances.ts';

/** `seen`: what a status shows of the instances. `known` as it is where there are none: of replicas, and of what is deleted. */
export function withInstances(
  known: Known,
  was: Resource | undefined,
  will: Resource | undefined,
  seen: InstancesDocument | undefined,
  hostTargets: ReadonlyMap<string, HostTarget>,
): Known {
  if (will === undefined || !isInstances(will)) return known;
  const { instances, note } = assumeInstances({
    id: will.id,
    spec: will.spec,
    before: was !== undefined && isInstances(was) ? was.spec : undefined,
    target: hostTargets.get(will.spec.target)?.ssh,
    seen: seen && instancesFromDocument(seen),
    applied: known.settled.lineage.map(({ revision }) => revision),
  });
  return { ...known, instances, ...(note !== undefined && { assumed: note }) };
}

/** Versions that may not follow what nodes were seen to run. That of a rollback is told already: it goes down. */
export function versionNotes({ change }: Change, { spec }: Resource, seen: InstancesDocument | undefined): string[] {
  if (spec.kind !== 'Cluster' || seen === undefined || (change !== 'create' && change !== 'upgrade')) return [];
  const instances = instancesFromDocument(seen);
  if (instances.length === 0 || instances.some(({ version }) => version === undefined)) return [];
  return versionChecks(spec.version, instances)
    .filter(({ result }) => result === 'fail')
    .map(({ message, remedy }) => `its precheck will fail: ${message}; ${remedy}`);
}
