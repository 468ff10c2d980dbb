/** Writes what a node remembers, by compare-and-swap: an operator that was replaced never writes over a later one. */
import { StaleEpoch } from '../../ports.ts';
import type { Cache } from '../cache.ts';
import { FIELD_MANAGER, type Kube, type KubeObject, statusOf } from '../client.ts';
import { memoryPatch, type NodeMemory, remembering } from './memory.ts';
import { type Node, type NodeView, viewNode } from './node.ts';

export interface Nodes {
  kube: Kube;
  nodes: Pick<Cache<NodeView>, 'put'>;
  epoch: number;
  /** As manifests name it. */
  target: string;
}

interface Change {
  memory: NodeMemory;
  unschedulable?: boolean;
}

const nodePath = (name: string): string => `/api/v1/nodes/${encodeURIComponent(name)}`;

/** `change` is asked again for as long as somebody else writes the node in between; what it gives back as it was is not written. */
export async function remember(
  { kube, nodes, epoch, target }: Nodes,
  resource: string,
  name: string,
  change: (memory: NodeMemory, node: NodeView) => Change,
  signal: AbortSignal,
): Promise<NodeView> {
  for (;;) {
    const node = viewNode(await kube.ask<Node>('GET', nodePath(name), { signal }));
    insist(node, { epoch, resource, target });
    const before = remembering(node.memory, resource);
    const { memory, unschedulable = node.unschedulable } = change(before, node);
    const isThere = JSON.stringify(memory) === JSON.stringify(before) && unschedulable === node.unschedulable;
    if (isThere && node.epoch === epoch) return node;
    const patch = { epoch, memory, unschedulable };
    try {
      const written = await kube.ask<KubeObject>('PATCH', nodePath(name), {
        ...{ body: memoryPatch(node.resourceVersion, patch), type: 'application/merge-patch+json', signal },
        query: { fieldManager: FIELD_MANAGER },
      });
      nodes.put(written);
      return viewNode(written as Node);
    } catch (error) {
      if (statusOf(error) !== 409) throw error;
    }
  }
}

function insist(
  node: NodeView,
  { epoch, resource, target }: { epoch: number; resource: string; target: string },
): void {
  const where = `node ${node.name} of target ${target}`;
  if (node.epoch > epoch) throw new StaleEpoch(epoch, node.epoch, where);
  if (node.unreadable !== undefined)
    throw new Error(`${where}: ${node.unreadable}; put it right, or remove it where nothing is under way there`);
  const other = node.memory?.resource ?? resource;
  if (other !== resource && node.memory?.out !== undefined)
    throw new Error(`${where} is out of service by ${other}; let that put it back first`);
}
