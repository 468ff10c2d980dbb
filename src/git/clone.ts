/**
 * The operator's own bare clone: a cache below the state directory. What is broken in it is thrown away; nothing is kept
 * there alone. Opening asks the remote nothing, so that an operator starts while the remote is down.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { type Address, type Credentials, parseAddress, repositoryKey, tokenOf } from './address.ts';
import { GitError, programError } from './errors.ts';
import { findLocalRepository, type LocalRepository } from './local-repository.ts';
import type { ObjectStore } from './objects.ts';
import { openIsomorphicObjects } from './objects-isomorphic.ts';
import { openNativeObjects } from './objects-native.ts';
import { findGit, type GitProgram, gitEnvironment, runGit } from './program.ts';
import { watchRefs } from './ref-hints.ts';
import { listRefs, looseRefs, type OwnRefs, readRef, refsOf, symbolicTarget } from './refs.ts';
import { removeStaleLocks } from './stale-locks.ts';
import { keepTidy, type Tidy } from './tidy.ts';
import { type ClosableTransport, isReadable, TRACKED } from './transport.ts';
import { openIsomorphicTransport } from './transport-isomorphic.ts';
import { nativeWire, openNativeTransport } from './transport-native.ts';

export interface Clone {
  gitdir: string;
  objects: ObjectStore;
  transport: ClosableTransport;
  refs: OwnRefs;
  notes: Notes;
  /** Without credentials. */
  address: Address;
  /** Where the repository is on this machine; absent for remote ones. */
  local?: LocalRepository;
  /** Calls back whenever refs of the remote may have moved, where that can be seen; what it gives back ends it. */
  watch?(moved: () => void): Promise<() => Promise<void>>;
  /** The `git` program, where one was found. */
  git?: GitProgram;
  tidy: Tidy;
  /** The full name of the remote's default branch; undefined where it names none. */
  defaultBranch(signal: AbortSignal): Promise<string | undefined>;
  /**
   * Throws away what is there, as after a `broken-clone` or `missing-object`; the next fetch brings everything again. What was committed and
   * not pushed is gone.
   */
  renew(): Promise<void>;
  close(): Promise<void>;
}

/** Small texts beside the objects, whole or not at all. */
export interface Notes {
  read(name: string): Promise<string | undefined>;
  write(name: string, text: string): Promise<void>;
}

export interface CloneOptions {
  stateDir: string;
  /** As `--repo` has it. */
  repo: string;
}

const CONFIG = `[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
[remote "origin"]
\tfetch = +refs/heads/*:refs/remotes/origin/*
`;
const FORMAT = 'sluice 1\n';

/** The address that `--repo` comes to, a local one as the repository that holds it. */
export async function resolveAddress(
  repo: string,
): Promise<{ address: Address; local?: LocalRepository; key: string }> {
  const address = await parseAddress(repo, tokenOf(process.env));
  if (address.kind !== 'file') return { address, key: repositoryKey(address) };
  const local = await findLocalRepository(address.path);
  const found: Address = { kind: 'file', path: local.path, url: local.commondir, display: local.path };
  return { address: found, local, key: repositoryKey({ ...found, url: local.commondir.replace(/\/\.git$/, '') }) };
}

export async function openClone({ stateDir, repo }: CloneOptions): Promise<Clone> {
  const { address, local, key } = await resolveAddress(repo);
  const path = await findGit();
  if (path === undefined && address.kind !== 'http')
    throw new GitError(
      'no-git',
      `${address.display}: ${address.kind === 'ssh' ? 'ssh addresses need' : 'a local repository needs'} the git program; install git, or give an https address`,
    );
  const gitdir = join(stateDir, key, 'clone.git');
  const git = path === undefined ? undefined : { path, gitdir, env: gitEnvironment(accessOf(address)) };
  await removeStaleLocks(gitdir);
  const tidy = keepTidy(gitdir, git, local);
  const objects = await openWhole(gitdir, git, tidy.packed);
  const remote = connect({ address, gitdir, objects, ...(local && { local }), ...(git && { git }) });
  return {
    gitdir,
    objects,
    refs: refsOf(gitdir),
    notes: notesOf(gitdir),
    address: withoutCredentials(address),
    ...(local && { local, watch: (moved: () => void) => watchRefs(local, moved) }),
    ...(git && { git }),
    ...remote,
    tidy,
    async renew() {
      objects.close();
      objects.forget();
      await makeAnew(gitdir);
    },
    async close() {
      await tidy.close();
      objects.close();
      await remote.transport.close();
    },
  };
}

const notesOf = (gitdir: string): Notes => ({
  read: (name) => readFile(join(gitdir, name), 'utf8').catch(() => undefined),
  write: (name, text) => writeFileAtomic(join(gitdir, name), text),
});

/** Without git nothing is ever packed again. */
function openStore(gitdir: string, git: GitProgram | undefined, packed: () => void): ObjectStore {
  return git === undefined ? openIsomorphicObjects(gitdir) : openNativeObjects(git, packed);
}

interface Parts {
  address: Address;
  gitdir: string;
  objects: ObjectStore;
  local?: LocalRepository;
  git?: GitProgram;
}

/** HTTP goes in process even where git is found: a process costs more than most questions; git does the first download. */
function connect({ address, gitdir, objects, local, git }: Parts): Pick<Clone, 'transport' | 'defaultBranch'> {
  if (address.kind === 'http') {
    const bulk = git === undefined ? {} : { bulk: nativeWire({ git, address }) };
    const transport = openIsomorphicTransport({ gitdir, address, store: objects, ...bulk });
    return { transport, defaultBranch: transport.defaultBranch };
  }
  if (git === undefined) throw new GitError('no-git', `${address.display}: needs the git program; install git`);
  return {
    transport: openNativeTransport({ git, address, ...(local && { local }) }, objects),
    defaultBranch: (signal) =>
      local === undefined ? remoteHead(git, address, signal) : symbolicTarget(local.gitdir, 'HEAD'),
  };
}

function accessOf(address: Address): { url: string; credentials: Credentials } | undefined {
  if (address.kind !== 'http' || address.credentials === undefined) return undefined;
  return { url: address.url, credentials: address.credentials };
}

function withoutCredentials(address: Address): Address {
  return address.kind === 'http' ? { kind: 'http', url: address.url, display: address.display } : address;
}

/** A clone that is not whole is made anew. What was read to find out is known to the store. */
async function openWhole(gitdir: string, git: GitProgram | undefined, packed: () => void): Promise<ObjectStore> {
  const store = openStore(gitdir, git, packed);
  if (await isWhole(gitdir, store)) return store;
  store.close();
  await makeAnew(gitdir);
  return openStore(gitdir, git, packed);
}

/** A clone that was made to the end, whose refs name commits that can be read with all their trees. */
async function isWhole(gitdir: string, store: ObjectStore): Promise<boolean> {
  if ((await readFile(join(gitdir, 'sluice-format'), 'utf8').catch(() => '')) !== FORMAT) return false;
  try {
    for (const ref of await looseRefs(gitdir, TRACKED)) await readRef(gitdir, ref);
    for (const oid of new Set((await listRefs(gitdir, TRACKED)).values())) {
      if (!(await isReadable(store, oid, undefined))) return false;
    }
    return true;
  } catch {
    return false;
  }
}

async function makeAnew(gitdir: string): Promise<void> {
  await discard(gitdir);
  await create(gitdir);
}

/** Moved out of the way first, so that nobody finds half of it. */
async function discard(gitdir: string): Promise<void> {
  const trash = `${gitdir}.trash-${randomBytes(4).toString('hex')}`;
  try {
    await rename(gitdir, trash);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  await rm(trash, { recursive: true, force: true });
}

async function create(gitdir: string): Promise<void> {
  const made = `${gitdir}.new-${randomBytes(4).toString('hex')}`;
  for (const folder of ['objects/pack', 'objects/info', 'refs/heads', 'refs/tags'])
    await mkdir(join(made, folder), { recursive: true, mode: 0o700 });
  await writeFile(join(made, 'HEAD'), 'ref: refs/heads/main\n');
  await writeFile(join(made, 'config'), CONFIG);
  await writeFile(join(made, 'sluice-format'), FORMAT);
  try {
    await rename(made, gitdir);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    // Another process made it meanwhile: one clone is as good as the other.
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

async function remoteHead(git: GitProgram, address: Address, signal: AbortSignal): Promise<string | undefined> {
  const ran = await runGit(git, ['ls-remote', '--symref', '--', address.url, 'HEAD'], { signal, timeoutMs: 60_000 });
  if (ran.code !== 0) throw programError('read its refs', address.display, ran.stderr, ran.failure);
  return /^ref: (\S+)\tHEAD$/m.exec(ran.stdout.toString())?.[1];
}
