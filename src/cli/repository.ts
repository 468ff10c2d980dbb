/** The config repository that a command is about: a folder on this machine, or an address that is read through a copy. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Address, Credentials } from '../git/address.ts';
import { resolveAddress } from '../git/clone.ts';
import type { Oid } from '../manifest/resource.ts';
import { usage } from './failure.ts';
import { repositoryFolders } from './folders.ts';
import { askGit, git } from './git.ts';

interface Upstream {
  remote: string;
  /** The full name of the branch over there. */
  ref: string;
}

export interface Repository {
  /** Where git is run: the top of the working tree, or a bare repository. */
  folder: string;
  /** Whether `folder` has files to edit. */
  workingTree: boolean;
  /** What the operator's folders are parted by. */
  key: string;
  /** Where the operator writes sluice/status, if that is not this repository itself. */
  statusRemote?: string;
}

export interface ConfigRepository extends Repository {
  /** The branch that says what should run. */
  branch: string;
  upstream?: Upstream;
}

export interface RepositoryChoice {
  repo: string;
  branch?: string;
  stateDir?: string;
}

/** Throws a `GitError` when there is no such repository, a usage failure when it has no branch to work on. */
export async function openRepository({ repo, branch, stateDir }: RepositoryChoice): Promise<ConfigRepository> {
  const found = await openAnyBranch({ repo, ...(branch && { branch }), ...(stateDir && { stateDir }) });
  const { folder, branch: name } = found;
  if (name !== undefined) return { ...found, branch: name };
  throw usage(`${folder} has no branch checked out; check one out, or name the config branch with --branch`);
}

/** For what only reads: where no branch is checked out, as in a pull request's workflow, there is no config branch. */
export async function openAnyBranch({
  repo,
  branch,
  stateDir,
}: RepositoryChoice): Promise<Repository & Partial<ConfigRepository>> {
  const { address, local, key } = await resolveAddress(repo);
  if (local === undefined) return openCopy(address, key, branch, stateDir);
  const top = await askGit(local.path, ['rev-parse', '--show-toplevel']);
  const folder = top || local.path;
  const name = branch ?? (await askGit(folder, ['symbolic-ref', '--short', '-q', 'HEAD']));
  const upstream = name === undefined ? undefined : await upstreamOf(folder, name);
  const statusRemote = upstream?.remote ?? (await onlyRemote(folder));
  return {
    ...{ folder, workingTree: Boolean(top), key },
    ...(name !== undefined && { branch: name }),
    ...(upstream && { upstream }),
    ...(statusRemote !== undefined && { statusRemote }),
  };
}

/** A branch that was never pushed follows none; what runs is still known where the others come from. */
async function onlyRemote(folder: string): Promise<string | undefined> {
  const [remote, ...others] = (await git(folder, ['remote'])).split('\n');
  return remote && others.length === 0 ? remote : undefined;
}

async function upstreamOf(folder: string, branch: string): Promise<Upstream | undefined> {
  const format = '--format=%(upstream:remotename) %(upstream:remoteref)';
  const [remote, ref] = (await git(folder, ['for-each-ref', format, `refs/heads/${branch}`])).split(' ');
  return remote && remote !== '.' && ref ? { remote, ref } : undefined;
}

/** A bare copy below the state folder, brought up to date: enough to read from, and to commit one file to. */
async function openCopy(
  address: Address,
  key: string,
  branch: string | undefined,
  stateDir?: string,
): Promise<ConfigRepository> {
  const repo = address.url;
  if (address.kind === 'http') passByEnvironment(address.credentials);
  const { state } = repositoryFolders(key, stateDir === undefined ? {} : { stateDir });
  const folder = join(state, 'reader.git');
  await mkdir(folder, { recursive: true });
  await git(folder, ['init', '--quiet', '--bare']);
  if ((await askGit(folder, ['remote', 'set-url', 'origin', repo])) === undefined) {
    await git(folder, ['remote', 'add', 'origin', repo]);
  }
  await git(folder, ['config', 'credential.helper', TOKEN_HELPER]);
  const name = branch ?? (await defaultBranch(folder, repo));
  await git(folder, [
    'fetch',
    '--quiet',
    '--no-tags',
    '--prune',
    'origin',
    '+refs/heads/*:refs/heads/*',
    '^refs/heads/sluice/*',
  ]);
  const upstream = { remote: 'origin', ref: `refs/heads/${name}` };
  return { folder, workingTree: false, key, branch: name, upstream, statusRemote: upstream.remote };
}

/** Those that stand in the address too: git gets the address without them, in its arguments and on disk. */
function passByEnvironment(credentials: Credentials | undefined): void {
  if (credentials === undefined) return;
  process.env.SLUICE_GIT_USERNAME = credentials.username;
  process.env.SLUICE_GIT_TOKEN = credentials.password;
}

/** Gives git the token of the environment, when there is one: it is neither on disk nor in an argument. */
const TOKEN_HELPER =
  '!f() { test "$1" = get && test -n "$SLUICE_GIT_TOKEN" || return 0; ' +
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's, not ours
  'echo "username=${SLUICE_GIT_USERNAME:-x-access-token}"; echo "password=$SLUICE_GIT_TOKEN"; }; f';

async function defaultBranch(folder: string, repo: string): Promise<string> {
  const answer = await git(folder, ['ls-remote', '--symref', 'origin', 'HEAD']);
  const name = /^ref: refs\/heads\/(\S+)\tHEAD$/m.exec(answer)?.[1];
  if (name === undefined)
    throw usage(`${repo} does not say which branch is its default; name the config branch with --branch`);
  return name;
}

/** The commit that a branch, tag or object id names; undefined when there is none. */
export const findCommit = ({ folder }: { folder: string }, name: string): Promise<Oid | undefined> =>
  askGit(folder, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`]);

/** The same; throws a usage failure when there is none. */
export async function resolveCommit({ folder }: { folder: string }, name: string): Promise<Oid> {
  const commit = await findCommit({ folder }, name);
  if (commit === undefined) throw usage(`${folder} has no commit, branch or tag ${name}`);
  return commit;
}
