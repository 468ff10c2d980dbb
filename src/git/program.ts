/** The `git` program: where it is, the environment it gets, and one run of it. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { environment, type RunResult, run } from '../process.ts';
import type { Credentials } from './address.ts';

/** What `git` and `ssh` may know of the operator's environment besides the usual. */
const PASSED_ON = [
  'SSH_AUTH_SOCK',
  'GIT_SSH_COMMAND',
  'GIT_SSL_CAINFO',
  'GIT_SSL_CAPATH',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'XDG_CONFIG_HOME',
  'GIT_CONFIG_GLOBAL',
  'GIT_CONFIG_SYSTEM',
  'http_proxy',
  'https_proxy',
  'HTTPS_PROXY',
  'all_proxy',
  'ALL_PROXY',
  'no_proxy',
  'NO_PROXY',
];
/** Never a prompt, and a dead peer is noticed within half a minute. */
const SSH_OPTIONS = '-o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=10 -o ServerAliveCountMax=3';

/** The path of the `git` program, or undefined where there is none. Looks along PATH, starts nothing. */
export async function findGit(): Promise<string | undefined> {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    if (directory === '') continue;
    const candidate = join(directory, 'git');
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
  }
  return undefined;
}

/** Credentials go in by the environment, so that no argument vector shows them. */
export function gitEnvironment(access?: { url: string; credentials: Credentials }): Record<string, string> {
  const extra: Record<string, string> = {};
  for (const name of PASSED_ON) {
    const value = process.env[name];
    if (value !== undefined) extra[name] = value;
  }
  const config: [string, string][] = [
    ['gc.auto', '0'],
    ['maintenance.auto', 'false'],
  ];
  if (access !== undefined) {
    const { username, password } = access.credentials;
    const basic = Buffer.from(`${username}:${password}`).toString('base64');
    config.push([`http.${new URL(access.url).origin}/.extraHeader`, `Authorization: Basic ${basic}`]);
    config.push(['credential.helper', '']);
  }
  config.forEach(([key, value], index) => {
    extra[`GIT_CONFIG_KEY_${index}`] = key;
    extra[`GIT_CONFIG_VALUE_${index}`] = value;
  });
  return environment({
    ...extra,
    GIT_CONFIG_COUNT: String(config.length),
    GIT_SSH_COMMAND: sshCommand(extra.GIT_SSH_COMMAND),
    GIT_TERMINAL_PROMPT: '0',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_OPTIONAL_LOCKS: '0',
    LC_ALL: 'C',
  });
}

function sshCommand(own: string | undefined): string {
  if (own === undefined) return `ssh ${SSH_OPTIONS}`;
  const program = own.trim().split(/\s+/, 1)[0] ?? '';
  return /(^|\/)ssh$/.test(program) ? `${own} ${SSH_OPTIONS}` : own;
}

export interface GitProgram {
  path: string;
  gitdir: string;
  env: Record<string, string>;
}

/** One run in the clone, ended after `timeoutMs` with all that it started; the caller judges the outcome. */
export function runGit(
  git: GitProgram,
  args: readonly string[],
  options: { signal?: AbortSignal; timeoutMs: number; silenceMs?: number; input?: string },
): Promise<RunResult> {
  return run([git.path, `--git-dir=${git.gitdir}`, ...args], { env: git.env, group: true, ...options });
}
