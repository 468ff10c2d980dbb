import t from 'tap';
import { moving, overview } from '../../src/cli/status-view.ts';
import { toDocument } from '../../src/status/document.ts';
import { AT, shop, shopLive, tomcat, tomcatLive } from '../status/examples.ts';

const paused = toDocument({
  ...{ id: 'Service/shop', state: shop(), live: shopLive(), host: 'shop.localhost' },
  ...{ health: 'Paused', message: 'stage 2 of 3 (10 %) waits for: sluice continue Service/shop' },
});
const atRest = toDocument({
  ...{ id: 'Workload/tomcat', state: tomcat(), live: tomcatLive() },
  ...{ health: 'Healthy', message: 'all is well' },
});

t.test('a message is cut off where the terminal ends, and whole in a pipe', async (t) => {
  const narrow = overview([paused, atRest], AT, 110).split('\n');
  for (const line of narrow) t.ok(line.length <= 110, line);
  t.match(narrow[1], / stage 2 of 3 \(10 %\).*…$/);
  t.match(narrow[2], /all is well$/);
  t.match(overview([paused, atRest], AT), 'waits for: sluice continue Service/shop');
  t.match(overview([paused], AT, 10), /stage 2 of 3/, 'some of it is shown on the narrowest terminal');
});

t.test('only rollouts under way are moving', async (t) => {
  t.equal(moving([paused, atRest]), '  Service/shop  ██████████ 1/1  stage 2 of 3 (10 %)  Paused (Step)');
  const { rollout } = shop();
  const ended = { ...shop(), rollout: { ...rollout, phase: 'Canceled' as const, finishedAt: AT } };
  const over = toDocument({ id: 'Service/shop', state: ended, live: shopLive(), health: 'Degraded', message: '' });
  t.equal(moving([over, atRest]), '');
});
