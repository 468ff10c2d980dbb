/** Empties a node through the Eviction API, which holds disruption budgets: whom they hold back is asked again until the time is over. */
import { setTimeout as sleep } from 'node:timers/promises';
import PQueue from 'p-queue';
import { openCache } from '../cache.ts';
import { type Kube, KubeError } from '../client.ts';
import { listed, type Pod, type PodView, podName, viewPod } from './pods.ts';

export interface Draining {
  kube: Kube;
  node: string;
  /** Milliseconds since the epoch. */
  until: number;
  signal: AbortSignal;
  /** Asked before anything is evicted: throws where another has taken over. */
  insist(): void;
  /** What it waits for now. */
  waits(message: string): void;
}

const AGAIN_MS = 5_000;
/** Asked at once, so that a node with many pods does not take the API for itself. */
const AT_ONCE = 10;

/** When a pod was asked to leave, and what keeps it, if something does. */
interface Asked {
  at: number;
  held?: string;
}

/** Gives why it could not be emptied; undefined: it is empty. */
export async function drainNode({ kube, node, until, signal, insist, waits }: Draining): Promise<string | undefined> {
  let changes = 0;
  let wake = () => {};
  const pods = openCache<PodView>({
    ...{ kube, path: '/api/v1/pods', fields: `spec.nodeName=${node}` },
    keep: (object) => viewPod(object as Pod),
    changed() {
      changes++;
      wake();
    },
    turned: () => {},
  });
  const asked = new Map<string, Asked>();
  try {
    await pods.ready;
    for (;;) {
      signal.throwIfAborted();
      const seen = changes;
      const there = [...pods.all()];
      const lost = there.filter(({ fate }) => fate === 'lost');
      if (lost.length > 0) return `no controller would start ${listed(lost.map(podName))} again elsewhere`;
      const going = there.filter(({ fate }) => fate === 'evict' || fate === 'leaving');
      if (going.length === 0) return undefined;
      insist();
      await evictAll(kube, going, asked, signal);
      const message = waitsFor(going, asked);
      const left = until - Date.now();
      if (left <= 0) return message;
      waits(message);
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
        if (changes !== seen) resolve();
      });
      await Promise.race([woken, sleep(Math.min(left, AGAIN_MS), undefined, { signal, ref: false })]);
    }
  } finally {
    pods.close();
  }
}

/** Those that may be asked now: not while one leaves, and not again at once where it was held back. */
async function evictAll(kube: Kube, going: PodView[], asked: Map<string, Asked>, signal: AbortSignal): Promise<void> {
  const due = going.filter(({ fate, uid }) => {
    const before = asked.get(uid);
    return fate === 'evict' && (before === undefined || Date.now() >= before.at + AGAIN_MS);
  });
  const queue = new PQueue({ concurrency: AT_ONCE });
  await queue.addAll(
    due.map((pod) => async () => {
      const held = await evict(kube, pod, signal);
      asked.set(pod.uid, { at: Date.now(), ...(held !== undefined && { held }) });
    }),
  );
}

/** Gives what keeps it; undefined: it leaves. Another pod of the name is left alone. */
async function evict(kube: Kube, { namespace, name, uid }: PodView, signal: AbortSignal): Promise<string | undefined> {
  const body = {
    ...{ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { namespace, name } },
    deleteOptions: { preconditions: { uid } },
  };
  try {
    await kube.ask('POST', `/api/v1/namespaces/${namespace}/pods/${name}/eviction`, { body, signal });
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof KubeError)) throw error;
    if (error.status === 404 || error.status === 409) return undefined;
    return error.causes.length > 0 ? error.causes.join('; ') : error.message;
  }
}

/** `shop/web-1 is held back: The disruption budget web needs 3 healthy pods and has 3 currently` */
export function waitsFor(going: PodView[], asked: ReadonlyMap<string, { held?: string }>): string {
  const held = new Map<string, string[]>();
  const ending: string[] = [];
  for (const pod of going) {
    const why = pod.fate === 'evict' ? asked.get(pod.uid)?.held : undefined;
    if (why === undefined) ending.push(podName(pod));
    else held.set(why, [...(held.get(why) ?? []), podName(pod)]);
  }
  const parts = [...held].map(([why, names]) => `${listed(names)} held back: ${why}`);
  if (ending.length > 0) parts.push(`${listed(ending)} not gone yet`);
  return parts.join('; ');
}
