/** Real backends and clients for the router's tests. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { type Agent, createServer, type IncomingMessage, type RequestListener, request, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { openRouter, type RouterClient, stopRouter } from '../../../../src/target/local/router/client.ts';
import type { Route } from '../../../../src/target/local/router/config.ts';
import { createProxy } from '../../../../src/target/local/router/proxy.ts';
import { createTable, type Table } from '../../../../src/target/local/router/table.ts';

export interface Backend {
  port: number;
  server: Server;
  sockets: Set<Socket>;
}

export async function backend(t: Test, answer: RequestListener): Promise<Backend> {
  const server = createServer(answer);
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const port = await listening(server);
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port, server, sockets };
}

/** A backend below HTTP: every connection is handed to `serve` as it is. */
export async function rawBackend(t: Test, serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return listening(server);
}

async function listening(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** The routes and the proxy of a router, in this process. */
export async function proxyHere(t: Test): Promise<{ table: Table; port: number }> {
  const table = createTable();
  const server = createProxy(table);
  const port = await listening(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
    table.change({ 'Service/shop': null, 'Workload/hello': null });
  });
  return { table, port };
}

export const all = (version: string) => ({ kind: 'percent', weights: { [version]: 100 } }) as const;

/** A route of one version with one backend a port: units `<version>-0`, `<version>-1` … */
export const shop = (
  ports: Record<string, number[]>,
  policy: Route['policy'] = all(Object.keys(ports)[0] ?? ''),
): Route => ({
  host: 'shop.localhost',
  policy,
  versions: Object.fromEntries(
    Object.entries(ports).map(([version, list]) => [
      version,
      list.map((port, at) => ({ unit: `shop-${version}-${at}`, port })),
    ]),
  ),
});

export interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: string;
}
export interface Ask {
  host?: string;
  path?: string;
  method?: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
  agent?: Agent;
}

export async function ask(port: number, options: Ask = {}): Promise<Answer> {
  const { host = 'shop.localhost', path = '/', method = 'GET', headers = {}, body, agent } = options;
  const outgoing = request({
    host: '127.0.0.1',
    port,
    path,
    method,
    headers: { ...headers, host },
    ...(agent === undefined ? {} : { agent }),
  });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: await textOf(incoming) };
}

export async function textOf(stream: AsyncIterable<Buffer | string>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

/** Sends bytes as they are; what comes back until the router closes, or until `enough`. */
export async function raw(port: number, text: string, enough?: RegExp): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(text, 'latin1');
  let answer = '';
  socket.setEncoding('latin1');
  try {
    for await (const chunk of socket) {
      answer += chunk;
      if (enough?.test(answer)) break;
    }
  } catch (error) {
    answer += `<${(error as NodeJS.ErrnoException).code}>`;
  }
  socket.destroy();
  return answer;
}

export async function dataDir(t: Test, prefix = 'sluice-router-'): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), prefix));
  t.teardown(async () => {
    await stopRouter(directory).catch(() => {});
    // Of several that were started at once another one may only now come to the address.
    for (const pid of await routersOf(directory)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
    // What was killed may write to its last.
    await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  });
  return directory;
}

/** The router processes of a folder, also those that do not serve. */
async function routersOf(directory: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return pids.filter((_, index) => commands[index]?.includes(`\0${directory}/router\0`)).map(Number);
}

/** A router process of its own. */
export async function router(t: Test, directory: string, port = 0): Promise<RouterClient> {
  const client = await openRouter({ dataDir: directory, listen: { host: '127.0.0.1', port } });
  t.teardown(() => client.close());
  return client;
}

/** A backend as a process, to be killed: answers every request with its name. */
export async function backendProcess(t: Test, name: string): Promise<{ port: number; kill(): Promise<void> }> {
  const program = `
    const server = require('node:http').createServer((request, response) => response.end(${JSON.stringify(name)}));
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  t.teardown(kill);
  return { port: Number(line), kill };
}
