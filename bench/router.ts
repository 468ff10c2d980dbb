/**
 * The router's CPU for a request, beside a bare node:http + undici proxy under the same load, turn about. Backend, proxies
 * and load are processes of their own.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type Dispatcher, Pool } from 'undici';
import { goFirst } from '../src/target/local/priority.ts';
import { openRouter, stopRouter } from '../src/target/local/router/client.ts';
import { routerDirectory } from '../src/target/local/router/launch.ts';
import { dial } from '../src/target/local/router/wire.ts';
import { cpuOf, type Figure, inFolder, median, medianRatio, note, percentile } from './harness.ts';

const ROUNDS = 7;
const ROUND_MS = 800;
const CONNECTIONS = 16;
const REACH = 1.3;

const listen = (listener: RequestListener) => {
  const server = createServer(listener).listen(0, '127.0.0.1', () =>
    process.stdout.write(`${(server.address() as AddressInfo).port}\n`),
  );
};

/** A small answer, as a service would give. */
function backend() {
  const body = JSON.stringify({ items: Array.from({ length: 20 }, (_, id) => ({ id, name: `item ${id}` })) });
  listen((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    response.end(body);
  });
}

/**
 * The least that can be called a proxy: no routing, no counts, no care for headers, no second attempt. It goes before others as the router does:
 * who waits finds several requests at a time, which costs less for each.
 */
function bare(origin: string) {
  goFirst();
  const pool = new Pool(origin);
  listen((request, response) => {
    const handler: Dispatcher.DispatchHandler = {
      onConnect() {},
      onHeaders(status, raw, resume, text) {
        const headers = raw.map((part) => part.toString('latin1'));
        response.writeHead(status, text, headers);
        response.on('drain', resume);
        return true;
      },
      onData: (chunk) => response.write(chunk),
      onComplete: () => void response.end(),
      onError: () => void response.destroy(),
    };
    pool.dispatch(
      { path: request.url ?? '/', method: request.method ?? 'GET', headers: request.rawHeaders, body: null },
      handler,
    );
  });
}

/** So many connections, each asking again as soon as it is answered; reports the answers and their times. */
async function load(origin: string, host: string, milliseconds: number) {
  const pool = new Pool(origin, { connections: CONNECTIONS });
  const times: number[] = [];
  const end = Date.now() + milliseconds;
  const headers = { host, accept: 'application/json', 'user-agent': 'bench', 'accept-encoding': 'identity' };
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      while (Date.now() < end) {
        const before = performance.now();
        const { statusCode, body } = await pool.request({ path: '/items?page=1', method: 'GET', headers });
        await body.dump();
        if (statusCode !== 200) throw new Error(`answered ${statusCode}`);
        times.push(performance.now() - before);
      }
    }),
  );
  const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
  process.stdout.write(`${JSON.stringify({ requests: times.length, p50, p99 })}\n`);
  await pool.close();
}

interface Sample {
  requests: number;
  p50: number;
  p99: number;
  /** Microseconds of CPU for a request. */
  cpu: number;
}

const SELF = fileURLToPath(import.meta.url);
/** Each in a session of its own, as the router is. */
const start = (...args: string[]) =>
  spawn(process.execPath, [SELF, ...args], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });

async function serving(...args: string[]) {
  const child = start(...args);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { pid: child.pid ?? 0, port: Number(line), stop: () => child.kill() };
}

async function sample(pid: number, port: number, milliseconds: number): Promise<Sample> {
  const before = await cpuOf(pid);
  const child = start('load', `http://127.0.0.1:${port}`, 'shop.localhost', String(milliseconds));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  await once(child, 'exit');
  const seen = JSON.parse(String(line)) as Omit<Sample, 'cpu'>;
  return { ...seen, cpu: ((await cpuOf(pid)) - before) / seen.requests };
}

/** CPU for a request, of the router and of the bare proxy, round by round. */
async function compare(dataDir: string): Promise<Record<'bare' | 'router', Sample[]>> {
  const target = await serving('backend');
  const plain = await serving('bare', `http://127.0.0.1:${target.port}`);
  const client = await openRouter({ dataDir, listen: { host: '127.0.0.1', port: 0 } });
  try {
    await client.set('Service/shop', {
      host: 'shop.localhost',
      policy: { kind: 'percent', weights: { v7: 90, v8: 10 } },
      versions: { v7: [{ unit: 'v7-0', port: target.port }], v8: [{ unit: 'v8-0', port: target.port }] },
    });
    const connection = await dial(routerDirectory(dataDir));
    connection?.close();
    const proxies = {
      bare: { pid: plain.pid, port: plain.port, samples: [] as Sample[] },
      router: { pid: connection?.health.pid ?? 0, port: client.address().port, samples: [] as Sample[] },
    };
    for (const { pid, port } of Object.values(proxies)) await sample(pid, port, 2 * ROUND_MS);
    for (let round = 0; round < ROUNDS; round++)
      for (const { pid, port, samples } of Object.values(proxies)) samples.push(await sample(pid, port, ROUND_MS));
    return { bare: proxies.bare.samples, router: proxies.router.samples };
  } finally {
    target.stop();
    plain.stop();
    await client.close();
    await stopRouter(dataDir);
  }
}

export async function bench(): Promise<Figure[]> {
  const samples = await inFolder(compare);
  const of = (proxy: Sample[], key: keyof Sample) => proxy.map((each) => each[key]);
  for (const [name, proxy] of Object.entries(samples)) {
    const [cpu, p50, p99] = (['cpu', 'p50', 'p99'] as const).map((key) => median(of(proxy, key)).toFixed(2));
    note(`${name}: ${cpu} µs CPU a request, p50 ${p50} ms, p99 ${p99} ms`);
  }
  const ratio = medianRatio(of(samples.router, 'cpu'), of(samples.bare, 'cpu'));
  const cpu = median(of(samples.router, 'cpu'));
  return [
    {
      work: 'router CPU per request',
      reach: `at most ${REACH} × a bare node:http + undici proxy measured beside it`,
      seen: `${ratio.toFixed(2)} × (${cpu.toFixed(0)} µs)`,
      held: ratio <= REACH,
    },
  ];
}

if (process.argv[1] === SELF) {
  const [mode, ...args] = process.argv.slice(2);
  if (mode === 'backend') backend();
  else if (mode === 'bare') bare(args[0] ?? '');
  else await load(args[0] ?? '', args[1] ?? '', Number(args[2]));
}
