/** Which hosts a resource has on a target, in which order, and where on them it is. PURE. */
import { membersOn } from '../../manifest/members.ts';
import type { InstanceSpec, ResourceId } from '../../manifest/resource.ts';
import type { SshHost, SshTarget } from '../../manifest/target.ts';

const byName = new Intl.Collator('en', { numeric: true });

export interface Member {
  host: SshHost;
  controlPlane: boolean;
  /** It is no member any more: a rollout goes on with it. */
  former: boolean;
}

/** The control plane first, then by name. `frozen`: what a rollout began with stays until it is over, where the target still has it. */
export function membersInOrder(ssh: SshTarget, spec: InstanceSpec, frozen: readonly string[] = []): Member[] {
  const isMaster = ({ labels }: SshHost) => spec.kind === 'Cluster' && labels.role === 'control-plane';
  const selected = membersOn(ssh, spec);
  const kept = new Set(frozen);
  const former = ssh.hosts.filter((host) => kept.has(host.name) && !selected.includes(host));
  const member = (host: SshHost, former: boolean): Member => ({ host, controlPlane: isMaster(host), former });
  const members = [...selected.map((host) => member(host, false)), ...former.map((host) => member(host, true))];
  return members.sort(
    (a, b) => Number(b.controlPlane) - Number(a.controlPlane) || byName.compare(a.host.name, b.host.name),
  );
}

/** Below the home of who logs in. */
export const unitFolder = (resource: ResourceId, host: SshHost): string =>
  `.sluice/${resource.replace('/', '-')}/${host.name}`;
