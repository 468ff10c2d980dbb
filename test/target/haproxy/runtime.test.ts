import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'tap';
import { openHaproxyRuntime, openUnixSocket } from '../../../src/target/haproxy/runtime.ts';
import { noHaproxy, startHaproxy } from './haproxy.ts';

const runtimeOf = (socket: string, backends: string[]) =>
  openHaproxyRuntime({ backends, open: () => openUnixSocket(socket) });

test('weights are read, set and put back exactly', { skip: noHaproxy }, async (t) => {
  const haproxy = await startHaproxy({
    backends: {
      web: { 'web-1': { port: 1, weight: 37 }, 'web-2': { port: 2, weight: 256 } },
      api: { 'web-1': { port: 3, weight: 5 } },
    },
  });
  t.teardown(() => haproxy.close());
  const runtime = runtimeOf(haproxy.socket, ['web', 'api']);
  const weights = async () =>
    [...(await runtime.servers())].map(([name, those]) => [
      name,
      ...those.map(({ backend, weight }) => `${backend}=${weight}`),
    ]);
  const before = await weights();
  t.same(before, [
    ['web-1', 'web=37', 'api=5'],
    ['web-2', 'web=256'],
  ]);
  await runtime.setWeight('web', 'web-1', 0);
  await runtime.setState('web', 'web-2', 'drain');
  t.same((await weights())[0], ['web-1', 'web=0', 'api=5']);
  t.match((await runtime.servers()).get('web-2'), [{ status: /DRAIN/, weight: 256 }]);
  await runtime.setWeight('web', 'web-1', 37);
  await runtime.setState('web', 'web-2', 'ready');
  t.same(await weights(), before);
});

test('connections under way are seen until they end', { skip: noHaproxy }, async (t) => {
  let answer = () => {};
  const server = createServer((_, response) => {
    answer = () => response.end('done');
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const haproxy = await startHaproxy({ backends: { web: { 'web-1': { port, weight: 10 } } } });
  t.teardown(() => haproxy.close());
  const runtime = runtimeOf(haproxy.socket, ['web']);
  const sessions = async () => (await runtime.servers()).get('web-1')?.[0]?.sessions;
  t.equal(await sessions(), 0);
  const asked = fetch(`http://127.0.0.1:${haproxy.port}/`);
  while ((await sessions()) !== 1);
  await runtime.setWeight('web', 'web-1', 0);
  t.equal(await sessions(), 1);
  answer();
  t.equal(await (await asked).text(), 'done');
  while ((await sessions()) !== 0);
});

test('a weight is set while that is allowed, and not over a connection that has waited', {
  skip: noHaproxy,
}, async (t) => {
  const servers = { 'web-1': { port: 1, weight: 37 } };
  const haproxy = await startHaproxy({ backends: { web: servers }, statsTimeoutMs: 200 });
  t.teardown(() => haproxy.close());
  const runtime = runtimeOf(haproxy.socket, ['web']);
  const weight = async () => (await runtime.servers()).get('web-1')?.[0]?.weight;
  await t.rejects(
    runtime.setWeight('web', 'web-1', 0, () => Promise.reject(new Error('no more'))),
    /no more/,
  );
  t.equal(await weight(), 37);
  await t.rejects(
    runtime.setWeight('web', 'web-1', 0, () => new Promise(() => {})),
    /closed the connection/,
  );
  t.equal(await weight(), 37);
  await runtime.setWeight('web', 'web-1', 0, () => weight());
  t.equal(await weight(), 0);
});

test('what is wrong is said', { skip: noHaproxy }, async (t) => {
  const haproxy = await startHaproxy({ backends: { web: { 'web-1': { port: 1, weight: 1 } } }, level: 'user' });
  t.teardown(() => haproxy.close());
  await t.rejects(runtimeOf(haproxy.socket, ['web', 'shop']).servers(), /no backend shop/);
  await t.rejects(runtimeOf(haproxy.socket, ['web']).setWeight('web', 'web-1', 0), /Permission denied.*level admin/s);
  await t.rejects(runtimeOf('/nonexistent/socket', ['web']).servers(), /does not answer at \/nonexistent\/socket/);
  await t.rejects(runtimeOf(haproxy.socket, ['web;shutdown']).servers(), /no name of a backend/);
  await t.rejects(runtimeOf(haproxy.socket, ['web']).setWeight('web', 'web-1', 300), /no weight/);
});
