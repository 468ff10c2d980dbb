/** Which disruption budgets would hold back a drain. PURE. */
import type { KubeObject } from '../client.ts';
import { listed, type PodView, podName } from './pods.ts';

export interface Budget extends KubeObject {
  spec: { selector?: LabelSelector; minAvailable?: number | string; maxUnavailable?: number | string };
  status?: { disruptionsAllowed?: number; currentHealthy?: number; desiredHealthy?: number; expectedPods?: number };
}
export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

/** As the API reads it: an empty one is of all pods, none is of no pod. */
export function selects(selector: LabelSelector | undefined, labels: Record<string, string>): boolean {
  if (selector === undefined) return false;
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => OPERATORS[operator]?.(labels[key], values) ?? false)
  );
}

const OPERATORS: Record<string, (value: string | undefined, values: string[]) => boolean> = {
  In: (value, values) => value !== undefined && values.includes(value),
  NotIn: (value, values) => value === undefined || !values.includes(value),
  Exists: (value) => value !== undefined,
  DoesNotExist: (value) => value === undefined,
};

export interface Blocking {
  /** `never`: not even with all pods well; `now`: some are not well at the moment. */
  when: 'never' | 'now';
  text: string;
}

/** Of those that allow no disruption, the ones with pods that are to be evicted. Two budgets over one pod: the API evicts no such pod. */
export function blocking(budgets: Budget[], pods: PodView[]): Blocking[] {
  const found: Blocking[] = [];
  const over = new Map<string, string[]>();
  for (const budget of budgets) {
    const those = pods.filter(
      ({ namespace, labels, fate }) =>
        fate === 'evict' && namespace === budget.metadata.namespace && selects(budget.spec.selector, labels),
    );
    for (const pod of those) over.set(podName(pod), [...(over.get(podName(pod)) ?? []), budget.metadata.name]);
    const { disruptionsAllowed = 0, currentHealthy = 0, desiredHealthy = 0, expectedPods = 0 } = budget.status ?? {};
    if (those.length === 0 || disruptionsAllowed > 0) continue;
    const when = desiredHealthy >= expectedPods ? 'never' : 'now';
    const name = `${budget.metadata.namespace}/${budget.metadata.name}`;
    const text = `${name} (needs ${desiredHealthy} of ${expectedPods} pods, ${currentHealthy} are well: ${listed(those.map(podName))})`;
    found.push({ when, text });
  }
  const twice = [...over].filter(([, names]) => names.length > 1);
  return [
    ...found,
    ...twice.map(
      ([pod, names]): Blocking => ({ when: 'never', text: `${names.sort().join(' and ')} (both over ${pod})` }),
    ),
  ];
}
