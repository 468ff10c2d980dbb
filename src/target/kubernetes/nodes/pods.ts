/** Which pods leave a node that is drained, which stay, and which cannot leave. PURE. */
import type { KubeObject } from '../client.ts';

export interface Pod extends KubeObject {
  spec: { nodeName?: string };
  status?: { phase?: string };
}

/** `evict`: asked to leave; `leaving`: asked already; `lost`: nobody would start it again elsewhere; `stays`: it belongs to the node, or has ended. */
export type Fate = 'evict' | 'leaving' | 'lost' | 'stays';

export interface PodView {
  namespace: string;
  name: string;
  uid: string;
  node: string;
  labels: Record<string, string>;
  fate: Fate;
}

const MIRROR = 'kubernetes.io/config.mirror';

export const viewPod = (pod: Pod): PodView => ({
  namespace: pod.metadata.namespace ?? '',
  name: pod.metadata.name,
  uid: pod.metadata.uid,
  node: pod.spec.nodeName ?? '',
  labels: pod.metadata.labels ?? {},
  fate: fateOf(pod),
});

function fateOf({ metadata, status }: Pod): Fate {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  if (metadata.annotations?.[MIRROR] !== undefined || owner?.kind === 'DaemonSet') return 'stays';
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return 'stays';
  if (metadata.deletionTimestamp !== undefined) return 'leaving';
  return owner === undefined ? 'lost' : 'evict';
}

export const podName = ({ namespace, name }: Pick<PodView, 'namespace' | 'name'>): string => `${namespace}/${name}`;

const MOST_NAMED = 5;

/** At most five, and how many more. */
export function listed(texts: Iterable<string>): string {
  const sorted = [...new Set(texts)].sort();
  const more = sorted.length - MOST_NAMED;
  return sorted.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
