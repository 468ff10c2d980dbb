import t from 'tap';
import { doublingBatches, equalBatches, grouped } from '../../src/plan/batches.ts';

const sum = (sizes: number[]) => sizes.reduce((all, size) => all + size, 0);

t.test('equal batches, the larger first', async (t) => {
  t.strictSame(equalBatches(10, 4), [3, 3, 2, 2]);
  t.strictSame(equalBatches(10, 1), [10]);
  t.strictSame(equalBatches(2, 4), [1, 1]);
  t.strictSame(equalBatches(0, 4), []);
});

t.test('doubling batches start at 1 and stay within the share of all nodes', async (t) => {
  t.strictSame(doublingBatches(100, 10, 100), [1, 2, 4, 8, 10, 10, 10, 10, 10, 10, 10, 10, 5]);
  t.strictSame(doublingBatches(4, 10, 4), [1, 1, 1, 1]);
  t.strictSame(doublingBatches(100, 10, 20), [1, 2, 4, 8, 5]);
  t.strictSame(doublingBatches(3, 100, 3), [1, 2]);
  t.strictSame(doublingBatches(40, 10, 0), []);
});

t.test('for all sizes the batches sum to the units and hold their bounds', async (t) => {
  const wrong: string[] = [];
  for (let units = 0; units <= 1000; units++) {
    for (const batches of [1, 2, 3, 7, 10, 1000]) {
      const sizes = equalBatches(units, batches);
      const spread = units === 0 ? 0 : (sizes[0] ?? 0) - (sizes.at(-1) ?? 0);
      const falling = sizes.every((size, index) => index === 0 || size <= (sizes[index - 1] ?? 0));
      if (sum(sizes) !== units || spread > 1 || !falling || sizes.some((size) => size < 1) || sizes.length > batches)
        wrong.push(`${units} in ${batches}: ${sizes}`);
    }
    for (const percent of [1, 10, 33, 100]) {
      const sizes = doublingBatches(units, percent, units);
      const most = Math.max(1, Math.floor((units * percent) / 100));
      const doubles = sizes.every((size, index) => index === 0 || size <= 2 * (sizes[index - 1] ?? 0));
      if (sum(sizes) !== units || sizes.some((size) => size > most || size < 1) || !doubles || (sizes[0] ?? 1) !== 1)
        wrong.push(`${units} at ${percent} %: ${sizes}`);
    }
  }
  t.strictSame(wrong, []);
});

t.test('units are taken in their order', async (t) => {
  t.strictSame(grouped(['a', 'b', 'c', 'd', 'e'], [2, 2, 1]), [['a', 'b'], ['c', 'd'], ['e']]);
});
