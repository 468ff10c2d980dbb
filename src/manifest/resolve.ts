/**
 * The files of a commit → what it declares: references resolved, duplicates refused, revisions made. What did not change since
 * the last time is taken over: for that, some maps are copied and some lists walked, but nothing is hashed or checked again.
 */
import { quote } from './diagnostic.ts';
import {
  compareFiles,
  type Documents,
  duplicates,
  type Entry,
  type FileChanges,
  listOthers,
  manifestsOf,
  ofHosts,
  placed,
  placeOf,
  single,
  updateDocuments,
} from './documents.ts';
import { type ParsedImage, parseImage } from './image.ts';
import type { ManifestFile } from './parsed.ts';
import { type ResolvedInstances, resolveInstances, type Surroundings } from './resolve-instances.ts';
import { imageSources, type Made, makeResource, type Sources, sameSources } from './resolve-resource.ts';
import type { Declared, Diagnostic, Oid, Operation, ReplicasResource, ResourceId } from './resource.ts';
import type { ScriptFile } from './script-file.ts';
import { type KnownTarget, validTargets } from './targets.ts';

export { referencedImages } from './targets.ts';

/** An image folder of the commit: the id of its tree, and its `image.yaml`, where it has one. */
export interface ImageTree {
  tree: Oid;
  yaml?: string | Uint8Array;
}

/** All that a commit declares but its id (in no certain order), and what the next `resolve` takes over. */
export interface Resolved extends Omit<Declared, 'commit' | 'resources' | 'hostTargets'>, ResolvedInstances {
  resources: Map<ResourceId, ReplicasResource>;
  memo: Memo;
}
interface Memo {
  files: Map<string, ManifestFile>;
  documents: Documents;
  /** Of each id that is declared once and valid by itself. */
  made: Map<ResourceId, Made>;
  /** Those that share a host with others, by host. */
  sharing: Map<string, ResourceId[]>;
  trees: Map<string, Oid>;
  images: Map<Oid, ParsedImage>;
}

/**
 * `images`: what is at each folder of `referencedImages(files)`; absent where there is nothing; `scripts`: the same for
 * `referencedScripts(files)`. A resource whose document,
 * ConfigMaps, images and target are those of `previous` is the same object as there; for that, an unchanged blob must come
 * with the same `parsed` object. `previous` is left as it is.
 */
export function resolve(
  previous: Resolved | undefined,
  files: readonly ManifestFile[],
  images: ReadonlyMap<string, ImageTree>,
  scripts: ReadonlyMap<string, ScriptFile> = new Map(),
): Resolved {
  const before = previous?.memo;
  const manifests = manifestsOf(files);
  const changes = compareFiles(before?.files ?? new Map(), manifests);
  const documents = updateDocuments(before?.documents, changes);
  const targets = validTargets(documents.targets);
  const memo: Memo = {
    files: new Map(manifests.map((file) => [file.path, file])),
    documents,
    made: new Map(before?.made),
    sharing: new Map(),
    trees: new Map([...images].map(([directory, { tree }]) => [directory, tree])),
    images: parsedImages(before, images),
  };
  const resolved: Resolved = {
    resources: new Map(previous?.resources),
    operations: operationsOf(documents),
    targets: new Map([...targets].map(([name, { target }]) => [name, target])),
    diagnostics: [],
    invalid: new Set(previous?.invalid),
    unreadable: new Set(),
    instances: new Map(),
    invalidInstances: new Set(),
    hostTargets: new Map(),
    memo,
  };
  for (const id of affected(before, memo, changes)) resolveResource(resolved, id, targets);
  refuseSharedHosts(resolved);
  const surroundings: Surroundings = {
    documents,
    targets,
    hosts: () => new Map([...resolved.resources].map(([id, { spec }]) => [spec.host, id])),
    tree: (directory) => memo.trees.get(directory),
    image: (tree) => memo.images.get(tree) ?? NO_IMAGE,
    scripts,
  };
  Object.assign(resolved, resolveInstances(surroundings, previous?.instances, resolved.diagnostics));
  collectDiagnostics(resolved, images);
  return resolved;
}

/** The resources to look at anew. */
function affected(
  before: Memo | undefined,
  { documents, trees }: Memo,
  { removed, added }: FileChanges,
): Iterable<ResourceId> {
  const changed = [...removed, ...added].flatMap(({ parsed }) => parsed.documents);
  if (before === undefined || changed.some(({ kind }) => kind === 'Target')) {
    return new Set([...documents.resources.keys(), ...(before?.documents.resources.keys() ?? [])]);
  }
  const ids = new Set<ResourceId>([...before.sharing.values()].flat());
  const configMaps = new Set<string>();
  for (const { kind, name } of changed) {
    if (kind === 'ConfigMap') configMaps.add(name);
    else if (kind === 'Workload' || kind === 'Service') ids.add(`${kind}/${name}`);
  }
  const directories = new Set<string>();
  for (const directory of new Set([...before.trees.keys(), ...trees.keys()]))
    if (before.trees.get(directory) !== trees.get(directory)) directories.add(directory);
  for (const [id, { sources, resource }] of before.made)
    if (resource === undefined || names(sources, configMaps, directories)) ids.add(id);
  return ids;
}

function names({ entry, images }: Sources, configMaps: Set<string>, directories: Set<string>): boolean {
  if (configMaps.size > 0 && entry.document.declares?.configMaps.some(({ name }) => configMaps.has(name))) return true;
  return directories.size > 0 && images.some(({ directory }) => directory !== undefined && directories.has(directory));
}

const NO_IMAGE: ParsedImage = { diagnostics: [] };

function resolveResource(
  { resources, invalid, memo }: Resolved,
  id: ResourceId,
  targets: Map<string, KnownTarget>,
): void {
  const { documents, made, trees, images } = memo;
  const before = made.get(id);
  made.delete(id);
  resources.delete(id);
  invalid.delete(id);
  const entry = single(documents.resources.get(id));
  if (entry === 'missing') return;
  if (entry === 'invalid' || entry.document.declares === undefined) {
    invalid.add(id);
    return;
  }
  const { declares } = entry.document;
  const target = targets.get(declares.spec.target);
  const sources: Sources = {
    entry,
    ...(target && { target }),
    configMaps: declares.configMaps.map(({ name }) => single(documents.configMaps.get(name))),
    images: imageSources(declares, target?.target, (directory) => trees.get(directory)),
  };
  // An error also names what else there is, so it is made anew; a resource depends on its sources only.
  const isSame = before?.resource !== undefined && sameSources(before.sources, sources);
  const now = isSame
    ? before
    : makeResource(sources, (tree) => images.get(tree) ?? NO_IMAGE, {
        targets: () => [...targets.keys()],
        configMaps: () => [...documents.configMaps.keys()],
        isOfHosts: (name) => ofHosts(documents.targets.get(name)) !== undefined,
      });
  made.set(id, now);
  if (now.resource === undefined) invalid.add(id);
  else resources.set(id, now.resource);
}

function operationsOf({ operations }: Documents): Map<string, Operation> {
  const found = new Map<string, Operation>();
  for (const [name, entries] of operations) {
    const entry = single(entries);
    if (typeof entry === 'object' && entry.document.declares !== undefined)
      found.set(name, { name, ...entry.document.declares, place: placeOf(entry) });
  }
  return found;
}

function parsedImages(before: Memo | undefined, images: ReadonlyMap<string, ImageTree>): Map<Oid, ParsedImage> {
  const parsed = new Map<Oid, ParsedImage>();
  for (const { tree, yaml } of images.values())
    if (!parsed.has(tree)) parsed.set(tree, before?.images.get(tree) ?? parsedImage(yaml));
  return parsed;
}

function parsedImage(yaml: string | Uint8Array | undefined): ParsedImage {
  if (yaml !== undefined) return parseImage(yaml);
  const message = 'there is no image.yaml in this folder; add one with a command, such as "command: [node, server.js]"';
  return { diagnostics: [{ at: [1, 1], path: '', severity: 'error', code: 'missing-image-yaml', message }] };
}

/** The router could serve only one of them, so it serves neither anew. */
function refuseSharedHosts({ resources, invalid, memo: { sharing } }: Resolved): void {
  const first = new Map<string, ResourceId>();
  for (const [id, { spec }] of resources) {
    const before = first.get(spec.host);
    if (before === undefined) first.set(spec.host, id);
    else if (!sharing.has(spec.host)) sharing.set(spec.host, [before, id]);
    else sharing.get(spec.host)?.push(id);
  }
  for (const ids of sharing.values())
    for (const id of ids.sort()) {
      invalid.add(id);
      resources.delete(id);
    }
}

function collectDiagnostics({ diagnostics, unreadable, memo }: Resolved, images: ReadonlyMap<string, ImageTree>): void {
  for (const [path, { parsed }] of memo.files) {
    if (parsed.unreadable) unreadable.add(path);
    for (const diagnostic of parsed.diagnostics) diagnostics.push(placed(path, diagnostic));
  }
  for (const map of Object.values(memo.documents) as Map<string, Entry[]>[])
    for (const entries of map.values()) if (entries.length > 1) diagnostics.push(...duplicates(entries));
  for (const made of memo.made.values()) for (const diagnostic of made.diagnostics) diagnostics.push(diagnostic);
  for (const [directory, { tree }] of images)
    for (const diagnostic of memo.images.get(tree)?.diagnostics ?? [])
      diagnostics.push(placed(`${directory}/image.yaml`, diagnostic));
  diagnostics.push(...hostDiagnostics(memo));
  diagnostics.sort(byPlace);
}

function hostDiagnostics({ made, sharing }: Memo): Diagnostic[] {
  return [...sharing].flatMap(([host, ids]) =>
    ids.flatMap((id) => {
      const entry = made.get(id)?.sources.entry;
      if (entry === undefined) return [];
      const [line, column] = entry.document.declares?.hostAt ?? entry.document.at;
      return {
        place: { file: entry.path, line, column },
        path: 'spec.host',
        severity: 'error',
        code: 'duplicate-host',
        message: `the host ${quote(host)} is also that of ${listOthers(ids, id, String)}, which makes all of them invalid; give each a host of its own`,
        resource: id,
      };
    }),
  );
}

const byPlace = (a: Diagnostic, b: Diagnostic) =>
  compare(a.place.file, b.place.file) || a.place.line - b.place.line || a.place.column - b.place.column;
const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));
