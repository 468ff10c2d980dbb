/**
 * What the files of a commit hold, before anything is resolved: which of them are manifests, their documents by name, and what
 * they name outside of themselves. Made from the survey of another commit, it costs with what is different.
 */
import { type Documents, imageFolders, NO_DOCUMENTS, updateDocuments } from './documents.ts';
import type { ManifestFile, ParsedDocument } from './parsed.ts';
import { type Change, changesOf, empty, type PersistentMap } from './persistent-map.ts';
import { imageDirectory } from './references.ts';
import { scriptPath } from './script-file.ts';
import { imageFolder, type KnownTarget, validTargets } from './targets.ts';
import { NO_USES, type Uses, UsesEdit } from './uses.ts';

/** By path. */
export type Files = PersistentMap<string, ManifestFile>;

export interface Survey {
  /** All of them; what lies in an image folder is content, and is left out of all that follows. */
  files: Files;
  /** The same object as long as they are the same. */
  folders: ReadonlySet<string>;
  documents: Documents;
  /** That create what runs on them. The same object as long as no document of a Target changed. */
  targets: ReadonlyMap<string, KnownTarget>;
  configMaps: Uses;
  /** The image folders to look up before `resolve`, e.g. `images/hello/8`. */
  images: Uses;
  /** The script files to look up before `resolve`. */
  scripts: Uses;
  /** Those that declare targets, in image folders too. */
  targetFiles: ReadonlyMap<string, ManifestFile>;
}

export interface FileChange {
  path: string;
  before: ManifestFile | undefined;
  after: ManifestFile | undefined;
}

export const NOTHING_SURVEYED: Survey = {
  files: empty(),
  folders: imageFolders([]),
  documents: NO_DOCUMENTS,
  targets: validTargets(NO_DOCUMENTS.targets),
  configMaps: NO_USES,
  images: NO_USES,
  scripts: NO_USES,
  targetFiles: new Map(),
};

/** An unchanged file must be the same object as in `before`, which is left as it is. */
export function survey(files: Files, before: Survey = NOTHING_SURVEYED): Survey {
  const targetFiles = targetFilesOf(files, before);
  const folders = sameSet(before.folders, imageFolders(targetFiles.values()));
  const changes = [...manifestChanges(before, { files, folders })];
  const documents = updateDocuments(before.documents, changes);
  const targets = documents.targets === before.documents.targets ? before.targets : validTargets(documents.targets);
  return {
    ...{ files, folders, documents, targets, targetFiles },
    configMaps: updateUses(before.configMaps, changes, namedConfigMaps),
    images:
      targets === before.targets
        ? updateUses(before.images, changes, namedImages(targets))
        : updateUses(NO_USES, manifestChanges(NOTHING_SURVEYED, { files, folders }), namedImages(targets)),
    scripts: updateUses(before.scripts, changes, namedScripts),
  };
}

/** The manifests that are different; a file that an image folder takes in, or lets go, has gone or come. */
export function* manifestChanges(
  before: Pick<Survey, 'files' | 'folders'>,
  after: Pick<Survey, 'files' | 'folders'>,
): Generator<FileChange> {
  const [wasImage, isImage] = [contentOf(before.folders), contentOf(after.folders)];
  for (const file of before.folders === after.folders
    ? changesOf(before.files, after.files)
    : allFiles(before, after)) {
    const path = file.key;
    const was = wasImage(path) ? undefined : file.before;
    const is = isImage(path) ? undefined : file.after;
    if (was !== is) yield { path, before: was, after: is };
  }
}

function* allFiles(
  before: Pick<Survey, 'files'>,
  after: Pick<Survey, 'files'>,
): Generator<Change<string, ManifestFile>> {
  for (const [key, is] of after.files) yield { key, before: before.files.get(key), after: is };
  for (const [key, was] of before.files) if (!after.files.has(key)) yield { key, before: was, after: undefined };
}

/** Whether a file lies in one of the folders. */
function contentOf(folders: ReadonlySet<string>): (path: string) => boolean {
  const prefixes = [...folders].map((folder) => `${folder}/`);
  return (path) => prefixes.some((prefix) => path.startsWith(prefix));
}

function targetFilesOf(files: Files, before: Survey): ReadonlyMap<string, ManifestFile> {
  let targetFiles: Map<string, ManifestFile> | undefined;
  for (const { key: path, after: file } of changesOf(before.files, files)) {
    const declares = file?.parsed.documents.some(({ kind }) => kind === 'Target') === true;
    if (!declares && !before.targetFiles.has(path)) continue;
    targetFiles ??= new Map(before.targetFiles);
    if (file !== undefined && declares) targetFiles.set(path, file);
    else targetFiles.delete(path);
  }
  return targetFiles ?? before.targetFiles;
}

function sameSet<T>(before: ReadonlySet<T>, now: ReadonlySet<T>): ReadonlySet<T> {
  return before.size === now.size && [...now].every((value) => before.has(value)) ? before : now;
}

type NamedBy = (document: ParsedDocument, path: string) => string[];

function updateUses(before: Uses, changes: Iterable<FileChange>, named: NamedBy): Uses {
  const uses = new UsesEdit(before);
  for (const change of changes) {
    const { path } = change;
    for (const document of change.before?.parsed.documents ?? [])
      for (const name of named(document, path)) uses.remove(name, path);
    for (const document of change.after?.parsed.documents ?? [])
      for (const name of named(document, path)) uses.add(name, path);
  }
  return uses.done();
}

const namedConfigMaps: NamedBy = ({ kind, declares }) =>
  kind === 'Workload' || kind === 'Service' ? (declares?.configMaps ?? []).map(({ name }) => name) : [];

const namedImages =
  (targets: ReadonlyMap<string, KnownTarget>): NamedBy =>
  ({ declares }) => {
    if (declares === undefined || !('images' in declares)) return [];
    const folder = imageFolder(targets.get(declares.spec.target)?.target);
    return folder === undefined
      ? []
      : declares.images.map((image) => imageDirectory(folder, typeof image === 'string' ? image : image.name));
  };

const namedScripts: NamedBy = ({ kind, declares }, path) =>
  kind === 'Fleet' || kind === 'Cluster' ? (declares?.scripts ?? []).map(({ file }) => scriptPath(path, file)) : [];
