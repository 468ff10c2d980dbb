/** What watches over the router sees the faults that it is there for: each is planted in a router that is right otherwise. */
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { createProxy } from '../../src/target/local/router/proxy.ts';
import { checkerOf, type MakeRouter } from './fuzz/router.ts';
import { type Talk, talks } from './fuzz/talks.ts';

const HOST = 'Host: shop.localhost';
const told = (bytes: string): Talk => ({ bytes, cuts: [], leaves: 'by itself' });
const POST = told(`POST /a HTTP/1.1\r\n${HOST}\r\nContent-Length: 5\r\n\r\nhello`);
/** By its length the body is 48 bytes, by its encoding it is none and another request follows. */
const SMUGGLING = told(
  `POST / HTTP/1.1\r\n${HOST}\r\nContent-Length: 48\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n${HOST}\r\n\r\n`,
);
const HALF = told(`POST /a HTTP/1.1\r\n${HOST}\r\nContent-Length: 50\r\n\r\nhello`);

interface Sent {
  head: string[];
  body: Buffer;
}

/** Forwards what `change` makes of a request, and takes the first bytes that come for the answer. */
const forwarding =
  (change: (sent: Sent, request: IncomingMessage) => string): MakeRouter =>
  (_, port) =>
    createServer({ insecureHTTPParser: true }, async (request, response) => {
      const head = [`${request.method} ${request.url} HTTP/1.1`];
      for (let at = 0; at < request.rawHeaders.length; at += 2)
        head.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of request) chunks.push(chunk);
      } catch {
        return;
      }
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => response.destroy());
      socket.on('close', () => response.destroy());
      socket.on('data', () => {
        response.end('ok');
        socket.destroy();
      });
      socket.write(change({ head, body: Buffer.concat(chunks) }, request), 'latin1');
    });

const joined = ({ head, body }: Sent): string => `${head.join('\r\n')}\r\n\r\n${body.toString('latin1')}`;
const isServed = ({ url }: IncomingMessage): boolean => url === '/served';

const FAULTS: Record<string, { make: MakeRouter; talk: Talk; says: RegExp }> = {
  'headers that two servers read differently are sent on': {
    make: forwarding(joined),
    talk: SMUGGLING,
    says: /is no plain request: a length and an encoding/,
  },
  'the request in a body is sent on as one of its own': {
    make: forwarding(
      (sent, request) => `${joined(sent)}${isServed(request) ? '' : `GET /smuggled HTTP/1.1\r\n${HOST}\r\n\r\n`}`,
    ),
    talk: POST,
    says: /3 requests reached the backend, 2 were taken/,
  },
  'a body is dropped': {
    make: forwarding(({ head }) =>
      joined({ head: head.filter((line) => !/^content-length/i.test(line)), body: Buffer.alloc(0) }),
    ),
    talk: POST,
    says: /was not sent so/,
  },
  'a body is changed': {
    make: forwarding(({ head, body }) => joined({ head, body: Buffer.from(body.toString('latin1').toUpperCase()) })),
    talk: POST,
    says: /was not sent so/,
  },
  'a request is sent twice': {
    make: forwarding((sent, request) => joined(sent).repeat(isServed(request) ? 1 : 2)),
    talk: POST,
    says: /3 requests reached the backend, 2 were taken/,
  },
  'it serves no more': {
    make: (table) => {
      const router = createProxy(table);
      let isBroken = false;
      router.prependListener('request', ({ url }) => {
        if (url === '/served' && isBroken) table.change({ 'Service/shop': null });
        isBroken = true;
      });
      return router;
    },
    talk: POST,
    says: /it serves on/,
  },
};

for (const [fault, { make, talk, says }] of Object.entries(FAULTS))
  t.test(fault, async (t) => {
    const { check, close } = checkerOf(make);
    t.teardown(close);
    await t.rejects(check(talk), { message: says });
  });

t.test('the router itself has none of them', async (t) => {
  const { check, close } = checkerOf((table) => createProxy(table));
  t.teardown(close);
  for (const talk of [POST, SMUGGLING, HALF]) await check(talk);
});

t.test('inputs as they are made by chance come upon the faults', async (t) => {
  const { make } = FAULTS['headers that two servers read differently are sent on'] as { make: MakeRouter };
  const { check, close } = checkerOf(make);
  t.teardown(close);
  const found = await fc.check(fc.asyncProperty(talks, check), { seed: 1, numRuns: 200, endOnFailure: true });
  t.equal(found.failed, true);
});
