/** What a client may send to a router: requests as they should be, and as they should not. */
import fc from 'fast-check';

const HOST = 'Host: shop.localhost';
const SMUGGLED = `GET /smuggled HTTP/1.1\r\n${HOST}\r\n\r\n`;

const some = <T>(usual: readonly T[], odd: readonly T[]) =>
  fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: fc.constantFrom(...odd) });

const methods = some(
  ['GET', 'POST', 'PUT'],
  ['HEAD', 'get', 'G ET', 'CONNECT', 'OPTIONS', 'PRI', '\r\nGET', ' GET', 'GET\t', 'X'.repeat(70), 'TRACE', 'M-SEARCH'],
);
const targets = some(
  ['/', '/a?b=1', '/no'],
  [
    ...[
      '*',
      '',
      '//evil/',
      '/../..',
      '/%2e%2e/%00',
      '/\xff\xfe',
      '/a b',
      '/a\tb',
      '/\x01',
      'a',
      'shop.localhost:443',
      '?',
      '/#x',
    ],
    ...[
      'http://shop.localhost/x',
      'http://evil/',
      'http://shop.localhost',
      'HTTP://SHOP.LOCALHOST:1/?x',
      'https://shop.localhost/',
      'http://a@shop.localhost/',
      'http:///x',
    ],
    ...['/ HTTP/1.1\r\nX: y', `/${'a'.repeat(20_000)}`, '/\r', `/ HTTP/1.1\r\n${HOST}\r\n\r\nGET /smuggled`],
  ],
);
const versions = some(
  ['HTTP/1.1'],
  ['HTTP/1.0', 'HTTP/2.0', 'HTTP/1.1 ', 'http/1.1', 'HTTP/0.9', '', 'HTTP/1.10', 'HTTP/1,1'],
);
const lengths = fc.constantFrom(
  '5',
  '0',
  '48',
  '+5',
  '-5',
  '5, 5',
  '5,6',
  '0x5',
  ' 5 ',
  '5\t',
  '5;',
  '05',
  '',
  '1e1',
  '99999999999999999999',
  '5\x0b',
  '\xb2',
);
const encodings = fc.constantFrom(
  'chunked',
  'Chunked',
  ' chunked',
  'chunked, identity',
  'identity',
  'gzip, chunked',
  'chunked, chunked',
  'xchunked',
  'chunked\x0b',
  '"chunked"',
  'chunked;q=1',
  '',
  ',chunked',
);
const lengthNames = some(
  ['Content-Length'],
  ['content-length', 'Content-Length ', 'Content_Length', ' Content-Length', 'Content-Length\t', 'Content-Length\0'],
);
const encodingNames = some(
  ['Transfer-Encoding'],
  [
    'transfer-encoding',
    'Transfer-Encoding ',
    'Transfer_Encoding',
    'Transfer-Encoding\x0b',
    '\tTransfer-Encoding',
    'Transfer-Encoding:',
  ],
);
const headers = fc.oneof(
  fc.tuple(lengthNames, lengths).map(([name, value]) => `${name}: ${value}`),
  fc.tuple(encodingNames, encodings).map(([name, value]) => `${name}: ${value}`),
  fc.constantFrom(
    'Connection: close',
    'Connection: keep-alive',
    'Connection: upgrade',
    'Connection: content-length',
    'Connection: host, transfer-encoding',
    'Connection: close, upgrade, x',
  ),
  fc.constantFrom(
    'Upgrade: websocket',
    'Connection: upgrade\r\nUpgrade: websocket',
    'Upgrade: h2c',
    'Upgrade: x, y',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'HTTP2-Settings: AAMAAABkAAQAAP__',
  ),
  fc.constantFrom(
    'Expect: 100-continue',
    'Expect: x',
    'TE: trailers',
    'Trailer: Host',
    'Keep-Alive: timeout=1',
    'Proxy-Connection: close',
  ),
  fc.constantFrom(
    HOST,
    'Host: evil',
    'Host:',
    'Host: a b',
    'Host: shop.localhost, evil',
    'Host: shop.localhost:99999',
    'Host : shop.localhost',
    'Host: [::1',
    'Host: shop.localhost\x00',
  ),
  fc.constantFrom(
    'X: a\r\n folded',
    'X: a\r\n\tfolded',
    'X: \0',
    'X: a\rb',
    'X: a\nGET /smuggled HTTP/1.1',
    'X',
    ': x',
    'X: \xff\xfe',
    'X\xff: a',
    '(x): a',
    ' X: a',
  ),
  fc.constantFrom(
    `X: ${'a'.repeat(20_000)}`,
    Array.from({ length: 300 }, (_, at) => `X-${at}: y`).join('\r\n'),
    `${'n'.repeat(5000)}: x`,
    'X-Forwarded-For: 1.2.3.4, , x',
    'X-Forwarded-Host: evil\tx',
  ),
);
const bodies = fc.constantFrom(
  ...[
    '',
    'hello',
    `hello${SMUGGLED}`,
    '5\r\nhello\r\n0\r\n\r\n',
    `0\r\n\r\n${SMUGGLED}`,
    `5\r\nhello\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  ...[
    '5;a=b\r\nhello\r\n0\r\n\r\n',
    '5\nhello\n0\n\n',
    `5;\nx\r\nhello\r\n0\r\n\r\n`,
    '0x5\r\nhello\r\n0\r\n\r\n',
    '-1\r\n',
    'ffffffffffffffff\r\nx',
    '10000000000000005\r\nhello\r\n0\r\n\r\n',
  ],
  ...[
    `0\r\nHost: evil\r\n\r\n`,
    `0\r\nX: y\r\nContent-Length: 48\r\n\r\n${SMUGGLED}`,
    `5 \r\nhello\r\n0\r\n\r\n`,
    `5\r\nhelloGET /smuggled HTTP/1.1\r\n\r\n`,
    `5;${'e'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`,
  ],
  ...['\x81\x85\0\0\0\0hello', SMUGGLED, 'x'.repeat(100_000)],
);
const ends = some(['\r\n'], ['\n', '\r', '\r\r\n']);

const requests = fc
  .record({
    method: methods,
    target: targets,
    version: versions,
    hosted: some([true], [false]),
    more: fc.array(headers, { maxLength: 5 }),
    body: bodies,
    end: ends,
  })
  .map(({ method, target, version, hosted, more, body, end }) => {
    const lines = [`${method} ${target} ${version}`, ...(hosted ? [HOST] : []), ...more];
    return `${lines.join(end)}${end}${end}${body}`;
  });

export interface Talk {
  bytes: string;
  /** Where it is sent in pieces, as shares of its length. */
  cuts: number[];
  leaves: 'by itself' | 'half' | 'at once';
}
export const talks: fc.Arbitrary<Talk> = fc.record<Talk>({
  bytes: fc.array(requests, { minLength: 1, maxLength: 2 }).map((all) => all.join('')),
  cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
  leaves: some<Talk['leaves']>(['by itself', 'half'], ['at once']),
});
