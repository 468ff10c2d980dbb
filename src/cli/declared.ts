/** What commits, or the working tree, declare. Reads, and executes nothing. */
import { existsSync, type Stats } from 'node:fs';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { openNativeObjects } from '../git/objects-native.ts';
import { gitEnvironment } from '../git/program.ts';
import { type ImageTree, missingImage } from '../manifest/image.ts';
import { MAX_FILE, parseFile, tooLargeFile } from '../manifest/parse.ts';
import { parseImage } from '../manifest/parse-image.ts';
import type { ManifestFile, ParsedFile } from '../manifest/parsed.ts';
import { fromEntries } from '../manifest/persistent-map.ts';
import { resolve } from '../manifest/resolve.ts';
import type { Declared } from '../manifest/resource.ts';
import { MAX_SCRIPT, type ScriptFile } from '../manifest/script-file.ts';
import { survey } from '../manifest/survey.ts';
import { unkeptParses } from '../operator/kept-parses.ts';
import { asDeclared, createSnapshots, notAFile, type Snapshots } from '../operator/snapshots.ts';
import { askGit, git } from './git.ts';

/**
 * Commits as the operator reads them, while `use` runs; nothing is kept. `under`: the folder of the repository that holds the
 * manifests; `''` for all of it.
 */
export async function withCommits<T>(
  folder: string,
  under: string,
  use: (commits: Snapshots) => Promise<T>,
): Promise<T> {
  const gitdir = await git(folder, ['rev-parse', '--absolute-git-dir']);
  const objects = openNativeObjects({ path: 'git', gitdir, env: gitEnvironment() });
  try {
    return await use(createSnapshots(objects, under, unkeptParses));
  } finally {
    objects.close();
  }
}

/**
 * What the files below `root` declare, as a commit of all that Git does not ignore would. Revisions are made from contents, but
 * those of images only from where they lie: good for finding what is wrong, not for telling what changed.
 */
export async function declaredByFiles(root: string, under: string): Promise<Declared> {
  const files: ManifestFile[] = [];
  const paths = new Set(await filesBelow(root));
  for (const path of paths) {
    if (!isManifest(path, under)) continue;
    const found = await lstat(join(root, path)).catch(() => undefined);
    if (found !== undefined) files.push({ path, oid: path, parsed: await parsedAt(join(root, path), found) });
  }
  const images = new Map<string, ImageTree>();
  const found = survey(fromEntries(files.map((file) => [file.path, file])));
  for (const path of found.images.keys()) {
    if (!existsSync(join(root, path))) continue;
    const yaml = await readFile(join(root, path, 'image.yaml')).catch(() => undefined);
    images.set(path, { tree: path, image: yaml === undefined ? missingImage() : parseImage(yaml) });
  }
  return asDeclared('', resolve(undefined, found, images, await scriptsBelow(root, paths, found.scripts.keys())));
}

async function parsedAt(path: string, found: Stats): Promise<ParsedFile> {
  if (found.isSymbolicLink()) return notAFile('link');
  // Git lists files, links and submodules, and of these only a submodule is a folder.
  if (!found.isFile()) return notAFile('submodule');
  return found.size > MAX_FILE ? tooLargeFile() : parseFile(await readFile(path));
}

/** `known`: what Git does not ignore; a script elsewhere would be in no commit. */
async function scriptsBelow(
  root: string,
  known: ReadonlySet<string>,
  named: Iterable<string>,
): Promise<Map<string, ScriptFile>> {
  const scripts = new Map<string, ScriptFile>();
  for (const path of named) {
    const found = await lstat(join(root, path)).catch(() => undefined);
    if (found?.isDirectory()) scripts.set(path, { refused: 'a folder' });
    else if (found === undefined || !known.has(path)) continue;
    else if (found.isSymbolicLink()) scripts.set(path, { refused: 'a link' });
    else if (found.size > MAX_SCRIPT) scripts.set(path, { refused: 'too large' });
    else scripts.set(path, { oid: path, content: await readFile(join(root, path)) });
  }
  return scripts;
}

/** `*.yaml` and `*.yml` below `under`, outside folders whose name starts with a dot. */
const isManifest = (path: string, under: string): boolean =>
  (under === '' || path.startsWith(`${under}/`)) && /\.ya?ml$/.test(path) && !/(^|\/)\.[^/]*\//.test(path);

async function filesBelow(root: string): Promise<string[]> {
  const known = await askGit(root, ['ls-files', '-z', '--cached', '--others', '--exclude-standard']);
  if (known !== undefined) return known.split('\0');
  return walk(root, '');
}

async function walk(root: string, folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory() && !entry.name.startsWith('.')) paths.push(...(await walk(root, path)));
    else if (entry.isFile() || entry.isSymbolicLink()) paths.push(path);
  }
  return paths.sort();
}
