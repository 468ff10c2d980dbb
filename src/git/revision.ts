/** What a person calls a commit (a branch, a tag, an id, `main~2`), as its id. */
import fs from 'node:fs';
import type { Oid } from '../manifest/resource.ts';
import { GitError } from './errors.ts';
import { isomorphicGit } from './isomorphic.ts';
import { findLocalRepository } from './local-repository.ts';
import { taggedObject } from './object-format.ts';
import type { ObjectStore } from './objects.ts';
import { openIsomorphicObjects } from './objects-isomorphic.ts';
import { openNativeObjects } from './objects-native.ts';
import { findGit, type GitProgram, gitEnvironment, runGit } from './program.ts';

/** A repository on this machine, to read where it is. */
export interface LocalReader {
  path: string;
  gitdir: string;
  objects: ObjectStore;
  /** Throws `no-branch` for what names no commit. */
  resolve(revision: string): Promise<Oid>;
  close(): void;
}

/** For commands that look at a user's own repository without a clone; nothing is written. */
export async function openLocalReader(path: string): Promise<LocalReader> {
  const local = await findLocalRepository(path);
  const program = await findGit();
  if (program === undefined) {
    const objects = openIsomorphicObjects(local.commondir);
    return {
      path: local.path,
      gitdir: local.gitdir,
      objects,
      resolve: (revision) => resolveInProcess(local.commondir, objects, revision),
      close: objects.close,
    };
  }
  const native = { path: program, gitdir: local.gitdir, env: gitEnvironment() };
  const objects = openNativeObjects(native);
  return {
    path: local.path,
    gitdir: local.gitdir,
    objects,
    resolve: (revision) => resolveNative(native, revision),
    close: objects.close,
  };
}

async function resolveNative(program: GitProgram, revision: string): Promise<Oid> {
  const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`];
  const ran = await runGit(program, args, { timeoutMs: 30_000 });
  if (ran.code !== 0) throw unknown(revision);
  return ran.stdout.toString().trim();
}

async function resolveInProcess(gitdir: string, objects: ObjectStore, revision: string): Promise<Oid> {
  const [, name = '', steps = ''] = /^(.*?)((?:~\d*|\^)*)$/.exec(revision) ?? [];
  let oid = await named(gitdir, name);
  const start = await objects.raw(oid);
  if (start.type === 'tag') oid = taggedObject(start.content) ?? oid;
  for (let left = countSteps(steps); left > 0; left--) {
    const parent = (await objects.commit(oid)).parents[0];
    if (parent === undefined) throw unknown(revision);
    oid = parent;
  }
  return oid;
}

/** `~2^` is three first parents back. */
function countSteps(steps: string): number {
  return [...steps.matchAll(/\^|~(\d*)/g)].reduce(
    (sum, [step, count]) => sum + (step === '^' ? 1 : Number(count || 1)),
    0,
  );
}

async function named(gitdir: string, name: string): Promise<Oid> {
  const git = await isomorphicGit();
  try {
    if (/^[0-9a-f]{4,40}$/.test(name)) return await git.expandOid({ fs, gitdir, oid: name });
  } catch {
    // A branch may have such a name.
  }
  try {
    return await git.resolveRef({ fs, gitdir, ref: name });
  } catch {
    throw unknown(name);
  }
}

function unknown(revision: string): GitError {
  return new GitError(
    'no-branch',
    `${JSON.stringify(revision)} names no commit of this repository; give a branch, a tag or a commit id`,
  );
}
