/** Which hosts a fleet or a cluster has on a target of hosts. */
import type { InstanceSpec } from './resource.ts';
import type { SshHost, SshTarget } from './target.ts';

/** A host with this label belongs to the control plane of a cluster. */
const CONTROL_PLANE = { role: 'control-plane' };

/** In the order in which the target lists them. */
export function selectHosts({ hosts }: SshTarget, selector: Record<string, string>): SshHost[] {
  const wanted = Object.entries(selector);
  return hosts.filter(({ labels }) =>
    wanted.every(([label, value]) => Object.hasOwn(labels, label) && labels[label] === value),
  );
}

/** All hosts of the target, but the one that is only there for its load balancer. */
export function clusterHosts(target: SshTarget): { controlPlane: SshHost[]; nodes: SshHost[] } {
  const controlPlane = selectHosts(target, CONTROL_PLANE);
  const balancer = target.loadBalancer?.host;
  const nodes = target.hosts.filter((host) => !controlPlane.includes(host) && host.name !== balancer);
  return { controlPlane, nodes };
}

/** None where the target creates them. */
export function membersOn(target: SshTarget, spec: InstanceSpec): SshHost[] {
  if (spec.kind === 'Fleet') return 'selector' in spec.members ? selectHosts(target, spec.members.selector) : [];
  const { controlPlane, nodes } = clusterHosts(target);
  return [...controlPlane, ...nodes];
}
