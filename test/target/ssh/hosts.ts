/** Real sshd processes on loopback: each with a port, a home and keys of its own, behind a line that can be cut. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { SshTarget } from '../../../src/manifest/target.ts';
import { SSHD, startSshd, temporary } from '../../support/git-servers.ts';
import { freePort } from '../../support/ports.ts';

/** Why tests with it are left out; false: they are not. */
export const noSshd = SSHD === undefined && 'there is no sshd here';

type KeyType = 'ed25519' | 'rsa' | 'ecdsa';

export interface TestHost {
  name: string;
  /** Of the line to it. */
  port: number;
  home: string;
  line: Line;
  /** `ssh-ed25519 AAAA…` of each of its keys. */
  keys(): string[];
  /** The listener and whoever it serves. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Processes of sshd that serve a connection. */
  sessions(): number[];
}

/** Between the operator and a host. */
interface Line {
  /** How often somebody connected. */
  connections(): number;
  /** Ends all connections. */
  cut(): void;
  /** Nothing goes through any more, and nobody is told. */
  freeze(): void;
  thaw(): void;
}

export interface TestHosts {
  root: string;
  hosts: TestHost[];
  ssh: SshTarget;
  known(lines: string[]): Promise<void>;
}

export interface TestHostsOptions {
  names: string[];
  labels?: (name: string) => Record<string, string>;
  keyTypes?: KeyType[];
  config?: string[];
  /** As `NAME=value`. */
  env?: string[];
}

/** What is started goes with whoever has it started. */
interface Owner {
  teardown(end: () => unknown): void;
}

export async function startHosts(t: Owner, options: TestHostsOptions): Promise<TestHosts> {
  const root = temporary('ssh');
  const hosts: TestHost[] = [];
  t.teardown(async () => {
    await Promise.all(hosts.map((host) => host.stop()));
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
  });
  await mkdir('/run/sshd', { recursive: true }).catch(() => {});
  keygen(join(root, 'user'), 'ed25519');
  await writeFile(join(root, 'authorized'), readFileSync(join(root, 'user.pub')), { mode: 0o600 });
  for (const name of options.names) hosts.push(await startHost(t, root, name, options));
  const knownHostsFile = join(root, 'known hosts');
  const known = (lines: string[]) => writeFile(knownHostsFile, `${lines.join('\n')}\n`);
  await known(hosts.flatMap((host) => host.keys().map((key) => `[127.0.0.1]:${host.port} ${key}`)));
  const { labels = () => ({}) } = options;
  const ssh: SshTarget = {
    key: { identityFile: join(root, 'user') },
    knownHostsFile,
    hosts: hosts.map(({ name, port }) => ({ ...login(port), name, labels: labels(name) })),
  };
  return { root, hosts, ssh, known };
}

const login = (port: number) => ({ address: '127.0.0.1', port, user: userInfo().username });

export function keygen(file: string, type: KeyType, passphrase = ''): void {
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-f', file]);
}

async function startHost(
  t: Owner,
  root: string,
  name: string,
  { keyTypes = ['ed25519'], config = [], env = [] }: TestHostsOptions,
): Promise<TestHost> {
  const folder = join(root, name);
  const home = join(folder, 'home');
  await mkdir(home, { recursive: true });
  for (const type of keyTypes) keygen(join(folder, type), type);
  const port = await freePort();
  const lines = [
    ...[`Port ${port}`, 'ListenAddress 127.0.0.1', `PidFile ${join(folder, 'pid')}`],
    ...keyTypes.map((type) => `HostKey ${join(folder, type)}`),
    ...[`AuthorizedKeysFile ${join(root, 'authorized')}`, 'PasswordAuthentication no'],
    ...['KbdInteractiveAuthentication no', 'PermitRootLogin prohibit-password', 'StrictModes no', 'UsePAM no'],
    ...['MaxStartups 200', `SetEnv ${[`HOME=${home}`, ...env].join(' ')}`, ...config],
  ];
  await writeFile(join(folder, 'config'), `${lines.join('\n')}\n`);
  const line = await startLine(port);
  t.teardown(() => line.close());
  let child: ChildProcess | undefined;
  const host: TestHost = {
    ...{ name, port: line.port, home, line },
    keys: () => keyTypes.map((type) => readFileSync(join(folder, `${type}.pub`), 'utf8').trim()),
    async start() {
      child = await startSshd(folder);
    },
    sessions: () => (child?.pid === undefined || child.exitCode !== null ? [] : childrenOf(child.pid)),
    async stop() {
      line.cut();
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child?.once('exit', resolve));
      child.kill();
      await ended;
    },
  };
  await host.start();
  t.teardown(() => signalAll(host.sessions(), 'SIGCONT'));
  return host;
}

/** Who runs the script of this process id, and then all that it started: no outcome is left. */
export function killSession(pid: number): void {
  const runner = sessionOf(pid);
  const others = readdirSync('/proc')
    .map(Number)
    .filter((one) => one !== runner && sessionOf(one) === runner);
  if (runner !== undefined) signalAll([runner, ...others], 'SIGKILL');
}

function sessionOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
  } catch {
    return undefined;
  }
}

/** To those of them that are still there. */
export function signalAll(pids: number[], signal: NodeJS.Signals): void {
  for (const pid of pids)
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
}

function childrenOf(pid: number): number[] {
  const file = `/proc/${pid}/task/${pid}/children`;
  return existsSync(file) ? readFileSync(file, 'latin1').split(' ').filter(Boolean).map(Number) : [];
}

async function startLine(to: number): Promise<Line & { port: number; close(): void }> {
  const sockets = new Set<Socket>();
  let count = 0;
  let frozen = false;
  const server: Server = createServer((near) => {
    count++;
    const far = connect(to, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.setNoDelay(true);
      one.on('data', (chunk) => {
        if (!frozen) other.write(chunk);
      });
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        if (!frozen) other.destroy();
      });
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => count,
    cut,
    freeze() {
      frozen = true;
    },
    thaw() {
      frozen = false;
      cut();
    },
    close() {
      frozen = false;
      cut();
      server.close();
    },
  };
}
