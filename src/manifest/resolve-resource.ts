/** One valid document and what it names → a resource, or why it is none. */
import { hash } from 'node:crypto';
import { quote } from './diagnostic.ts';
import { type Entry, placeOf } from './documents.ts';
import type { ParsedImage } from './image.ts';
import { fromJsonText } from './json-text.ts';
import { nearest } from './nearest.ts';
import type { ConfigMapDocument, ConfigMapReference, Places, ResourceDocument, Where } from './parsed.ts';
import { containerInstance } from './policy.ts';
import { imageDirectory } from './references.ts';
import type { ConfigMap, Diagnostic, Image, Oid, ReplicasResource, ResourceId } from './resource.ts';
import type { Target } from './target.ts';
import { imageFolder } from './targets.ts';

export type Declaration = NonNullable<ResourceDocument['declares']>;

/** An image as a template names it, and what there is of it. */
export interface ImageSource {
  /** Absent: the target keeps its images in a folder of the machine. */
  directory?: string;
  tree?: Oid;
}

/** All that a resource is made of; when none of it changed, neither has the resource. */
export interface Sources {
  entry: Entry<ResourceDocument>;
  /** By digest; absent where there is no such target, or no valid one. */
  target?: { target: Target; digest: string };
  configMaps: (Entry<ConfigMapDocument> | 'missing' | 'invalid')[];
  images: ImageSource[];
}

export interface Made {
  sources: Sources;
  resource?: ReplicasResource;
  diagnostics: Diagnostic[];
}

const NONE: Diagnostic[] = [];

export const placesOf = ({ places }: Declaration): Places => fromJsonText(places);

export function sameSources(a: Sources, b: Sources): boolean {
  return (
    sameEntry(a.entry, b.entry) &&
    a.target?.digest === b.target?.digest &&
    a.configMaps.every((one, index) => sameSource(one, b.configMaps[index])) &&
    a.images.every(
      ({ directory, tree }, index) => directory === b.images[index]?.directory && tree === b.images[index]?.tree,
    )
  );
}

const sameEntry = (a: Entry, b: Entry) => a.document === b.document && a.path === b.path && a.oid === b.oid;
const sameSource = (a: Sources['configMaps'][number], b: Sources['configMaps'][number] | undefined) =>
  a === b || (typeof a === 'object' && typeof b === 'object' && sameEntry(a, b));

/** What else there is, for the error about what is not. */
export interface Names {
  targets(): string[];
  configMaps(): string[];
  isOfHosts(target: string): boolean;
}

/** `runs`: what the image in a folder does; undefined: it is invalid. */
export function makeResource(sources: Sources, runs: (directory: string) => ParsedImage['runs'], names: Names): Made {
  const { entry, target } = sources;
  const { document, path } = entry;
  const id: ResourceId = `${document.kind}/${document.name}`;
  const declares = document.declares as Declaration;
  const diagnostics: Diagnostic[] = [];
  const fail: Fail = (where, code, message) => {
    const { at, path: field } = where() ?? { at: document.at, path: '' };
    diagnostics.push({
      place: { file: path, line: at[0], column: at[1] },
      path: field,
      severity: 'error',
      code,
      message,
      resource: id,
    });
  };
  const ofTarget = () => ({ at: placesOf(declares).target, path: 'spec.target' });

  if (target === undefined && names.isOfHosts(declares.spec.target))
    fail(
      ofTarget,
      'bad-target',
      `Target ${quote(declares.spec.target)} has hosts, on which a ${document.kind} does not run; name one that creates replicas`,
    );
  else if (target === undefined)
    fail(ofTarget, 'missing-reference', missing('Target', declares.spec.target, names.targets()));
  else if (target.target.policy?.resources !== undefined) checkPolicy(declares, target.target.name, fail);
  const configMaps = configMapsOf(declares, sources.configMaps, names.configMaps, fail);
  const images = target === undefined ? {} : imagesOf(declares, sources.images, runs, fail);
  if (diagnostics.length > 0 || target === undefined) return { sources, diagnostics };

  const revision = revisionOf(declares, sources);
  const resource: ReplicasResource = {
    id,
    spec: declares.spec,
    revision,
    digest: hash('sha256', `${id} ${declares.specDigest} ${revision} ${target.digest}`).slice(0, 16),
    runnable: { resource: id, revision, template: declares.template, configMaps, images },
    inputs: inputsOf(sources),
    place: placeOf(entry),
  };
  return { sources, resource, diagnostics: NONE };
}

/** Each path once. */
function inputsOf({ entry, configMaps, images }: Sources): ReplicasResource['inputs'] {
  const inputs = [{ path: entry.path, oid: entry.oid }];
  for (const source of configMaps) if (typeof source === 'object') addInput(inputs, source.path, source.oid);
  for (const { directory, tree } of images)
    if (directory !== undefined && tree !== undefined) addInput(inputs, directory, tree);
  return inputs;
}

function addInput(inputs: { path: string; oid: Oid }[], path: string, oid: Oid): void {
  if (!inputs.some((input) => input.path === path)) inputs.push({ path, oid });
}

/** Only what changes what runs, and only what the commit holds: see the design's "Revision". */
function revisionOf({ templateDigest, configMaps, images }: Declaration, sources: Sources): string {
  const found: [string, string][] = [];
  for (const [index, source] of sources.configMaps.entries())
    if (typeof source === 'object') found.push([configMaps[index]?.name ?? '', source.document.declares?.digest ?? '']);
  const trees: [string, string][] = [];
  for (const [index, { tree }] of sources.images.entries())
    if (tree !== undefined) trees.push([images[index] ?? '', tree]);
  // What `digest` makes of an object with these three, which would take longer than all else that is done for a resource.
  const canonical = `{"configMaps":${canonicalMap(found)},"images":${canonicalMap(trees)},"template":${JSON.stringify(templateDigest)}}`;
  return hash('sha256', canonical).slice(0, 10);
}

function canonicalMap(texts: [key: string, text: string][]): string {
  const sorted = texts.length > 1 ? [...new Map(texts)].sort(([a], [b]) => (a < b ? -1 : 1)) : texts;
  return `{${sorted.map(([key, text]) => `${JSON.stringify(key)}:${JSON.stringify(text)}`).join(',')}}`;
}

/** `where` is looked up only then. */
type Fail = (where: () => Where | undefined, code: string, message: string) => void;

function missing(kind: string, name: string, known: string[]): string {
  const guess = nearest(name, known);
  if (guess !== undefined) return `there is no ${kind} ${quote(name)}; did you mean ${quote(guess)}?`;
  const list =
    known.length === 0
      ? 'none is declared'
      : `declared: ${known.slice(0, 10).join(', ')}${known.length > 10 ? ' …' : ''}`;
  return `there is no valid ${kind} ${quote(name)}; ${list}`;
}

function checkPolicy(declares: Declaration, target: string, fail: Fail): void {
  const path = 'spec.template.spec.containers';
  for (const { container, message } of containerInstance(fromJsonText(declares.template).spec.containers)) {
    const isUnit = container === undefined;
    const at = (isUnit ? undefined : placesOf(declares).resources[container]) ?? placesOf(declares).containers;
    fail(
      () => ({ at, path: isUnit ? path : `${path}[${container}].resources` }),
      'policy',
      `Target ${quote(target)} admits container instances only: ${message}`,
    );
  }
}

function configMapsOf(
  declares: Declaration,
  sources: Sources['configMaps'],
  known: () => string[],
  fail: Fail,
): Record<string, ConfigMap> {
  const found: [string, ConfigMap][] = [];
  for (const [index, reference] of declares.configMaps.entries()) {
    const source = sources[index];
    const { name } = reference;
    const where = () => placesOf(declares).configMaps[index];
    if (source === 'invalid')
      fail(where, 'invalid-reference', `ConfigMap ${quote(name)} is invalid; see the error at its own place`);
    else if (source === undefined || source === 'missing') {
      if (!reference.optional) fail(where, 'missing-reference', missing('ConfigMap', name, known()));
    } else if (source.document.declares) {
      const { configMap } = source.document.declares;
      checkKeys(reference, configMap, where, fail);
      found.push([name, configMap]);
    }
  }
  return recordOf(found);
}

const NO_CONFIG_MAPS: Record<string, ConfigMap> = {};

/** The record of each ConfigMap that is named alone. */
const alone = new WeakMap<ConfigMap, Record<string, ConfigMap>>();

/** Most resources name one ConfigMap or none, and share it with others: they share the record of it too. */
function recordOf(found: [name: string, configMap: ConfigMap][]): Record<string, ConfigMap> {
  const only = found[0]?.[1];
  if (only === undefined) return NO_CONFIG_MAPS;
  if (found.some(([, other]) => other !== only)) return Object.fromEntries(found);
  const known = alone.get(only);
  if (known !== undefined) return known;
  const record = Object.fromEntries(found);
  alone.set(only, record);
  return record;
}

function checkKeys(
  { name, keys, optional }: ConfigMapReference,
  { data, binaryData }: ConfigMap,
  where: () => Where | undefined,
  fail: Fail,
): void {
  if (optional) return;
  for (const key of keys) {
    if (Object.hasOwn(data, key) || Object.hasOwn(binaryData, key)) continue;
    const known = [...Object.keys(data), ...Object.keys(binaryData)];
    fail(where, 'missing-reference', missing(`key of ConfigMap ${quote(name)}`, key, known));
  }
}

function imagesOf(
  declares: Declaration,
  sources: ImageSource[],
  runsOf: (directory: string) => ParsedImage['runs'],
  fail: Fail,
): Record<string, Image> {
  const images: Record<string, Image> = {};
  for (const [index, name] of declares.images.entries()) {
    const { directory, tree } = sources[index] ?? {};
    const where = () => placesOf(declares).images[index];
    if (directory === undefined) images[name] = { name, command: [], env: {} };
    else if (tree === undefined)
      fail(
        where,
        'missing-reference',
        `there is no image ${quote(name)}: the folder ${quote(directory)} is not in this commit; add it with an image.yaml`,
      );
    else {
      const runs = runsOf(directory);
      if (runs === undefined)
        fail(
          where,
          'invalid-reference',
          `the image ${quote(name)} is invalid; see the error in ${directory}/image.yaml`,
        );
      else images[name] = { name, tree, ...runs };
    }
  }
  return images;
}

/** Where the images of a declaration lie on a target. */
export function imageSources(
  { images }: Declaration,
  target: Target | undefined,
  tree: (directory: string) => Oid | undefined,
): ImageSource[] {
  const folder = imageFolder(target);
  if (folder === undefined) return images.map(() => ({}));
  return images.map((name) => {
    const directory = imageDirectory(folder, name);
    const oid = tree(directory);
    return { directory, ...(oid !== undefined && { tree: oid }) };
  });
}
