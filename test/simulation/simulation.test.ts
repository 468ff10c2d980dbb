/** Random histories of all kinds of resources: whatever happens, what must always hold holds. */
import t from 'tap';
import { campaign } from './campaign.ts';
import { report } from './report.ts';

t.setTimeout(1_800_000);

/** `SLUICE_ROLLOUTS` for more; `npm run simulate` for many, on all cores. */
const ROLLOUTS = Number(process.env.SLUICE_ROLLOUTS ?? 300);
const SEED = Number(process.env.SLUICE_SEED ?? 2);

t.test('the same seed gives the same histories, to the last step', async (t) => {
  const [one, other] = [await campaign({ seed: 7, rollouts: 20 }), await campaign({ seed: 7, rollouts: 20 })];
  t.strictSame(one, other);
});

t.test(`${ROLLOUTS} rollouts break no invariant`, async (t) => {
  const result = await campaign({ seed: SEED, rollouts: ROLLOUTS });
  t.equal(result.failure, undefined, report(result, 1));
  t.ok(result.rollouts >= ROLLOUTS);
});
