/** How the nodes of a cluster find each other: a port that each keeps for its life, and a file that names them all. */
import { join } from 'node:path';
import type { InstanceSpec, ResourceId } from '../../../manifest/resource.ts';
import type { Host } from '../unit.ts';
import { memberFolder } from './folders.ts';
import { type Instance, inOrder, isControlPlane, isNode, type Keeper } from './instance.ts';
import type { InstanceRecord } from './record.ts';

/** `SLUICE_PEERS` of each node. */
export const peersFile = (root: string, resource: ResourceId) => join(memberFolder(root, resource), 'peers');

/** Its port is no other unit's, also while it has no process. */
export function keepPort({ ports, keptPorts }: Pick<Host, 'ports' | 'keptPorts'>, record: InstanceRecord): void {
  if (!isNode(record) || record.port === undefined) return;
  ports.add(record.port);
  keptPorts.add(record.port);
}

export function letPort({ ports, keptPorts }: Pick<Host, 'ports' | 'keptPorts'>, record: InstanceRecord): void {
  if (record.port === undefined || !keptPorts.delete(record.port)) return;
  ports.delete(record.port);
}

export interface Peers {
  /** Resolves when the file names all that are created together, or what is missing was waited for long enough. */
  named(instance: Instance): Promise<void>;
  /** Brings the file up to date: a line `name=host:port` for each node, the control plane first. */
  write(resource: ResourceId): void;
}

const COMPLETE_MS = 10_000;

/** `of`: all instances of a resource. */
export function openPeers(
  keeper: Pick<Keeper, 'root' | 'units' | 'specOf' | 'until'>,
  of: (resource: ResourceId) => Instance[],
): Peers {
  const written = new Map<ResourceId, string>();
  const staying = (resource: ResourceId) => of(resource).filter(({ record }) => !record.removing);
  const write = (resource: ResourceId) => {
    if (!resource.startsWith('Cluster/')) return;
    const lines = staying(resource)
      .sort(inOrder)
      .flatMap(({ record: { unit, port } }) => (port === undefined ? [] : [`${unit}=127.0.0.1:${port}\n`]));
    const text = lines.join('');
    if (written.get(resource) === text) return;
    keeper.units.host.hold.write(peersFile(keeper.root, resource), text, { mode: 0o644, durable: true });
    written.set(resource, text);
  };
  return {
    write,
    async named({ record }) {
      if (!isNode(record)) return;
      const isMaster = isControlPlane(record);
      const isComplete = () =>
        staying(record.resource).filter((peer) => isControlPlane(peer.record) === isMaster).length >=
        sizeOf(keeper.specOf(record.resource), isMaster);
      if (record.creating !== undefined) await keeper.until(isComplete, COMPLETE_MS);
      write(record.resource);
    },
  };
}

function sizeOf(spec: InstanceSpec | undefined, isMaster: boolean): number {
  const create = spec?.kind === 'Cluster' ? spec.create : undefined;
  return (isMaster ? create?.controlPlane : create?.nodes) ?? 0;
}
