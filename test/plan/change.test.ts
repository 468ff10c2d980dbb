import t from 'tap';
import type { Resource } from '../../src/manifest/resource.ts';
import { assumeSettled, changeOf, type Known } from '../../src/plan/change.ts';
import { describeMarkdown, describeText } from '../../src/plan/describe.ts';
import { nothingSettled } from '../../src/plan/plan.ts';
import { service, workload } from '../support/resources.ts';

const after = (before: Resource | undefined): Known => ({ settled: assumeSettled(before, 'c1'), history: [] });

function text(before: Resource | undefined, now: Resource | undefined, known: Known = after(before)): string {
  const change = changeOf(before, now, known);
  return describeText(change ? [change] : []);
}

const canary = {
  traffic: {
    steps: [
      { percent: 10, soak: '10m', check: [{ http: { path: '/health' } }] },
      { percent: 50, pause: true },
      { percent: 100 },
    ],
  },
};

t.test('a first rollout', async (t) => {
  t.equal(
    text(undefined, workload('aaaaaaaaaa')),
    'Workload/tomcat is rolled out for the first time: aaaaaaaaaa\n' +
      '  1. roll  5 of revision aaaaaaaaaa, at most 6, at least 5 available\n',
  );
  t.match(changeOf(undefined, workload('aaaaaaaaaa'), { settled: nothingSettled, history: [], nextId: 1 }), {
    rollout: 1,
  });
});

t.test('an upgrade in steps, with predictions from history', async (t) => {
  const before = service('aaaaaaaaaa', canary);
  const known: Known = {
    settled: assumeSettled(before, 'c1'),
    nextId: 2,
    history: [
      {
        stages: [
          { name: 'deploy v1', seconds: 4 },
          { name: '10 %', seconds: 601 },
          { name: '50 %', seconds: 30 },
          { name: '100 %', seconds: 0.2 },
        ],
      },
    ],
  };
  t.equal(
    text(before, service('bbbbbbbbbb', canary), known),
    [
      'Service/shop is upgraded: aaaaaaaaaa → bbbbbbbbbb as v2 (rollout 2, about 11 min)',
      '  1. deploy v2  2 of revision bbbbbbbbbb as v2, at most 3, at least 2 available (about 4 s)',
      '  2. 10 %       10 % to v2, 90 % to v1; then soak 600 s, check GET /health (about 10 min)',
      '  3. 50 %       50 % to v2, 50 % to v1; then wait for a continue (about 30 s)',
      '  4. 100 %      100 % to v2 (about 0.2 s)',
      '',
    ].join('\n'),
  );
});

t.test('a soak that is declared now is waited for, however short the stage was before', async (t) => {
  const before = service('aaaaaaaaaa', canary);
  const history = [{ stages: [{ name: '10 %', seconds: 3 }] }];
  const change = changeOf(before, service('bbbbbbbbbb', canary), { settled: assumeSettled(before, 'c1'), history });
  t.equal(change?.stages[1]?.predictedSeconds, 600);
});

t.test('a how-only commit acts at once; nothing declared is nothing', async (t) => {
  const before = workload('aaaaaaaaaa');
  t.match(
    text(before, workload('aaaaaaaaaa', { replicas: 7 })),
    /is adjusted at once\n {2}1\. at once {2}7 of revision aaaaaaaaaa/,
  );
  t.equal(text(before, workload('aaaaaaaaaa')), 'nothing changes\n');
});

t.test('a deletion takes traffic away, then removes', async (t) => {
  t.match(text(workload('aaaaaaaaaa'), undefined), /is removed\n {2}1\. traffic away {2}none\n {2}2\. remove/);
});

t.test('windows and pauses are told', async (t) => {
  const windows = [{ cron: '0 2 * * 6', duration: '4h', timezone: 'Asia/Shanghai' }];
  t.match(
    text(workload('aaaaaaaaaa'), workload('bbbbbbbbbb', { windows, paused: true })),
    /note: spec.paused.*\n.*note: starts and goes on only inside 0 2 \* \* 6 for 4h \(Asia\/Shanghai\)/,
  );
});

t.test('Markdown is a table that manifests cannot break', async (t) => {
  const change = changeOf(undefined, service('aaaaaaaaaa', { version: 'v1', ...canary }), after(undefined));
  const markdown = describeMarkdown(change ? [change] : []);
  t.match(markdown, '| # | stage | goal and gates | predicted |');
  t.match(
    describeMarkdown([{ resource: 'Service/x', change: 'adjust', stages: [], notes: ['a|b <script>'] }]),
    'a\\|b \\<script\\>',
  );
});

t.test('the same inputs give the same plan', async (t) => {
  const before = service('aaaaaaaaaa', canary);
  const now = service('bbbbbbbbbb', canary);
  t.equal(text(before, now), text(before, now));
});
