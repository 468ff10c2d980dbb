import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { fold, namesText, sizeOf, unfold } from '../../src/status/fold.ts';
import { unitName } from './examples.ts';

t.test('names in a row are one entry; order, leading zeros and all else stay', async (t) => {
  const cases: [string[], string[]][] = [
    [[], []],
    [['web-1'], ['web-1']],
    [
      ['web-9', 'web-10', 'web-11', 'db', 'web-1'],
      ['web-9..11', 'db', 'web-1'],
    ],
    [['web-08', 'web-09', 'web-10', 'web-11'], ['web-08..11']],
    [['web-99', 'web-100'], ['web-99..100']],
    [['web-099', 'web-100'], ['web-099..100']],
    [
      ['web-09', 'web-1', 'web-2'],
      ['web-09', 'web-1..2'],
    ],
    [
      ['web-2', 'web-1', 'web-0'],
      ['web-2', 'web-1', 'web-0'],
    ],
    [['1', '2', '3'], ['1..3']],
    [
      ['h99999999998', 'h99999999999', 'h100000000000'],
      ['h99999999998..999999999', 'h100000000000'],
    ],
  ];
  for (const [names, folded] of cases) {
    t.strictSame(fold(names), folded);
    t.strictSame(unfold(folded), names);
  }
  t.strictSame(fold(Array.from({ length: 10_000 }, (_, index) => `web-${index + 1}`)), ['web-1..10000']);
});

t.test('whatever is folded comes back, and its size is known without it', async () => {
  const digits = fc.stringMatching(/^[a-z-]{0,3}[0-9]{0,12}$/);
  fc.assert(
    fc.property(fc.array(fc.oneof(unitName, digits), { maxLength: 20 }), (names) => {
      const folded = fold(names);
      assert.deepStrictEqual(unfold(folded), names);
      assert.equal(
        folded.reduce((sum, entry) => sum + (sizeOf(entry) ?? Number.NaN), 0),
        names.length,
      );
    }),
    { numRuns: 500 },
  );
});

t.test('what is no run has no size', async (t) => {
  for (const entry of ['web..3', 'web-3..', 'web-3..3', 'web-3..2', '..', 'a..b'])
    t.equal(sizeOf(entry), undefined, entry);
  t.equal(sizeOf('web-1..999999999'), 999_999_999);
});

t.test('in a sentence some are named, and the rest counted', async (t) => {
  t.equal(namesText(['web-1', 'web-2', 'db']), 'web-1..2, db');
  t.equal(namesText(['a', 'b', 'c', 'd-1', 'd-2'], 2), 'a, b and 3 more');
});
