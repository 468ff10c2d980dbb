/** What Sluice's objects in a namespace are called and marked with. PURE. */
import { createHash } from 'node:crypto';
import type { ResourceId, Revision } from '../../manifest/resource.ts';

/** Whose they are: a namespace may serve several repositories, and several targets of one. */
export interface Scope {
  namespace: string;
  project: string;
  target: string;
}

export type Labels = Record<string, string>;

export const LABEL = {
  project: 'sluice/project',
  target: 'sluice/target',
  /** `Workload.tomcat`: a slash cannot be in a label. */
  resource: 'sluice/resource',
  version: 'sluice/version',
  revision: 'sluice/revision',
} as const;

export const ANNOTATION = {
  /** Of the operator that wrote it last. */
  epoch: 'sluice/epoch',
  /** The attempts that the last change of `replicas` was made for. */
  attempts: 'sluice/attempts',
  /** When `replicas` was changed last. */
  scaled: 'sluice/scaled',
  /** Of a HorizontalPodAutoscaler that is held: how many replicas it had come to. */
  replicas: 'sluice/replicas',
  /** Of a route: what it is to do, and what it did before. */
  policy: 'sluice/policy',
  before: 'sluice/before',
  /** Of a Secret: a digest of its content. */
  content: 'sluice/content',
} as const;

/** Of whoever wrote an object last; 0: nobody that has one. */
export const epochOf = ({ metadata }: { metadata: { annotations?: Labels } }): number =>
  Number(metadata.annotations?.[ANNOTATION.epoch]) || 0;

/** At most 63 characters, as a label has them. */
export function fitting(text: string, longest = 63): string {
  if (text.length <= longest) return text;
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 10);
  return `${text.slice(0, longest - 11).replace(/[^a-zA-Z0-9]+$/, '')}-${digest}`;
}

export const scopeLabels = ({ project, target }: Scope): Labels => ({
  'app.kubernetes.io/managed-by': 'sluice',
  [LABEL.project]: fitting(project),
  [LABEL.target]: target,
});
/** For watches and lists. */
export const scopeSelector = (scope: Scope): string =>
  selector({ ...scopeLabels(scope), 'app.kubernetes.io/managed-by': undefined });
export const selector = (labels: Record<string, string | undefined>): string =>
  Object.entries(labels)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
    .join(',');

export const resourceLabels = (scope: Scope, resource: ResourceId): Labels => ({
  ...scopeLabels(scope),
  [LABEL.resource]: resource.replace('/', '.'),
});
export const resourceOf = (labels: Labels = {}): ResourceId =>
  (labels[LABEL.resource] ?? '').replace('.', '/') as ResourceId;

/** One revision of a resource, under one version's name: a ReplicaSet. */
export interface SetId {
  resource: ResourceId;
  version: string;
  revision: Revision;
}
export const setLabels = (scope: Scope, { resource, version, revision }: SetId): Labels => ({
  ...resourceLabels(scope, resource),
  [LABEL.version]: version,
  [LABEL.revision]: revision,
});

export const nameOf = (resource: ResourceId): string => resource.slice(resource.indexOf('/') + 1);
/** `tomcat-1a2b3c4d5e`, `shop-v8-1a2b3c4d5e`. */
export const setName = ({ resource, version, revision }: SetId): string =>
  [versionName(resource, version), revision].join('-');
/** `tomcat`, `shop-v8`: of the Kubernetes Service of a version. */
export const versionName = (resource: ResourceId, version: string): string =>
  [nameOf(resource), ...(version === '' ? [] : [version])].join('-');
export const partName = (set: SetId, part: string): string => `${setName(set)}-${part}`;
export const claimName = (resource: ResourceId, volume: string): string => `${nameOf(resource)}-${volume}`;
export const epochName = ({ project, target }: Scope): string => fitting(`sluice-${target}-${project}`);

type Plural = 'pods' | 'services' | 'configmaps' | 'secrets' | 'persistentvolumeclaims';
/** Paths of collections and of objects. */
export const corePath = ({ namespace }: Scope, plural: Plural, name?: string): string =>
  at(`/api/v1/namespaces/${namespace}/${plural}`, name);
export const setsPath = ({ namespace }: Scope, name?: string): string =>
  at(`/apis/apps/v1/namespaces/${namespace}/replicasets`, name);
export const routesPath = ({ namespace }: Scope, name?: string): string =>
  at(`/apis/gateway.networking.k8s.io/v1/namespaces/${namespace}/httproutes`, name);
export const scalersPath = ({ namespace }: Scope, name?: string): string =>
  at(`/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers`, name);
const at = (path: string, name: string | undefined) => (name === undefined ? path : `${path}/${name}`);
