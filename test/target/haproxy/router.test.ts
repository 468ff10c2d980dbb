/** HAProxy as a router, through the same handle as the embedded one: real processes, real requests. */
import { existsSync, readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { TrafficPolicy } from '../../../src/plan/live.ts';
import { compile } from '../../../src/plan/route.ts';
import { openHaproxyRouter } from '../../../src/target/haproxy/router/client.ts';
import { whyNoExpression } from '../../../src/target/haproxy/router/glob.ts';
import { findMaster } from '../../../src/target/haproxy/router/process.ts';
import { type RouterClient, stopRouter } from '../../../src/target/local/router/client.ts';
import { routerDirectory } from '../../../src/target/local/router/launch.ts';
import { dial } from '../../../src/target/local/router/wire.ts';
import { freePort } from '../../support/ports.ts';
import { until } from '../../support/until.ts';
import { all, ask, backend, dataDir, raw, shop } from '../local/router/fixtures.ts';

/** Answers with its name; at `/held` when it is told to. */
async function named(t: Test, name: string): Promise<number> {
  const { port } = await backend(t, (request, response) => {
    response.setHeader('seen', JSON.stringify(request.headers));
    if (request.url === '/held') held.push(() => response.end(name));
    else response.end(name);
  });
  return port;
}
const held: (() => void)[] = [];
function release(): void {
  for (const answer of held.splice(0)) answer();
}

interface Here {
  client: RouterClient;
  port: number;
  directory: string;
}

/** One for all tests, each of which leaves it as it was. */
let here: Promise<Here> | undefined;
const haproxy = (): Promise<Here> => {
  here ??= started(t);
  return here;
};

async function started(t: Test): Promise<Here> {
  const directory = await dataDir(t);
  const port = await freePort();
  const client = await openHaproxyRouter({ dataDir: directory, listen: { host: '127.0.0.1', port }, epoch: 1 });
  t.teardown(() => client.close());
  return { client, port, directory };
}

const master = (directory: string) => findMaster(routerDirectory(directory));

/** Keeps asking on connections that are kept open, until it is told to stop. */
function load(port: number, host = 'shop.localhost') {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const seen = { sent: 0, bodies: new Set<string>(), lost: [] as string[] };
  let going = true;
  const workers = Array.from({ length: 4 }, async () => {
    while (going) {
      seen.sent++;
      const told = await ask(port, { host, agent }).catch((error: Error) => ({ status: 0, body: error.message }));
      if (told.status === 200) seen.bodies.add(told.body);
      else seen.lost.push(`${told.status} ${told.body}`);
      await sleep(2);
    }
  });
  return async () => {
    going = false;
    await Promise.all(workers);
    agent.destroy();
    return seen;
  };
}

t.test('hosts, versions, shares, and what is said to the container', async (t) => {
  const { client, port, directory } = await haproxy();
  const [seven, eight] = [await named(t, '7'), await named(t, '8')];
  t.match(await ask(port), { status: 404, body: 'no such host\n' });
  await client.set('Service/shop', { host: 'shop.localhost', versions: { v7: [] } });
  t.match(await ask(port), { status: 503, headers: { 'retry-after': '1' } }, 'known, and nothing is routed');
  await client.set('Service/shop', shop({ v7: [seven], v8: [eight] }));
  const answer = await ask(port, { host: 'SHOP.localhost.:80', headers: { 'x-forwarded-for': '10.1.1.1' } });
  t.match(answer, { status: 200, body: '7' });
  t.match(JSON.parse(String(answer.headers.seen)), {
    'x-forwarded-for': /^10\.1\.1\.1, ?127\.0\.0\.1$/,
    'x-forwarded-host': 'SHOP.localhost.:80',
    'x-forwarded-proto': 'http',
  });
  t.match(await ask(port, { host: 'v8.shop.localhost' }), { status: 200, body: '8' });
  t.match(await raw(port, 'GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n'), /^HTTP\/1.1 400/);

  await client.set(
    'Service/shop',
    shop({ v7: [seven], v8: [eight] }, { kind: 'percent', weights: { v8: 20, v7: 80 } }),
  );
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let eights = 0;
  for (let each = 0; each < 300; each++) if ((await ask(port, { agent })).body === '8') eights++;
  agent.destroy();
  t.ok(eights > 25 && eights < 105, `${eights} of 300 to the one with 20 %`);
  const { versions } = await client.stats();
  t.match(versions, { 'Service/shop': { v7: { requests: 300 - eights + 1, errors: 0 } } });
  t.match(versions['Service/shop']?.v8, { requests: eights + 1 });
  await client.set('Service/shop', undefined);
  t.match(await ask(port), { status: 404 });
  t.match(readFileSync(join(routerDirectory(directory), 'haproxy.cfg'), 'utf8'), /^# Written by Sluice/);
});

t.test('a query goes where the one matcher of Sluice sends it, whatever the glob', async (t) => {
  const { client, port } = await haproxy();
  const ports = { a: [await named(t, 'a')], b: [await named(t, 'b')], c: [await named(t, 'c')] };
  const globs = [
    ...[
      '1*',
      '*',
      '?',
      '??',
      'a?c*',
      '*end',
      '*mid*',
      '[a-c]*',
      '[!0-9]?',
      '[]x]',
      'a&b',
      'x=y',
      '*=*',
      '',
      'é?',
      '[éx]',
    ],
    ...['[!a]', '*a*b*c', '1.5', 'a b', '#*', '$^(|)', '[*]', 'a[b', '\\d', '{1}', '~*', '[&]', '[=]', 'A'],
  ];
  const values = [
    ...[
      '1',
      '12',
      '',
      'a',
      'abc',
      'azc9',
      'the end',
      'amidst',
      'b2',
      '9',
      ']',
      'x',
      'a&b',
      'x=y',
      '=',
      'é1',
      'é',
      '€',
      'xabxc',
    ],
    ...['1.5', '105', 'a b', '#1', '$^(|)', '*', 'a[b', '\\d', '{1}', '~x', '&', '%', '%zz', 'a\nb', 'axbxc'],
  ];
  const odd = [
    ...['/?beta', '/?beta&x=1', '/?beta=1&beta=12', '/?x=beta=12', '/?xbeta=12', '/?be%74a=%31%32', '/?BETA=12', '/'],
    ...[
      '/?a=1&beta=12',
      '/?beta=a+b',
      '/?beta=%',
      '/?beta=%zz',
      '/?&&beta=12&&',
      '/?k%3Dy=1',
      '/?k=y=1',
      '/?x%26beta=12',
    ],
  ];
  const wrong: string[] = [];
  let asked = 0;
  for (const [at, glob] of globs.entries()) {
    t.equal(whyNoExpression(glob), undefined);
    const policy: TrafficPolicy = {
      kind: 'match',
      rules: [
        { version: 'a', query: { beta: glob } },
        { version: 'b', query: { 'k=y': '?', x: '*' } },
        { version: 'b', query: { beta: '*1?', x: globs[(at + 7) % globs.length] ?? '' } },
      ],
      default: 'c',
    };
    const choose = compile(policy);
    await client.set('Service/shop', shop(ports, policy));
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const urls = values.flatMap((value) => {
      const encoded = encodeURIComponent(value);
      return at % 6 === 0 ? [`/?beta=${encoded}`, `/?x=${encoded}&k%3Dy=2&beta=a12`] : [`/?beta=${encoded}`];
    });
    for (const path of at % 6 === 0 ? [...urls, ...odd] : urls) {
      const told = await ask(port, { path, agent });
      asked++;
      if (told.body !== choose(path, 0))
        wrong.push(`${glob} ${path}: ${told.status} ${told.body}, not ${choose(path, 0)}`);
    }
    agent.destroy();
  }
  t.strictSame(wrong, [], `as decided by plan/route.ts, each of ${asked}`);
  t.match(whyNoExpression('[à-é]'), /ASCII only/);
  t.match(whyNoExpression('[!é]'), /ASCII only/);
});

t.test('what is taken out finishes what it serves, and is counted until then', async (t) => {
  const { client, port } = await haproxy();
  const [one, two] = [await named(t, 'one'), await named(t, 'two')];
  const units = { one: { unit: 'Service/shop/1', port: one }, two: { unit: 'Service/shop/2', port: two } };
  const route = (...names: ('one' | 'two')[]) => ({
    ...{ host: 'shop.localhost', policy: all('v1'), versions: { v1: names.map((name) => units[name]) } },
  });
  await client.set('Service/shop', route('one'));
  const slow = ask(port, { path: '/held' });
  const active = async (unit: string) => (await client.stats()).active[unit];
  await until('it is under way', async () => (await active('Service/shop/1')) === 1);
  const stop = load(port);
  await client.set('Service/shop', route('two'));
  await until('taken out, and not at rest', async () => (await active('Service/shop/1')) === 1);
  release();
  t.match(await slow, { status: 200, body: 'one' });
  await until('at rest', async () => (await active('Service/shop/1')) === undefined);
  // Back again, while it may still be leaving.
  await client.set('Service/shop', route('one'));
  t.match(await ask(port), { body: 'one' });
  await client.set('Service/shop', route('one', 'two'));
  await client.set('Service/shop', route('two'));
  const { lost, sent } = await stop();
  t.strictSame(lost, [], `none of ${sent}`);
});

t.test('no request is lost when room is made, when its keeper is killed, nor for long when HAProxy is', async (t) => {
  const { client, port, directory } = await haproxy();
  const one = await named(t, 'one');
  await client.set('Service/shop', shop({ v1: [one] }));
  const stop = load(port);
  const slow = ask(port, { path: '/held' });
  await until('it is under way', async () => (await client.stats()).active['shop-v1-0'] !== undefined);
  const before = master(directory);
  const others = Array.from({ length: 70 }, (_, each) => ({
    ...{ host: `w${each}.localhost`, policy: all(''), versions: { '': [{ unit: `w${each}`, port: one }] } },
  }));
  await Promise.all(others.map((route, each) => client.set(`Workload/w${each}`, route)));
  t.match(await ask(port, { host: 'w69.localhost' }), { body: 'one' }, 'more versions than there was room for');
  t.ok((await client.stats()).active['shop-v1-0'], 'what a replaced worker has is counted');
  release();
  t.match(await slow, { body: 'one' }, 'and goes on');

  const keeper = (await dial(routerDirectory(directory)))?.health.pid ?? 0;
  process.kill(keeper, 'SIGKILL');
  const two = await named(t, 'two');
  await client.set('Service/shop', shop({ v1: [two] }));
  t.match(await ask(port), { body: 'two' });
  t.strictSame(master(directory), before, 'the same HAProxy');
  const seen = await stop();
  t.strictSame(seen.lost, [], `none of ${seen.sent}`);

  process.kill(before?.mark.pid ?? 0, 'SIGKILL');
  // Its worker answers for a moment more.
  await until(
    'another one has taken its place',
    async () => ![undefined, before?.mark.pid].includes(master(directory)?.mark.pid),
  );
  await until('it is back', async () => (await ask(port).catch(() => undefined))?.body === 'two');
  await until(
    'all of it is',
    async () => (await ask(port, { host: 'w3.localhost' }).catch(() => undefined))?.body === 'one',
  );
});

t.test(
  'an operator that was replaced changes nothing; another address; an address that is taken; its end',
  async (t) => {
    const { client, port, directory } = await haproxy();
    await client.set('Workload/web', { host: 'web.localhost', versions: {} });
    const listen = { host: '127.0.0.1', port };
    const later = await openHaproxyRouter({ dataDir: directory, listen, epoch: 2 });
    await t.rejects(client.set('Workload/web', undefined), { message: /an operator with epoch 2 has taken over/ });
    t.match(await ask(port, { host: 'web.localhost' }), { status: 503 });
    await later.close();
    await client.close();

    const other = await dataDir(t);
    await t.rejects(openHaproxyRouter({ dataDir: other, listen, epoch: 1 }), {
      message: /is taken by another program/,
    });

    const elsewhere = { host: '127.0.0.1', port: await freePort() };
    const moved = await openHaproxyRouter({ dataDir: directory, listen: elsewhere, epoch: 3 });
    t.match(await ask(elsewhere.port, { host: 'web.localhost' }), { status: 503 });
    await t.rejects(ask(port), { code: 'ECONNREFUSED' });
    await moved.close();
    await stopRouter(directory);
    t.equal(master(directory), undefined, 'HAProxy ends with its router');
    t.notOk(existsSync(join(routerDirectory(directory), 'control.sock')) && (await dial(routerDirectory(directory))));
  },
);
