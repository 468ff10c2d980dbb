/** A look at the nodes of a cluster from beside the operator: nothing is taken over, nothing is begun, nothing is kept. */
import type { ClusterResource } from '../../../manifest/resource.ts';
import type { KubernetesTarget } from '../../../manifest/target.ts';
import type { Live } from '../../../plan/live.ts';
import type { Plan } from '../../../plan/plan.ts';
import type { PrecheckResult } from '../../../rollout/state.ts';
import type { UnitLog } from '../../local/logs.ts';
import { type Kube, type KubeObject, openKube } from '../client.ts';
import { NODE_LABEL, nodeLabel, UPGRADE_IMAGE } from './job.ts';
import { inOrder, liveNode, type Node, viewNode } from './node.ts';
import { precheckNodes } from './precheck.ts';

interface List<T> {
  items: T[];
}

/** Prechecks of what `plan` makes of what is there now, and what that is. */
export function inspectNodes(
  { id: resource, spec, runnable }: ClusterResource,
  target: KubernetesTarget,
  plan: (live: Live) => Plan,
  signal: AbortSignal,
): Promise<{ live: Live; results: PrecheckResult[] }> {
  return asking(target, async (kube) => {
    const { items } = await kube.ask<List<Node>>('GET', '/api/v1/nodes', { signal });
    const nodes = items.map(viewNode).sort(inOrder);
    const instances = nodes.map((node) => liveNode(node, { resource }));
    const live: Live = { observedAt: Date.now(), complete: true, units: [], instances };
    const { namespace, upgradeImage: image = UPGRADE_IMAGE } = target;
    const asked = { kube, resource, spec, runnable, plan: plan(live), nodes, namespace, image, signal };
    return { live, results: await precheckNodes(asked) };
  });
}

/** What upgrades printed whose Jobs are still there; of one node, or of all. */
export function readNodeLogs(target: KubernetesTarget, node: string | undefined): Promise<UnitLog[]> {
  return asking(target, async (kube) => {
    const labelSelector = node === undefined ? NODE_LABEL : `${NODE_LABEL}=${nodeLabel(node)}`;
    const path = `/api/v1/namespaces/${target.namespace}/pods`;
    const { items } = await kube.ask<List<KubeObject & { spec: { nodeName: string } }>>('GET', path, {
      query: { labelSelector },
    });
    const logs: UnitLog[] = [];
    for (const { metadata, spec } of items) {
      const text = await kube.ask<string>('GET', `${path}/${metadata.name}/log`);
      logs.push({ unit: spec.nodeName, container: 'upgrade', source: 'stdout', text });
    }
    return logs;
  });
}

async function asking<T>(target: KubernetesTarget, ask: (kube: Kube) => Promise<T>): Promise<T> {
  const kube = await openKube(target);
  try {
    return await ask(kube);
  } finally {
    kube.close();
  }
}
