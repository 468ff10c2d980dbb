/** Hosts on a bad day, seen from the one client that all questions to a remote go through. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import t from 'tap';
import { parseAddress } from '../../src/git/address.ts';
import { openHttp } from '../../src/git/http.ts';
import { discover, lsRefs } from '../../src/git/smart-http.ts';

const signal = new AbortController().signal;

interface Host {
  requests(): number;
  server: Server;
  url: string;
}

async function host(answer: (response: ServerResponse, number: number) => void): Promise<Host> {
  let requests = 0;
  const server = createServer((request, response) => {
    request.resume();
    answer(response, ++requests);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { requests: () => requests, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/repo` };
}

async function client(url: string) {
  const address = await parseAddress(url, undefined);
  if (address.kind !== 'http') throw new Error(url);
  const remote = openHttp(address);
  t.teardown(() => remote.close());
  return remote;
}

const ask = (remote: Awaited<ReturnType<typeof client>>) => remote.ask('GET', 'info/refs', { signal });
const line = (text: string) => `${(text.length + 5).toString(16).padStart(4, '0')}${text}\n`;

t.test('a host that asks to be left alone is left alone, whoever asks next', async (t) => {
  let busy = true;
  const { url, requests } = await host((response) => {
    response.writeHead(busy ? 429 : 200, busy ? { 'retry-after': '1' } : {}).end('fine');
  });
  const remote = await client(url);
  await t.rejects(ask(remote), { code: 'busy', retryAfterMs: 1000 });
  busy = false;
  const again = await ask(remote).catch((error) => error);
  t.match(again, { code: 'busy', message: /asked to be left alone for another 1 s \(429\)/ });
  t.ok(again.retryAfterMs > 0 && again.retryAfterMs <= 1000);
  t.equal(requests(), 1, 'it was not asked');
  await new Promise((later) => setTimeout(later, again.retryAfterMs + 5));
  t.equal((await ask(remote)).body.toString(), 'fine');
});

t.test('a busy host that names no time is asked ever more seldom, until it answers', async (t) => {
  let busy = true;
  const { url } = await host((response) => response.writeHead(busy ? 503 : 200).end());
  let now = 0;
  const address = await parseAddress(url, undefined);
  if (address.kind !== 'http') throw new Error(url);
  const remote = openHttp(address, () => now);
  t.teardown(() => remote.close());
  const waits: number[] = [];
  for (let round = 0; round < 9; round++) {
    const { retryAfterMs } = await ask(remote).catch((error) => error);
    waits.push(retryAfterMs);
    now += retryAfterMs;
  }
  t.same(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 120_000, 120_000]);
  busy = false;
  await ask(remote);
  busy = true;
  t.match(await ask(remote).catch((error) => error), { retryAfterMs: 1000 }, 'and then it begins anew');
});

t.test('a time that no host can mean is an hour', async (t) => {
  for (const value of ['99999999999', new Date(Date.now() + 1e12).toUTCString()]) {
    const { url } = await host((response) => response.writeHead(429, { 'retry-after': value }).end());
    await t.rejects(ask(await client(url)), { code: 'busy', retryAfterMs: 3_600_000 });
  }
});

t.test('an answer without an end is cut off', async (t) => {
  const chunk = Buffer.alloc(1024 * 1024, '0004');
  const endless = (response: ServerResponse) => {
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', more);
    response.on('error', () => {});
    more();
  };
  const { url } = await host(endless);
  const before = process.memoryUsage().rss;
  await t.rejects(ask(await client(url)), { code: 'bad-answer', message: /more than 64 MiB/ });
  t.ok(process.memoryUsage().rss - before < 512 * 1024 * 1024);
  const refusing = await host((response) => {
    response.writeHead(500);
    endless(response);
  });
  await t.rejects(ask(await client(refusing.url)), { code: 'server' });
});

t.test('what does not speak HTTP, or breaks off in the middle of its headers', async (t) => {
  for (const said of [
    'SSH-2.0-OpenSSH_9.2\r\n',
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: ',
    'HTTP/1.1 999999\r\n\r\n',
  ]) {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.end(said);
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    t.teardown(() => server.close());
    const remote = await client(`http://127.0.0.1:${(server.address() as AddressInfo).port}/repo`);
    await t.rejects(ask(remote), { code: 'bad-answer' }, JSON.stringify(said));
  }
});

t.test('a damaged answer is an error, never a repository without refs', async (t) => {
  const oid = 'a'.repeat(40);
  const advertisement = (first: string) => `${line('# service=git-upload-pack')}0000${line(first)}0000`;
  const typed = { 'content-type': 'application/x-git-upload-pack-advertisement' };
  for (const first of ['versiom 2', `${oid.slice(1)}! refs/heads/main\0agent=x`, '']) {
    const { url } = await host((response) => response.writeHead(200, typed).end(advertisement(first)));
    await t.rejects(discover(await client(url), signal), { code: 'bad-answer' }, JSON.stringify(first));
  }
  const damaged = [`${oid}\trefs/heads/main`, `${oid.slice(1)}x refs/heads/main`, `${oid} refs-heads/main`];
  for (const said of damaged) {
    const { url } = await host((response) => response.end(`${line(said)}0000`));
    await t.rejects(lsRefs(await client(url), ['refs/'], signal), { code: 'bad-answer' }, JSON.stringify(said));
  }
});
