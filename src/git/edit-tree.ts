/** Writes the trees that a set of changed files makes, along the changed paths alone. */
import type { Oid } from '../manifest/resource.ts';
import { GitError } from './errors.ts';
import type { Objects, TreeEntry } from './types.ts';

/** The new content of a file by its path; null deletes. */
export type FileChanges = ReadonlyMap<string, Buffer | TreeEntry | null>;

interface Folder {
  files: Map<string, Buffer | TreeEntry | null>;
  folders: Map<string, Folder>;
}

/** Blobs written at a time. */
const PARALLEL = 16;

/** The root tree that `tree` becomes; directories that end up empty go, and an empty root is the empty tree. */
export async function editTree(objects: Objects, tree: Oid | undefined, changes: FileChanges): Promise<Oid> {
  return (await editFolder(objects, tree, grouped(changes))) ?? (await objects.writeTree([]));
}

function grouped(changes: FileChanges): Folder {
  const root: Folder = { files: new Map(), folders: new Map() };
  for (const [path, change] of changes) {
    const names = path.split('/');
    const last = names.pop() ?? '';
    if ([...names, last].some((name) => name === '' || name === '.' || name === '..' || name === '.git'))
      throw new GitError('failed', `${JSON.stringify(path)} is not a path that a commit can have`);
    let folder = root;
    for (const name of names) {
      let next = folder.folders.get(name);
      if (next === undefined) {
        next = { files: new Map(), folders: new Map() };
        folder.folders.set(name, next);
      }
      folder = next;
    }
    folder.files.set(last, change);
  }
  return root;
}

/** Undefined: the folder is empty now. */
async function editFolder(objects: Objects, tree: Oid | undefined, folder: Folder): Promise<Oid | undefined> {
  const entries = new Map((tree === undefined ? [] : await objects.tree(tree)).map((entry) => [entry.name, entry]));
  for (const [name, inner] of folder.folders) {
    const there = entries.get(name);
    const oid = await editFolder(objects, there?.mode === 'tree' ? there.oid : undefined, inner);
    // Deleting below what is no folder leaves it as it is.
    if (oid !== undefined) entries.set(name, { name, mode: 'tree', oid });
    else if (there?.mode === 'tree') entries.delete(name);
  }
  const files = [...folder.files];
  for (let at = 0; at < files.length; at += PARALLEL) {
    await Promise.all(
      files.slice(at, at + PARALLEL).map(async ([name, change]) => {
        if (change === null) entries.delete(name);
        else if (!Buffer.isBuffer(change)) entries.set(name, { ...change, name });
        else entries.set(name, { name, mode: modeOf(entries.get(name)), oid: await objects.writeBlob(change) });
      }),
    );
  }
  return entries.size === 0 ? undefined : await objects.writeTree([...entries.values()]);
}

function modeOf(there: TreeEntry | undefined): TreeEntry['mode'] {
  return there?.mode === 'executable' ? 'executable' : 'file';
}
