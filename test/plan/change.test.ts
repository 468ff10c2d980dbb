import t from 'tap';
import type { Resource } from '../../src/manifest/resource.ts';
import { assumeSettled, changeOf, type Known } from '../../src/plan/change.ts';
import { describeMarkdown, describeText } from '../../src/plan/describe.ts';
import type { LiveInstance } from '../../src/plan/live.ts';
import { nothingSettled } from '../../src/plan/plan.ts';
import { cluster, fleet, machine } from '../support/fleet-world.ts';
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

const instances = (count: number, ...applied: string[]) =>
  Array.from({ length: count }, (_, index) => machine(`web-${index + 1}`, { applied }));
const knownOf = (before: Resource | undefined, there: LiveInstance[], more: Partial<Known> = {}): Known => ({
  ...after(before),
  instances: there,
  ...more,
});

t.test('a fleet is planned batch by batch, over the instances that are in service', async (t) => {
  const before = fleet('aaaaaaaaaa');
  const there = instances(5, 'aaaaaaaaaa');
  Object.assign(there[4] ?? {}, { ready: false });
  t.equal(
    text(before, fleet('bbbbbbbbbb', { pause: 'firstBatch' }), knownOf(before, there)),
    [
      'Fleet/web is upgraded: aaaaaaaaaa → bbbbbbbbbb',
      '  1. batch 1 of 2  2 to bbbbbbbbbb: web-1, web-2; then wait for a continue',
      '  2. batch 2 of 2  2 to bbbbbbbbbb: web-3, web-4',
      '  note: not in service, so not upgraded: web-5',
      '',
    ].join('\n'),
  );
  const assumed = 'not observed: web-1; assumed to be in service with aaaaaaaaaa on it';
  t.match(
    text(before, fleet('bbbbbbbbbb'), knownOf(before, instances(1, 'aaaaaaaaaa'), { assumed })),
    `note: ${assumed}\n`,
    'what nobody has seen is said',
  );
});

t.test('a cluster is planned node by node, then in doubling batches', async (t) => {
  const before = cluster('aaaaaaaaaa', '1.35.0');
  const there = [machine('cp-1', { controlPlane: true, applied: ['aaaaaaaaaa'] }), ...instances(3, 'aaaaaaaaaa')];
  t.equal(
    text(
      before,
      cluster('bbbbbbbbbb', '1.36.0', { upgrade: { ...before.spec.upgrade, maxBatchPercent: 70 } }),
      knownOf(before, there),
    ),
    [
      'Cluster/prod is upgraded: aaaaaaaaaa → bbbbbbbbbb, version 1.35.0 → 1.36.0',
      '  1. control plane 1 of 1: cp-1  1 to bbbbbbbbbb: cp-1',
      '  2. batch 1 of 2                1 to bbbbbbbbbb: web-1',
      '  3. batch 2 of 2                2 to bbbbbbbbbb: web-2, web-3',
      '',
    ].join('\n'),
  );
});

t.test('going back says what is undone, and what is not', async (t) => {
  const script = { interpreter: 'sh' as const, run: 'true', timeout: '10m' };
  const first = fleet('aaaaaaaaaa');
  const plain = fleet('cccccccccc');
  const lineage = ['aaaaaaaaaa', 'bbbbbbbbbb', 'cccccccccc'].map((revision) => ({ revision, commit: 'c1' }));
  const known = knownOf(plain, instances(1, 'aaaaaaaaaa', 'bbbbbbbbbb', 'cccccccccc'));
  known.settled = { ...known.settled, lineage };
  const back = (before: Resource) => text(before, first, known);
  const without = back({ ...plain, runnable: { ...plain.runnable, script } });
  t.equal(
    without,
    [
      'Fleet/web goes back: cccccccccc → aaaaaaaaaa',
      '  1. batch 1 of 1  1 back to aaaaaaaaaa, undoing cccccccccc, bbbbbbbbbb: web-1',
      '  note: a rollback waits for no window; its pauses are those of the fleet',
      '  note: cccccccccc has no rollback script: what its script did stays, nothing is run to undo it',
      '  note: bbbbbbbbbb: undone by the rollback script that is stored beside each instance; where there is none, nothing is run',
      '',
    ].join('\n'),
  );
  const withOne = back({ ...plain, runnable: { ...plain.runnable, script: { ...script, rollback: 'undo' } } });
  t.notMatch(withOne, /has no rollback script/);
  const down = cluster('aaaaaaaaaa', '1.35.0');
  t.match(
    text(cluster('cccccccccc', '1.36.0'), down, known),
    /note: its precheck will fail: a cluster is never downgraded/,
  );
});

t.test('of a fleet at rest, who joined later is named; deleted, hosts are let go', async (t) => {
  const before = fleet('aaaaaaaaaa');
  const there = [...instances(2, 'aaaaaaaaaa'), machine('web-9')];
  t.match(
    text(before, fleet('aaaaaaaaaa', { batches: 9 }), knownOf(before, there)),
    /note: outdated until the next rollout: web-9/,
  );
  t.match(
    text(before, undefined, knownOf(before, there)),
    /is removed\n {2}1\. let go {2}hosts stay as they are, in service\n/,
  );
  t.match(text(fleet('aaaaaaaaaa', { members: { size: 2 } }), undefined), /is removed\n {2}1\. remove {2}none\n/);
});

t.test(
  'only how it runs changes of a revision that was canceled: what was left of both takes the numbers, nothing rolls',
  async (t) => {
    const settled = assumeSettled(workload('aaaaaaaaaa'), 'c1');
    const goals = settled.goals.map((goal) =>
      goal.kind === 'replicas' ? { ...goal, want: { aaaaaaaaaa: 2, bbbbbbbbbb: 3 } } : goal,
    );
    const attempted = 'bbbbbbbbbb';
    const known: Known = { settled: { ...settled, goals, partial: attempted }, attempted, history: [] };
    const before = workload(attempted);
    t.match(
      text(before, workload(attempted, { replicas: 7 }), known),
      /at once {2}4 of revision aaaaaaaaaa, 3 of revision bbbbbbbbbb(.|\n)*bbbbbbbbbb was tried in vain, and is not tried again before a retry/,
    );
    t.match(changeOf(before, workload('cccccccccc'), known), { change: 'upgrade', from: 'aaaaaaaaaa' });
    t.match(changeOf(before, workload('aaaaaaaaaa'), known), { change: 'rollback', to: 'aaaaaaaaaa' });
  },
);
