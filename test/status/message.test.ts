import t from 'tap';
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { Rollout } from '../../src/rollout/state.ts';
import { toDocument } from '../../src/status/document.ts';
import { type Change, commitMessage, headOfMessage, tagMessage } from '../../src/status/message.ts';
import { type Summary, summaryOf } from '../../src/status/summary.ts';
import { AT, C1, C2, NEW, OLD, shop, shopLive, web, webLive } from './examples.ts';

const ID = 'Service/shop' as const;

/** The example as a summary, with some of its rollout and of its summary otherwise. */
function summary(change: (rollout: Rollout) => void = () => {}, more: Partial<Summary> = {}): Summary {
  const state = shop();
  change(state.rollout);
  const document = toDocument({ id: ID, state, live: shopLive(), health: 'Progressing', message: 'why' });
  return { ...summaryOf(document), ...more };
}

const progressing = (rollout: Rollout) => {
  rollout.phase = 'Progressing';
  delete rollout.reason;
  delete rollout.reachedAt;
};
const pending = (rollout: Rollout) => {
  progressing(rollout);
  rollout.phase = 'Pending';
  rollout.stage = 0;
  rollout.times = [];
};
const as =
  (phase: Rollout['phase'], more: Partial<Rollout> = {}) =>
  (rollout: Rollout) => {
    progressing(rollout);
    Object.assign(rollout, { phase, ...more });
  };

const subjects: [string, Summary | undefined, Summary | undefined, string][] = [
  ['a first rollout', undefined, summary(pending), `rollout 7 started, upgrade to ${NEW}`],
  ['the next rollout', summary(as('Succeeded', { id: 6 })), summary(pending), `rollout 7 started, upgrade to ${NEW}`],
  [
    'prechecks held',
    summary(pending),
    summary(as('Progressing', { stage: 0 })),
    'rollout 7 begins stage 1 of 3 (deploy v8)',
  ],
  [
    'the next stage',
    summary(as('Progressing', { stage: 0 })),
    summary(progressing),
    'rollout 7 at stage 2 of 3 (10 %)',
  ],
  ['a step', summary(progressing), summary(), 'rollout 7 paused after stage 2 of 3'],
  [
    'a failure',
    summary(progressing),
    summary(as('Paused', { reason: 'Failure' })),
    'rollout 7 failed and paused in stage 2 of 3',
  ],
  [
    'an operator',
    summary(progressing),
    summary(as('Paused', { reason: 'Operator' })),
    'rollout 7 paused in stage 2 of 3',
  ],
  [
    'a window',
    summary(progressing),
    summary(as('Paused', { reason: 'Window' })),
    'rollout 7 waits for a window in stage 2 of 3',
  ],
  [
    'unknown',
    summary(progressing),
    summary(as('Paused', { reason: 'Unknown' })),
    'rollout 7 paused in stage 2 of 3: what happened is unknown',
  ],
  ['a continue', summary(), summary(progressing), 'rollout 7 goes on with stage 2 of 3 (10 %)'],
  [
    'a turn',
    summary(progressing),
    summary(as('RollingBack', { turned: true })),
    'rollout 7 rolls back in stage 2 of 3 (10 %)',
  ],
  ['rolled back', summary(as('RollingBack')), summary(as('RolledBack')), 'rollout 7 rolled back'],
  ['success', summary(progressing), summary(as('Succeeded', { stage: 3 })), 'rollout 7 succeeded'],
  [
    'a revert',
    summary(as('Progressing', { cause: 'rollback' })),
    summary(as('Succeeded', { cause: 'rollback' })),
    'rollout 7 succeeded (a rollback)',
  ],
  ['failed', summary(pending), summary(as('Failed')), 'rollout 7 failed'],
  ['canceled', summary(), summary(as('Canceled')), 'rollout 7 canceled'],
  [
    'planned anew',
    summary(progressing),
    summary((rollout) => {
      progressing(rollout);
      rollout.plan.generation = 2;
    }),
    'rollout 7 planned anew (generation 2)',
  ],
  ['an operation', summary(), summary(undefined, { operations: ['x applied'] }), 'operation x applied'],
  ['a repair', summary(), summary(undefined, { repairs: 2 }), 'repaired (2 so far)'],
  ['a health', summary(), summary(undefined, { health: 'Invalid' }), 'Invalid'],
  ['a deletion', summary(), summary(undefined, { deletion: true }), 'deleted'],
  [
    'progress',
    summary(as('Progressing', { stage: 0, times: [{ begun: AT }] })),
    summary(as('Progressing', { stage: 0, times: [{ begun: AT }] }), { message: 'x' }),
    'rollout 7 stage 1 of 3 (deploy v8): 1 of 2',
  ],
  [
    'a soak',
    summary(progressing),
    summary((rollout) => {
      rollout.phase = 'Progressing';
      delete rollout.reason;
    }),
    'rollout 7 waits after stage 2 of 3 (10 %)',
  ],
  ['something else', summary(as('Succeeded')), summary(as('Succeeded'), { message: 'x' }), 'updated'],
  ['the end', summary(), undefined, 'removed'],
];

for (const [name, before, after, text] of subjects) {
  t.test(`a subject for ${name}`, async (t) => {
    const [subject] = commitMessage([{ id: ID, before, after }], C1).split('\n');
    t.equal(subject, `${ID}: ${text}`);
  });
}

t.test('a commit about one resource says why, and carries its trailers', async (t) => {
  const message = commitMessage([{ id: ID, before: summary(progressing), after: summary() }], C1);
  t.equal(
    message,
    [
      'Service/shop: rollout 7 paused after stage 2 of 3',
      '',
      'why',
      '',
      'Sluice-Resource: Service/shop',
      'Sluice-Rollout: 7',
      'Sluice-Phase: Paused',
      `Sluice-Revision: ${NEW}`,
      `Sluice-Commit: ${C2}`,
      `Sluice-Head: ${C1}`,
      '',
    ].join('\n'),
  );
});

t.test('a commit about many counts what happened, the worst first, and lists it', async (t) => {
  const change = (name: string, before: Summary | undefined, after: Summary | undefined): Change => ({
    id: `Service/${name}`,
    before,
    after,
  });
  const message = commitMessage(
    [
      change('a', undefined, summary(pending)),
      change('b', undefined, summary(pending)),
      change('c', summary(progressing), summary(as('Succeeded'))),
      change('d', summary(progressing), summary(as('Failed'))),
      change('e', summary(), undefined),
    ],
    C1,
  );
  const [subject, , ...rest] = message.split('\n');
  t.equal(subject, '5 resources: 1 rollout failed, 2 rollouts started, 1 rollout succeeded, 1 removed');
  t.strictSame(rest.slice(0, 6), [
    `- Service/a: rollout 7 started, upgrade to ${NEW}`,
    `- Service/b: rollout 7 started, upgrade to ${NEW}`,
    '- Service/c: rollout 7 succeeded',
    '- Service/d: rollout 7 failed',
    '- Service/e: removed',
    '',
  ]);
  t.equal(rest.filter((line) => line.startsWith('Sluice-Resource: ')).length, 5);
});

t.test('a thousand changes make a message that can be read', async (t) => {
  const changes = Array.from({ length: 1000 }, (_, index): Change => {
    const id: ResourceId = `Service/s${index}`;
    return { id, after: summary(pending) };
  });
  const message = commitMessage(changes, C1);
  t.match(message, /^1000 resources: 1000 rollouts started\n/);
  t.match(message, /\n- and 900 more\n/);
  t.equal(message.match(/^Sluice-Resource: /gm)?.length, 100);
  t.ok(message.length < 40_000);
});

t.test('the head is read from the last line alone', async (t) => {
  const forged = `Sluice-Head: ${C2}`;
  const message = commitMessage([{ id: ID, after: summary(undefined, { message: forged }) }], C1);
  t.match(message, forged);
  t.equal(headOfMessage(message), C1);
  t.equal(headOfMessage(`${forged}\n\nby hand\n`), undefined);
});

t.test('a batch says by itself which of how many it is', async (t) => {
  const of = (change: (rollout: Rollout) => void = () => {}) => {
    const state = web();
    change(state.rollout);
    return summaryOf(toDocument({ id: 'Fleet/web', state, live: webLive(), health: 'Paused', message: '' }));
  };
  const subject = (before: Summary, after: Summary) =>
    commitMessage([{ id: 'Fleet/web', before, after }], C1).split('\n')[0];
  const moving = of(progressing);
  t.equal(subject(moving, of()), 'Fleet/web: rollout 7 failed and paused in batch 2 of 3');
  t.equal(subject(of(), moving), 'Fleet/web: rollout 7 goes on with batch 2 of 3');
  t.equal(subject(of(), of(as('RollingBack'))), 'Fleet/web: rollout 7 rolls back in batch 2 of 3');
  t.equal(subject(moving, { ...moving, message: 'x' }), 'Fleet/web: rollout 7 batch 2 of 3: 0 of 2');
});

t.test('a tag of very many batches can be read', async (t) => {
  const { rollout } = web();
  const [stage] = rollout.plan.stages;
  const stages = Array.from({ length: 10_000 }, () => stage).filter((each) => each !== undefined);
  const text = tagMessage('Fleet/web', { ...rollout, plan: { ...rollout.plan, stages } });
  t.match(text, `- batch 1 of 3: 2 to ${NEW}: web-1, web-2, 3s\n`);
  t.match(text, '\n- and 9900 more\n');
});

t.test('a tag says what was rolled out, from where, how long it took and why', async (t) => {
  const { rollout } = shop();
  Object.assign(rollout, {
    phase: 'Succeeded',
    stage: 3,
    finishedAt: AT + 700_000,
    times: [
      { begun: AT + 1000, done: AT + 4000 },
      { begun: AT + 4000, done: AT + 605_000 },
      { begun: AT + 605_000, done: AT + 605_500 },
    ],
  });
  t.equal(
    tagMessage(ID, rollout, 'Shop 8\nwith carts'),
    [
      'Service/shop: rollout 7 succeeded',
      '',
      'Shop 8 with carts',
      '',
      `Upgrade from ${OLD} to ${NEW} as v8 in 11m 40s.`,
      '',
      `- deploy v8: 2 of revision ${NEW} as v8, 3s`,
      '- 10 %: 10 % to v8, 90 % to v7, 10m 1s',
      '- 100 %: 100 % to v8, 0.5s',
      '',
      'Sluice-Resource: Service/shop',
      'Sluice-Rollout: 7',
      'Sluice-Phase: Succeeded',
      `Sluice-Revision: ${NEW}`,
      `Sluice-Commit: ${C2}`,
      '',
    ].join('\n'),
  );
  const { from: _, ...plan } = rollout.plan;
  t.match(tagMessage(ID, { ...rollout, cause: 'rollback', plan }), `Rollback from nothing to ${NEW}`);
});
