import t from 'tap';
import type { LiveUnit } from '../../src/plan/live.ts';
import { nothingLive } from '../../src/plan/live.ts';
import { closeGap, restartDelay } from '../../src/rollout/gap.ts';

t.test('each start that does not last puts the next one off for longer, up to a minute', async (t) => {
  t.strictSame(
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 1000].map(restartDelay),
    [0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000],
  );
});

t.test('what is ready, if only for a moment, is stopped after what is not', async (t) => {
  const now = 1_000_000;
  const unit = (id: string, over: Partial<LiveUnit>): LiveUnit => ({
    ...{ id, revision: 'old', version: '', attempt: `${id}.1`, phase: 'starting', ready: false, restarts: 0 },
    ...over,
  });
  const young: Partial<LiveUnit> = { phase: 'running', ready: true, readySince: now - 1000 };
  const live = { ...nothingLive(now), units: [unit('web-1', {}), unit('web-2', {}), unit('web-3', young)] };
  const goal = { kind: 'replicas', version: '', want: { new: 3 }, maxTotal: 3, minAvailable: 2 } as const;
  const { actions } = closeGap([{ ...goal, minReadySeconds: 4 }], live, {
    name: 'web',
    now,
    hold: false,
    unroute: false,
  });
  t.match(actions, [{ kind: 'stop', unit: 'web-2' }]);
  t.equal(actions.length, 1);
});
