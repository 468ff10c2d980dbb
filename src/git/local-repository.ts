/** A repository on this machine: where its parts are, and whether Sluice can read it. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { GitError } from './errors.ts';

export interface LocalRepository {
  /** The folder that was meant: the work tree, or the bare repository itself. */
  path: string;
  /** Where `HEAD` is: of a linked worktree its own folder. */
  gitdir: string;
  /** Where refs and objects are. */
  commondir: string;
}

/** Looks at `path` and its parents, as git does. Throws `not-found`, or `unsupported` for formats that cannot be read. */
export async function findLocalRepository(path: string): Promise<LocalRepository> {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    const gitdir = (await isGitDirectory(folder)) ? folder : await dotGit(folder);
    if (gitdir !== undefined) {
      const commondir = await commonDirectory(gitdir);
      await refuseUnsupported(folder, commondir);
      return { path: folder, gitdir, commondir };
    }
    if (dirname(folder) === folder)
      throw new GitError(
        'not-found',
        `${path}: no Git repository here or above; make one with git init, or check --repo`,
      );
  }
}

async function dotGit(folder: string): Promise<string | undefined> {
  const path = join(folder, '.git');
  if (await isGitDirectory(path)) return path;
  const target = /^gitdir: (.+)$/m.exec(await readFile(path, 'utf8').catch(() => ''))?.[1];
  return target === undefined ? undefined : resolve(folder, target.trim());
}

async function isGitDirectory(path: string): Promise<boolean> {
  const parts = await Promise.all(
    ['HEAD', 'objects', 'refs'].map((part) => stat(join(path, part)).catch(() => undefined)),
  );
  return parts.every((part) => part !== undefined);
}

async function commonDirectory(gitdir: string): Promise<string> {
  const common = await readFile(join(gitdir, 'commondir'), 'utf8').catch(() => undefined);
  return common === undefined ? gitdir : resolve(gitdir, common.trim());
}

async function refuseUnsupported(path: string, commondir: string): Promise<void> {
  const config = await readFile(join(commondir, 'config'), 'utf8').catch(() => '');
  const format = /^\s*objectformat\s*=\s*(\S+)/im.exec(config)?.[1]?.toLowerCase() ?? 'sha1';
  if (format !== 'sha1')
    throw new GitError(
      'unsupported',
      `${path}: its object format is ${format}, which Sluice cannot read; convert it to sha1`,
    );
  const storage = /^\s*refstorage\s*=\s*(\S+)/im.exec(config)?.[1]?.toLowerCase() ?? 'files';
  if (storage !== 'files')
    throw new GitError(
      'unsupported',
      `${path}: keeps its refs as ${storage}, which Sluice cannot read; run git refs migrate --ref-format=files`,
    );
}
