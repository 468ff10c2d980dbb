/** Raw bytes to the real router, before a backend that takes nothing but whole, plain requests and remembers them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type Server } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createProxy } from '../../../src/target/local/router/proxy.ts';
import { createTable, type Table } from '../../../src/target/local/router/table.ts';
import { type Plain, strictReader } from './strict-reader.ts';
import type { Talk } from './talks.ts';

/** Of silence after which a client that nobody answers leaves. */
const PATIENCE_MS = 40;
const AT_REST_MS = 20_000;
/** The request by which it is seen that the router serves on. */
const SERVED = '/served';

/** The router under test, from the table of its routes. */
export type MakeRouter = (table: Table, backendPort: number) => Server;

async function open(make: MakeRouter) {
  const seen = { taken: 0, arrived: [] as Plain[], wrong: '' };
  const backend = createServer((socket) => {
    socket.on('error', () => {});
    const read = strictReader({
      request(plain) {
        seen.arrived.push(plain);
        const joins = plain.upgrade && !plain.path.includes('no');
        socket.write(
          joins
            ? 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'
            : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
        );
        return joins;
      },
      wrong(what) {
        seen.wrong ||= what;
        socket.destroy();
      },
    });
    socket.on('data', read);
    socket.on('end', () => socket.end());
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const backendPort = (backend.address() as AddressInfo).port;
  const table = createTable();
  const versions = { v1: [{ unit: 'shop-1', port: backendPort }] };
  table.change({
    'Service/shop': { host: 'shop.localhost', policy: { kind: 'percent', weights: { v1: 100 } }, versions },
  });
  const router = make(table, backendPort);
  for (const event of ['request', 'checkContinue', 'upgrade'] as const)
    router.prependListener(event, () => seen.taken++);
  router.listen(0, '127.0.0.1');
  await once(router, 'listening');
  return {
    ...{ seen, table, port: (router.address() as AddressInfo).port },
    /** Of clients: one that left at once may not have been read yet. */
    connections: () => new Promise<number>((done) => router.getConnections((_, count) => done(count))),
    close() {
      router.close();
      router.closeAllConnections();
      backend.close();
      table.change({ 'Service/shop': null });
    },
  };
}

type Site = Awaited<ReturnType<typeof open>>;

/** A site has one talk at a time, so that what arrives is known to come from it. */
export function checkerOf(make: MakeRouter): { check(talk: Talk): Promise<void>; close(): void } {
  const free: Site[] = [];
  const all: Site[] = [];
  const another = async () => {
    const site = await open(make);
    all.push(site);
    return site;
  };
  return {
    async check(talk) {
      const site = free.pop() ?? (await another());
      // One where something did not hold may hold it against the next.
      await checkAt(site, talk);
      free.push(site);
    },
    close: () => all.forEach((site) => void site.close()),
  };
}

export const { check: checkRouter, close: closeRouters } = checkerOf((table) => createProxy(table));

/**
 * The router never sends on more than it took, nothing but plain requests, nothing that nobody sent, and each body whole; it serves on,
 * and comes to rest.
 */
async function checkAt({ seen, table, port, connections }: Site, talk: Talk): Promise<void> {
  await converse(port, talk);
  const headers = { host: 'shop.localhost' };
  const served = request({ port, host: '127.0.0.1', path: SERVED, agent: false, headers }).end();
  const [answer] = await once(served, 'response', { signal: AbortSignal.timeout(AT_REST_MS) });
  answer.resume();
  for (const until = Date.now() + AT_REST_MS; table.active() > 0 || (await connections()) > 0; await sleep(5))
    assert.ok(
      Date.now() < until,
      `${table.active()} requests are under way for ever, of ${await connections()} clients`,
    );
  const { wrong, arrived, taken } = seen;
  Object.assign(seen, { wrong: '', arrived: [], taken: 0 });
  assert.equal(answer.statusCode, 200, 'it serves on');
  assert.equal(wrong, '', `what reached the backend is no plain request: ${wrong}`);
  assert.ok(arrived.length <= taken, `${arrived.length} requests reached the backend, ${taken} were taken`);
  const strange = unsent(
    talk.bytes,
    arrived.filter(({ path }) => path !== SERVED),
  );
  assert.equal(
    strange,
    undefined,
    `what reached the backend was not sent so: ${JSON.stringify(strange)?.slice(0, 200)}`,
  );
}

/** The first that arrived and was not sent, as far as what was sent can be read in one way only. */
function unsent(bytes: string, arrived: readonly Plain[]): Plain | undefined {
  const sent: Plain[] = [];
  let isClear = true;
  strictReader({
    request(plain) {
      sent.push(plain);
      // A target of another form is written anew, and what follows an upgrade may be anything.
      isClear &&= plain.path.startsWith('/') && !plain.upgrade;
      return !isClear;
    },
    wrong() {
      isClear = false;
    },
  })(Buffer.from(bytes, 'latin1'));
  if (!isClear) return undefined;
  let from = 0;
  return arrived.find((one) => {
    const at = sent.findIndex((other, index) => index >= from && isSame(one, other));
    from = at + 1;
    return at < 0;
  });
}

const isSame = (one: Plain, other: Plain): boolean =>
  one.method === other.method && one.path === other.path && one.body === other.body;

async function converse(port: number, { bytes, cuts, leaves }: Talk): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.setTimeout(PATIENCE_MS, () => socket.destroy());
  socket.resume();
  const places = [0, ...cuts.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length];
  for (let at = 1; at < places.length && !socket.destroyed; at++) {
    socket.write(Buffer.from(bytes.slice(places[at - 1], places[at]), 'latin1'));
    if (places.length > 2) await sleep(1);
  }
  if (leaves === 'half') socket.end();
  else if (leaves === 'at once') socket.resetAndDestroy();
  await closed;
}
