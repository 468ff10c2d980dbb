/**
 * Local refs by compare-and-swap under Git's own lock file, so that other processes, and git itself, may write beside us:
 * `<ref>.lock` is created exclusively, the value compared, the new one written into it, and renamed onto the ref.
 */
import type { Dirent } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Oid } from '../manifest/resource.ts';
import { GitError } from './errors.ts';
import type { RefUpdate } from './types.ts';

const OID = /^[0-9a-f]{40}$/;
/** A lock is held for some milliseconds; one that outlives this many waits belongs to a process that died. */
const ATTEMPTS = 200;
const MAX_WAIT_MS = 50;

/** The refs of the operator's own clone, which nobody else writes. */
export interface OwnRefs {
  read(ref: string): Promise<Oid | undefined>;
  /** Undefined: the ref goes. */
  set(ref: string, oid: Oid | undefined): Promise<void>;
}

export const refsOf = (gitdir: string): OwnRefs => ({
  read: (ref) => readRef(gitdir, ref),
  set: (ref, oid) => setRef(gitdir, ref, oid),
});

/** What a full ref name, or `HEAD`, comes to in the repository at `gitdir`; undefined where it has none. */
export async function readRef(gitdir: string, ref: string): Promise<Oid | undefined> {
  let name = ref;
  for (let hops = 0; hops < 5; hops++) {
    const value = await readLoose(gitdir, name);
    if (value === undefined) return (await readPacked(gitdir)).get(name);
    if (OID.test(value)) return value;
    const target = /^ref: (.+)$/.exec(value)?.[1];
    if (target === undefined)
      throw new GitError('broken-clone', `${join(gitdir, name)}: is no ref: ${value.slice(0, 60)}`);
    name = target;
  }
  throw new GitError('broken-clone', `${gitdir}: ${ref} points at itself`);
}

/** The ref that a symbolic ref such as `HEAD` names; undefined when it names a commit. */
export async function symbolicTarget(gitdir: string, ref: string): Promise<string | undefined> {
  return /^ref: (.+)$/.exec((await readLoose(gitdir, ref)) ?? '')?.[1];
}

/** All refs whose names begin like one of the prefixes; files there that hold no ref are passed over, as git does. */
export async function listRefs(gitdir: string, ...prefixes: string[]): Promise<Map<string, Oid>> {
  const loose = new Map<string, Oid>();
  for (const prefix of prefixes)
    for (const ref of await looseRefs(gitdir, prefix)) {
      const value = await readLoose(gitdir, ref);
      if (value !== undefined && OID.test(value)) loose.set(ref, value);
    }
  // Then the packed ones, as git does: what somebody packs meanwhile is there before its file goes.
  const packed = [...(await readPacked(gitdir))].filter(([ref]) => prefixes.some((prefix) => ref.startsWith(prefix)));
  return new Map([...packed, ...loose]);
}

/**
 * The names of all refs with such a prefix that have a file of their own, whatever is in it. Folders beside it are not looked
 * into: for `refs/sluice/lease` not those of ten thousand kept revisions.
 */
export async function looseRefs(gitdir: string, prefix: string): Promise<string[]> {
  const above = prefix.slice(0, prefix.lastIndexOf('/'));
  const entries = await readdir(join(gitdir, above), { withFileTypes: true }).catch(() => [] as Dirent[]);
  const names: string[] = [];
  for (const entry of entries) {
    const name = `${above}/${entry.name}`;
    if (!name.startsWith(prefix)) continue;
    if (entry.isDirectory()) names.push(...(await looseRefs(gitdir, `${name}/`)));
    else if (entry.isFile() && !name.endsWith('.lock')) names.push(name);
  }
  return names;
}

/** Throws `ref-moved` when the ref does not hold `old`, `ref-locked` when its lock is never let go. */
export async function updateRef(gitdir: string, update: RefUpdate): Promise<void> {
  const path = refPath(gitdir, update.ref);
  const lock = await takeLock(path);
  let renamed = false;
  try {
    const now = await readRef(gitdir, update.ref);
    if (now !== update.old) {
      const [is, was] = [now ?? 'nothing', update.old ?? 'nothing'];
      throw new GitError('ref-moved', `${update.ref} in ${gitdir} holds ${is}, not ${was}: somebody else wrote it`);
    }
    if (update.new === undefined) {
      await removePacked(gitdir, update.ref);
      await rm(path, { force: true });
      return;
    }
    await lock.writeFile(`${update.new}\n`);
    await lock.datasync();
    await rename(`${path}.lock`, path);
    renamed = true;
  } finally {
    await lock.close();
    if (!renamed) await rm(`${path}.lock`, { force: true });
  }
}

/** Moves a ref to `oid`, whatever it holds. */
export async function setRef(gitdir: string, ref: string, oid: Oid | undefined): Promise<void> {
  for (;;) {
    const old = await readRef(gitdir, ref);
    if (old === oid) return;
    try {
      return await updateRef(gitdir, { ref, old, new: oid });
    } catch (error) {
      if (!(error instanceof GitError && error.code === 'ref-moved')) throw error;
    }
  }
}

/** Names that Git takes (a strict subset): what comes from manifests can never leave `refs/`. */
export function isRefName(ref: string): boolean {
  return (
    /^refs(\/[A-Za-z0-9_%@+=,#!$&'()-][A-Za-z0-9_.%@+=,#!$&'()-]*)+$/.test(ref) &&
    !/\.\.|@\{|\.lock(\/|$)|\.(\/|$)/.test(ref)
  );
}

function refPath(gitdir: string, ref: string): string {
  if (!isRefName(ref)) throw new GitError('failed', `${JSON.stringify(ref)} is not a name that a ref can have`);
  return join(gitdir, ref);
}

async function takeLock(path: string): Promise<FileHandle> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open(`${path}.lock`, 'wx');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') await mkdir(dirname(path), { recursive: true });
      else if (code !== 'EEXIST') throw error;
      else if (attempt >= ATTEMPTS) throw await lockedError(`${path}.lock`);
      else await pause(Math.random() * Math.min(MAX_WAIT_MS, 2 * attempt));
    }
  }
}

async function lockedError(lock: string): Promise<GitError> {
  const since = await stat(lock).then(
    ({ mtime }) => ` since ${mtime.toISOString()}`,
    () => '',
  );
  return new GitError(
    'ref-locked',
    `${lock} has been held${since}: if no git or sluice process is at work there, it was left behind; remove the file`,
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

async function readLoose(gitdir: string, ref: string): Promise<string | undefined> {
  try {
    return (await readFile(join(gitdir, ref), 'utf8')).trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined;
    throw error;
  }
}

interface Packed {
  /** By which it is seen that the file, which is only ever replaced, is another. */
  stamp: string;
  refs: ReadonlyMap<string, Oid>;
}
/** By path: a ref that is asked for each second is mostly looked for in a file that holds ten thousand others. */
const known = new Map<string, Packed>();

async function readPacked(gitdir: string): Promise<ReadonlyMap<string, Oid>> {
  const path = join(gitdir, 'packed-refs');
  const seen = await stat(path, { bigint: true }).catch(() => undefined);
  const stamp = seen === undefined ? undefined : `${seen.ino} ${seen.size} ${seen.mtimeNs} ${seen.ctimeNs}`;
  const before = known.get(path);
  if (before !== undefined && before.stamp === stamp) return before.refs;
  const refs = await parsePacked(gitdir);
  // When it was replaced in between, this is newer than its stamp, and is read once more.
  if (stamp === undefined) known.delete(path);
  else known.set(path, { stamp, refs });
  return refs;
}

async function parsePacked(gitdir: string): Promise<Map<string, Oid>> {
  const refs = new Map<string, Oid>();
  for (const line of (await packedLines(gitdir)) ?? []) {
    const match = /^([0-9a-f]{40}) (refs\/\S+)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) refs.set(match[2], match[1]);
  }
  return refs;
}

async function packedLines(gitdir: string): Promise<string[] | undefined> {
  return (await readLoose(gitdir, 'packed-refs'))?.split('\n');
}

/** Takes a deleted ref out of `packed-refs`, under that file's own lock. */
async function removePacked(gitdir: string, ref: string): Promise<void> {
  if (!(await readPacked(gitdir)).has(ref)) return;
  const path = join(gitdir, 'packed-refs');
  const lock = await takeLock(path);
  let renamed = false;
  try {
    const kept: string[] = [];
    let dropping = false;
    for (const line of (await packedLines(gitdir)) ?? []) {
      // A line that starts with ^ says what the tag above it peels to.
      if (!line.startsWith('^')) dropping = line.endsWith(` ${ref}`);
      if (!dropping) kept.push(line);
    }
    await lock.writeFile(`${kept.join('\n')}\n`);
    await lock.datasync();
    await rename(`${path}.lock`, path);
    renamed = true;
  } finally {
    await lock.close();
    if (!renamed) await rm(`${path}.lock`, { force: true });
  }
}
