/**
 * Beside a HorizontalPodAutoscaler. One that names a workload, or the ReplicaSet that runs it, says how many replicas there are. While pods are moved
 * from one ReplicaSet to another it is held, or it would put back what is moved: it names the workload, a ReplicaSet that there is not, and what
 * it had come to stands in an annotation. What is to be done with it follows from what is there, whoever did the last step.
 */
import type { ResourceId } from '../../manifest/resource.ts';
import type { Scaled } from '../../plan/live.ts';
import { openCache } from './cache.ts';
import type { Kube, KubeObject } from './client.ts';
import type { Fence, Marked } from './fence.ts';
import { ANNOTATION, epochOf, nameOf, type Scope, scalersPath } from './names.ts';
import type { Store } from './store.ts';

export interface ScalersOptions {
  kube: Kube;
  scope: Scope;
  store: Store;
  fence: Fence;
  changed(resource: ResourceId): void;
  turned(up: boolean, message: string): void;
}

export interface Scalers {
  ready: Promise<void>;
  up(): boolean;
  /** What somebody says of a workload's replicas. */
  scaled(resource: ResourceId): Scaled | undefined;
  /** To be called before replicas are moved: nobody else moves them until `release`. */
  hold(resource: ResourceId): Promise<void>;
  /** Lets whoever was held scale what runs, once that is one ReplicaSet, and whole. */
  release(resource: ResourceId): Promise<void>;
  /** The workload is gone. */
  forget(resource: ResourceId): Promise<void>;
  marked(): Marked[];
  close(): void;
}

export interface Scaler extends KubeObject {
  spec: { scaleTargetRef: { kind: string; name: string } };
}

interface ScalerView {
  name: string;
  /** The ReplicaSet that it names. */
  to: string;
  held: number | undefined;
  epoch: number;
}

function scalerView(object: KubeObject): ScalerView {
  const { metadata, spec } = object as Scaler;
  const held = Number(metadata.annotations?.[ANNOTATION.replicas]);
  return {
    name: metadata.name,
    to: spec.scaleTargetRef.kind === 'ReplicaSet' ? spec.scaleTargetRef.name : '',
    held: Number.isInteger(held) && held > 0 ? held : undefined,
    epoch: epochOf(object),
  };
}

export function openScalers({ kube, scope, store, fence, changed, turned }: ScalersOptions): Scalers {
  const resourceOf = ({ to }: ScalerView): ResourceId => store.set(to)?.resource ?? `Workload/${to}`;
  const scalers = openCache<ScalerView>({
    ...{ kube, turned, path: scalersPath(scope), keep: scalerView },
    changed(now, before) {
      for (const each of [now, before]) if (each !== undefined) changed(resourceOf(each));
    },
  });
  const of = (resource: ResourceId): ScalerView | undefined => {
    if (!resource.startsWith('Workload/')) return undefined;
    const those = [...scalers.all()].filter((each) => each.to !== '' && resourceOf(each) === resource);
    return those.sort((a, b) => (a.name < b.name ? -1 : 1))[0];
  };
  const running = (resource: ResourceId) => store.sets(resource).filter(({ replicas }) => replicas > 0);

  /** Held, what it had come to; else how many the one that runs has, whoever made it so. */
  function countOf(scaler: ScalerView, resource: ResourceId): number | undefined {
    if (scaler.held !== undefined) return scaler.held;
    const [only, ...others] = running(resource);
    return others.length === 0 ? only?.replicas : undefined;
  }

  async function point(scaler: ScalerView, name: string, held: number | undefined): Promise<void> {
    const path = scalersPath(scope, scaler.name);
    const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name };
    const annotations = { [ANNOTATION.replicas]: held === undefined ? null : String(held) };
    const now = await fence.change(path, (found) =>
      scalerView(found).to === scaler.to ? { metadata: { annotations }, spec: { scaleTargetRef } } : undefined,
    );
    if (now !== undefined) scalers.put(now);
  }

  return {
    ready: scalers.ready,
    up: scalers.up,
    scaled(resource) {
      const scaler = of(resource);
      const replicas = scaler && countOf(scaler, resource);
      return replicas === undefined ? undefined : { replicas, by: `HorizontalPodAutoscaler ${scaler?.name}` };
    },
    async hold(resource) {
      const scaler = of(resource);
      if (scaler === undefined || (scaler.held !== undefined && scaler.to === nameOf(resource))) return;
      const count = countOf(scaler, resource);
      if (count !== undefined) await point(scaler, nameOf(resource), count);
    },
    async release(resource) {
      const scaler = of(resource);
      const [set, ...others] = running(resource);
      if (scaler === undefined || set === undefined || others.length > 0 || scaler.to === set.name) return;
      const ready = store.pods(set).filter((pod) => pod.ready).length;
      const isWhole = scaler.held === undefined || (set.replicas === scaler.held && ready >= scaler.held);
      if (isWhole) await point(scaler, set.name, undefined);
    },
    async forget(resource) {
      const scaler = of(resource);
      if (scaler?.held !== undefined) await point(scaler, nameOf(resource), undefined);
    },
    marked: () =>
      [...scalers.all()].flatMap(({ name, epoch }) =>
        epoch === 0 ? [] : [{ path: scalersPath(scope, name), epoch, put: scalers.put }],
      ),
    close: scalers.close,
  };
}
