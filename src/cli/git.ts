/** The `git` program, run for the person at the keyboard, in their repository and with their settings. */
import { environment, run } from '../process.ts';
import { Failure } from './failure.ts';

/** Besides the usual: what lets git sign, ask for a password and reach an SSH agent as the user has set it up. */
const PASSED_ON = [
  'DISPLAY',
  'GIT_ASKPASS',
  'GIT_AUTHOR_EMAIL',
  'GIT_AUTHOR_NAME',
  'GIT_COMMITTER_EMAIL',
  'GIT_COMMITTER_NAME',
  'GIT_CONFIG_GLOBAL',
  'GIT_CONFIG_NOSYSTEM',
  'GIT_SSH',
  'GIT_SSH_COMMAND',
  'GIT_TERMINAL_PROMPT',
  'GNUPGHOME',
  'GPG_TTY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'SLUICE_GIT_TOKEN',
  'SLUICE_GIT_USERNAME',
  'SSH_ASKPASS',
  'SSH_AUTH_SOCK',
  'XDG_CONFIG_HOME',
  'XDG_RUNTIME_DIR',
  'http_proxy',
  'https_proxy',
  'no_proxy',
];

interface GitOptions {
  input?: string;
  /** Over the user's environment: an index of our own, for instance. */
  env?: Record<string, string>;
  timeoutMs?: number;
}

/** What git printed, without the line end; throws a `Failure` in git's own words. */
export async function git(folder: string, args: string[], options: GitOptions = {}): Promise<string> {
  const result = await start(folder, args, options);
  if (result.code === 0) return text(result.stdout);
  const said = result.stderr.trim() || result.failure || `exit status ${result.code}`;
  throw new Failure(`git ${args.find((arg) => !arg.startsWith('-'))}: ${said.replace(/^(fatal|error): /, '')}`);
}

/** The same, where failing is an answer: undefined. */
export async function askGit(folder: string, args: string[], options: GitOptions = {}): Promise<string | undefined> {
  const result = await start(folder, args, options);
  return result.code === 0 ? text(result.stdout) : undefined;
}

/** What each name (`<object>`, `<commit>:<path>`) holds, in one run; undefined: nothing. Names hold no line ends. */
export async function readObjects(folder: string, names: string[]): Promise<(Buffer | undefined)[]> {
  const input = names.map((name) => `${name}\n`).join('');
  const output = (await start(folder, ['cat-file', '--batch'], { input })).stdout;
  let at = 0;
  return names.map(() => {
    const headEnd = output.indexOf('\n', at);
    const size = / (\d+)$/.exec(output.toString('utf8', at, headEnd))?.[1];
    at = headEnd + 1;
    if (size === undefined) return undefined;
    const content = output.subarray(at, at + Number(size));
    at += Number(size) + 1;
    return content;
  });
}

async function start(folder: string, args: string[], { input, env, timeoutMs }: GitOptions) {
  const passed: Record<string, string> = {};
  for (const name of PASSED_ON) {
    const value = process.env[name];
    if (value !== undefined) passed[name] = value;
  }
  const result = await run(['git', ...args], {
    cwd: folder,
    env: environment({ ...passed, LC_ALL: 'C.UTF-8', ...env }),
    ...(input === undefined ? {} : { input }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    maxOutput: 1024 * 1024 * 1024,
  });
  if (result.code === undefined && result.failure?.includes('ENOENT')) {
    throw new Failure('this command needs the program git, which was not found; install git 2.29 or later');
  }
  return result;
}

const text = (output: Buffer): string => output.toString().replace(/\n$/, '');
