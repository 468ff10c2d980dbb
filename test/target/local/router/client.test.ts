import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { Agent, createServer } from 'node:http';
import { type AddressInfo, createConnection, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import t from 'tap';
import type { ResourceId } from '../../../../src/manifest/resource.ts';
import { openRouter, readStats, stopRouter } from '../../../../src/target/local/router/client.ts';
import type { Route } from '../../../../src/target/local/router/config.ts';
import { dial } from '../../../../src/target/local/router/wire.ts';
import { freePort } from '../../../support/ports.ts';
import { until } from '../../../support/until.ts';
import { ask, backend, backendProcess, dataDir, router, shop } from './fixtures.ts';

const pidOf = async (directory: string): Promise<number | undefined> => {
  const connection = await dial(join(directory, 'router'));
  connection?.close();
  return connection?.health.pid;
};
const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

t.test('what is set is routed, on disk and observed; what is unset is gone', async (t) => {
  const directory = await dataDir(t);
  const one = await backend(t, (_, response) => response.end('one'));
  const client = await router(t, directory);
  const { host, port } = client.address();
  t.equal(host, '127.0.0.1');
  t.same(await client.observe(), { routes: {} });
  const route = shop({ v7: [one.port] });
  await client.set('Service/shop', route);
  t.equal((await ask(port)).body, 'one');
  t.same(await client.observe(), { routes: { 'Service/shop': route } });
  const file = join(directory, 'router', 'config.json');
  t.same(JSON.parse(await readFile(file, 'utf8')).routes, { 'Service/shop': route });
  t.equal((await stat(join(directory, 'router'))).mode & 0o777, 0o700);
  t.match(await client.stats(), { versions: { 'Service/shop': { v7: { requests: 1, errors: 0 } } }, active: {} });
  t.same(await readStats(directory), await client.stats());
  await client.set('Service/shop', undefined);
  t.equal((await ask(port)).status, 404);
  t.same(JSON.parse(await readFile(file, 'utf8')).routes, {});
});

t.test('log files are kept within their size while no operator is connected', async (t) => {
  const directory = await dataDir(t);
  const target = join(directory, 'targets', 'local');
  const logs = join(target, 'units', 'Workload-web', 'web-1', 'logs', 'main');
  await mkdir(logs, { recursive: true });
  const container = { name: 'main', logs: [{ path: '/var/log/app.log', maxSize: '100' }] };
  const unit = { resource: 'Workload/web', unit: 'web-1', containers: [] };
  await writeFile(join(logs, '..', '..', 'unit.json'), JSON.stringify(unit));
  await writeFile(
    join(logs, '..', '..', 'runnable.json'),
    JSON.stringify({ template: { spec: { containers: [container] } } }),
  );
  const file = join(logs, encodeURIComponent('var/log/app.log'));
  const size = async (path: string) => (await stat(path).catch(() => undefined))?.size ?? 0;

  const client = await router(t, directory);
  await client.keepLogsAfterwards(target);
  await writeFile(file, 'x'.repeat(90));
  // What asks on the way is no operator, and does not change who keeps them.
  await readStats(directory);
  await client.close();
  await until('the router cuts it back', async () => (await size(file)) === 0);
  t.equal(await size(`${file}.1`), 50);

  const next = await router(t, directory);
  await next.keepLogsAfterwards(target);
  await writeFile(file, 'y'.repeat(90));
  const pid = (await pidOf(directory)) ?? 0;
  process.kill(pid, 'SIGKILL');
  await until('another router runs', async () => ((await pidOf(directory)) ?? pid) !== pid);
  await next.answers();
  t.equal(await size(file), 90, 'a connected operator keeps them itself');
  await next.close();
  await until('the new router was told, too', async () => (await size(file)) === 0);
});

t.test('1,000 routes set at once are a few writes, and the last word on each counts', async (t) => {
  const directory = await dataDir(t);
  const client = await router(t, directory);
  const file = join(directory, 'router', 'config.json');
  let writes = 0;
  let inode = 0;
  const sets: Promise<void>[] = [];
  for (const round of [1, 2])
    for (let at = 0; at < 1000; at++)
      sets.push(
        client
          .set(`Service/s${at}`, {
            host: `s${at}.localhost`,
            versions: { v1: [{ unit: `s${at}-0`, port: 1000 + round }] },
          })
          .then(async () => {
            const { ino } = await stat(file);
            if (ino !== inode) writes++;
            inode = ino;
          }),
      );
  await Promise.all(sets);
  const { routes } = await client.observe();
  t.equal(Object.keys(routes).length, 1000);
  t.equal(routes['Service/s999']?.versions.v1?.[0]?.port, 1002);
  t.ok(writes <= 2, `${writes} writes`);
});

t.test('a router that is killed comes back at its address with its routes, by itself', async (t) => {
  const directory = await dataDir(t);
  const one = await backend(t, (_, response) => response.end('one'));
  const client = await router(t, directory);
  const { port } = client.address();
  await client.set('Service/shop', shop({ v7: [one.port] }));
  const first = await until('it runs', () => pidOf(directory));
  process.kill(first, 'SIGKILL');
  // Asked while it is away: answered by the next one.
  const setting = client.set('Service/other', { host: 'other.localhost', versions: {} });
  const answer = await until('it serves again', () => ask(port).catch(() => undefined));
  t.equal(answer.body, 'one');
  await setting;
  t.equal((await ask(port, { host: 'other.localhost' })).status, 503);
  t.not(await pidOf(directory), first);
  t.same(client.address(), { host: '127.0.0.1', port });

  process.kill((await pidOf(directory)) ?? 0, 'SIGKILL');
  await until('it serves once more', () => ask(port).catch(() => undefined));
  t.same(Object.keys((await client.observe()).routes).sort(), ['Service/other', 'Service/shop']);
});

t.test('the router outlives the operator, and the next operator finds it', async (t) => {
  const directory = await dataDir(t);
  const one = await backendProcess(t, 'one');
  const module = pathToFileURL(
    fileURLToPath(new URL('../../../../src/target/local/router/client.js', import.meta.url)),
  );
  const program = `
    const { openRouter } = await import(${JSON.stringify(module.href)});
    const client = await openRouter({ dataDir: ${JSON.stringify(directory)}, listen: { host: '127.0.0.1', port: 0 } });
    await client.set('Service/shop', ${JSON.stringify(shop({ v7: [one.port] }))});
    console.log(client.address().port);
    setInterval(() => {}, 1000);`;
  const operator = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(operator.stdout, 'data')) as [Buffer];
  const port = Number(line);
  operator.kill('SIGKILL');
  await once(operator, 'exit');
  t.equal((await ask(port)).body, 'one');
  const pid = await pidOf(directory);
  const next = await router(t, directory);
  t.equal(next.address().port, port);
  t.equal(await pidOf(directory), pid);
  t.same(Object.keys((await next.observe()).routes), ['Service/shop']);
});

t.test('operators that start at once share one router', async (t) => {
  const directory = await dataDir(t);
  const port = await freePort();
  const clients = await Promise.all([0, 1, 2].map(() => router(t, directory, port)));
  t.same(
    clients.map((client) => client.address().port),
    [port, port, port],
  );
  await clients[0]?.set('Service/shop', { host: 'shop.localhost', versions: {} });
  for (const client of clients) t.same(Object.keys((await client.observe()).routes), ['Service/shop']);
  const pid = (await pidOf(directory)) ?? 0;
  process.kill(pid, 'SIGKILL');
  await Promise.all(clients.map((client) => client.observe()));
  t.not(await pidOf(directory), pid, 'one again after they all saw it die');
});

t.test('an address that cannot be had is an error that says so', async (t) => {
  const directory = await dataDir(t);
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const { port } = other.address() as AddressInfo;
  await t.rejects(openRouter({ dataDir: directory, listen: { host: '127.0.0.1', port } }), {
    code: 'router-address-in-use',
    message: `127.0.0.1:${port} is taken by another program; choose another with --router HOST:PORT`,
  });
  await t.rejects(openRouter({ dataDir: directory, listen: { host: '192.0.2.1', port: 0 } }), {
    code: 'router-address',
    message: /192\.0\.2\.1:0 is no address of this machine/,
  });
  const client = await router(t, directory);
  const mine = client.address().port;
  await t.rejects(openRouter({ dataDir: directory, listen: { host: '127.0.0.1', port } }), {
    code: 'router-elsewhere',
    message: new RegExp(`already serves on 127.0.0.1:${mine} .*use --router 127.0.0.1:${mine}, or end it with`),
  });
  t.same(client.address(), { host: '127.0.0.1', port: mine });
});

t.test('a router that cannot come back is told to whoever asks, and comes back once it can', async (t) => {
  const directory = await dataDir(t);
  const client = await router(t, directory);
  const { port } = client.address();
  const squatter = createServer();
  const pid = (await pidOf(directory)) ?? 0;
  process.kill(pid, 'SIGKILL');
  await until('the address is free', () => !alive(pid));
  squatter.listen(port, '127.0.0.1');
  await once(squatter, 'listening');
  await t.rejects(client.set('Service/shop', { host: 'shop.localhost', versions: {} }), {
    code: 'router-address-in-use',
  });
  squatter.close();
  await until('it is back', () =>
    client.set('Service/shop', { host: 'shop.localhost', versions: {} }).then(
      () => true,
      () => false,
    ),
  );
  t.equal((await ask(port)).status, 503);
});

t.test('a stale socket, a broken file and a long path are no hindrance', async (t) => {
  const directory = join(await dataDir(t), 'x'.repeat(60), 'y'.repeat(60));
  const folder = join(directory, 'router');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'control.sock'), '');
  await writeFile(join(folder, 'config.json'), '{"routes": {');
  t.teardown(() => stopRouter(directory));
  t.equal(await readStats(directory), undefined);
  const client = await router(t, directory);
  t.same(await client.observe(), { routes: {} });
  t.match(await readFile(join(folder, 'router.log'), 'utf8'), /config\.json cannot be read .* put aside/);
  t.equal(await readFile(join(folder, 'config.json.unreadable'), 'utf8'), '{"routes": {');
  await client.set('Service/shop', { host: 'shop.localhost', versions: {} });
  t.same(await readStats(directory), { versions: { 'Service/shop': {} }, active: {} });
});

t.test('routes of an earlier boot of the machine keep their hosts, not their backends', async (t) => {
  const directory = await dataDir(t);
  const stranger = await backend(t, (_, response) => response.end('stranger'));
  await mkdir(join(directory, 'router'), { recursive: true });
  const stored = { boot: 'another', routes: { 'Service/shop': shop({ v7: [stranger.port] }) } };
  await writeFile(join(directory, 'router', 'config.json'), JSON.stringify(stored));
  const client = await router(t, directory);
  t.equal((await ask(client.address().port)).status, 503);
  t.same(await client.observe(), { routes: { 'Service/shop': shop({ v7: [] }) } });
});

t.test('a router without its folder ends; one without its socket file makes it again', async (t) => {
  const directory = await dataDir(t);
  await router(t, directory);
  const pid = (await pidOf(directory)) ?? 0;
  const { unlink, rm } = await import('node:fs/promises');
  await unlink(join(directory, 'router', 'control.sock'));
  await until('the socket is there again', () => pidOf(directory));
  t.equal(await pidOf(directory), pid);

  const lost = await dataDir(t);
  const client = await openRouter({ dataDir: lost, listen: { host: '127.0.0.1', port: 0 } });
  const orphan = (await pidOf(lost)) ?? 0;
  await client.close();
  await rm(lost, { recursive: true });
  await until('it has ended', () => !alive(orphan));
});

t.test('told to stop, it finishes what it serves and is gone', async (t) => {
  const directory = await dataDir(t);
  let release: (() => void) | undefined;
  const one = await backend(t, (incoming, response) => {
    if (incoming.url === '/slow') release = () => response.end('whole');
    else response.end();
  });
  const client = await openRouter({ dataDir: directory, listen: { host: '127.0.0.1', port: 0 } });
  const { port } = client.address();
  await client.set('Service/shop', shop({ v7: [one.port] }));
  const pid = (await pidOf(directory)) ?? 0;
  await client.close();
  const slow = ask(port, { path: '/slow' });
  await until('it is served', () => release !== undefined);
  const stopped = stopRouter(directory);
  await until('it takes nothing new', () =>
    ask(port).then(
      () => false,
      () => true,
    ),
  );
  release?.();
  t.equal((await slow).body, 'whole');
  await stopped;
  await until('it has ended', () => !alive(pid));
  t.equal(await readStats(directory), undefined);
  await stopRouter(directory);
});

t.test('a router of another protocol is left to serve, and the error says what to do', async (t) => {
  const directory = await dataDir(t);
  await mkdir(join(directory, 'router'), { recursive: true });
  const asked: string[] = [];
  const other = createTcpServer((socket) => {
    socket.on('data', (data) => {
      const { id, call } = JSON.parse(String(data)) as { id: number; call: string };
      asked.push(call);
      const answer = call === 'health' ? { pid: 4711, host: '127.0.0.1', port: 8080, protocol: 99 } : null;
      socket.write(`${JSON.stringify({ id, answer })}\n`, () => {
        if (call === 'stop') socket.end();
      });
    });
  });
  other.listen(join(directory, 'router', 'control.sock'));
  await once(other, 'listening');
  t.teardown(() => other.close());
  const error = {
    code: 'router-version',
    message:
      /process 4711\) is of another version of Sluice: it speaks protocol 99, this one \d+; end it with `kill 4711`/,
  };
  await t.rejects(openRouter({ dataDir: directory, listen: { host: '127.0.0.1', port: 8080 } }), error);
  await t.rejects(readStats(directory), error);
  t.same(asked, ['health', 'health'], 'it was told nothing');
  await stopRouter(directory);
  t.equal(asked.at(-1), 'stop', 'every router can be stopped');
});

t.test('a connection that talks nonsense to the control socket harms nobody', async (t) => {
  const directory = await dataDir(t);
  const client = await router(t, directory);
  const path = join(directory, 'router', 'control.sock');
  for (const text of ['no json\n', '{"id":1,"call":"nothing"}\n', 'x'.repeat(100_000)]) {
    const socket = createConnection(path);
    socket.on('error', () => {});
    socket.end(text);
    socket.resume();
    await once(socket, 'close');
  }
  t.same(await client.observe(), { routes: {} });
});

t.test('no request is lost while routes change, units come and go, and units are killed', async (t) => {
  const directory = await dataDir(t);
  const client = await router(t, directory);
  const { port } = client.address();
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  t.teardown(() => agent.destroy());
  const units = await Promise.all(['a', 'b', 'c', 'd'].map((name) => backendProcess(t, name)));
  const ports = units.map((unit) => unit.port);
  await client.set('Service/shop', shop({ v7: ports }));
  let running = true;
  let answered = 0;
  const lost: unknown[] = [];
  const load = Array.from({ length: 8 }, async () => {
    while (running) {
      const answer = await ask(port, { agent }).catch((error) => error);
      if (answer.status === 200) answered++;
      else lost.push(answer);
    }
  });
  for (let round = 0; round < 60; round++) {
    const routed: Record<string, number[]> = {
      v7: ports.filter((_, at) => at !== round % 4),
      v8: [ports[round % 4] ?? 0],
    };
    const weight = (round * 10) % 110;
    const route: Route = shop(routed, { kind: 'percent', weights: { v7: 100 - weight, v8: weight } });
    await client.set('Service/shop', route);
    await client.set(`Service/other${round}` as ResourceId, { host: `o${round}.localhost`, versions: {} });
    await delay(5);
  }
  await client.set('Service/shop', shop({ v7: ports }));
  for (const unit of units.slice(1)) {
    const before = answered;
    await unit.kill();
    await until('more is answered', () => answered > before + 50);
  }
  running = false;
  await Promise.all(load);
  t.same(lost, []);
  t.ok(answered > 500, `${answered} answered`);
  t.comment(`${answered} requests`);
});

t.test('an operator with an earlier epoch changes nothing once a later one is there', async (t) => {
  const directory = await dataDir(t);
  const listen = { host: '127.0.0.1', port: 0 };
  const earlier = await openRouter({ dataDir: directory, listen, epoch: 7 });
  t.teardown(() => stopRouter(directory));
  await earlier.set('Workload/web', { host: 'web.localhost', versions: {} });
  const later = await openRouter({ dataDir: directory, listen, epoch: 8 });
  await t.rejects(earlier.set('Workload/web', undefined), { message: /an operator with epoch 8 has taken over/ });
  await later.set('Workload/shop', { host: 'shop.localhost', versions: {} });
  t.strictSame(Object.keys((await later.observe()).routes), ['Workload/web', 'Workload/shop']);
  await t.rejects(openRouter({ dataDir: directory, listen, epoch: 7 }), { message: /an operator with epoch 8/ });
  await earlier.close();
  await later.close();
});
