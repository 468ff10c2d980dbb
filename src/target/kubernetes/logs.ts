/** What the pods of a resource wrote, those that are there; the nodes keep it. */
import type { ResourceId } from '../../manifest/resource.ts';
import type { KubernetesTarget } from '../../manifest/target.ts';
import type { UnitLog } from '../local/logs.ts';
import { type Kube, type KubeObject, openKube, statusOf } from './client.ts';
import { corePath, resourceLabels, type Scope } from './names.ts';

interface Pod extends KubeObject {
  spec: { containers: { name: string }[] };
}

/** Of each container. */
const LIMIT_BYTES = 10 * 1024 * 1024;

export async function readPodLogs(
  target: string,
  kubernetes: KubernetesTarget & { project: string },
  resource: ResourceId,
  unit: string | undefined,
): Promise<UnitLog[]> {
  const scope: Scope = { target, namespace: kubernetes.namespace, project: kubernetes.project };
  const kube = await openKube(kubernetes);
  try {
    const labels = Object.entries(resourceLabels(scope, resource)).map((pair) => pair.join('='));
    const query = { labelSelector: labels.join(',') };
    const { items } = await kube.ask<{ items: Pod[] }>('GET', corePath(scope, 'pods'), { query });
    const logs: UnitLog[] = [];
    for (const { metadata, spec } of items) {
      if (unit !== undefined && metadata.name !== unit) continue;
      for (const { name } of spec.containers)
        logs.push({
          unit: metadata.name,
          container: name,
          source: 'stdout',
          text: await said(kube, scope, metadata.name, name),
        });
    }
    return logs;
  } finally {
    kube.close();
  }
}

/** One that has not started wrote nothing. */
async function said(kube: Kube, scope: Scope, pod: string, container: string): Promise<string> {
  try {
    const query = { container, limitBytes: LIMIT_BYTES };
    return String(await kube.ask<string>('GET', `${corePath(scope, 'pods', pod)}/log`, { query }));
  } catch (error) {
    if (statusOf(error) === 400 || statusOf(error) === 404) return '';
    throw error;
  }
}
