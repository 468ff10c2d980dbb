/** The nodes of a cluster, and the Jobs that upgrade them with their pods, as watches tell them; from when somebody needs them. */
import { type Cache, openCache } from '../cache.ts';
import type { Kube } from '../client.ts';
import { type Job, type JobPod, type JobPodView, type JobView, NODE_LABEL, viewJob, viewJobPod } from './job.ts';
import { type Node, type NodeView, viewNode } from './node.ts';

export interface NodeEvents {
  node(now: NodeView | undefined, before: NodeView | undefined): void;
  /** Of whichever Job, or its pod. */
  job(): void;
  turned(what: string, up: boolean, message: string): void;
}

/** Empty until it is begun. */
type Seen<T> = Pick<Cache<T>, 'get' | 'all' | 'put'>;

export interface NodeWatch {
  nodes: Seen<NodeView>;
  jobs: Seen<JobView>;
  pods: Seen<JobPodView>;
  /** Ends once they are known, or cannot be asked now. */
  begin(): Promise<void>;
  up(): boolean;
  /** Why they are not known. */
  trouble(): string;
  close(): void;
}

export function watchNodes(kube: Kube, namespace: string, events: NodeEvents): NodeWatch {
  let trouble = '';
  let caches: { nodes: Cache<NodeView>; jobs: Cache<JobView>; pods: Cache<JobPodView> } | undefined;
  const turned = (what: string) => (up: boolean, message: string) => {
    if (!up) trouble = message;
    events.turned(what, up, message);
  };
  const open = () => ({
    nodes: openCache<NodeView>({
      ...{ kube, path: '/api/v1/nodes', turned: turned('nodes') },
      keep: (object) => viewNode(object as Node),
      changed(now, before) {
        if (now === undefined || before === undefined || !isAlike(now, before)) events.node(now, before);
      },
    }),
    jobs: openCache<JobView>({
      ...{ kube, path: `/apis/batch/v1/namespaces/${namespace}/jobs`, selector: NODE_LABEL, turned: turned('Jobs') },
      keep: (object) => viewJob(object as Job),
      changed: () => events.job(),
    }),
    pods: openCache<JobPodView>({
      ...{ kube, path: `/api/v1/namespaces/${namespace}/pods`, selector: NODE_LABEL, turned: turned('pods of Jobs') },
      keep: (object) => viewJobPod(object as JobPod),
      changed: () => events.job(),
    }),
  });
  const seen = <K extends 'nodes' | 'jobs' | 'pods'>(of: K): NodeWatch[K] =>
    ({
      get: (key: string) => caches?.[of].get(key),
      all: () => caches?.[of].all() ?? [],
      put: (object: Parameters<Cache<unknown>['put']>[0]) => caches?.[of].put(object),
    }) as NodeWatch[K];
  const all = () => Object.values(caches ?? {});
  return {
    ...{ nodes: seen('nodes'), jobs: seen('jobs'), pods: seen('pods') },
    async begin() {
      caches ??= open();
      const said = await Promise.allSettled(all().map(({ ready }) => ready));
      for (const one of said) if (one.status === 'rejected') trouble = (one.reason as Error).message;
    },
    up: () => caches !== undefined && all().every((cache) => cache.up()),
    trouble: () => trouble,
    close() {
      for (const cache of all()) cache.close();
    },
  };
}

/** Heartbeats make another version of a node, of which nothing else here reads otherwise. */
const isAlike = (now: NodeView, before: NodeView): boolean =>
  JSON.stringify({ ...now, resourceVersion: '' }) === JSON.stringify({ ...before, resourceVersion: '' });
