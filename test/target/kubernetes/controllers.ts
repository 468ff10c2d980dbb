/** What a cluster does by itself, as far as the driver counts on it: ReplicaSets keep their pods, pods get ready, a Gateway takes up routes. */
import { randomBytes } from 'node:crypto';
import type { FakeApi, Json } from './api.ts';

export interface Cluster {
  /** Milliseconds from a pod's creation to its readiness; undefined: never. By the image of its first container. */
  readyMs(image: string): number | undefined;
  /** What the status of a pod that does not get ready says. */
  trouble(image: string): Json | undefined;
  /** No more pods than this in the namespace. */
  quota: number;
  /** How long a deleted pod stays. */
  leaveMs: number;
  /** False: the Gateway takes up nothing. */
  gateway: boolean;
}

export function runControllers(api: FakeApi, namespace: string, over: Partial<Cluster> = {}) {
  const cluster: Cluster = {
    readyMs: () => 20,
    trouble: () => undefined,
    quota: Number.POSITIVE_INFINITY,
    leaveMs: 30,
    gateway: true,
    ...over,
  };
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const timers = new Set<NodeJS.Timeout>();
  let most = 0;
  const after = (ms: number, work: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timers.add(timer);
  };
  const owned = (set: Json) =>
    api.list(pods).filter(({ metadata }) => metadata.ownerReferences?.[0].uid === set.metadata.uid);
  const condition = (type: string, status: boolean, more = {}) => ({
    ...{ type, status: status ? 'True' : 'False', lastTransitionTime: new Date().toISOString() },
    ...more,
  });

  function create(set: Json, path: string): boolean {
    if (api.list(pods).length >= cluster.quota) {
      const message = `pods "${set.metadata.name}-" is forbidden: exceeded quota: pods=${cluster.quota}`;
      api.put(path, (object) => {
        object.status = { conditions: [condition('ReplicaFailure', true, { reason: 'FailedCreate', message })] };
      });
      return false;
    }
    const name = `${set.metadata.name}-${randomBytes(3).toString('hex').slice(0, 5)}`;
    const image: string = set.spec.template.spec.containers[0].image;
    const trouble = cluster.trouble(image);
    api.put(`${pods}/${name}`, (pod) => {
      pod.metadata = {
        ...{ name, labels: set.spec.template.metadata.labels },
        ownerReferences: [{ kind: 'ReplicaSet', name: set.metadata.name, uid: set.metadata.uid, controller: true }],
      };
      pod.spec = { ...set.spec.template.spec, nodeName: 'node-1' };
      pod.status = { phase: 'Pending', conditions: [condition('PodScheduled', true)], ...trouble };
    });
    most = Math.max(most, api.list(pods).length);
    const ms = cluster.readyMs(image);
    if (ms !== undefined)
      after(ms, () => {
        if (api.find(`${pods}/${name}`) === undefined) return;
        api.put(`${pods}/${name}`, (pod) => {
          pod.status = { phase: 'Running', podIP: '10.1.0.1', conditions: [condition('Ready', true)] };
        });
      });
    return true;
  }

  function leave(pod: Json): void {
    const path = `${pods}/${pod.metadata.name}`;
    api.put(path, (object) => {
      object.metadata.deletionTimestamp = new Date(Date.now() + cluster.leaveMs).toISOString();
    });
    after(cluster.leaveMs, () => {
      api.remove(path);
      for (const set of api.list(`/apis/apps/v1/namespaces/${namespace}/replicasets`))
        reconcile(`/apis/apps/v1/namespaces/${namespace}/replicasets/${set.metadata.name}`);
    });
  }

  function reconcile(path: string): void {
    const set = api.find(path);
    if (set === undefined) return;
    const staying = owned(set).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    for (let missing = set.spec.replicas - staying.length; missing > 0; missing--) if (!create(set, path)) return;
    const unready = (pod: Json) => (pod.status.conditions?.some(({ type }: Json) => type === 'Ready') ? 1 : 0);
    for (const pod of staying
      .sort((a, b) => unready(a) - unready(b))
      .slice(0, Math.max(0, staying.length - set.spec.replicas)))
      leave(pod);
  }

  api.onWrite((path) => {
    if (path.includes('/replicasets/')) setImmediate(() => reconcile(path));
    if (path.includes('/httproutes/') && cluster.gateway) setImmediate(() => accept(path));
  });

  function accept(path: string): void {
    const route = api.find(path);
    if (route === undefined) return;
    const observedGeneration = route.metadata.generation;
    if (route.status?.parents?.[0].conditions[0].observedGeneration === observedGeneration) return;
    api.put(path, (object) => {
      const conditions = ['Accepted', 'ResolvedRefs'].map((type) => condition(type, true, { observedGeneration }));
      object.status = { parents: [{ parentRef: object.spec.parentRefs[0], conditions }] };
    });
  }

  return {
    cluster,
    accept,
    /** A pod ends, as an accident would end it; its ReplicaSet makes another. */
    kill(name: string) {
      const pod = api.find(`${pods}/${name}`);
      if (pod !== undefined) leave(pod);
      const set = pod?.metadata.ownerReferences[0].name;
      reconcile(`/apis/apps/v1/namespaces/${namespace}/replicasets/${set}`);
    },
    most: () => most,
    stop() {
      for (const timer of timers) clearTimeout(timer);
    },
  };
}
