/** What a template names outside of itself. */
import type { PathSegment } from './diagnostic.ts';
import type { InstanceSpec, PodTemplate } from './resource.ts';

export interface FoundConfigMap {
  name: string;
  keys: string[];
  optional: boolean;
  path: PathSegment[];
}

const TEMPLATE = ['spec', 'template', 'spec'];

/** Every mention of a ConfigMap, with the keys that must be in it, and its place in the document. */
export function configMapsOf({ spec }: PodTemplate): FoundConfigMap[] {
  const found: FoundConfigMap[] = [];
  for (const [index, container] of spec.containers.entries()) {
    const path = [...TEMPLATE, 'containers', index];
    for (const [number, entry] of container.env.entries()) {
      if (!('valueFrom' in entry && 'configMapKeyRef' in entry.valueFrom)) continue;
      const { name, key, optional = false } = entry.valueFrom.configMapKeyRef;
      found.push({ name, keys: [key], optional, path: [...path, 'env', number, 'valueFrom', 'configMapKeyRef'] });
    }
    for (const [number, { configMapRef }] of container.envFrom.entries()) {
      if (configMapRef === undefined) continue;
      const { name, optional = false } = configMapRef;
      found.push({ name, keys: [], optional, path: [...path, 'envFrom', number, 'configMapRef'] });
    }
  }
  for (const [index, volume] of spec.volumes.entries()) {
    if (!('configMap' in volume)) continue;
    const { name, items = [], optional = false } = volume.configMap;
    found.push({
      name,
      keys: items.map(({ key }) => key),
      optional,
      path: [...TEMPLATE, 'volumes', index, 'configMap'],
    });
  }
  return found;
}

/** Each image once, at the place of its first mention. */
export function imagesOf({ spec }: PodTemplate): { name: string; path: PathSegment[] }[] {
  const found = new Map<string, PathSegment[]>();
  for (const [index, { image }] of spec.containers.entries())
    if (!found.has(image)) found.set(image, [...TEMPLATE, 'containers', index, 'image']);
  return [...found].map(([name, path]) => ({ name, path }));
}

/** The images of a fleet or a cluster, each at its place. */
export function instanceImages(spec: InstanceSpec): { name: string; path: PathSegment[] }[] {
  if (spec.kind === 'Cluster')
    return spec.create === undefined
      ? []
      : [{ name: clusterImage(spec.create, spec.version), path: ['spec', 'image'] }];
  return (['image', 'rollbackImage'] as const).flatMap((field) => {
    const name = spec[field];
    return name === undefined ? [] : [{ name, path: ['spec', field] }];
  });
}

/** `node` at version 1.36.3 is `node:1.36.3`. */
export const clusterImage = ({ image }: { image: string }, version: string): string => `${image}:${version}`;

export function scriptFiles(spec: InstanceSpec): { file: string; path: PathSegment[] }[] {
  const script = spec.kind === 'Fleet' ? spec.script : spec.upgrade.script;
  const path = spec.kind === 'Fleet' ? ['spec', 'script'] : ['spec', 'upgrade', 'script'];
  return (['run', 'rollback'] as const).flatMap((field) => {
    const source = script?.[field];
    return source !== undefined && 'file' in source ? [{ file: source.file, path: [...path, `${field}File`] }] : [];
  });
}

/** `hello:8` below `images` is `images/hello/8`. */
export function imageDirectory(folder: string, image: string): string {
  const colon = image.lastIndexOf(':');
  return `${folder}/${image.slice(0, colon)}/${image.slice(colon + 1)}`;
}
