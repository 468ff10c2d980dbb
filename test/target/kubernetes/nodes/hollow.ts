/** The cluster that `KUBECONFIG` names, if its nodes are hollow: what their kubelets do not do, tests do for them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import { type Kube, openKube } from '../../../../src/target/kubernetes/client.ts';
import type { Json } from '../api.ts';

const HOLLOW = /^kubemark:/;

/** Of which the nodes may be cordoned and emptied; `skip`: there is none, and why. Real nodes are left alone. */
export async function hollowCluster(): Promise<{ kube: Kube; context: string; skip?: string }> {
  const none = { kube: undefined as unknown as Kube, context: '' };
  if (process.env.KUBECONFIG === undefined)
    return { ...none, skip: 'NOT RUN: KUBECONFIG names no cluster with hollow nodes' };
  const config = new KubeConfig();
  config.loadFromDefault();
  const context = config.getCurrentContext();
  const kube = await openKube({ context });
  const { items } = await kube.ask<{ items: Json[] }>('GET', '/api/v1/nodes');
  const real = items.find(({ spec }) => !HOLLOW.test(spec.providerID ?? ''));
  if (real === undefined && items.length > 2) return { kube, context };
  kube.close();
  const why = real === undefined ? 'has less than 3 nodes' : `has a node that is not hollow: ${real.metadata.name}`;
  return { ...none, skip: `NOT RUN: the cluster of context ${context} ${why}` };
}

export interface Kubelets {
  /** What the script of an upgrade on this node exits with, and says; 0 where nothing is said here. */
  exits: Map<string, { code: number; said: string }>;
  /** Nodes that were upgraded, in the order in which they were. */
  upgraded: string[];
  stop(): Promise<void>;
}

/** Ends the pods of upgrades as their scripts would, and lets the nodes tell the new version, until it is stopped. */
export function actAsKubelets(kube: Kube, namespace: string, version: string): Kubelets {
  const exits: Kubelets['exits'] = new Map();
  const upgraded: string[] = [];
  let stopped = false;
  const type = 'application/merge-patch+json';
  const look = async () => {
    const query = { labelSelector: 'sluice/upgrades-node' };
    const { items } = await kube.ask<{ items: Json[] }>('GET', `/api/v1/namespaces/${namespace}/pods`, { query });
    for (const { metadata, spec, status } of items) {
      if (status.phase !== 'Running') continue;
      const { code, said } = exits.get(spec.nodeName) ?? { code: 0, said: '' };
      const terminated = { exitCode: code, message: said, reason: code === 0 ? 'Completed' : 'Error' };
      const containerStatuses = [{ ...status.containerStatuses[0], ready: false, state: { terminated } }];
      const body = { status: { phase: code === 0 ? 'Succeeded' : 'Failed', containerStatuses } };
      await kube.ask('PATCH', `/api/v1/namespaces/${namespace}/pods/${metadata.name}/status`, { body, type });
      if (code === 0 && !upgraded.includes(spec.nodeName)) upgraded.push(spec.nodeName);
    }
    // A hollow kubelet tells its own version again and again.
    for (const node of upgraded) {
      const body = { status: { nodeInfo: { kubeletVersion: `v${version}` } } };
      await kube.ask('PATCH', `/api/v1/nodes/${node}/status`, { body, type });
    }
  };
  const acting = (async () => {
    while (!stopped) {
      await look().catch(() => {});
      await sleep(200);
    }
  })();
  return {
    exits,
    upgraded,
    async stop() {
      stopped = true;
      await acting;
    },
  };
}
