/** The router process: `main.js FOLDER HOST:PORT`. Its configuration, its control socket and its log lie in FOLDER. */
import type { AddressInfo } from 'node:net';
import { goFirst } from '../priority.ts';
import { serveControl } from './control.ts';
import { EXIT, parseAddress } from './launch.ts';
import { createProxy } from './proxy.ts';
import { load } from './store.ts';
import { createTable } from './table.ts';

/** How long a router that is told to end goes on with what it serves. */
const LINGER_MS = 5000;

const log = (message: string) => process.stdout.write(`${new Date().toISOString()} ${process.pid} ${message}\n`);

async function main([directory = '.', address = '']: string[]): Promise<void> {
  process.chdir(directory);
  goFirst();
  const { host, port } = parseAddress(address);
  const table = createTable();
  table.change((await load(log)).routes);
  const server = createProxy(table);
  // The address first: whoever has it owns the folder, so that of two routers that start at once one gives way here.
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, 4096, resolve);
  });
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    log('ending');
    server.close();
    server.prependListener('request', (_, response) => {
      response.shouldKeepAlive = false;
    });
    const until = Date.now() + LINGER_MS;
    setInterval(() => {
      if (table.active() === 0 || Date.now() > until) process.exit(0);
    }, 20);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => {});
  const listening = (server.address() as AddressInfo).port;
  if (!(await serveControl({ table, health: { pid: process.pid, host, port: listening }, log, stop })))
    process.exit(EXIT.twin);
  log(`serving on ${host}:${listening}`);
}

main(process.argv.slice(2)).catch((error: NodeJS.ErrnoException) => {
  log(`cannot serve on ${process.argv[3]}: ${error.message}`);
  process.exit(EXIT[error.code as keyof typeof EXIT] ?? 1);
});
