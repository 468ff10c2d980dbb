/** How `--repo` names a repository: a path, or a file, http(s), ssh or scp-like address. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GitError, redact } from './errors.ts';

export interface Credentials {
  username: string;
  password: string;
}

export type Address =
  | { kind: 'file'; url: string; display: string; path: string }
  | { kind: 'ssh'; url: string; display: string }
  | { kind: 'http'; url: string; display: string; credentials?: Credentials };

/** `host:path` or `user@host:path`, as scp writes it. */
const SCP_LIKE = /^(?:[^/@:\s]+@)?[^/@:\s]{2,}:(?!\/\/)\S/;

/** Throws `GitError` (`bad-address`) for what is none of them. Relative paths are resolved against the working directory. */
export async function parseAddress(repo: string, token?: Credentials): Promise<Address> {
  if (/[\0\n\r]/.test(repo) || repo.startsWith('-') || repo === '') throw bad(repo);
  if (/^https?:\/\//i.test(repo)) return httpAddress(repo, token);
  if (/^ssh:\/\//i.test(repo)) {
    if (!URL.canParse(repo) || new URL(repo).hostname.startsWith('-')) throw bad(repo);
    const url = withoutPassword(repo);
    return { kind: 'ssh', url, display: url };
  }
  if (/^file:\/\//i.test(repo)) {
    if (!URL.canParse(repo)) throw bad(repo);
    return fileAddress(fileURLToPath(repo));
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(repo)?.[1];
  if (scheme !== undefined)
    throw new GitError(
      'bad-address',
      `${redact(repo)}: addresses of ${scheme}:// are not supported; use https, ssh or a path`,
    );
  if (SCP_LIKE.test(repo) && !(await exists(repo))) return { kind: 'ssh', url: repo, display: repo };
  return fileAddress(resolve(repo));
}

/** The token of the environment: `SLUICE_GIT_TOKEN` with `SLUICE_GIT_USERNAME`, by default `x-access-token`. */
export function tokenOf(env: Record<string, string | undefined>): Credentials | undefined {
  const password = env.SLUICE_GIT_TOKEN;
  if (password === undefined || password === '') return undefined;
  return { username: env.SLUICE_GIT_USERNAME || 'x-access-token', password };
}

/** A folder name for what is kept about one repository: readable, and different for different repositories. */
export function repositoryKey(address: Address): string {
  const identity = address.url.replace(/\/+$/, '').replace(/\.git$/, '');
  const name = basename(identity.replace(/[:\\]/g, '/')).replace(/[^A-Za-z0-9._-]/g, '-') || 'repository';
  const digest = createHash('sha256').update(identity).digest('hex').slice(0, 12);
  return `${name.replace(/^\.+/, '').slice(0, 40) || 'repository'}-${digest}`;
}

function httpAddress(repo: string, token: Credentials | undefined): Address {
  if (!URL.canParse(repo)) throw bad(repo);
  const url = new URL(repo);
  const inUrl =
    url.username === '' && url.password === ''
      ? undefined
      : { username: decoded(url.username), password: decoded(url.password) };
  url.username = '';
  url.password = '';
  url.hash = '';
  url.search = '';
  const credentials = token ?? inUrl;
  const plain = url.href.replace(/\/+$/, '');
  return { kind: 'http', url: plain, display: plain, ...(credentials === undefined ? {} : { credentials }) };
}

/** A stray percent sign stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function fileAddress(path: string): Address {
  return { kind: 'file', url: path, display: path, path };
}

function withoutPassword(repo: string): string {
  return repo.replace(/^(ssh:\/\/[^/@:]*):[^/@]*@/i, '$1@');
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function bad(repo: string): GitError {
  return new GitError(
    'bad-address',
    `${JSON.stringify(redact(repo))} is not an address of a repository; use a path, https://…, ssh://… or user@host:path`,
  );
}
