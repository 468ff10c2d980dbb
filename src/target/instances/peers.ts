/** How the nodes of a cluster find each other: a file that names them all, and their ports. */
import type { InstanceSpec, ResourceId } from '../../manifest/resource.ts';
import { type Instance, inOrder, isControlPlane, isNode, type Keeper } from './instance.ts';

export interface Peers {
  /** Resolves when the file names all that are created together, or what is missing was waited for long enough. */
  named(instance: Instance): Promise<void>;
  /** Brings the file up to date: a line `name=host:port` for each node, the control plane first. */
  write(resource: ResourceId): void;
  /** Resolves when nothing of it is being written. */
  settled(resource: ResourceId): Promise<void>;
}

const COMPLETE_MS = 10_000;

/** `of`: all instances of a resource. */
export function openPeers(
  keeper: Pick<Keeper, 'ground' | 'specOf' | 'until' | 'log'>,
  of: (resource: ResourceId) => Instance[],
): Peers {
  const written = new Map<ResourceId, string>();
  const last = new Map<ResourceId, Promise<void>>();
  const staying = (resource: ResourceId) => of(resource).filter(({ record }) => !record.removing);
  const textOf = (resource: ResourceId) =>
    staying(resource)
      .sort(inOrder)
      .flatMap(({ record }) =>
        record.port === undefined ? [] : [`${record.unit}=${keeper.ground.peerHost(record)}:${record.port}\n`],
      )
      .join('');

  async function bringNow(resource: ResourceId): Promise<void> {
    const text = textOf(resource);
    if (written.get(resource) === text) return;
    // What could not be written is written again, by whoever comes next.
    written.delete(resource);
    await keeper.ground.writePeers(resource, text);
    written.set(resource, text);
  }
  /** One after the other, so that what was true last is what stays. */
  function bring(resource: ResourceId): Promise<void> {
    if (!resource.startsWith('Cluster/')) return Promise.resolve();
    const turn = settled(resource).then(() => bringNow(resource));
    last.set(resource, turn);
    return turn;
  }
  const settled = (resource: ResourceId): Promise<void> => last.get(resource)?.catch(() => {}) ?? Promise.resolve();

  return {
    write(resource) {
      bring(resource).catch((error: Error) =>
        keeper.log('the peers of a cluster cannot be written', { resource, message: error.message }),
      );
    },
    async named({ record }) {
      if (!isNode(record)) return;
      const isMaster = isControlPlane(record);
      const isComplete = () =>
        staying(record.resource).filter(
          (peer) => isControlPlane(peer.record) === isMaster && peer.record.port !== undefined,
        ).length >= sizeOf(keeper.specOf(record.resource), isMaster);
      if (record.creating !== undefined) await keeper.until(isComplete, COMPLETE_MS);
      await bring(record.resource);
    },
    settled,
  };
}

function sizeOf(spec: InstanceSpec | undefined, isMaster: boolean): number {
  const create = spec?.kind === 'Cluster' ? spec.create : undefined;
  return (isMaster ? create?.controlPlane : create?.nodes) ?? 0;
}
