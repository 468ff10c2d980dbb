/** Commits as declarations: only blobs that changed are read and parsed, and only resources that changed are resolved. */
import { compare, entryAt, list } from '../git/compare.ts';
import type { Objects, TreeEntry } from '../git/types.ts';
import { DEFAULT_IMAGES } from '../manifest/documents.ts';
import type { ManifestFile, ParsedFile } from '../manifest/parsed.ts';
import { type ImageTree, type Resolved, referencedImages, resolve } from '../manifest/resolve.ts';
import type { Declared, Oid, Resource, ResourceId } from '../manifest/resource.ts';
import { MAX_SCRIPT, referencedScripts, type ScriptFile } from '../manifest/script-file.ts';
import type { KeptParses } from './kept-parses.ts';

export interface Snapshots {
  /** What a commit declares; the next one is read as a difference from it. */
  load(commit: Oid): Promise<Declared>;
  /** One resource as another commit declared it; the commit that was loaded last stays where it is. */
  resourceAt(commit: Oid, id: ResourceId): Promise<Resource | undefined>;
}

interface Snapshot {
  commit: Oid;
  files: Map<string, ManifestFile>;
  images: Map<string, ImageTree>;
  resolved: Resolved;
}

/** So many other commits are kept at hand: the ones that rollouts under way and kept versions come from. */
const OTHERS = 8;

export function createSnapshots(objects: Objects, under: string, parses: KeptParses): Snapshots {
  let latest: Snapshot | undefined;
  const others = new Map<Oid, Snapshot>();

  async function take(commit: Oid): Promise<Snapshot> {
    if (latest?.commit === commit) return latest;
    const files = new Map(latest?.files);
    const changed = new Map<string, TreeEntry>();
    for (const { path, after } of await changesOf(objects, latest?.commit, commit, under)) {
      if (!isManifestPath(path, under)) continue;
      if (after === undefined) files.delete(path);
      else changed.set(path, after);
    }
    const parsed = await parseChanged(objects, changed, parses);
    for (const [path, { oid, mode }] of changed) {
      files.set(path, { path, oid, parsed: parsed.get(path) ?? notAFile(mode) });
    }
    const all = [...files.values()];
    const images = await imagesOf(objects, commit, all, latest);
    const scripts = await scriptsOf(objects, commit, all);
    return { commit, files, images, resolved: resolve(latest?.resolved, all, images, scripts) };
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
      return snapshot.resolved.resources.get(id) ?? snapshot.resolved.instances.get(id);
    },
  };
}

/** Of all kinds. */
export function asDeclared(commit: Oid, resolved: Resolved): Declared {
  const { memo: _, instances, invalidInstances, resources, invalid, ...declared } = resolved;
  return {
    ...{ commit, ...declared },
    resources: new Map<ResourceId, Resource>([...resources, ...instances]),
    invalid: new Set([...invalid, ...invalidInstances]),
  };
}

async function changesOf(objects: Objects, before: Oid | undefined, after: Oid, under: string) {
  if (before !== undefined) return compare(objects, before, after, under);
  const enter = (directory: string) => !skipped(directory, under);
  const entries = await list(objects, after, under, enter);
  return entries.map((entry) => ({ path: entry.path, after: entry as TreeEntry }));
}

/** `*.yaml` and `*.yml` outside of dot folders and of the image folder. */
function isManifestPath(path: string, under: string): boolean {
  return /\.ya?ml$/.test(path) && !skipped(path.slice(0, Math.max(0, path.lastIndexOf('/'))), under);
}

function skipped(directory: string, under: string): boolean {
  if (directory === DEFAULT_IMAGES || directory.startsWith(`${DEFAULT_IMAGES}/`)) return true;
  const inside = under === '' ? directory : directory.slice(under.length + 1);
  return inside.split('/').some((segment) => segment.startsWith('.'));
}

async function parseChanged(
  objects: Objects,
  changed: Map<string, TreeEntry>,
  parses: KeptParses,
): Promise<Map<string, ParsedFile>> {
  const result = new Map<string, ParsedFile>();
  const blobs = new Set<Oid>();
  for (const [path, { mode, oid }] of changed) {
    if (mode === 'file' || mode === 'executable') blobs.add(oid);
    else result.set(path, notAFile(mode));
  }
  const parsed = await parses.parse([...blobs], objects);
  for (const [path, { oid }] of changed) {
    const file = parsed.get(oid);
    if (file !== undefined && !result.has(path)) result.set(path, file);
  }
  return result;
}

/** Where a manifest should be. */
export function notAFile(mode: TreeEntry['mode']): ParsedFile {
  const message = `it is a ${mode}${mode === 'link' ? ', which is not followed' : ''}; commit the manifest itself as a file`;
  return {
    documents: [],
    diagnostics: [{ at: [1, 1], path: '', severity: 'error', code: 'not-a-file', message }],
    unreadable: true,
  };
}

async function imagesOf(
  objects: Objects,
  commit: Oid,
  files: ManifestFile[],
  before: Snapshot | undefined,
): Promise<Map<string, ImageTree>> {
  const images = new Map<string, ImageTree>();
  for (const directory of referencedImages(files)) {
    const entry = await entryAt(objects, commit, directory);
    if (entry?.mode !== 'tree') continue;
    const known = before?.images.get(directory);
    images.set(directory, known?.tree === entry.oid ? known : await imageTree(objects, entry.oid));
  }
  return images;
}

async function scriptsOf(objects: Objects, commit: Oid, files: ManifestFile[]): Promise<Map<string, ScriptFile>> {
  const scripts = new Map<string, ScriptFile>();
  for (const path of referencedScripts(files)) {
    const entry = await entryAt(objects, commit, path);
    if (entry !== undefined) scripts.set(path, await scriptFile(objects, entry));
  }
  return scripts;
}

async function scriptFile(objects: Objects, { mode, oid }: TreeEntry): Promise<ScriptFile> {
  if (mode === 'link') return { refused: 'a link' };
  if (mode === 'submodule') return { refused: 'a submodule' };
  if (mode === 'tree') return { refused: 'a folder' };
  const content = await objects.blob(oid);
  return content.length > MAX_SCRIPT ? { refused: 'too large' } : { oid, content };
}

async function imageTree(objects: Objects, tree: Oid): Promise<ImageTree> {
  const yaml = (await objects.tree(tree)).find(({ name, mode }) => name === 'image.yaml' && mode !== 'tree');
  if (yaml === undefined || (yaml.mode !== 'file' && yaml.mode !== 'executable')) return { tree };
  return { tree, yaml: await objects.blob(yaml.oid) };
}
