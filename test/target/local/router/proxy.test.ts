import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { requestHead } from '../../../../src/target/local/router/headers.ts';
import { freePort } from '../../../support/ports.ts';
import { until } from '../../../support/until.ts';
import { all, ask, backend, proxyHere, raw, rawBackend, shop, textOf } from './fixtures.ts';

const echoHead = (incoming: IncomingMessage) =>
  JSON.stringify({ method: incoming.method, url: incoming.url, raw: incoming.rawHeaders, headers: incoming.headers });

t.test('a host leads to its resource, in any case and with any port; other hosts to nothing', async (t) => {
  const { table, port } = await proxyHere(t);
  const v7 = await backend(t, (_, response) => response.end('v7'));
  const v8 = await backend(t, (_, response) => response.end('v8'));
  table.change({ 'Service/shop': shop({ v7: [v7.port], v8: [v8.port] }) });
  const cases: [host: string, status: number, body: string][] = [
    ['shop.localhost', 200, 'v7'],
    ['SHOP.Localhost:8080', 200, 'v7'],
    ['shop.localhost.', 200, 'v7'],
    ['v7.shop.localhost', 200, 'v7'],
    ['v8.shop.localhost', 200, 'v8'],
    ['V8.shop.localhost:80', 200, 'v8'],
    ['v9.shop.localhost', 404, 'no such host\n'],
    ['other.localhost', 404, 'no such host\n'],
    ['__proto__', 404, 'no such host\n'],
    ['[::1]:80', 404, 'no such host\n'],
    ['', 404, 'no such host\n'],
  ];
  for (const [host, status, body] of cases) {
    const answer = await ask(port, { host });
    t.same([answer.status, answer.body], [status, body], host);
  }
  t.match(await raw(port, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1.1 400 /, 'no host');
  t.match(
    await raw(port, 'GET / HTTP/1.1\r\nHost: shop.localhost\r\nHost: other\r\n\r\n', /host/),
    /^HTTP\/1.1 400 /,
    'two hosts',
  );
  t.match(
    await raw(port, 'GET http://v8.shop.localhost/x HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n'),
    /v8$|v8\r\n/,
    'the absolute form stands before the header',
  );
  t.match(
    await raw(port, 'GET http://u@shop.localhost/ HTTP/1.1\r\nHost: shop.localhost\r\n\r\n', /path/),
    /^HTTP\/1.1 400 /,
  );
  t.match(await raw(port, 'OPTIONS * HTTP/1.1\r\nHost: shop.localhost\r\n\r\n', /path/), /^HTTP\/1.1 400 /);
});

t.test('without anything ready a host answers 503 and when to come again', async (t) => {
  const { table, port } = await proxyHere(t);
  const v7 = await backend(t, (_, response) => response.end('v7'));
  const unready = async (why: string) => {
    const answer = await ask(port);
    t.equal(answer.status, 503, why);
    t.equal(answer.headers['retry-after'], '1');
  };
  table.change({ 'Service/shop': { host: 'shop.localhost', versions: {} } });
  await unready('no policy');
  table.change({ 'Service/shop': shop({ v7: [] }) });
  await unready('no backend');
  table.change({ 'Service/shop': shop({ v7: [v7.port], v8: [] }, { kind: 'match', rules: [], default: 'v8' }) });
  await unready('a version that a match chose');
  t.equal((await ask(port, { host: 'v8.shop.localhost' })).status, 503, 'a version by its address');
  t.equal(table.stats().versions['Service/shop']?.v8?.errors, 2, 'counted as errors of the version');
  table.change({ 'Service/shop': shop({ v7: [v7.port], v8: [] }, { kind: 'percent', weights: { v7: 0, v8: 100 } }) });
  await unready('only a version of weight 0 is there');
  table.change({ 'Service/shop': shop({ v7: [v7.port], v8: [] }, { kind: 'percent', weights: { v7: 1, v8: 99 } }) });
  t.equal((await ask(port)).body, 'v7', 'a share without a backend falls to the others');
  table.change({ 'Service/shop': null });
  t.equal((await ask(port)).status, 404, 'a removed route is no host');
});

t.test('traffic is shared by percent, by match, and evenly among the units of a version', async (t) => {
  const { table, port } = await proxyHere(t);
  const served: Record<string, number> = {};
  const unit = (name: string) =>
    backend(t, (_, response) => {
      served[name] = (served[name] ?? 0) + 1;
      response.end(name.slice(0, 2));
    });
  const ports = {
    v7: [(await unit('v7-0')).port, (await unit('v7-1')).port],
    v8: [(await unit('v8-0')).port, (await unit('v8-1')).port],
  };
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  table.change({ 'Service/shop': shop(ports, { kind: 'percent', weights: { v7: 80, v8: 20 } }) });
  for (let count = 0; count < 1000; count++) await ask(port, { agent });
  const v8 = (served['v8-0'] ?? 0) + (served['v8-1'] ?? 0);
  // A standard deviation is 12.6: outside 5 of them less than once in a million runs.
  t.ok(v8 > 137 && v8 < 263, `${v8} of 1,000 at 20 %`);
  t.ok(Math.abs((served['v8-0'] ?? 0) - (served['v8-1'] ?? 0)) <= 1, 'in turn');
  const counts = table.stats().versions['Service/shop']?.v8;
  t.match(counts, { requests: v8, errors: 0 });
  t.ok(counts && counts.latency.p50 > 0 && counts.latency.p99 >= counts.latency.p50, JSON.stringify(counts));

  const rules = [{ version: 'v8', query: { beta: '1*' } }];
  table.change({ 'Service/shop': shop(ports, { kind: 'match', rules, default: 'v7' }) });
  t.equal((await ask(port, { path: '/?beta=12', agent })).body, 'v8');
  t.equal((await ask(port, { path: '/?beta=2', agent })).body, 'v7');
});

t.test('units of different weight get their shares, and what one does not take goes to the others', async (t) => {
  const { table, port } = await proxyHere(t);
  const served: Record<string, number> = {};
  const unit = async (name: string, weight: number) => {
    const { port, server } = await backend(t, (_, response) => {
      served[name] = (served[name] ?? 0) + 1;
      response.end(name);
    });
    return { entry: { unit: name, port, weight }, server };
  };
  const units = [await unit('a', 30), await unit('b', 10), await unit('none', 0)];
  const route = { ...shop({}, all('')), versions: { '': units.map(({ entry }) => entry) } };
  const order: string[] = [];
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  table.change({ 'Service/shop': route });
  for (let count = 0; count < 80; count++) order.push((await ask(port, { agent })).body);
  t.strictSame(served, { a: 60, b: 20 });
  t.strictSame(order.slice(0, 8).join(''), 'aabaaaba', 'well mixed');
  units[0]?.server.close();
  units[0]?.server.closeAllConnections();
  for (let count = 0; count < 10; count++) t.equal((await ask(port, { agent })).body, 'b');
});

t.test('the least active unit is chosen', async (t) => {
  const { table, port } = await proxyHere(t);
  let release: (() => void) | undefined;
  const slow = await backend(t, (_, response) => {
    release = () => response.end('slow');
  });
  const quick = await backend(t, (_, response) => response.end('quick'));
  table.change({ 'Service/shop': shop({ v7: [slow.port, quick.port] }) });
  const first = ask(port);
  await until('the slow one serves', () => release !== undefined);
  for (let count = 0; count < 5; count++) t.equal((await ask(port)).body, 'quick');
  t.same(table.stats().active, { 'shop-v7-0': 1 });
  release?.();
  t.equal((await first).body, 'slow');
  t.same(table.stats().active, {});
});

t.test('a request and its answer pass as they are, but for what belongs to a connection', async (t) => {
  const { table, port } = await proxyHere(t);
  const one = await backend(t, (incoming, response) => {
    response.writeHead(201, 'Made It', [
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['X-Mine', 'caf\xe9'],
      ['Connection', 'X-Hop'],
      ['X-Hop', 'hidden'],
      ['Keep-Alive', 'timeout=9'],
    ]);
    response.end(echoHead(incoming));
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const path = '/a%2Fb//../c;d?x=%zz&y=~';
  const answer = await raw(
    port,
    `GET ${path} HTTP/1.1\r\nHost: Shop.localhost:99\r\nX-Case: Caf\xe9\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\n` +
      'Proxy-Authorization: x\r\nUpgrade: h2c\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: https\r\n\r\n',
  );
  t.match(answer, /^HTTP\/1.1 201 Made It\r\n/);
  t.match(answer, /\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Mine: caf\xe9\r\n/);
  t.notMatch(answer, /x-hop|timeout=9/i);
  const seen = JSON.parse(/\{.*\}/s.exec(answer)?.[0] ?? '{}');
  t.equal(seen.url, path, 'the path byte for byte');
  t.equal(seen.headers.host, 'Shop.localhost:99');
  t.ok(seen.raw.includes('X-Case'));
  t.strictSame(
    Object.keys(seen.headers).sort(),
    ['connection', 'host', 'x-case', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'],
    'nothing else arrives',
  );
  t.equal(seen.headers['x-forwarded-for'], '10.0.0.9, 127.0.0.1', 'a proxy on this machine is believed');
  t.equal(seen.headers['x-forwarded-proto'], 'https');
  t.equal(seen.headers['x-forwarded-host'], 'Shop.localhost:99');
});

t.test('from another machine nothing that it says of itself is believed', async (t) => {
  const rawHeaders = ['Host', 'shop.localhost', 'X-Forwarded-For', '127.0.0.1', 'x-forwarded-proto', 'https'];
  const head = (remoteAddress: string) =>
    requestHead({ url: '/', rawHeaders, socket: { remoteAddress } } as unknown as IncomingMessage)?.headers;
  const forwarded = (client: string, proto: string) =>
    ['host', 'shop.localhost', 'x-forwarded-for', client, 'x-forwarded-host', 'shop.localhost'].concat(
      'x-forwarded-proto',
      proto,
    );
  t.same(head('10.0.0.9'), forwarded('10.0.0.9', 'http'));
  t.same(head('::ffff:10.0.0.9'), forwarded('10.0.0.9', 'http'));
  t.same(head('::1'), forwarded('127.0.0.1, ::1', 'https'));
});

t.test('interim answers and closing backends are no answers', async (t) => {
  const { table, port } = await proxyHere(t);
  const hints = await rawBackend(t, (socket) => {
    socket.on('data', () =>
      socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
    );
  });
  const untilClosed = await rawBackend(t, (socket) => {
    socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nuntil closed'));
  });
  table.change({ 'Service/shop': shop({ v7: [hints] }) });
  for (let count = 0; count < 2; count++) t.same((await ask(port)).body, 'ok');
  table.change({ 'Service/shop': shop({ v7: [untilClosed] }) });
  for (let count = 0; count < 2; count++) t.same((await ask(port)).body, 'until closed');
  t.equal(table.stats().versions['Service/shop']?.v7?.errors, 0);
});

t.test('HEAD, 204, 304 and HTTP/1.0 end where they should', async (t) => {
  const { table, port } = await proxyHere(t);
  const one = await backend(t, (incoming, response) => {
    response.statusCode = Number(incoming.url?.slice(1));
    if (incoming.method === 'HEAD') response.setHeader('content-length', '1000');
    response.end(response.statusCode === 200 ? 'body' : undefined);
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  const head = await ask(port, { method: 'HEAD', path: '/200', agent });
  t.same([head.status, head.headers['content-length'], head.body], [200, '1000', '']);
  for (const status of [204, 304]) t.equal((await ask(port, { path: `/${status}`, agent })).status, status);
  t.equal((await ask(port, { path: '/200', agent })).body, 'body', 'the connection is in order');
  t.match(await raw(port, 'GET /200 HTTP/1.0\r\nHost: shop.localhost\r\n\r\n'), /\r\n\r\nbody$/);
});

t.test('bodies stream both ways, at the pace of the slower side', async (t) => {
  const { table, port } = await proxyHere(t);
  let received = 0;
  let hold: IncomingMessage | undefined;
  const one = await backend(t, async (incoming, response) => {
    if (incoming.url === '/echo') {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      incoming.pipe(response);
    } else if (incoming.url === '/hold') {
      hold = incoming;
      incoming.on('end', () => response.end(String(received)));
    } else if (incoming.url === '/flood') {
      const chunk = Buffer.alloc(64 * 1024);
      const write = () => {
        while (received < 64 * 1024 * 1024) {
          received += chunk.length;
          if (!response.write(chunk)) return response.once('drain', write);
        }
        return response.end();
      };
      write();
    }
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const open = (path: string) =>
    request({ host: '127.0.0.1', port, path, method: 'POST', headers: { host: 'shop.localhost' } });

  const echo = open('/echo');
  echo.write('one');
  const [answer] = (await once(echo, 'response')) as [IncomingMessage];
  t.equal(String((await once(answer, 'data'))[0]), 'one', 'the answer begins before the request ends');
  const rest = textOf(answer);
  echo.end('two');
  t.equal(await rest, 'two');

  const size = 32 * 1024 * 1024;
  const big = open('/hold');
  const taken = new Promise((resolve) => big.once('drain', resolve));
  t.notOk(big.write(Buffer.alloc(size)), 'an upload that nobody reads waits');
  await until('the backend has it', () => hold !== undefined);
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok(process.memoryUsage().arrayBuffers < 3 * size, 'and is not gathered in the router');
  hold?.on('data', (chunk) => {
    received += chunk.length;
  });
  await taken;
  big.end();
  const [counted] = (await once(big, 'response')) as [IncomingMessage];
  t.equal(await textOf(counted), String(size));

  received = 0;
  const flood = open('/flood');
  flood.end();
  const [stream] = (await once(flood, 'response')) as [IncomingMessage];
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok(received < 32 * 1024 * 1024, `a download that nobody reads waits: ${received}`);
  let got = 0;
  for await (const chunk of stream) got += chunk.length;
  t.equal(got, 64 * 1024 * 1024);
});

t.test('server-sent events arrive when they are sent, the head before the first', async (t) => {
  const { table, port } = await proxyHere(t);
  let say: ((text: string) => void) | undefined;
  let over = false;
  const one = await backend(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    say = (text) => response.write(`data: ${text}\n\n`);
    response.once('close', () => {
      over = true;
    });
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const outgoing = request({ host: '127.0.0.1', port, headers: { host: 'shop.localhost' } }).end();
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  t.equal(answer.headers['content-type'], 'text/event-stream');
  for (const text of ['one', 'two']) {
    say?.(text);
    t.equal(String((await once(answer, 'data'))[0]), `data: ${text}\n\n`);
  }
  table.change({ 'Service/shop': shop({ v8: [one.port] }) });
  say?.('three');
  t.equal(String((await once(answer, 'data'))[0]), 'data: three\n\n', 'a change of routes leaves it alone');
  t.same(table.stats().active, { 'shop-v7-0': 1 });
  outgoing.destroy();
  await until('the backend learns that the client left', () => over);
  await until('it is at rest', () => Object.keys(table.stats().active).length === 0);
  t.equal(table.stats().versions['Service/shop']?.v8?.errors, 0);
});

t.test('100-continue is given once a backend takes the request', async (t) => {
  const { table, port } = await proxyHere(t);
  const one = await backend(t, async (incoming, response) => {
    response.end(`${incoming.headers.expect} ${await textOf(incoming)}`);
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const post = (host: string) =>
    `POST / HTTP/1.1\r\nHost: ${host}\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n`;
  const socket = connect(port, '127.0.0.1');
  socket.write(post('shop.localhost'));
  t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1.1 100 Continue/);
  socket.write('body');
  t.match(await textOf(socket), /undefined body/);
  t.match(await raw(port, post('other')), /^HTTP\/1.1 404 /, 'not for a host that is not there');
});

t.test('web sockets are joined, survive a change of routes, and count as active until they end', async (t) => {
  const { table, port } = await proxyHere(t);
  const one = await backend(t, (_, response) => response.writeHead(426, { 'x-why': 'upgrade' }).end('upgrade'));
  const sockets = new WebSocketServer({ noServer: true });
  one.server.on('upgrade', (incoming, socket, head) => {
    if (incoming.url === '/never') socket.on('error', () => {});
    else if (incoming.url === '/refused') socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    else
      sockets.handleUpgrade(incoming, socket, head, (accepted) => {
        accepted.send(`hello ${incoming.url} ${incoming.headers['x-forwarded-for']}`);
        accepted.on('message', (data) => accepted.send(`echo ${data}`));
      });
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const open = (path: string) =>
    new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers: { host: 'shop.localhost' } });

  const client = open('/chat?room=1');
  t.equal(String((await once(client, 'message'))[0]), 'hello /chat?room=1 127.0.0.1');
  table.change({ 'Service/shop': shop({ v7: [] }) });
  client.send('x'.repeat(200_000));
  t.equal(String((await once(client, 'message'))[0]), `echo ${'x'.repeat(200_000)}`);
  t.same(table.stats().active, { 'shop-v7-0': 1 });
  client.close();
  await once(client, 'close');
  await until('it is at rest', () => Object.keys(table.stats().active).length === 0);

  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const refused = open('/refused');
  const [, answer] = (await once(refused, 'unexpected-response')) as [unknown, IncomingMessage];
  t.same([answer.statusCode, await textOf(answer)], [403, 'no'], 'a refusal is handed on');
  refused.on('error', () => {});
  refused.terminate();

  const dropped = open('/drop');
  await once(dropped, 'message');
  dropped.terminate();
  await until('a client that vanished is no longer active', () => Object.keys(table.stats().active).length === 0);

  const early = open('/never');
  early.on('error', () => {});
  await until('the backend has the offer', () => table.stats().active['shop-v7-0'] === 1);
  early.terminate();
  await until('one that left before the answer neither', () => Object.keys(table.stats().active).length === 0);

  const cut = open('/cut');
  await once(cut, 'message');
  for (const accepted of sockets.clients) accepted.terminate();
  await once(cut, 'close');

  table.change({ 'Service/shop': shop({ v7: [await freePort()] }) });
  const none = open('/');
  const [, unavailable] = (await once(none, 'unexpected-response')) as [unknown, IncomingMessage];
  t.equal(unavailable.statusCode, 502);
  none.on('error', () => {});
  none.terminate();
});

t.test('an offer of HTTP/2 is ignored, with and without a body, and the connection goes on', async (t) => {
  const { table, port } = await proxyHere(t);
  const one = await backend(t, async (incoming, response) => response.end(`<${await textOf(incoming)}>`));
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const offer =
    'Host: shop.localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n';
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  const cases: [text: string, answer: RegExp][] = [
    [`POST / HTTP/1.1\r\n${offer}Content-Length: 4\r\n\r\nbody`, /^HTTP\/1.1 200 OK[\s\S]*<body>/],
    [`GET / HTTP/1.1\r\n${offer}\r\n`, /^HTTP\/1.1 200 OK[\s\S]*<>/],
    ['GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n', /^HTTP\/1.1 200 OK[\s\S]*<>/],
  ];
  for (const [text, answer] of cases) {
    socket.write(text);
    let got = '';
    while (!got.includes('>')) got += (await once(socket, 'data'))[0];
    t.match(got, answer);
  }
});

t.test('what a strict parser refuses never reaches a backend', async (t) => {
  const { table, port } = await proxyHere(t);
  let served = 0;
  const one = await backend(t, (_, response) => {
    served++;
    response.end();
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const head = 'POST / HTTP/1.1\r\nHost: shop.localhost\r\n';
  const cases: [what: string, request: string, status: number][] = [
    ['two lengths', `${head}Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody`, 400],
    ['a length and chunks', `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    ['an unknown coding', `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 400],
    ['chunked not last', `${head}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`, 400],
    ['a bad length', `${head}Content-Length: +4\r\n\r\nbody`, 400],
    ['a folded header', `${head}X-A: 1\r\n folded\r\n\r\n`, 400],
    ['a space before the colon', `${head}X-A : 1\r\n\r\n`, 400],
    ['a bare line feed', 'GET / HTTP/1.1\nHost: shop.localhost\n\n', 400],
    ['a header of 20 KB', `${head}X-A: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
  ];
  for (const [what, text, status] of cases) {
    const answer = await raw(port, text, /HTTP\/1.1 \d+/);
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), what);
  }
  t.match(await raw(port, 'CONNECT shop.localhost:80 HTTP/1.1\r\nHost: shop.localhost\r\n\r\n'), /^$|<ECONNRESET>/);
  t.equal(served, 0);
});

t.test('a request that cannot have been served goes to another unit; one that may have been does not', async (t) => {
  const { table, port } = await proxyHere(t);
  const seen: string[] = [];
  const good = await backend(t, async (incoming, response) => {
    seen.push(`good ${incoming.method}`);
    response.end(`good ${await textOf(incoming)}`);
  });
  const dead = await freePort();
  table.change({ 'Service/shop': shop({ v7: [dead, good.port] }) });
  for (let count = 0; count < 4; count++) {
    t.equal((await ask(port)).body, 'good ');
    t.equal((await ask(port, { method: 'POST', body: 'sent' })).body, 'good sent', 'a POST that never left');
  }
  table.change({ 'Service/shop': shop({ v7: [dead] }) });
  t.equal((await ask(port)).status, 502);

  /** Reads a request's head, then drops the connection without a byte. */
  const dropping = await rawBackend(t, (socket) => {
    socket.once('data', (data) => {
      seen.push(`dropped ${String(data).split(' ')[0]}`);
      socket.destroy();
    });
  });
  const asks: [method: string, body: string | undefined, status: number][] = [
    ['GET', undefined, 200],
    ['HEAD', undefined, 200],
    ['OPTIONS', undefined, 200],
    ['GET', 'body', 502],
    ['DELETE', undefined, 502],
    ['POST', 'body', 502],
  ];
  for (const [method, body, status] of asks) {
    table.change({ 'Service/shop': null });
    table.change({ 'Service/shop': shop({ v7: [dropping, good.port] }) });
    seen.length = 0;
    const headers = body === undefined ? {} : { 'content-length': String(body.length) };
    const answer = await ask(port, { method, headers, ...(body === undefined ? {} : { body }) });
    t.equal(answer.status, status, `${method} ${body ?? ''}`);
    t.same(seen, status === 200 ? [`dropped ${method}`, `good ${method}`] : [`dropped ${method}`]);
  }
  t.equal(table.stats().versions['Service/shop']?.v7?.errors, 1, 'an error only where nobody answered');

  table.change({ 'Service/shop': shop({ v7: [dropping] }) });
  seen.length = 0;
  t.equal((await ask(port)).status, 502);
  t.same(seen, ['dropped GET', 'dropped GET', 'dropped GET'], 'with one unit that one is asked again');
});

t.test('a connection that a backend closed while it was idle loses no request', async (t) => {
  const { table, port } = await proxyHere(t);
  const one = await backend(t, (_, response) => response.end('ok'));
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  for (let count = 0; count < 30; count++) {
    const [first, second] = await Promise.all([ask(port), ask(port)]);
    t.same([first.status, second.status], [200, 200]);
    for (const socket of one.sockets) socket.destroy();
  }
});

t.test('an answer that breaks off is not passed off as whole', async (t) => {
  const { table, port } = await proxyHere(t);
  const broken = await rawBackend(t, (socket) => {
    socket.once('data', (data) => {
      const chunked = String(data).startsWith('GET /chunked');
      socket.write(
        chunked
          ? 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n'
          : 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart',
        () => socket.destroy(),
      );
    });
  });
  table.change({ 'Service/shop': shop({ v7: [broken] }) });
  for (const path of ['/chunked', '/length']) await t.rejects(ask(port, { path }), { code: 'ECONNRESET' }, path);
  t.equal(table.stats().versions['Service/shop']?.v7?.errors, 2);
  t.same(table.stats().active, {});

  const garbage = await rawBackend(t, (socket) => socket.once('data', () => socket.end('what?\r\n\r\n')));
  table.change({ 'Service/shop': shop({ v7: [garbage] }) });
  t.equal((await ask(port)).status, 502, 'an answer that is no HTTP');
});

t.test('an early answer reaches a client that still sends, and the connection stays in order', async (t) => {
  const { table, port } = await proxyHere(t);
  const one = await backend(t, (incoming, response) => {
    if (incoming.method === 'GET') response.end('fine');
    else response.writeHead(413).end('too much');
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  const answer = await ask(port, { method: 'POST', body: Buffer.alloc(8 * 1024 * 1024), agent });
  t.same([answer.status, answer.body], [413, 'too much']);
  t.equal((await ask(port, { agent })).body, 'fine');
  t.same(table.stats().active, {});

  const dying = await rawBackend(t, (socket) => socket.once('data', () => socket.destroy()));
  table.change({ 'Service/shop': shop({ v7: [dying] }) });
  t.equal((await ask(port, { method: 'POST', body: Buffer.alloc(8 * 1024 * 1024), agent })).status, 502);
});

t.test('a client that leaves ends its request at the backend', async (t) => {
  const { table, port } = await proxyHere(t);
  let open = 0;
  const one = await backend(t, (_, response) => {
    open++;
    response.once('close', () => open--);
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  for (const method of ['GET', 'POST']) {
    const outgoing = request({ host: '127.0.0.1', port, method, headers: { host: 'shop.localhost' } });
    outgoing.on('error', () => {});
    outgoing.write('');
    outgoing.flushHeaders();
    if (method === 'POST') outgoing.write('half');
    await until('the backend serves', () => open === 1);
    outgoing.destroy();
    await until('the backend is told', () => open === 0);
    await until('it is at rest', () => Object.keys(table.stats().active).length === 0);
  }
  t.equal(table.stats().versions['Service/shop']?.v7?.errors, 0);
});

t.test('a removed unit gets nothing new, finishes what it serves, and its idle connections close', async (t) => {
  const { table, port } = await proxyHere(t);
  let release: (() => void) | undefined;
  const old = await backend(t, (incoming, response) => {
    if (incoming.url === '/slow') release = () => response.end('slow');
    else response.end('old');
  });
  const fresh = await backend(t, (_, response) => response.end('fresh'));
  table.change({ 'Service/shop': shop({ v7: [old.port] }) });
  const slow = ask(port, { path: '/slow' });
  await until('the slow request is served', () => release !== undefined);
  t.equal((await ask(port)).body, 'old');
  t.equal(old.sockets.size, 2, 'one busy, one idle');
  table.change({ 'Service/shop': shop({ v8: [fresh.port] }) });
  for (let count = 0; count < 10; count++) t.equal((await ask(port)).body, 'fresh');
  await until('the idle connection is closed', () => old.sockets.size === 1);
  t.same(table.stats().active, { 'shop-v7-0': 1 });
  release?.();
  t.equal((await slow).body, 'slow');
  t.same(table.stats().active, {});
  await until('the last connection is closed', () => old.sockets.size === 0);
  table.change({ 'Service/shop': shop({ v7: [old.port] }) });
  t.equal((await ask(port)).body, 'old', 'it may come back');
});

t.test(
  'two resources may have units of one version name; a declared host stands before a version address',
  async (t) => {
    const { table, port } = await proxyHere(t);
    const one = await backend(t, (_, response) => response.end('service'));
    const two = await backend(t, (_, response) => response.end('workload'));
    table.change({
      'Service/shop': shop({ v7: [one.port] }),
      'Workload/hello': {
        host: 'v7.shop.localhost',
        policy: all(''),
        versions: { '': [{ unit: 'hello-0', port: two.port }] },
      },
    });
    t.equal((await ask(port)).body, 'service');
    t.equal((await ask(port, { host: 'v7.shop.localhost' })).body, 'workload');
  },
);

t.test('what a client sends before it has its answers is served one at a time, in its order', async (t) => {
  const { table, port } = await proxyHere(t);
  const held: (() => void)[] = [];
  const seen: string[] = [];
  const one = await backend(t, (incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url}`);
    held.push(() => response.end(`<${incoming.url}>`));
  });
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const host = 'Host: shop.localhost\r\n';
  const answers = raw(
    port,
    `PUT /a HTTP/1.1\r\n${host}\r\nGET /b HTTP/1.1\r\n${host}\r\nGET /c HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
  );
  for (const count of [1, 2, 3]) {
    await until(`request ${count} arrives`, () => held.length === count);
    t.equal(table.active(), 1, 'the others wait');
    held[count - 1]?.();
  }
  t.match(await answers, /<\/a>[^<]*<\/b>[^<]*<\/c>/);
  t.same(seen, ['PUT /a', 'GET /b', 'GET /c']);

  const left = connect(port, '127.0.0.1');
  left.write(`PUT /d HTTP/1.1\r\n${host}\r\nGET /e HTTP/1.1\r\n${host}\r\n`);
  await until('the first arrives', () => held.length === 4);
  left.destroy();
  await until('it is over', () => table.active() === 0);
  const after = ask(port, { path: '/f' });
  await until('another client is served', () => held.length === 5);
  held[4]?.();
  t.equal((await after).body, '</f>');
  t.same(seen.slice(3), ['PUT /d', 'GET /f'], 'what waited when its client left is not sent');
});

t.test('an upgrade that is asked for behind another request is not made, and does no harm', async (t) => {
  const { table, port } = await proxyHere(t);
  const one = await backend(t, (incoming, response) => response.end(`<${incoming.url} ${incoming.headers.upgrade}>`));
  table.change({ 'Service/shop': shop({ v7: [one.port] }) });
  const host = 'Host: shop.localhost\r\n';
  const upgrade = `GET /b HTTP/1.1\r\n${host}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`;
  t.match(
    await raw(port, `GET /a HTTP/1.1\r\n${host}\r\n${upgrade}`, /b undefined>/),
    /<\/a undefined>[^<]*<\/b undefined>/,
  );
  const plain = /<\/b undefined>/;
  const refused = await raw(port, `GET /a HTTP/1.1\r\n\r\n${upgrade}`);
  t.match(refused, /^HTTP\/1.1 400 /, 'behind one without a host');
  t.notMatch(refused, plain, 'the connection is closed');
  t.match(await raw(port, `GET /a HTTP/1.1\r\n${host}Expect: x\r\n\r\n${upgrade}`, plain), /^HTTP\/1.1 417 /);
  t.equal((await ask(port, { path: '/c' })).body, '</c undefined>', 'it serves on');
});
