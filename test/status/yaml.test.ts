import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { parse } from 'yaml';
import { readBlock, writeBlock } from '../../src/status/block.ts';
import { toDocument } from '../../src/status/document.ts';
import { StatusFileError, toText } from '../../src/status/text.ts';
import { fromText } from '../../src/status/yaml.ts';
import { shop, shopLive } from './examples.ts';

const ID = 'Service/shop' as const;
const text = () =>
  toText(
    toDocument({ id: ID, state: shop(), live: shopLive(), health: 'Paused', message: 'waits', host: 'shop.localhost' }),
  );
const read = (content: string | Buffer) => fromText(ID, Buffer.from(content));

function errorOf(content: string | Buffer): StatusFileError {
  try {
    read(content);
  } catch (error) {
    if (error instanceof StatusFileError) return error;
    throw error;
  }
  throw new Error('was read without an error');
}

t.test('what looks like something else is quoted', async (t) => {
  const words = [
    '',
    ' ',
    'a ',
    ' a',
    'yes',
    'No',
    'ON',
    'null',
    'true',
    'False',
    'y',
    '~',
    '-',
    '- a',
    '? a',
    'a: b',
    'a:',
    'a #b',
  ];
  words.push(
    '#a',
    '1',
    '1e3',
    '0x1f',
    '1.5',
    '.5',
    '.inf',
    '12e4567890',
    '0123',
    '1_000',
    '2026-11-20',
    '1:30',
    '[a]',
    '{a}',
  );
  words.push(
    '*a',
    '&a',
    '!a',
    '|',
    '>',
    '%a',
    '@a',
    '`a',
    '"a',
    "'a",
    'a\nb',
    '\t',
    'a\tb',
    '\u0085',
    '\u2028',
    '\ufeff',
    'é',
    '\ud800',
  );
  words.push(
    '---',
    '...',
    '<<',
    '=',
    '__proto__',
    'constructor',
    'a\u0000b',
    '\u007f',
    '😀',
    'a\\b',
    'a"b',
    "it's",
    'a, b',
    'a]',
    '\uffff',
  );
  const map = Object.fromEntries(words.filter((word) => word !== '__proto__').map((word) => [word, word]));
  for (const value of [{ words }, map, { list: words.map((word) => ({ [`k${word}`]: word })) }]) {
    const written = writeBlock(value);
    t.strictSame(parse(written, { version: '1.2' }), value);
    t.strictSame(parse(written, { version: '1.1', merge: false }), value, 'an older YAML reads the same');
    t.strictSame(readBlock(written), value);
  }
});

t.test('the own reader reads what any YAML reader reads, or leaves it alone', async () => {
  const lines = fc.constantFrom(
    ...['a: 1', 'a: b', '  b: 2', 'b:', '- a', '- c: 1', '  - d: e', '    f: g', 'a: "x"', '"q": r', 'l: []', 'm: {}'],
    ...[
      '',
      '# c',
      'a: b # c',
      "a: 'x'",
      'a: |',
      '  text',
      'a: &x 1',
      'b: *x',
      'a: b: c',
      '- - a',
      '---',
      'a: ~',
      'yes: 1',
      '  - x',
    ],
    ...[
      'a: 1.50',
      'a: 0x10',
      'a: 1e3',
      'a: -0',
      'a:b',
      '-',
      'a:  b',
      'a: true',
      'a: "x" y',
      'a: "\\x41"',
      '   c: 1',
      'a: [b]',
    ],
  );
  let readable = 0;
  fc.assert(
    fc.property(fc.array(lines, { maxLength: 6 }), (some) => {
      const written = `${some.join('\n')}\n`;
      const own = readBlock(written);
      if (own === undefined) return;
      readable++;
      assert.deepStrictEqual(own, parse(written));
    }),
    { numRuns: 5000 },
  );
  assert.ok(readable > 100, 'it does read some');
});

t.test('a file that somebody edited, but that is right, is read as well', async (t) => {
  const edited = `# looked at it\n${text().replace('name: "10 %"', "name:   '10 %'")}\n\n`;
  t.equal(readBlock(edited), undefined, 'it is not as Sluice writes it');
  t.strictSame(read(edited), read(text()));
});

t.test('a file that is not a status gives an error with its place, never a crash', async (t) => {
  const good = text();
  const cases: [string, string | Buffer, string, RegExp][] = [
    ['empty', '', '', /must be object/],
    ['binary', Buffer.from([0, 255, 254, 1, 2]), '', /readable YAML|must be object/],
    ['broken YAML', `${good}colours: [red\n`, '', /not readable YAML/],
    ['a list', '- a\n', '', /must be object/],
    ['two documents', `${good}---\n${good}`, '', /not readable YAML/],
    ['a merge conflict', good.replace('commit:', '<<<<<<< ours\ncommit:'), '', /not readable YAML/],
    ['a missing field', good.replace(/^digest: .*$/m, ''), '', /required property 'digest'/],
    ['an unknown field', `${good}colour: red\n`, '', /unknown field `colour`/],
    [
      'an unknown field inside',
      good.replace('  id: 7\n', '  id: 7\n  colour: red\n'),
      'rollout',
      /unknown field `colour`/,
    ],
    ['a wrong type', good.replace('  id: 7', '  id: seven'), 'rollout.id', /must be integer/],
    [
      'a wrong phase',
      good.replace('phase: Paused', 'phase: Sleeping'),
      'rollout.phase',
      /must be one of Pending, Checking/,
    ],
    [
      'a day that is not',
      good.replace('"2026-11-20T22:22:03.125Z"', '"2026-13-20T22:22:03.125Z"'),
      'rollout.startedAt',
      /must be a time/,
    ],
    ['a bad commit', good.replace(/^commit: c2/m, 'commit: ../'), 'commit', /must match pattern/],
    [
      'a bad goal',
      good.replace('soakSeconds: 600', 'soakSeconds: -1'),
      'rollout.stages[1].gates[0].soakSeconds',
      /must be >= 0/,
    ],
    [
      'another resource',
      good.replace('resource: Service/shop', 'resource: Service/till'),
      'resource',
      /holds the status of Service\/till/,
    ],
    ['an alias bomb', `a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]\n`, '', /not readable YAML/],
    ['deep nesting', `a: ${'['.repeat(20_000)}\n`, '', /not readable YAML/],
    [
      'a prototype',
      good.replace('            v8: 10', '            __proto__: 10'),
      'rollout.stages.1.want.traffic.percent',
      /`__proto__` is refused/,
    ],
    ['a quoted prototype', `"__proto__": {"x": 1}\n${good}`, '', /`__proto__` is refused/],
    ['a large edited file', `# ${'x'.repeat(300_000)}\n${good}`, '', /was edited and is too large: 30\d{4} bytes/],
    ['a huge file', Buffer.alloc(17 * 1024 * 1024, 'a'), '', /is too large: 17825792 bytes, at most 16777216/],
  ];
  for (const [name, content, path, problem] of cases) {
    const error = errorOf(content);
    t.equal(error.code, 'bad-status-file', name);
    t.equal(error.path, path, name);
    t.match(error.message, problem, name);
    t.match(error.message, /^status\/service\/shop\.yaml/, name);
    t.match(error.message, /restore the file from an earlier commit/, name);
    t.notMatch(error.message, /\n/, name);
  }
  t.equal(Object.getOwnPropertyDescriptor(Object.prototype, 'x'), undefined);
});

t.test('a map of many keys does not hold anybody up', async (t) => {
  const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}: 1`).join('\n');
  const started = performance.now();
  t.match(errorOf(`${keys(100_000)}\n`).message, /required property/);
  t.match(errorOf(`# edited\n${keys(20_000)}\n`).message, /too large/);
  t.match(errorOf(`# edited\n${keys(5_000)}\n`).message, /required property/);
  t.ok(performance.now() - started < 5_000);
});

t.test('what no status holds is not written', async (t) => {
  for (const value of [null, Number.NaN, Number.POSITIVE_INFINITY, [['a']], 1n]) {
    t.throws(() => writeBlock({ value }), { name: 'TypeError' });
  }
  t.equal(writeBlock({ a: undefined, b: [], c: {}, d: { e: undefined } }), 'b: []\nc: {}\nd: {}\n');
});
