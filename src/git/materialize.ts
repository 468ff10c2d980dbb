/** Writes the files of a tree to disk, whole or not at all, and never anything outside of the folder. */
import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Oid } from '../manifest/resource.ts';
import { GitError } from './errors.ts';
import type { Objects, TreeEntry } from './types.ts';

/** Files read and written at a time. */
const PARALLEL = 64;

interface Found {
  directories: string[];
  files: (TreeEntry & { path: string })[];
  links: { path: string; oid: Oid; depth: number }[];
}

/**
 * `directory` appears with everything in it, on disk; one that is there already is left as it is. Throws `bad-tree` for a
 * submodule, a hostile name, and a link that is absolute or leaves the tree.
 */
export async function materialize(objects: Objects, tree: Oid, directory: string): Promise<void> {
  const found: Found = { directories: [], files: [], links: [] };
  await look(objects, tree, '', 0, found);
  const targets = await linkTargets(objects, found);
  const made = `${directory}.new-${randomBytes(6).toString('hex')}`;
  try {
    await mkdir(made, { recursive: true });
    for (const path of found.directories) await mkdir(join(made, path));
    await writeFiles(objects, found, made);
    // Last, so that nothing is ever written through a link.
    for (const [path, target] of targets) await symlink(target, join(made, path));
    await rename(made, directory);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

async function look(objects: Objects, tree: Oid, prefix: string, depth: number, found: Found): Promise<void> {
  for (const entry of await objects.tree(tree)) {
    const path = prefix + entry.name;
    if (isHostile(entry.name)) throw bad(path, 'has a name that cannot be written to disk');
    if (entry.mode === 'submodule') throw bad(path, 'is a submodule, which is not read; commit its files instead');
    if (entry.mode === 'tree') {
      found.directories.push(path);
      await look(objects, entry.oid, `${path}/`, depth + 1, found);
    } else if (entry.mode === 'link') found.links.push({ path, oid: entry.oid, depth });
    else found.files.push({ ...entry, path });
  }
}

function isHostile(name: string): boolean {
  return name === '' || name === '.' || name === '..' || name.toLowerCase() === '.git' || /[/\\\0]/.test(name);
}

/**
 * A target may go up first, by no more folders than it lies deep, and then only down: `../lib/x` from `bin/` is fine,
 * `lib/../../x` is not, because `lib` may be a link itself.
 */
async function linkTargets(objects: Objects, { links }: Found): Promise<Map<string, string>> {
  const targets = new Map<string, string>();
  for (const { path, oid, depth } of links) {
    const target = (await objects.blob(oid)).toString('utf8');
    const names = target.split('/').filter((name) => name !== '' && name !== '.');
    const up = names.findIndex((name) => name !== '..');
    const ups = up < 0 ? names.length : up;
    if (
      target === '' ||
      target.startsWith('/') ||
      /[\\\0]/.test(target) ||
      ups > depth ||
      names.slice(ups).includes('..')
    )
      throw bad(
        path,
        `is a link to ${JSON.stringify(target.slice(0, 100))}, which may leave the folder; link inside of it, without .. in the middle`,
      );
    targets.set(path, target);
  }
  return targets;
}

async function writeFiles(objects: Objects, { files }: Found, made: string): Promise<void> {
  for (let at = 0; at < files.length; at += PARALLEL) {
    const window = files.slice(at, at + PARALLEL);
    const contents = new Map<Oid, Buffer>();
    await objects.blobs([...new Set(window.map(({ oid }) => oid))], (oid, content) => contents.set(oid, content));
    const writing = window.map(({ path, mode, oid }) =>
      writeFile(join(made, path), contents.get(oid) ?? '', {
        mode: mode === 'executable' ? 0o755 : 0o644,
        flag: 'wx',
        flush: true,
      }),
    );
    // All have ended before anything is cleaned up.
    await Promise.allSettled(writing);
    await Promise.all(writing);
  }
}

function bad(path: string, what: string): GitError {
  return new GitError('bad-tree', `${path}: ${what}`);
}
