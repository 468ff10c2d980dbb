/** The documents of all files by kind and name. */
import { quote } from './diagnostic.ts';
import { isUpgraded } from './kinds.ts';
import type {
  ConfigMapDocument,
  FileDiagnostic,
  InstanceDocument,
  ManifestFile,
  OperationDocument,
  ParsedDocument,
  ResourceDocument,
  TargetDocument,
} from './parsed.ts';
import type { Diagnostic, InstanceResourceId, Oid, Place, ResourceId, SshTarget } from './resource.ts';

/** A document where it lies. */
export interface Entry<D extends ParsedDocument = ParsedDocument> {
  document: D;
  path: string;
  oid: Oid;
}

export interface Documents {
  resources: Map<ResourceId, Entry<ResourceDocument>[]>;
  instances: Map<InstanceResourceId, Entry<InstanceDocument>[]>;
  configMaps: Map<string, Entry<ConfigMapDocument>[]>;
  targets: Map<string, Entry<TargetDocument>[]>;
  operations: Map<string, Entry<OperationDocument>[]>;
}

/** Where images lie when no target says so. */
export const DEFAULT_IMAGES = 'images';

/** What lies in an image folder is content, not a manifest. */
export function manifestsOf(files: readonly ManifestFile[]): ManifestFile[] {
  const folders = imageFolders(files).map((folder) => `${folder}/`);
  return files.filter(({ path }) => !folders.some((folder) => path.startsWith(folder)));
}

function imageFolders(files: readonly ManifestFile[]): string[] {
  const folders = new Set<string>();
  let isLocalDeclared = false;
  for (const { parsed } of files)
    for (const document of parsed.documents) {
      if (document.kind !== 'Target') continue;
      isLocalDeclared ||= document.name === 'local';
      if (document.declares?.ssh !== undefined || document.declares?.docker !== undefined) continue;
      const images = document.declares?.local?.images ?? DEFAULT_IMAGES;
      if (!images.startsWith('/')) folders.add(images);
    }
  if (!isLocalDeclared) folders.add(DEFAULT_IMAGES);
  return [...folders];
}

export interface FileChanges {
  removed: ManifestFile[];
  added: ManifestFile[];
}

/** What is different from `previous`; a file that changed is in both lists. An unchanged one is known by its `parsed` object. */
export function compareFiles(previous: ReadonlyMap<string, ManifestFile>, files: readonly ManifestFile[]): FileChanges {
  const changes: FileChanges = { removed: [], added: [] };
  let kept = 0;
  for (const file of files) {
    const before = previous.get(file.path);
    if (before !== undefined) kept++;
    if (before?.parsed === file.parsed && before.oid === file.oid) continue;
    if (before !== undefined) changes.removed.push(before);
    changes.added.push(file);
  }
  if (kept === previous.size) return changes;
  const paths = new Set(files.map(({ path }) => path));
  for (const [path, file] of previous) if (!paths.has(path)) changes.removed.push(file);
  return changes;
}

/** `previous` stays as it is. */
export function updateDocuments(previous: Documents | undefined, { removed, added }: FileChanges): Documents {
  const documents: Documents = {
    resources: new Map(previous?.resources),
    instances: new Map(previous?.instances),
    configMaps: new Map(previous?.configMaps),
    targets: new Map(previous?.targets),
    operations: new Map(previous?.operations),
  };
  for (const { path, parsed } of removed)
    for (const document of parsed.documents) {
      const { map, key } = placeIn(documents, document);
      const left = (map.get(key) ?? []).filter((entry) => entry.path !== path);
      if (left.length > 0) map.set(key, left);
      else map.delete(key);
    }
  // The lists of `previous` are copied before they grow.
  const own = new Set<Entry[]>();
  for (const { path, oid, parsed } of added)
    for (const document of parsed.documents) {
      const { map, key } = placeIn(documents, document);
      let entries = map.get(key);
      if (entries === undefined || !own.has(entries)) {
        entries = [...(entries ?? [])];
        own.add(entries);
        map.set(key, entries);
      }
      entries.push({ document, path, oid });
    }
  for (const entries of own) if (entries.length > 1) entries.sort(byPath);
  return documents;
}

const byPath = (a: Entry, b: Entry) => (a.path < b.path ? -1 : Number(a.path > b.path));

function placeIn(documents: Documents, { kind, name }: ParsedDocument): { map: Map<string, Entry[]>; key: string } {
  const maps = { ConfigMap: documents.configMaps, Target: documents.targets, Operation: documents.operations };
  if (kind === 'Workload' || kind === 'Service') return { map: documents.resources, key: `${kind}/${name}` };
  if (kind === 'Fleet' || kind === 'Cluster') return { map: documents.instances, key: `${kind}/${name}` };
  return { map: maps[kind], key: name };
}

/** The one document of a name, if there is exactly one and it is valid. */
export function single<E extends Entry>(entries: E[] | undefined): E | 'missing' | 'invalid' {
  const [entry] = entries ?? [];
  if (entry === undefined) return 'missing';
  return entries?.length === 1 && entry.document.declares !== undefined ? entry : 'invalid';
}

/** The hosts of a Target that has them. */
export function ofHosts(entries: Entry<TargetDocument>[] | undefined): SshTarget | undefined {
  const entry = single(entries);
  return typeof entry === 'object' ? entry.document.declares?.ssh : undefined;
}

export const placed = (file: string, { at: [line, column], ...rest }: FileDiagnostic): Diagnostic => ({
  place: { file, line, column },
  ...rest,
});
export const placeOf = ({ path, document }: Entry): Place => ({
  file: path,
  line: document.at[0],
  column: document.at[1],
});
const placeText = ({ file, line, column }: Place) => `${file}:${line}:${column}`;

/** One error at each of several documents of one kind and name; none for a single one. */
export function duplicates(entries: readonly Entry[]): Diagnostic[] {
  if (entries.length < 2) return [];
  return entries.map((entry) => {
    const { kind, name } = entry.document;
    return {
      place: placeOf(entry),
      path: 'metadata.name',
      severity: 'error',
      code: 'duplicate-name',
      message: `${kind} ${quote(name)} is declared at ${listOthers(entries, entry, (other) => placeText(placeOf(other)))} too, which makes all of them invalid; rename or remove one`,
      ...(isUpgraded(kind) && { resource: `${kind}/${name}` as ResourceId }),
    };
  });
}

const LISTED = 3;

/** The first few of `all` but `one`. */
export function listOthers<T>(all: readonly T[], one: T, show: (other: T) => string): string {
  const others = all
    .slice(0, LISTED + 1)
    .filter((other) => other !== one)
    .slice(0, LISTED);
  const more = all.length - 1 - others.length;
  return `${others.map(show).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
