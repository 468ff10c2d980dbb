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
import { empty, type MapEdit, type PersistentMap } from './persistent-map.ts';
import type { Diagnostic, InstanceResourceId, Oid, Place, ResourceId } from './resource.ts';
import type { FileChange } from './survey.ts';
import type { SshTarget } from './target.ts';

/** A document where it lies. */
export interface Entry<D extends ParsedDocument = ParsedDocument> {
  document: D;
  path: string;
  oid: Oid;
}

export interface Documents {
  resources: PersistentMap<ResourceId, readonly Entry<ResourceDocument>[]>;
  instances: PersistentMap<InstanceResourceId, readonly Entry<InstanceDocument>[]>;
  configMaps: PersistentMap<string, readonly Entry<ConfigMapDocument>[]>;
  targets: PersistentMap<string, readonly Entry<TargetDocument>[]>;
  operations: PersistentMap<string, readonly Entry<OperationDocument>[]>;
}

export const NO_DOCUMENTS: Documents = {
  resources: empty(),
  instances: empty(),
  configMaps: empty(),
  targets: empty(),
  operations: empty(),
};

/** Where images lie when no target says so. */
export const DEFAULT_IMAGES = 'images';

/** `./a//b` is `a/b`, as Git has it. */
export const plainPath = (path: string): string =>
  path
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .join('/');

/** The folders of the repository that hold images, by the targets in these files; valid ones or not. */
export function imageFolders(files: Iterable<ManifestFile>): ReadonlySet<string> {
  const folders = new Set<string>();
  let isLocalDeclared = false;
  for (const { parsed } of files)
    for (const document of parsed.documents) {
      if (document.kind !== 'Target') continue;
      isLocalDeclared ||= document.name === 'local';
      const { declares } = document;
      if (declares !== undefined && declares.local === undefined) continue;
      const images = declares?.local?.images ?? DEFAULT_IMAGES;
      if (!images.startsWith('/')) folders.add(plainPath(images));
    }
  if (!isLocalDeclared) folders.add(DEFAULT_IMAGES);
  return folders;
}

type Edits = { [Kind in keyof Documents]: ReturnType<Documents[Kind]['edit']> };

/** `before` stays as it is. */
export function updateDocuments(before: Documents, changes: Iterable<FileChange>): Documents {
  const edits: Edits = {
    resources: before.resources.edit(),
    instances: before.instances.edit(),
    configMaps: before.configMaps.edit(),
    targets: before.targets.edit(),
    operations: before.operations.edit(),
  };
  // The lists of `before` are copied before they change, and so are those of one, of which most names have no more.
  const own = new Set<readonly Entry[]>();
  for (const change of changes) {
    const { path, after } = change;
    for (const document of change.before?.parsed.documents ?? []) {
      const { edit, key } = placeIn(edits, document);
      const left = (edit.get(key) ?? []).filter((entry) => entry.path !== path);
      own.add(left);
      if (left.length > 0) edit.set(key, left);
      else edit.delete(key);
    }
    for (const document of after?.parsed.documents ?? []) {
      const { edit, key } = placeIn(edits, document);
      const entry = { document, path, oid: after?.oid ?? '' };
      const there = edit.get(key);
      if (there === undefined) edit.set(key, [entry]);
      else if (own.has(there)) (there as Entry[]).push(entry);
      else {
        const entries = [...there, entry];
        own.add(entries);
        edit.set(key, entries);
      }
    }
  }
  for (const entries of own) (entries as Entry[]).sort(byPath);
  return {
    resources: edits.resources.done(),
    instances: edits.instances.done(),
    configMaps: edits.configMaps.done(),
    targets: edits.targets.done(),
    operations: edits.operations.done(),
  };
}

const byPath = (a: Entry, b: Entry) => (a.path < b.path ? -1 : Number(a.path > b.path));

function placeIn(edits: Edits, { kind, name }: ParsedDocument) {
  const found =
    kind === 'Workload' || kind === 'Service'
      ? { edit: edits.resources, key: `${kind}/${name}` }
      : kind === 'Fleet' || kind === 'Cluster'
        ? { edit: edits.instances, key: `${kind}/${name}` }
        : {
            edit: { ConfigMap: edits.configMaps, Target: edits.targets, Operation: edits.operations }[kind],
            key: name,
          };
  return found as { edit: MapEdit<string, readonly Entry[]>; key: string };
}

/** The one document of a name, if there is exactly one and it is valid. */
export function single<E extends Entry>(entries: readonly E[] | undefined): E | 'missing' | 'invalid' {
  const [entry] = entries ?? [];
  if (entry === undefined) return 'missing';
  return entries?.length === 1 && entry.document.declares !== undefined ? entry : 'invalid';
}

/** The hosts of a Target that has them. */
export function ofHosts(entries: readonly Entry<TargetDocument>[] | undefined): SshTarget | undefined {
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
