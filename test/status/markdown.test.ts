import t from 'tap';
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { Health } from '../../src/rollout/state.ts';
import { toDocument } from '../../src/status/document.ts';
import { overview } from '../../src/status/markdown.ts';
import { Ranking } from '../../src/status/ranking.ts';
import { type Summary, summaryOf } from '../../src/status/summary.ts';
import { AT, C2, OLD, shop, shopLive, tomcat, tomcatLive, unit, web, webLive } from './examples.ts';
import { matchesGolden } from './golden.ts';

const HEAD = { commit: C2, at: AT };

function plain(health: Health, message = ''): Summary {
  return { commit: C2, health, message, versions: [], traffic: '', repairs: 0, operations: [], deletion: false };
}

function written(ranking: Ranking): string {
  return overview(HEAD, ranking.counts(), ranking.first(200));
}

t.test('STATUS.md of a small repository', async (t) => {
  const ranking = new Ranking();
  const shopAt = (health: Health, message: string, id: ResourceId) =>
    ranking.set(id, summaryOf(toDocument({ id, state: shop(), live: shopLive(), health, message })));
  shopAt('Paused', 'stage 2 of 3 (10 %) waits for: sluice continue Service/shop', 'Service/shop');
  const moving = shop();
  moving.rollout.phase = 'Progressing';
  moving.rollout.stage = 0;
  delete moving.rollout.reachedAt;
  delete moving.rollout.reason;
  const till = toDocument({
    id: 'Service/till',
    state: moving,
    live: shopLive(),
    health: 'Progressing',
    message: 'moves',
  });
  ranking.set('Service/till', summaryOf(till));
  const ended = shop();
  ended.rollout.phase = 'Failed';
  const broken = toDocument({
    id: 'Service/web',
    state: ended,
    live: shopLive(),
    health: 'Degraded',
    message: 'rollout 7 failed',
  });
  ranking.set('Service/web', summaryOf(broken));
  const live = tomcatLive(unit('tomcat-1', OLD));
  ranking.set(
    'Workload/tomcat',
    summaryOf(toDocument({ id: 'Workload/tomcat', state: tomcat(), live, health: 'Healthy', message: '' })),
  );
  ranking.set('Workload/odd', plain('Invalid', 'odd.yaml:1:1: <b>| `a` *b*\n# c_d [x](http://y) \\ &amp;'));
  matchesGolden(t, 'STATUS.md.txt', written(ranking));
});

t.test('fleets and clusters show which instances run what', async (t) => {
  const ranking = new Ranking();
  const fleet = toDocument({ id: 'Fleet/web', state: web(), live: webLive(), health: 'Paused', message: 'waits' });
  ranking.set('Fleet/web', summaryOf(fleet));
  const nodes =
    webLive().instances?.map((node, index) => ({ ...node, version: index < 4 ? '1.36.0' : '1.35.2' })) ?? [];
  const live = { ...webLive(), instances: nodes };
  const of = { id: 'Cluster/prod' as const, state: web(), live, health: 'Paused' as const, message: 'waits' };
  ranking.set('Cluster/prod', summaryOf(toDocument({ ...of, version: '1.36.0' })));
  const rows = written(ranking)
    .split('\n')
    .filter((line) => line.startsWith('| ['));
  t.strictSame(rows, [
    '| [Cluster/prod](status/cluster/prod.yaml) | Paused | `ab12cd34ef` 1.36.0 on web-1..4; 1.35.2 on web-5; wanted 1.36.0 | 7 Paused, batch 2 of 3 ░░░░░ 0/2 |  | waits |',
    '| [Fleet/web](status/fleet/web.yaml) | Paused | `ab12cd34ef` 12e4567890 on web-1..4; ab12cd34ef on web-5 | 7 Paused, batch 2 of 3 ░░░░░ 0/2 |  | waits |',
  ]);
});

t.test('a revision that stands there already is not told twice', async (t) => {
  const ranking = new Ranking();
  const instances = webLive().instances?.map((instance) => ({ ...instance, applied: [OLD] })) ?? [];
  const live = { ...webLive(), instances };
  ranking.set(
    'Fleet/web',
    summaryOf(toDocument({ id: 'Fleet/web', state: web(), live, health: 'Healthy', message: 'well' })),
  );
  t.match(written(ranking), `| Healthy | \`${OLD}\` on web-1..5 |`);
});

t.test('nothing yet', async (t) => {
  t.equal(
    written(new Ranking()),
    `# Status\n\nObserved commit \`${C2}\` at 2026-11-20T22:22:03.125Z.\n\n0 resources.\n`,
  );
});

t.test('a cell stays a cell, and shows text as text', async (t) => {
  const ranking = new Ranking();
  ranking.set('Service/shop', plain('Degraded', 'a|b\n| c <script>`x` **y** <!-- ~~z~~ \\|'));
  const row =
    written(ranking)
      .split('\n')
      .find((line) => line.startsWith('| [Service/shop]')) ?? '';
  t.equal(row.replaceAll(/\\./g, '').split('|').length, 8, 'six cells');
  t.notMatch(row, /[<>]/);
  t.match(row, 'a\\|b \\| c &lt;script&gt;\\`x\\` \\*\\*y\\*\\* &lt;\\!-- \\~\\~z\\~\\~ \\\\\\|');
});

t.test('of many, the unhealthy first, then by name, 200 at most', async (t) => {
  const ranking = new Ranking();
  const id = (index: number): ResourceId => `Workload/w${String(index).padStart(5, '0')}`;
  for (let index = 9_999; index >= 0; index--) ranking.set(id(index), plain('Healthy'));
  ranking.set(id(7_000), plain('Degraded'));
  ranking.set(id(6_000), plain('Progressing'));
  ranking.set(id(5_000), plain('Degraded'));
  ranking.set(id(4_000), plain('Invalid'));
  ranking.set(id(3_000), plain('Paused'));
  ranking.set(id(3_000), plain('Healthy'));
  ranking.set(id(0), undefined);
  ranking.set(id(77_777), undefined);
  const shown = ranking.first(200).map((ranked) => ranked.id);
  t.strictSame(shown.slice(0, 6), [id(5_000), id(7_000), id(4_000), id(6_000), id(1), id(2)]);
  t.equal(shown.length, 200);
  t.match(written(ranking), /9999 resources: 2 Degraded, 1 Invalid, 1 Progressing, 9995 Healthy\./);
  t.match(written(ranking), /9799 more: one file each under \[status\]\(status\)\./);
});
