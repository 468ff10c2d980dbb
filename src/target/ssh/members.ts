/** Which hosts a resource has on a target, in which order, and where on them it is. PURE. */
import { membersOn } from '../../manifest/members.ts';
import type { InstanceSpec, ResourceId, SshHost, SshTarget } from '../../manifest/resource.ts';

const byName = new Intl.Collator('en', { numeric: true });

/** The control plane first, then by name. */
export function membersInOrder(ssh: SshTarget, spec: InstanceSpec): { host: SshHost; controlPlane: boolean }[] {
  const isMaster = ({ labels }: SshHost) => spec.kind === 'Cluster' && labels.role === 'control-plane';
  const members = membersOn(ssh, spec).map((host) => ({ host, controlPlane: isMaster(host) }));
  return members.sort(
    (a, b) => Number(b.controlPlane) - Number(a.controlPlane) || byName.compare(a.host.name, b.host.name),
  );
}

/** Below the home of who logs in. */
export const unitFolder = (resource: ResourceId, host: SshHost): string =>
  `.sluice/${resource.replace('/', '-')}/${host.name}`;
