/** Commits as declarations: only blobs that changed are read and parsed, and only resources that changed are resolved. */
import { compare, entryAt, list } from '../git/compare.ts';
import type { Objects, TreeEntry } from '../git/types.ts';
import { DEFAULT_IMAGES } from '../manifest/documents.ts';
import { type ImageTree, missingImage } from '../manifest/image.ts';
import type { ParsedFile } from '../manifest/parsed.ts';
import { changedKeys, empty, type PersistentMap } from '../manifest/persistent-map.ts';
import { type Resolved, resolve } from '../manifest/resolve.ts';
import type { Declared, Oid, Resource, ResourceId } from '../manifest/resource.ts';
import { MAX_SCRIPT, type ScriptFile } from '../manifest/script-file.ts';
import { type Survey, survey } from '../manifest/survey.ts';
import { NO_USES, type Uses } from '../manifest/uses.ts';
import type { KeptParses } from './kept-parses.ts';

export interface Snapshots {
  /** What a commit declares; the next one is read as a difference from it. */
  load(commit: Oid): Promise<Declared>;
  /** One resource as another commit declared it; the commit that was loaded last stays where it is. */
  resourceAt(commit: Oid, id: ResourceId): Promise<Resource | undefined>;
}

interface Snapshot {
  commit: Oid;
  survey: Survey;
  images: PersistentMap<string, ImageTree>;
  scripts: PersistentMap<string, ScriptFile>;
  resolved: Resolved;
}

/** So many other commits are kept at hand: the ones that rollouts under way and kept versions come from. */
const OTHERS = 8;

export function createSnapshots(objects: Objects, under: string, parses: KeptParses): Snapshots {
  let latest: Snapshot | undefined;
  const others = new Map<Oid, Snapshot>();

  async function take(commit: Oid): Promise<Snapshot> {
    if (latest?.commit === commit) return latest;
    const changes = await changesOf(objects, latest?.commit, commit, under);
    const found = survey(await filesOf(objects, changes, under, parses, latest?.survey.files), latest?.survey);
    const images = await imagesOf(objects, commit, found, parses, latest);
    const scripts = await scriptsOf(objects, commit, found, changes, latest);
    return { commit, survey: found, images, scripts, resolved: resolve(latest?.resolved, found, images, scripts) };
  }

  return {
    async load(commit) {
      latest = await take(commit);
      return asDeclared(commit, latest.resolved);
    },
    async resourceAt(commit, id) {
      const snapshot = others.get(commit) ?? (await take(commit));
      others.delete(commit);
      others.set(commit, snapshot);
      const [oldest] = others.keys();
      if (others.size > OTHERS && oldest !== undefined) others.delete(oldest);
      return snapshot.resolved.resources.get(id);
    },
  };
}

export function asDeclared(commit: Oid, { memo: _, ...declared }: Resolved): Declared {
  return { commit, ...declared };
}

type Changes = { path: string; after?: TreeEntry }[];

async function changesOf(objects: Objects, before: Oid | undefined, after: Oid, under: string): Promise<Changes> {
  if (before !== undefined) return compare(objects, before, after, under);
  const enter = (directory: string) => !skipped(directory, under);
  const entries = await list(objects, after, under, enter);
  return entries.map((entry) => ({ path: entry.path, after: entry }));
}

/** `*.yaml` and `*.yml` outside of dot folders and of the image folder. Paths come folder by folder, so each folder is looked at once. */
function manifestPaths(under: string): (path: string) => boolean {
  let last: { directory: string; isSkipped: boolean } | undefined;
  return (path) => {
    if (!/\.ya?ml$/.test(path)) return false;
    const directory = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (last?.directory !== directory) last = { directory, isSkipped: skipped(directory, under) };
    return !last.isSkipped;
  };
}

function skipped(directory: string, under: string): boolean {
  if (directory === DEFAULT_IMAGES || directory.startsWith(`${DEFAULT_IMAGES}/`)) return true;
  const inside = under === '' ? directory : directory.slice(under.length + 1);
  return inside.split('/').some((segment) => segment.startsWith('.'));
}

async function filesOf(
  objects: Objects,
  changes: Changes,
  under: string,
  parses: KeptParses,
  before: Survey['files'] = empty(),
): Promise<Survey['files']> {
  const files = before.edit();
  const isManifest = manifestPaths(under);
  const changed = changes.filter(({ path }) => isManifest(path));
  const blobs = new Set<Oid>();
  for (const { after } of changed) if (after !== undefined && isFile(after)) blobs.add(after.oid);
  const parsed = await parses.parse([...blobs], objects);
  for (const { path, after } of changed) {
    if (after === undefined) {
      files.delete(path);
      continue;
    }
    const file = isFile(after) ? parsed.get(after.oid) : undefined;
    files.set(path, { path, oid: after.oid, parsed: file ?? notAFile(after.mode) });
  }
  return files.done();
}

const isFile = ({ mode }: TreeEntry): boolean => mode === 'file' || mode === 'executable';

/** Where a manifest should be. */
export function notAFile(mode: TreeEntry['mode']): ParsedFile {
  const message = `it is a ${mode}${mode === 'link' ? ', which is not followed' : ''}; commit the manifest itself as a file`;
  return {
    documents: [],
    diagnostics: [{ at: [1, 1], path: '', severity: 'error', code: 'not-a-file', message }],
    unreadable: true,
  };
}

/** Looked up are folders that were not named before, and those in which something changed. */
async function imagesOf(
  objects: Objects,
  commit: Oid,
  { folders, images: named }: Survey,
  parses: KeptParses,
  before: Snapshot | undefined,
): Promise<Snapshot['images']> {
  const images = (before?.images ?? empty<string, ImageTree>()).edit();
  const found = new Map<string, { tree: Oid; yaml: Oid | undefined }>();
  const changed = before === undefined ? [] : await changedIn(objects, before.commit, commit, folders);
  for (const directory of new Set([...namedAnew(before?.survey.images, named), ...changed])) {
    const entry = named.has(directory) ? await entryAt(objects, commit, directory) : undefined;
    if (entry?.mode !== 'tree') images.delete(directory);
    else if (images.get(directory)?.tree !== entry.oid)
      found.set(directory, { tree: entry.oid, yaml: await yamlIn(objects, entry.oid) });
  }
  const yamls = new Set([...found.values()].flatMap(({ yaml }) => yaml ?? []));
  const parsed = await parses.parseImages([...yamls], objects);
  for (const [directory, { tree, yaml }] of found)
    images.set(directory, { tree, image: parsed.get(yaml ?? '') ?? missingImage() });
  return images.done();
}

/** Everything below these folders in which something is different, by path. */
async function changedIn(objects: Objects, before: Oid, after: Oid, folders: Iterable<string>): Promise<Set<string>> {
  const changed = new Set<string>();
  for (const folder of folders)
    for (const { path } of await compare(objects, before, after, folder))
      for (const directory of withFolders(path)) changed.add(directory);
  return changed;
}

async function yamlIn(objects: Objects, tree: Oid): Promise<Oid | undefined> {
  const entry = (await objects.tree(tree)).find(({ name }) => name === 'image.yaml');
  return entry !== undefined && isFile(entry) ? entry.oid : undefined;
}

/** And those that are named no more. */
function* namedAnew(before: Uses = NO_USES, now: Uses): Generator<string> {
  for (const name of changedKeys(before, now)) if (before.has(name) !== now.has(name)) yield name;
}

/** `a/b/c`, `a/b` and `a`. */
function* withFolders(path: string): Generator<string> {
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) yield path.slice(0, end);
}

async function scriptsOf(
  objects: Objects,
  commit: Oid,
  { scripts: named }: Survey,
  changes: Changes,
  before: Snapshot | undefined,
): Promise<Snapshot['scripts']> {
  const scripts = (before?.scripts ?? empty<string, ScriptFile>()).edit();
  const changed = new Set(namedAnew(before?.survey.scripts, named));
  if (named.size > 0 && before !== undefined)
    for (const { path } of changes) for (const script of withFolders(path)) if (named.has(script)) changed.add(script);
  for (const path of changed) {
    const entry = named.has(path) ? await entryAt(objects, commit, path) : undefined;
    if (entry === undefined) scripts.delete(path);
    else scripts.set(path, await scriptFile(objects, entry));
  }
  return scripts.done();
}

async function scriptFile(objects: Objects, { mode, oid }: TreeEntry): Promise<ScriptFile> {
  if (mode === 'link') return { refused: 'a link' };
  if (mode === 'submodule') return { refused: 'a submodule' };
  if (mode === 'tree') return { refused: 'a folder' };
  const content = await objects.blob(oid);
  return content.length > MAX_SCRIPT ? { refused: 'too large' } : { oid, content };
}
