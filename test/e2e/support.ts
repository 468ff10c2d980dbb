/** The real thing from outside: a repository, the operator as a process, requests through its router. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { freePort } from '../support/ports.ts';
import { until } from '../support/until.ts';

const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface Place {
  root: string;
  repo: string;
  state: string;
  data: string;
  /** Of the embedded router. */
  port: number;
  /** Where requests are sent, if not there. */
  routed?: number;
  /** What the processes of units have in their environment, where that is not `root`: those of containers. */
  marked?: string;
  /** Aborted by `clean`: whatever still asks for something stops. */
  over: AbortController;
}

/** A new repository with one commit of `files`, and folders of its own for everything else. */
export async function place(files: Record<string, string>): Promise<Place> {
  const root = mkdtempSync(join(tmpdir(), 'sluice-e2e-'));
  const repo = join(root, 'config');
  mkdirSync(repo);
  git(repo, 'init', '-q', '-b', 'main');
  git(repo, 'config', 'user.name', 'Tester');
  git(repo, 'config', 'user.email', 'tester@localhost');
  const made = {
    root,
    repo,
    state: join(root, 'state'),
    data: join(root, 'data'),
    port: await freePort(),
    over: new AbortController(),
  };
  commit(made, files, 'first');
  return made;
}

export function git(cwd: string, ...args: string[]): string {
  return execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

/** Writes files (an empty text deletes) and commits them; returns the commit. */
export function commit({ repo }: Place, files: Record<string, string>, message: string): string {
  for (const [path, text] of Object.entries(files)) {
    const file = join(repo, path);
    mkdirSync(dirname(file), { recursive: true });
    if (text === '') rmSync(file);
    else writeFileSync(file, text);
  }
  git(repo, 'add', '-A');
  git(repo, 'commit', '-q', '-m', message);
  return git(repo, 'rev-parse', 'HEAD');
}

export interface Running {
  process: ChildProcess;
  output(): string;
  exit: Promise<number | null>;
}

export function operator(at: Place, ...more: string[]): Running {
  return newest(at, cli([...runArguments(at, at.repo), '--interval', '1s', ...more], at.repo));
}

/** An operator that works from an address, in haste. */
export function remoteOperator(at: Place, url: string, env: Record<string, string> = {}, ...more: string[]): Running {
  const haste = ['--interval', '300ms', '--push-interval', '100ms'];
  return newest(at, cli([...runArguments(at, url), ...haste, ...more], at.root, env));
}

/** The operator of a place that was started last: what did not come is told with the end of its log. */
const operators = new WeakMap<AbortController, Running>();

function newest(at: Place, running: Running): Running {
  operators.set(at.over, running);
  return running;
}

/** What to add to an error: the last lines that the place's operator has logged. */
function logEnd(at: Place): string {
  const running = operators.get(at.over);
  if (running === undefined) return '';
  const { exitCode, signalCode } = running.process;
  const ended = exitCode ?? signalCode;
  const state = ended === null ? 'runs' : `ended with ${ended}`;
  return `; the operator ${state}, its log ends:\n${logged(running).slice(-20).join('\n')}`;
}

export function runArguments(at: Place, repo: string): string[] {
  const folders = ['--state-dir', at.state, '--data-dir', at.data];
  return ['run', '--repo', repo, ...folders, '--router', `127.0.0.1:${at.port}`];
}

/** `env` over what the tests run with; `inside` is what the command is given to, `unshare --mount` for instance. */
export function cli(args: string[], cwd: string, env: Record<string, string> = {}, inside: string[] = []): Running {
  const [program = '', ...rest] = [...inside, process.execPath, CLI, ...args];
  const child = spawn(program, rest, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  return { process: child, output: () => output, exit: new Promise((resolve) => child.once('close', resolve)) };
}

/** A command of `sluice` in the place's repository, to its end. */
export async function sluice(at: Place, ...args: string[]): Promise<{ code: number | null; output: string }> {
  const command = cli(args, at.repo);
  const code = await command.exit;
  return { code, output: command.output() };
}

/** Every line that an operator has logged so far, as `level message`. */
export function logged(running: Running): string[] {
  const levels: Record<number, string> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };
  return running
    .output()
    .split('\n')
    .flatMap((line) => {
      if (!line.startsWith('{') || !line.endsWith('}')) return line === '' ? [] : [line];
      const { level, msg } = JSON.parse(line);
      return [`${levels[level]} ${msg}`];
    });
}

/** Waits for a line of the log, and tells the last ones when it does not come. */
export function logs(running: Running, pattern: RegExp, seconds?: number): Promise<string> {
  return until(`a log line ${pattern}`, () => logged(running).find((line) => pattern.test(line)), seconds).catch(
    (error: Error) => {
      throw new Error(`${error.message}; the log ends:\n${logged(running).slice(-20).join('\n')}`);
    },
  );
}

/** The attempts of a resource that have a process now, as `/proc` tells: `tomcat-1.k2f9`. */
export function alive(at: Place, resource: string): Set<string> {
  return new Set(processes(at, resource).map(({ attempt }) => attempt));
}

/** Every process of a resource's units here, by what it carries in its environment. */
export function processes(at: Place, resource: string): { pid: number; attempt: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const env = read(`/proc/${name}/environ`).split('\0');
    const attempt = env.find((line) => line.startsWith('SLUICE_ATTEMPT='));
    const ours = env.includes(`SLUICE_RESOURCE=${resource}`) && env.some((line) => line.includes(at.marked ?? at.root));
    // Whatever else runs in a container has its environment, too.
    return ours && attempt !== undefined && (at.marked === undefined || leadsContainer(name))
      ? [{ pid: Number(name), attempt: attempt.slice(15) }]
      : [];
  });
}

const leadsContainer = (pid: string): boolean => /^NSpid:.*\t1$/m.test(read(`/proc/${pid}/status`));

/** The process of the place's router. */
export function routerPid(at: Place): number | undefined {
  const found = pidsBelow(at.root).find((pid) => read(`/proc/${pid}/cmdline`).includes('router/main.js'));
  return found;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Ends the operator, every unit and the router, and removes everything. */
export async function clean(at: Place, running?: Running): Promise<void> {
  at.over.abort();
  running?.process.kill('SIGKILL');
  await running?.exit;
  for (const pid of withSessions(pidsBelow(at.root))) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {}
  }
  rmSync(at.root, { recursive: true, force: true, maxRetries: 5 });
}

/** Processes whose command line or environment names the folder: units and routers of this place. */
function pidsBelow(root: string): number[] {
  const found = execFileSync(
    'sh',
    ['-c', 'grep -lsF -- "$0" /proc/[0-9]*/cmdline /proc/[0-9]*/environ || true', root],
    { encoding: 'utf8' },
  );
  return [...new Set(found.split('\n').flatMap((line) => line.match(/^\/proc\/(\d+)\//)?.[1] ?? []))]
    .map(Number)
    .filter((pid) => pid !== process.pid);
}

/** With what they started: a server's workers may have overwritten what would tell whose they are. */
function withSessions(leaders: number[]): number[] {
  const sessionOf = (pid: number) => {
    const stat = read(`/proc/${pid}/stat`);
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
  };
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const theirs = all.map(Number).filter((pid) => leaders.includes(sessionOf(pid)));
  return [...new Set([...leaders, ...theirs])];
}

// biome-ignore lint/suspicious/noExplicitAny: a status file as anybody reads it
export type Status = any;

/** By repository and resource: who waits for something asks again and again, mostly while nothing has moved. */
const lastRead = new Map<string, { tip: string; read: Status }>();

export function status({ repo }: Place, id: string): Status {
  const key = `${repo} ${id}`;
  const tip = looseTip(repo);
  const last = lastRead.get(key);
  if (tip !== undefined && last?.tip === tip) return last.read;
  const read = readStatus(repo, id);
  if (tip !== undefined) lastRead.set(key, { tip, read });
  return read;
}

/** Undefined: it is not in a file of its own, now, so git has to be asked. */
function looseTip(repo: string): string | undefined {
  for (const folder of [join(repo, '.git'), repo]) {
    try {
      return readFileSync(join(folder, 'refs/heads/sluice/status'), 'utf8');
    } catch {}
  }
  return undefined;
}

function readStatus(repo: string, id: string): Status {
  const [kind = '', name = ''] = id.split('/');
  try {
    return parse(git(repo, 'show', `refs/heads/sluice/status:status/${kind.toLowerCase()}/${name}.yaml`));
  } catch {
    return undefined;
  }
}

/** Waits for a status that holds; tells the last one when it does not come. */
export function statusOf(
  at: Place,
  id: string,
  what: string,
  holds: (now: Status) => boolean,
  seconds?: number,
): Promise<Status> {
  const look = () => {
    const now = status(at, id);
    return now !== undefined && holds(now) ? now : undefined;
  };
  return until(`${id} ${what}`, look, seconds).catch((error: Error) => {
    throw new Error(`${error.message}; last seen: ${JSON.stringify(status(at, id), null, 1)}${logEnd(at)}`);
  });
}

export function settled(at: Place, id: string, rollout: number, seconds?: number): Promise<Status> {
  const holds = (now: Status) =>
    now.rollout?.id === rollout && now.rollout.phase === 'Succeeded' && now.health === 'Healthy';
  return statusOf(at, id, `rollout ${rollout} Succeeded`, holds, seconds);
}

/** `paused(at, id, 2, 'Step')`. */
export function paused(at: Place, id: string, rollout: number, reason: string): Promise<Status> {
  const holds = (now: Status) => now.rollout?.id === rollout && now.rollout.reason === reason;
  return statusOf(at, id, `rollout ${rollout} Paused (${reason})`, holds);
}

export interface Answer {
  status: number;
  body: string;
}

export function get({ port, routed = port }: Place, host: string, path = '/'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port: routed, path, headers: { host }, agent: false }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

/** Between the requests of one asker: some hundreds a second in all, and the rest of a small machine for what is tested. */
const LEISURE_MS = 10;

/** Asks one request after another until it is told to stop; every answer but 200 is a loss. */
export function load(
  at: Place,
  host: string,
  path = '/',
): { stop(): Promise<{ sent: number; lost: string[]; bodies: Map<string, number> }> } {
  const lost: string[] = [];
  const bodies = new Map<string, number>();
  let sent = 0;
  let going = true;
  const worker = async () => {
    while (going && !at.over.signal.aborted) {
      sent++;
      const answer = await get(at, host, path).catch((error: Error) => ({ status: 0, body: error.message }));
      if (answer.status === 200) bodies.set(answer.body, (bodies.get(answer.body) ?? 0) + 1);
      else lost.push(`${answer.status} ${answer.body}`);
      await sleep(LEISURE_MS);
    }
  };
  const workers = [worker(), worker(), worker(), worker()];
  return {
    async stop() {
      going = false;
      await Promise.all(workers);
      return { sent, lost, bodies };
    },
  };
}

/** An image whose server answers with its version; ready `delay` ms after it starts. */
export function image(name: string, version: string, delay = 0): Record<string, string> {
  return {
    [`images/${name}/${version}/image.yaml`]: 'command: [node, server.js]\n',
    [`images/${name}/${version}/server.js`]: `
const http = require('node:http');
const server = http.createServer((request, response) => {
  if (request.url === '/slow') setTimeout(() => response.end('${version}'), 300);
  else response.end('${version}');
});
setTimeout(() => server.listen(process.env.PORT, '127.0.0.1'), ${delay});
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`,
  };
}

export const workload = (name: string, tag: string, replicas = 2, more = ''): string => `apiVersion: sluice/v1
kind: Workload
metadata: {name: ${name}}
spec:
  replicas: ${replicas}
${more}  template:
    spec:
      containers:
        - {name: web, image: "${tag}", ports: [{containerPort: 8080}]}
`;

export const service = (name: string, tag: string, more = ''): string => `apiVersion: sluice/v1
kind: Service
metadata: {name: ${name}}
spec:
${more}  template:
    spec:
      containers:
        - {name: web, image: "${tag}", ports: [{containerPort: 8080}]}
`;
