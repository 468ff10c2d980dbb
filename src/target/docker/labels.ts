/** What containers, volumes and images of Sluice are called and marked with on an engine. PURE. */
import { createHash } from 'node:crypto';
import type { PodTemplate, ResourceId } from '../../manifest/resource.ts';
import type { UnitRecord } from '../local/record.ts';

/** Whose they are: an engine may serve several repositories, and several targets of one. */
export interface Scope {
  project: string;
  target: string;
}

type Labels = Record<string, string>;

const L = {
  project: 'sluice/project',
  target: 'sluice/target',
  resource: 'sluice/resource',
  unit: 'sluice/unit',
  attempt: 'sluice/attempt',
  revision: 'sluice/revision',
  version: 'sluice/version',
  restarts: 'sluice/restarts',
  container: 'sluice/container',
  epoch: 'sluice/epoch',
  image: 'sluice/image',
  template: 'sluice/template',
  record: 'sluice/record',
} as const;

export const scopeLabels = ({ project, target }: Scope): Labels => ({ [L.project]: project, [L.target]: target });

export const epochLabel = (epoch: number): Labels => ({ [L.epoch]: String(epoch) });
export const epochOf = (labels: Labels): number => Number(labels[L.epoch] ?? 0) || 0;

export const resourceLabel = (resource: ResourceId): Labels => ({ [L.resource]: resource });

type UnitName = Pick<UnitRecord, 'resource' | 'unit'>;
type AttemptName = Pick<UnitRecord, 'resource' | 'unit' | 'attempt'>;

export const unitLabels = ({ resource, unit }: UnitName): Labels => ({ ...resourceLabel(resource), [L.unit]: unit });
/** Of the containers of one attempt, and of the volumes that go with it. */
export const attemptLabels = (record: AttemptName): Labels => ({ ...unitLabels(record), [L.attempt]: record.attempt });

/** Fleets and clusters are driven apart from replicas, on the same engine. */
export const isOfInstances = (resource: ResourceId): boolean => /^(Fleet|Cluster)\//.test(resource);

/** Of a volume that holds nothing, but what is remembered of an instance. */
export const recordLabels = (record: UnitName): Labels => ({
  ...unitLabels(record),
  [L.record]: JSON.stringify(record),
});
/** Undefined: there is none, or it cannot be read. The caller checks the shape. */
export const recordIn = (labels: Labels): unknown => parsed(labels[L.record]);

/** All that is needed to know the container again where no record of it is left. No secret is in a template. */
export function containerLabels(
  record: UnitRecord,
  container: { name: string; epoch: number; image: string; template: PodTemplate },
): Labels {
  return {
    ...attemptLabels(record),
    ...epochLabel(container.epoch),
    [L.revision]: record.revision,
    [L.version]: record.version,
    [L.restarts]: String(record.restarts),
    [L.container]: container.name,
    [L.image]: container.image,
    [L.template]: JSON.stringify(container.template),
  };
}

export interface Mark {
  resource: ResourceId;
  unit: string;
  attempt: string;
  revision: string;
  version: string;
  restarts: number;
  container: string;
  epoch: number;
  /** Undefined where it cannot be read. */
  template: PodTemplate | undefined;
}

/** What the labels of a container or a volume say. */
export function markOf(labels: Labels): Mark {
  const text = (name: string) => labels[name] ?? '';
  return {
    resource: text(L.resource) as ResourceId,
    unit: text(L.unit),
    attempt: text(L.attempt),
    revision: text(L.revision),
    version: text(L.version),
    restarts: Number(text(L.restarts)) || 0,
    container: text(L.container),
    epoch: epochOf(labels),
    template: readTemplate(labels[L.template]),
  };
}

function readTemplate(text: string | undefined): PodTemplate | undefined {
  const template = parsed(text) as PodTemplate | undefined;
  return Array.isArray(template?.spec?.containers) ? template : undefined;
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

export const asFilter = (labels: Labels): { label: string[] } => ({
  label: Object.entries(labels).map(([name, value]) => `${name}=${value}`),
});
/** Of the volumes of a scope those that mark an epoch, and those that hold a record. */
export const epochsFilter = (scope: Scope) => ({ label: [...asFilter(scopeLabels(scope)).label, L.epoch] });
export const recordsFilter = (scope: Scope) => ({ label: [...asFilter(scopeLabels(scope)).label, L.record] });

const part = (text: string) => text.replace(/[^a-zA-Z0-9_.-]/g, '-');
const named = ({ project, target }: Scope, ...parts: string[]) => [project, target, ...parts].map(part).join('.');
const kindOf = (resource: ResourceId) => resource.toLowerCase().replace('/', '.');

/** Unique for each attempt, so that the engine itself refuses to make one a second time. */
export const containerName = (
  scope: Scope,
  { resource, attempt }: Pick<UnitRecord, 'resource' | 'attempt'>,
  container: string,
): string => named(scope, kindOf(resource), attempt, container);

/** A disk is a unit's own, a file is shared by all; both outlive attempts. */
export const diskName = (scope: Scope, resource: ResourceId, volume: string, unit: string): string =>
  named(scope, kindOf(resource), 'disk', volume, unit);
export const fileName = (scope: Scope, resource: ResourceId, volume: string): string =>
  named(scope, kindOf(resource), 'file', volume);
export const attemptVolume = (scope: Scope, record: Pick<UnitRecord, 'resource' | 'attempt'>, volume: string): string =>
  named(scope, kindOf(record.resource), record.attempt, 'volume', volume);
/** Of each state of a record another, so that none takes the place of a later one. */
export const recordName = (scope: Scope, { resource, unit }: UnitName, epoch: number, count: number): string =>
  named(scope, kindOf(resource), 'record', unit, `${epoch}`, `${count}`);
/** In which the nodes of a cluster reach each other by their names. */
export const networkName = (scope: Scope, resource: ResourceId): string => named(scope, kindOf(resource), 'network');
export const epochName = (scope: Scope, epoch: number): string => named(scope, 'epoch', String(epoch));

const lower = (text: string) => text.toLowerCase().replace(/[^a-z0-9]+/g, '-');

/** Under which the images of a resource are kept: `sluice/shop-1a2b/containers/workload/web`. */
export const imageRepository = ({ project, target }: Scope, resource: ResourceId): string =>
  ['sluice', ...[project, target, ...resource.split('/')].map(lower)].join('/');
export const imageTag = (revision: string, image: string): string =>
  `${revision}-${createHash('sha256').update(image).digest('hex').slice(0, 8)}`;
