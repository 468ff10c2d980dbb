import fc from 'fast-check';
import t from 'tap';
import { bounds } from '../../src/plan/bounds.ts';

t.test('surge rounds up, unavailable down, and never both nothing', async (t) => {
  const table: [number, number | string, number | string, number, number][] = [
    [5, 1, 0, 6, 5],
    [5, '25%', '25%', 7, 4],
    [10, '30%', '30%', 13, 7],
    [1, '25%', '25%', 2, 1],
    [3, 0, '10%', 3, 2],
    [3, 0, 5, 3, 0],
    [0, 1, 0, 1, 0],
    [4, '100%', '100%', 8, 0],
  ];
  for (const [replicas, maxSurge, maxUnavailable, maxTotal, minAvailable] of table) {
    t.same(
      bounds(replicas, { maxSurge, maxUnavailable }),
      { maxTotal, minAvailable },
      `${replicas} ${maxSurge} ${maxUnavailable}`,
    );
  }
});

t.test('for all sizes there is room to move', async (t) => {
  const amount = fc.oneof(
    fc.nat(1000),
    fc.integer({ min: 0, max: 100 }).map((percent) => `${percent}%`),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), amount, amount, (replicas, maxSurge, maxUnavailable) => {
      const { maxTotal, minAvailable } = bounds(replicas, { maxSurge, maxUnavailable });
      return maxTotal >= replicas && minAvailable >= 0 && minAvailable <= replicas && maxTotal > minAvailable;
    }),
  );
  t.pass('held');
});
