/** What a template names outside of itself. */
import type { PathSegment } from './diagnostic.ts';
import type { PodTemplate } from './resource.ts';

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

/** `hello:8` below `images` is `images/hello/8`. */
export function imageDirectory(folder: string, image: string): string {
  const colon = image.lastIndexOf(':');
  return `${folder}/${image.slice(0, colon)}/${image.slice(colon + 1)}`;
}
