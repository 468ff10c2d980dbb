/** Which kinds are upgraded, and in which of the two ways: replicas of a template, or machines that stay. */
import type {
  ClusterResource,
  InstanceResource,
  Kind,
  ReplicasResource,
  ReplicasSpec,
  Resource,
  Spec,
} from './resource.ts';

const KINDS: readonly string[] = ['Workload', 'Service', 'Fleet', 'Cluster'] satisfies Kind[];

/** Of what is upgraded; the other kinds are only referred to. */
export const isUpgraded = (kind: string): kind is Kind => KINDS.includes(kind);

export const isReplicas = (resource: Resource): resource is ReplicasResource => isReplicasSpec(resource.spec);

export const isReplicasSpec = (spec: Spec): spec is ReplicasSpec => spec.kind === 'Workload' || spec.kind === 'Service';

export const isInstances = (resource: Resource): resource is InstanceResource => !isReplicas(resource);

export const isCluster = (resource: Resource): resource is ClusterResource => resource.spec.kind === 'Cluster';
