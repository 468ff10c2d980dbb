import t from 'tap';
import { detail, moving, overview } from '../../src/cli/status-view.ts';
import { toDocument } from '../../src/status/document.ts';
import { AT, shop, shopLive, tomcat, tomcatLive, web, webLive } from '../status/examples.ts';

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

t.test('a fleet shows its batches with their units, and which instances run what', async (t) => {
  const document = toDocument({ id: 'Fleet/web', state: web(), live: webLive(), health: 'Paused', message: 'waits' });
  t.equal(
    detail(document, AT + 10_000),
    [
      'Fleet/web  Paused  waits',
      'commit    c2c2c2c2c2',
      'revision  ab12cd34ef',
      'instances 5: 4 ready, 3 in service',
      'runs      12e4567890 on web-1..4; ab12cd34ef on web-5',
      '',
      'rollout 7: upgrade to 12e4567890, Paused (Failure), 10s',
      '  Done        ██████████ 2/2 batch 1 of 3: 2 to 12e4567890: web-1, web-2  3s',
      '    web-1  Succeeded',
      '    web-2  Succeeded',
      '  Stopped     ░░░░░░░░░░ 0/2 batch 2 of 3: 2 to 12e4567890: web-3, web-4',
      '    web-3  Failed  exited with code 1: disk full',
      '    web-4  Verifying  GET /health: 503',
      '  Pending     ░░░░░░░░░░ 0/1 batch 3 of 3: 1 to 12e4567890: web-5',
      '    web-5  Pending',
      '',
      'INSTANCE  REVISION    SERVICE  WEIGHT  READY      MESSAGE',
      'web-3     12e4567890  out      0       not ready  does not answer',
      'web-4     12e4567890  out      0       ready',
      'web-5     ab12cd34ef  in       50      ready      outdated',
      'web-1     12e4567890  in       100     ready',
      'web-2     12e4567890  in       100     ready',
    ].join('\n'),
  );
  t.match(overview([document], AT), /^Fleet\/web {2}Paused {2}7 Paused \(Failure\) {2}░+ 0\/2 batch 2 of 3 {2}waits$/m);
});

t.test('a cluster shows the version that is wanted beside those that run', async (t) => {
  const instances =
    webLive().instances?.map((node, index) => ({ ...node, version: index < 4 ? '1.36.0' : '1.35.2' })) ?? [];
  Object.assign(instances[1] ?? {}, { cordoned: true });
  const live = { ...webLive(), instances };
  const document = toDocument({
    ...{ id: 'Cluster/prod', state: web(), live, health: 'Paused', message: 'waits', version: '1.36.0' },
  });
  const text = detail(document, AT);
  t.match(text, '\nruns      1.36.0 on web-1..4; 1.35.2 on web-5\nwanted    1.36.0\n');
  t.match(text, /^web-2 {5}12e4567890 {2}1\.36\.0 {3}in, cordoned {2}100 /m);
});
