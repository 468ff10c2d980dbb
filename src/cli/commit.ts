/**
 * Commits made for a person on the config branch: only the paths that they are about. What that person has staged or
 * changed meanwhile stays theirs, and nothing of it is pushed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Oid } from '../manifest/resource.ts';
import { Failure } from './failure.ts';
import { askGit, git } from './git.ts';
import { type ConfigRepository, resolveCommit } from './repository.ts';

/** What is to be at a path; no blob: nothing. */
export interface PathChange {
  path: string;
  blob?: { mode: string; oid: Oid };
}

export interface Published {
  /** Where it now is, for people: `main`, or `main of origin`. */
  where: string;
  /** The local branch has gone its own way, so it does not hold the commit yet. */
  pullNeeded: boolean;
}

/** The commit that changes are made on top of: the remote's tip where there is a remote, else the branch. */
export async function configTip({ folder, branch, upstream }: ConfigRepository): Promise<Oid> {
  if (upstream) {
    await git(folder, ['fetch', '--quiet', '--no-tags', upstream.remote, upstream.ref]);
    return git(folder, ['rev-parse', 'FETCH_HEAD']);
  }
  return resolveCommit({ folder }, `refs/heads/${branch}`);
}

/** Writes a blob and gives its object id. */
export const writeBlob = ({ folder }: ConfigRepository, content: string): Promise<Oid> =>
  git(folder, ['hash-object', '-w', '--stdin'], { input: content });

/** `tip` plus `changes`, as a commit that no branch has yet. */
export async function writeCommit(
  { folder }: ConfigRepository,
  tip: Oid,
  changes: PathChange[],
  message: string,
): Promise<Oid> {
  const scratch = await mkdtemp(join(tmpdir(), 'sluice-index-'));
  const env = { GIT_INDEX_FILE: join(scratch, 'index') };
  try {
    await git(folder, ['read-tree', tip], { env });
    const lines = changes.map(
      ({ path, blob }) => `${blob?.mode ?? '0'} ${blob?.oid ?? '0'.repeat(tip.length)}\t${path}\0`,
    );
    await git(folder, ['update-index', '-z', '--index-info'], { env, input: lines.join('') });
    const tree = await git(folder, ['write-tree'], { env });
    const sign = (await askGit(folder, ['config', '--type=bool', 'commit.gpgSign'])) === 'true' ? ['-S'] : [];
    return await git(folder, ['commit-tree', ...sign, '-p', tip, tree], { input: message });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Puts a commit of `writeCommit` on the config branch: pushed first where there is a remote, so that a failed push leaves
 * nothing behind. Throws a `Failure` when somebody else was faster.
 */
export async function publishCommit(
  repository: ConfigRepository,
  tip: Oid,
  commit: Oid,
  changes: PathChange[],
): Promise<Published> {
  const { folder, branch, upstream } = repository;
  const local = await askGit(folder, ['rev-parse', '--verify', '--quiet', `refs/heads/${branch}`]);
  if (upstream) await git(folder, ['push', '--quiet', upstream.remote, `${commit}:${upstream.ref}`]);
  const moves = !upstream || local === tip;
  if (moves) await moveBranch(repository, tip, commit, changes);
  const where = upstream ? `${upstream.ref.replace('refs/heads/', '')} of ${upstream.remote}` : branch;
  return { where, pullNeeded: !moves };
}

/** The branch by compare-and-swap; where it is checked out, the files and the index of `changes` come along. */
async function moveBranch(repository: ConfigRepository, from: Oid, to: Oid, changes: PathChange[]): Promise<void> {
  const { folder, branch } = repository;
  const checkout = await git(folder, ['for-each-ref', '--format=%(worktreepath)', `refs/heads/${branch}`]);
  const bring = (source: Oid) =>
    git(checkout, [
      '--literal-pathspecs',
      'restore',
      `--source=${source}`,
      '--staged',
      '--worktree',
      '--',
      ...changes.map(({ path }) => path),
    ]);
  const inFiles = checkout !== '' && (await askGit(checkout, ['rev-parse', '--is-inside-work-tree'])) === 'true';
  if (inFiles) await bring(to);
  try {
    await git(folder, ['update-ref', '-m', 'sluice', `refs/heads/${branch}`, to, from]);
  } catch (error) {
    if (inFiles) await bring(from);
    throw new Failure(`${branch} moved meanwhile, nothing was changed; try again (${(error as Error).message})`);
  }
}
