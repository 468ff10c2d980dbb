/** What one revision, one version and one resource are made of in a namespace. PURE. */
import { createHash } from 'node:crypto';
import type { ConfigMap, ResourceId, Runnable } from '../../manifest/resource.ts';
import {
  ANNOTATION,
  claimName,
  LABEL,
  partName,
  resourceLabels,
  type Scope,
  type SetId,
  setLabels,
  setName,
  versionName,
} from './names.ts';
import { claimSpec, type Parts, podTemplate, sharedVolumes } from './pod.ts';
import type { ServedPort } from './view.ts';

interface Owner {
  name: string;
  uid: string;
}

/** Without replicas: what its pods need is made first, and belongs to it. */
export function replicaSet({ template }: Runnable, parts: Parts): object {
  const { scope, set } = parts;
  const { 'app.kubernetes.io/managed-by': _, ...matchLabels } = setLabels(scope, set);
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: setName(set),
      namespace: scope.namespace,
      labels: setLabels(scope, set),
    },
    spec: { replicas: 0, selector: { matchLabels }, template: podTemplate(template, parts) },
  };
}

const owned = (kind: string, scope: Scope, set: SetId, part: string, owner: Owner, annotations = {}) => ({
  apiVersion: 'v1',
  kind,
  metadata: {
    name: partName(set, part),
    namespace: scope.namespace,
    labels: setLabels(scope, set),
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', ...owner }],
  },
  immutable: true,
});

export function configMap(scope: Scope, set: SetId, name: string, content: ConfigMap, owner: Owner): object {
  const { data, binaryData } = content;
  return { ...owned('ConfigMap', scope, set, name, owner), data, binaryData };
}

export type SecretContent = Record<string, Buffer>;
export const contentDigest = (content: SecretContent): string => {
  const hash = createHash('sha256');
  for (const key of Object.keys(content).sort()) hash.update(`${key}\0${content[key]?.toString('base64')}\0`);
  return hash.digest('hex').slice(0, 32);
};

export function secret(scope: Scope, set: SetId, name: string, content: SecretContent, owner: Owner): object {
  const data = Object.fromEntries(Object.entries(content).map(([key, value]) => [key, value.toString('base64')]));
  const annotations = { [ANNOTATION.content]: contentDigest(content) };
  return { ...owned('Secret', scope, set, name, owner, annotations), type: 'Opaque', data };
}

/** Storage that all replicas of a resource share; it goes with the resource. */
export const claims = ({ resource, template }: Runnable, scope: Scope): { name: string; object: object }[] =>
  sharedVolumes(template).map(({ name, file }) => ({
    name: claimName(resource, name),
    object: {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        name: claimName(resource, name),
        namespace: scope.namespace,
        labels: resourceLabels(scope, resource),
      },
      spec: claimSpec(file, 'ReadWriteMany'),
    },
  }));

export interface Served {
  resource: ResourceId;
  /** `''` for a workload. */
  version: string;
  /** The ports of the first container; none: it serves nothing, and its Service has no address. */
  ports: ServedPort[];
}

/** One name for the ready pods of a version. */
export function service(scope: Scope, { resource, version, ports }: Served): object {
  const { 'app.kubernetes.io/managed-by': _, ...labels } = resourceLabels(scope, resource);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: versionName(resource, version),
      namespace: scope.namespace,
      labels: { ...resourceLabels(scope, resource), [LABEL.version]: version },
    },
    spec: {
      selector: { ...labels, [LABEL.version]: version },
      ...(ports.length === 0
        ? { clusterIP: 'None' }
        : {
            ports: ports.map(({ name, containerPort }) => ({
              name: name ?? `port-${containerPort}`,
              port: containerPort,
              targetPort: containerPort,
              protocol: 'TCP',
            })),
          }),
    },
  };
}
