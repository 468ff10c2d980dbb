/**
 * The router's CPU for a request, beside a bare node:http + undici proxy under the same load, turn about. Backend, proxies and load are
 * processes of their own. `node build/bench/router.js`; Linux, as CPU time is read from /proc.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Dispatcher, Pool } from 'undici';
import { openRouter, stopRouter } from '../src/target/local/router/client.ts';
import { routerDirectory } from '../src/target/local/router/launch.ts';
import { dial } from '../src/target/local/router/wire.ts';

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

/** The least that can be called a proxy: no routing, no counts, no care for headers, no second attempt. */
function bare(origin: string) {
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
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(times.length * share)] ?? 0;
  process.stdout.write(`${JSON.stringify({ requests: times.length, p50: at(0.5), p99: at(0.99) })}\n`);
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
const start = (...args: string[]) => spawn(process.execPath, [SELF, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });

async function serving(...args: string[]) {
  const child = start(...args);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { pid: child.pid ?? 0, port: Number(line), stop: () => child.kill() };
}

/** Time on a processor of all threads, in microseconds; more exact than the hundredths of a second of /proc/PID/stat. */
async function cpuOf(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'latin1')));
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1000, 0);
}

async function sample(pid: number, port: number, milliseconds: number): Promise<Sample> {
  const before = await cpuOf(pid);
  const child = start('load', `http://127.0.0.1:${port}`, 'shop.localhost', String(milliseconds));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  await once(child, 'exit');
  const seen = JSON.parse(String(line)) as Omit<Sample, 'cpu'>;
  return { ...seen, cpu: ((await cpuOf(pid)) - before) / seen.requests };
}

const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function compare() {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
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
    for (const [name, { samples }] of Object.entries(proxies)) {
      const of = (key: keyof Sample) => median(samples.map((each) => each[key]));
      console.log(
        `${name.padEnd(7)} ${of('cpu').toFixed(1)} µs CPU a request, p50 ${of('p50').toFixed(2)} ms, p99 ${of('p99').toFixed(2)} ms, ${(of('requests') * 1000) / ROUND_MS} requests a second`,
      );
    }
    const ratio = median(
      proxies.router.samples.map((each, round) => each.cpu / (proxies.bare.samples[round]?.cpu ?? Number.NaN)),
    );
    console.log(`router CPU per request: ${ratio.toFixed(2)} × the bare proxy (reach: at most ${REACH})`);
    if (!(ratio <= REACH)) process.exitCode = 1;
  } finally {
    target.stop();
    plain.stop();
    await client.close();
    await stopRouter(dataDir);
    await rm(dataDir, { recursive: true, force: true });
  }
}

const [mode, ...args] = process.argv.slice(2);
if (mode === 'backend') backend();
else if (mode === 'bare') bare(args[0] ?? '');
else if (mode === 'load') await load(args[0] ?? '', args[1] ?? '', Number(args[2]));
else await compare();
