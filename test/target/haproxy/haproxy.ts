/** A real HAProxy of its own on loopback. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { temporary } from '../../support/git-servers.ts';
import { freePort } from '../../support/ports.ts';

const PROGRAM = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy', '/usr/bin/haproxy'].find((path) => existsSync(path));

/** Why tests with it are left out; false: they are not. */
export const noHaproxy = PROGRAM === undefined && 'there is no haproxy here';

export interface Haproxy {
  socket: string;
  /** Where it serves the first backend. */
  port: number;
  /** Ends it and starts it afresh, from its configuration. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface Balanced {
  /** Backend → server → its port and weight. */
  backends: Record<string, Record<string, { port: number; weight: number }>>;
  level?: 'admin' | 'user';
  check?: boolean;
  /** When it closes a runtime connection that says nothing. */
  statsTimeoutMs?: number;
}

export async function startHaproxy(balanced: Balanced): Promise<Haproxy> {
  const { backends, level = 'admin', check = false, statsTimeoutMs = 10_000 } = balanced;
  const folder = temporary('haproxy');
  const port = await freePort();
  const socket = join(folder, 'socket');
  const [first = ''] = Object.keys(backends);
  const lines = [
    ...[
      'global',
      `  stats socket ${socket} mode 600 level ${level}`,
      '  maxconn 500',
      `  stats timeout ${statsTimeoutMs}ms`,
    ],
    ...['defaults', '  mode http', '  timeout connect 2s', '  timeout client 60s', '  timeout server 60s'],
    ...['frontend front', `  bind 127.0.0.1:${port}`, `  default_backend ${first}`],
    ...Object.entries(backends).flatMap(([name, servers]) => [
      `backend ${name}`,
      ...Object.entries(servers).map(
        ([server, { port, weight }]) =>
          `  server ${server} 127.0.0.1:${port} weight ${weight}${check ? ' check inter 200ms' : ''}`,
      ),
    ]),
  ];
  await writeFile(join(folder, 'config'), `${lines.join('\n')}\n`);
  let child = await start(folder, socket);
  return {
    socket,
    port,
    async restart() {
      await stop(child);
      child = await start(folder, socket);
    },
    async close() {
      await stop(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function start(folder: string, socket: string): Promise<ChildProcess> {
  const child = spawn(PROGRAM ?? '', ['-db', '-f', join(folder, 'config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  for (let attempt = 0; attempt < 400; attempt++) {
    if (child.exitCode !== null) throw new Error(`haproxy ended with ${child.exitCode}: ${said}`);
    const open = await new Promise<boolean>((answered) => {
      const probe = connect(socket);
      probe.once('connect', () => answered(true));
      probe.once('error', () => answered(false));
      probe.once('connect', () => probe.destroy());
    });
    if (open) return child;
    await new Promise((later) => setTimeout(later, 25));
  }
  throw new Error(`haproxy does not answer: ${said}`);
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await ended;
}
