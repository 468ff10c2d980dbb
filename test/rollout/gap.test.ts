import t from 'tap';
import { restartDelay } from '../../src/rollout/gap.ts';

t.test('each start that does not last puts the next one off for longer, up to a minute', async (t) => {
  t.strictSame(
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 1000].map(restartDelay),
    [0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000],
  );
});
