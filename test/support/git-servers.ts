/** Real Git servers for tests: bare repositories on disk, smart HTTP through `git http-backend`, and an sshd on loopback. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { until } from './until.ts';

const ENV = {
  PATH: process.env.PATH ?? '',
  HOME: '/nonexistent',
  LC_ALL: 'C',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Tester',
  GIT_AUTHOR_EMAIL: 'tester@example.test',
  GIT_COMMITTER_NAME: 'Tester',
  GIT_COMMITTER_EMAIL: 'tester@example.test',
};

export function temporary(name: string): string {
  return mkdtempSync(join(tmpdir(), `sluice-${name}-`));
}

/** Runs git to the end; its standard output, without the newline at the end. Throws when it fails. */
export function git(directory: string, args: string[], input?: string): string {
  const output = execFileSync('git', args, {
    cwd: directory,
    env: ENV,
    input,
    maxBuffer: 256 * 1024 * 1024,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return output.toString().replace(/\n$/, '');
}

/** A bare repository that anybody who reaches it may push to. */
export function bareRepository(root: string, name = 'repo.git'): string {
  const path = join(root, name);
  git(root, ['init', '--quiet', '--bare', '--initial-branch=main', path]);
  git(path, ['config', 'http.receivepack', 'true']);
  git(path, ['config', 'receive.denyDeleteCurrent', 'ignore']);
  return path;
}

export interface CommitOptions {
  branch?: string;
  message?: string;
  /** Starts a history of its own; replaces what the branch held. */
  orphan?: boolean;
  /** Commits onto this instead of the branch's tip. */
  from?: string;
  /** Seconds since the epoch. */
  at?: number;
}

let clock = 1_700_000_000;

/** One commit by fast-import: quick for ten thousand files. `null` deletes. Returns the commit's id. */
export function commitFiles(
  repository: string,
  files: Record<string, string | Buffer | null>,
  options: CommitOptions = {},
): string {
  const { branch = 'main', message = 'change', orphan = false } = options;
  const at = options.at ?? clock++;
  const ref = `refs/heads/${branch}`;
  const tip = options.from ?? tipOf(repository, ref);
  const parts: (string | Buffer)[] = [`commit ${ref}\ncommitter Tester <tester@example.test> ${at} +0000\n`];
  parts.push(`data ${Buffer.byteLength(message)}\n${message}\n`);
  if (!orphan && tip !== undefined) parts.push(`from ${tip}\n`);
  if (orphan) parts.push('deleteall\n');
  for (const [path, content] of Object.entries(files)) {
    if (content === null) parts.push(`D ${path}\n`);
    else parts.push(`M ${modeOf(path)} inline ${path}\ndata ${Buffer.byteLength(content)}\n`, content, '\n');
  }
  if (orphan && tip !== undefined) git(repository, ['update-ref', '-d', ref]);
  execFileSync('git', ['fast-import', '--quiet', '--force'], {
    cwd: repository,
    env: ENV,
    input: Buffer.concat(parts.map((part) => Buffer.from(part as string))),
  });
  return tipOf(repository, ref) ?? '';
}

function modeOf(path: string): string {
  return path.endsWith('.sh') ? '100755' : '100644';
}

export function tipOf(repository: string, ref: string): string | undefined {
  try {
    return git(repository, ['rev-parse', '--verify', '--quiet', ref]);
  } catch {
    return undefined;
  }
}

/** What the HTTP server does instead of answering; `half` cuts the answers of the given kind of request in two. */
export type Fault =
  | { kind: 'status'; status: number; headers?: Record<string, string> }
  | { kind: 'silence' }
  | { kind: 'half' };

export interface HttpGitServer {
  url: string;
  /** `METHOD path?query` of every request so far. */
  requests: string[];
  /** Bytes of all answers so far. */
  sent(): number;
  fail(fault: Fault | undefined, only?: (request: string) => boolean): void;
  close(): Promise<void>;
}

export interface HttpGitOptions {
  /** Basic authentication that every request must carry. */
  auth?: { username: string; password: string };
  /** Hides protocol version 2 from the backend, as old hosts do. */
  version1?: boolean;
}

/** Serves every repository below `root` at `<url>/<name>`. */
export async function serveHttp(root: string, options: HttpGitOptions = {}): Promise<HttpGitServer> {
  const requests: string[] = [];
  let fault: Fault | undefined;
  let only: (request: string) => boolean = () => true;
  let sent = 0;
  const server = createServer((request, response) => {
    const line = `${request.method} ${request.url}`;
    requests.push(line);
    const active = fault !== undefined && only(line) ? fault : undefined;
    if (active?.kind === 'silence') return;
    if (active?.kind === 'status') return refuse(request, response, active.status, active.headers);
    if (!authorized(request, options.auth))
      return refuse(request, response, 401, { 'www-authenticate': 'Basic realm="git"' });
    backend(root, request, options.version1 === true, (status, headers, body) => {
      sent += body.length;
      response.writeHead(status, { ...headers, 'content-length': body.length });
      if (active?.kind !== 'half') return response.end(body);
      response.write(body.subarray(0, Math.floor(body.length / 2)), () => setTimeout(() => response.destroy(), 20));
    });
  });
  const port = await new Promise<number>((listening) =>
    server.listen(0, '127.0.0.1', () => listening((server.address() as AddressInfo).port)),
  );
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    sent: () => sent,
    fail(next, which = () => true) {
      fault = next;
      only = which;
    },
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

function refuse(request: IncomingMessage, response: ServerResponse, status: number, headers = {}): void {
  request.resume();
  request.on('end', () => response.writeHead(status, headers).end());
}

function authorized(request: IncomingMessage, auth: HttpGitOptions['auth']): boolean {
  if (auth === undefined) return true;
  const expected = Buffer.from(`${auth.username}:${auth.password}`).toString('base64');
  return request.headers.authorization === `Basic ${expected}`;
}

function backend(
  root: string,
  request: IncomingMessage,
  version1: boolean,
  answer: (status: number, headers: Record<string, string>, body: Buffer) => void,
): void {
  const url = new URL(request.url ?? '/', 'http://host');
  const length = request.headers['content-length'];
  const protocol = request.headers['git-protocol'];
  const child = spawn('git', ['http-backend'], {
    env: {
      ...ENV,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      REMOTE_USER: 'tester',
      REMOTE_ADDR: '127.0.0.1',
      REQUEST_METHOD: request.method ?? 'GET',
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      ...(length === undefined ? {} : { CONTENT_LENGTH: length }),
      ...(protocol === undefined || version1 ? {} : { GIT_PROTOCOL: String(protocol) }),
    },
  });
  child.stdin.on('error', () => {});
  request.pipe(child.stdin);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk) => chunks.push(chunk));
  child.stderr.resume();
  child.on('close', () => {
    const output = Buffer.concat(chunks);
    const split = output.indexOf('\r\n\r\n');
    if (split < 0) return answer(500, {}, Buffer.alloc(0));
    const headers: Record<string, string> = {};
    for (const line of output.subarray(0, split).toString().split('\r\n')) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const status = Number.parseInt(headers.status ?? '200', 10);
    delete headers.status;
    answer(status, headers, output.subarray(split + 4));
  });
}

export interface SshGitServer {
  /** The address of a repository at an absolute path. */
  url(path: string): string;
  /** What `GIT_SSH_COMMAND` must be to get in. */
  command: string;
  /** The same without a key that the server knows. */
  strangerCommand: string;
  close(): Promise<void>;
}

export const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find((path) => existsSync(path));

/** An sshd of its own on a loopback port; undefined where none is installed. */
export async function serveSsh(): Promise<SshGitServer | undefined> {
  if (SSHD === undefined) return undefined;
  const folder = temporary('sshd');
  for (const key of ['host', 'user', 'stranger'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, key)]);
  await mkdir('/run/sshd', { recursive: true }).catch(() => {});
  await writeFile(join(folder, 'authorized'), execFileSync('ssh-keygen', ['-y', '-f', join(folder, 'user')]));
  await chmod(join(folder, 'authorized'), 0o600);
  const port = await freePort();
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(folder, 'host')}`,
    `AuthorizedKeysFile ${join(folder, 'authorized')}`,
    `PidFile ${join(folder, 'pid')}`,
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'StrictModes no',
    'UsePAM no',
    'AcceptEnv GIT_PROTOCOL',
    // bash reads the account's .bashrc there, and whatever that waits for.
    `SetEnv HOME=${folder}`,
  ];
  await writeFile(join(folder, 'config'), `${config.join('\n')}\n`);
  const child = await startSshd(folder);
  const ssh = (key: string) =>
    `ssh -i ${join(folder, key)} -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=no -o UserKnownHostsFile=${join(folder, 'known')} -o LogLevel=ERROR`;
  return {
    url: (path) => `ssh://${userInfo().username}@127.0.0.1:${port}${path}`,
    command: ssh('user'),
    strangerCommand: ssh('stranger'),
    async close() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * By the `config` in `folder`, which names `pid` there as its file. sshd writes that once it listens; a connection says less: on a port that
 * another program took first it is accepted too, and then nobody answers.
 */
export async function startSshd(folder: string): Promise<ChildProcess> {
  const child = spawn(SSHD ?? '', ['-D', '-e', '-f', join(folder, 'config')], { stdio: 'ignore' });
  await until('sshd listens', async () => {
    if (child.exitCode !== null) throw new Error(`sshd ended with ${child.exitCode}`);
    return (await readFile(join(folder, 'pid'), 'utf8').catch(() => '')).trim() === String(child.pid);
  });
  return child;
}
