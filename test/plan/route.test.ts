import t from 'tap';
import type { TrafficPolicy } from '../../src/plan/live.ts';
import { compile, explain } from '../../src/plan/route.ts';

/** A small seeded generator (mulberry32), so that the same run gives the same requests. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const byQuery = (query: Record<string, string>): TrafficPolicy => ({
  kind: 'match',
  rules: [{ version: 'yes', query }],
  default: 'no',
});

t.test('a glob matches the whole value, with * ? [a-z] and [!a-z]', async (t) => {
  const cases: [glob: string, value: string, matches: boolean][] = [
    ['', '', true],
    ['', 'a', false],
    ['beta', 'beta', true],
    ['beta', 'Beta', false],
    ['beta', 'beta1', false],
    ['1*', '1', true],
    ['1*', '123', true],
    ['1*', '21', false],
    ['*', '', true],
    ['*', 'anything at all', true],
    ['*1', '21', true],
    ['*1', '12', false],
    ['a*b*c', 'abc', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['*ab*ab', 'abab', true],
    ['*ab*ab', 'ab', false],
    ['**', 'x', true],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['a?c', 'a😀c', true],
    ['?', '', false],
    ['[a-c]1', 'b1', true],
    ['[a-c]1', 'd1', false],
    ['[a-c]1', 'B1', false],
    ['[!a-c]', 'd', true],
    ['[!a-c]', 'a', false],
    ['[!a-c]', '', false],
    ['[a-cx-z9]', 'y', true],
    ['[a-cx-z9]', '9', true],
    ['[a-cx-z9]', 'm', false],
    ['[*]', '*', true],
    ['[*]', 'a', false],
    ['[]]', ']', true],
    ['[!]]', ']', false],
    ['[!]]', 'a', true],
    ['[a-]', '-', true],
    ['[a-]', 'b', false],
    ['[-a]', '-', true],
    ['[z-a]', 'm', false],
    ['[open', '[open', true],
    ['[', '[', true],
    ['[]', '[]', true],
    ['a.c', 'abc', false],
    ['a+', 'aa', false],
    ['(a|b)', '(a|b)', true],
    ['\\d', '\\d', true],
  ];
  for (const [glob, value, matches] of cases) {
    const url = `/?key=${encodeURIComponent(value)}`;
    t.equal(
      compile(byQuery({ key: glob }))(url, 0),
      matches ? 'yes' : 'no',
      `${glob} against ${JSON.stringify(value)}`,
    );
  }
});

t.test('a rule needs every key; any of a repeated key’s values will do', async (t) => {
  const cases: [query: Record<string, string>, url: string, version: string][] = [
    [{ beta: '1*' }, '/shop?beta=12', 'yes'],
    [{ beta: '1*' }, '/shop', 'no'],
    [{ beta: '1*' }, '/shop?beta', 'no'],
    [{ beta: '*' }, '/shop?beta', 'yes'],
    [{ beta: '1*' }, '/shop?Beta=1', 'no'],
    [{ beta: '1*' }, '/shop?beta=2&beta=1', 'yes'],
    [{ beta: '1*' }, '/shop?beta=2&beta=3', 'no'],
    [{ beta: '1', user: 'a*' }, '/shop?user=anna&beta=1', 'yes'],
    [{ beta: '1', user: 'a*' }, '/shop?beta=1', 'no'],
    [{ beta: '1', user: 'a*' }, '/shop?user=beta&beta=2', 'no'],
    [{ q: 'a b' }, '/?q=a+b', 'yes'],
    [{ q: 'a b' }, '/?q=a%20b', 'yes'],
    [{ q: 'ü' }, '/?q=%C3%BC', 'yes'],
    [{ q: '%' }, '/?q=%', 'yes'],
    [{ q: '1' }, 'http://shop.localhost/?q=1', 'yes'],
    [{ q: '1' }, '/#?q=1', 'no'],
    [{ q: '1' }, '/?q=1#x', 'yes'],
    [{ q: '1' }, '/?a=?&q=1', 'yes'],
    [{ toString: '*' }, '/', 'no'],
    [{ ['__proto__']: '1' }, '/?__proto__=1', 'yes'],
    [{}, '/', 'yes'],
  ];
  for (const [query, url, version] of cases)
    t.equal(compile(byQuery(query))(url, 0), version, `${JSON.stringify(query)} at ${url}`);
});

t.test('the first rule that matches wins, else the default; explain says which', async (t) => {
  const policy: TrafficPolicy = {
    kind: 'match',
    rules: [
      { version: 'v9', query: { beta: '1*' } },
      { version: 'v8', query: { beta: '*' } },
    ],
    default: 'v7',
  };
  const choose = compile(policy);
  const cases: [url: string, version: string, rule: number | undefined][] = [
    ['/?beta=1', 'v9', 0],
    ['/?beta=2', 'v8', 1],
    ['/?other=1', 'v7', undefined],
  ];
  for (const [url, version, rule] of cases) {
    t.equal(choose(url, 0.5), version);
    t.same(explain(policy, url), { kind: 'match', version, ...(rule === undefined ? {} : { rule }) });
  }
});

t.test('percent goes by the random number, in proportion to the weights', async (t) => {
  const policy: TrafficPolicy = { kind: 'percent', weights: { v7: 90, none: 0, v8: 10 } };
  const choose = compile(policy);
  const cases: [random: number, version: string][] = [
    [0, 'v7'],
    [0.899, 'v7'],
    [0.9, 'v8'],
    [0.999999, 'v8'],
  ];
  for (const [random, version] of cases) t.equal(choose('/', random), version);
  t.equal(compile({ kind: 'percent', weights: { v8: 10 } })('/', 0.99), 'v8', 'a share alone is the whole');
  t.equal(compile({ kind: 'percent', weights: { v6: 20, v8: 20 } })('/', 0.6), 'v8', 'shares of their sum');
  t.same(explain(policy, '/?beta=1'), { kind: 'percent', weights: policy.weights });

  const random = seeded(7);
  const counts: Record<string, number> = { v7: 0, v8: 0 };
  for (let request = 0; request < 10_000; request++) {
    const version = choose('/', random());
    counts[version] = (counts[version] ?? 0) + 1;
  }
  t.same(Object.keys(counts), ['v7', 'v8'], 'nothing goes to a version of weight 0');
  // 10 % of 10,000: a standard deviation is 30.
  t.ok(Math.abs((counts.v8 ?? 0) - 1000) < 120, `${counts.v8} of 10,000 went to v8`);
});

t.test('no glob takes more than length × length steps', async (t) => {
  const value = 'a'.repeat(15_000);
  const choose = compile(byQuery({ key: '*a*a*a*a*a*a*a*a*b' }));
  const before = process.cpuUsage();
  t.equal(choose(`/?key=${value}`, 0), 'no');
  const { user } = process.cpuUsage(before);
  t.ok(user < 1_000_000, `${user} µs`);
});
