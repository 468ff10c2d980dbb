import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { parse } from 'yaml';
import type { Live } from '../../src/plan/live.ts';
import type { State } from '../../src/rollout/state.ts';
import { fromDocument, toDocument } from '../../src/status/document.ts';
import { toText } from '../../src/status/text.ts';
import { fromText } from '../../src/status/yaml.ts';
import { AT, anyLive, anyState, NEW, OLD, shop, shopLive, tomcat, tomcatLive, unit, web, webLive } from './examples.ts';
import { matchesGolden } from './golden.ts';

const ID = 'Service/shop' as const;
const documentOf = (state: State, live?: Live) =>
  toDocument({ id: ID, state, live, health: 'Progressing', message: 'm', host: 'shop.localhost' });

/** Units are taken in the order of their keys, which no comparison of objects looks at. */
function orders({ rollout, settled }: State): string[][] {
  const goals = [...(rollout?.plan.stages ?? []).map(({ goal }) => goal), ...settled.goals];
  return [
    [...(rollout?.units?.ids ?? [])],
    ...goals.map((goal) => (goal.kind === 'units' ? Object.keys(goal.want) : [])),
  ];
}

t.test('every state comes back from its document, and from the text of it, as it was', async () => {
  fc.assert(
    fc.property(anyState, fc.option(anyLive, { nil: undefined }), (state, live) => {
      const document = documentOf(state, live);
      assert.deepStrictEqual(fromDocument(document), state);
      assert.deepStrictEqual(orders(fromDocument(document)), orders(state), 'units come back in their order');
      const text = toText(document);
      const again = fromText(ID, Buffer.from(text));
      assert.deepStrictEqual(again, document, 'what is read is what was written');
      assert.deepStrictEqual(parse(text), again, 'any YAML reader reads the same');
    }),
    { numRuns: 300 },
  );
});

t.test('the file of a service in the middle of a rollout, as people read it', async (t) => {
  matchesGolden(t, 'shop.yaml', toText(documentOf(shop(), shopLive())));
});

t.test('the file of a fleet in the middle of a rollout, as people read it', async (t) => {
  const document = toDocument({ id: 'Fleet/web', state: web(), live: webLive(), health: 'Paused', message: 'm' });
  matchesGolden(t, 'web.yaml', toText(document));
});

t.test('nothing is claimed that was not observed', async (t) => {
  const { rollout, versions, ...rest } = documentOf(shop());
  t.equal(rest.revision, undefined);
  t.equal(rest.traffic, undefined);
  t.strictSame(
    rollout?.stages.map(({ phase, done, units }) => [phase, done, units]),
    [
      ['Done', 2, undefined],
      ['Waiting', undefined, undefined],
      ['Pending', 0, undefined],
    ],
  );
  t.strictSame(
    versions?.map(({ name, ready, total, address }) => [name, ready, total, address]),
    [
      ['v7', undefined, undefined, undefined],
      ['v8', undefined, undefined, undefined],
    ],
  );
});

t.test('the revision is shown while it is both settled and seen running', async (t) => {
  const revisionOf = (state: State, live: Live) =>
    toDocument({ id: 'Workload/tomcat', state, live, health: 'Healthy', message: '' }).revision;
  t.equal(revisionOf(tomcat(), tomcatLive(unit('tomcat-1', OLD))), OLD);
  t.equal(revisionOf(tomcat(), tomcatLive(unit('tomcat-1', OLD, { ready: false }))), undefined);
  t.equal(revisionOf(tomcat(), tomcatLive(unit('tomcat-1', NEW))), undefined, 'it runs, but it is not settled');
  const none = tomcat();
  none.settled.goals = [{ kind: 'replicas', version: '', want: {}, maxTotal: 0, minAvailable: 0, minReadySeconds: 0 }];
  t.equal(revisionOf(none, tomcatLive()), OLD, 'scaled to nothing, it is still the one');
});

t.test('stages say how far they are', async (t) => {
  const cases: [string, (rollout: ReturnType<typeof shop>['rollout']) => void, string][] = [
    ['as it waits for its gates', () => {}, 'Done Waiting Pending'],
    [
      'moving',
      (r) => {
        delete r.reachedAt;
        delete r.reason;
        r.phase = 'Progressing';
      },
      'Done Progressing Pending',
    ],
    [
      'paused before its goal',
      (r) => {
        delete r.reachedAt;
        r.reason = 'Failure';
      },
      'Done Stopped Pending',
    ],
    [
      'rolling back',
      (r) => {
        r.phase = 'RollingBack';
        r.turned = true;
      },
      'Done Stopped Pending',
    ],
    [
      'canceled',
      (r) => {
        r.phase = 'Canceled';
        r.finishedAt = AT;
      },
      'Done Stopped Pending',
    ],
    [
      'checked, not begun',
      (r) => {
        r.phase = 'Checking';
        r.stage = 0;
        r.times = [];
        delete r.reachedAt;
      },
      'Pending Pending Pending',
    ],
    [
      'all done',
      (r) => {
        r.phase = 'Succeeded';
        r.stage = 3;
        delete r.reachedAt;
      },
      'Done Done Done',
    ],
  ];
  for (const [name, change, expected] of cases) {
    const state = shop();
    change(state.rollout);
    const phases = documentOf(state, shopLive()).rollout?.stages.map(({ phase }) => phase);
    t.equal(phases?.join(' '), expected, name);
  }
});

t.test('units are shown in the state that was observed, once, by name', async (t) => {
  const state = shop();
  const [first] = state.rollout.plan.stages;
  if (first === undefined) throw new Error('the example has stages');
  first.goal = { kind: 'replicas', version: '', want: { [NEW]: 3 }, maxTotal: 4, minAvailable: 3, minReadySeconds: 30 };
  state.rollout.plan.stages = [first];
  state.rollout.stage = 0;
  delete state.rollout.reachedAt;
  const since = AT + 45_000;
  const live = tomcatLive(
    unit('tomcat-10', NEW),
    unit('tomcat-9', OLD),
    unit('tomcat-8', OLD, { phase: 'stopping' }),
    unit('tomcat-7', NEW, { phase: 'starting', ready: false, restarts: 2 }),
    unit('tomcat-6', NEW, { readySince: since }),
    unit('tomcat-5', NEW, { ready: false, message: 'GET /health\nanswers 503' }),
    unit('tomcat-4', NEW, { phase: 'dead', ready: false, message: 'exited with code 1', restarts: 1 }),
    unit('tomcat-3', OLD, { phase: 'dead', ready: false }),
  );
  const stage = documentOf(state, live).rollout?.stages[0];
  t.strictSame(stage?.units, [
    { name: 'tomcat-3', state: 'TakingOut' },
    { name: 'tomcat-4', state: 'Failed', message: 'exited with code 1; started again once' },
    { name: 'tomcat-5', state: 'Verifying', message: 'GET /health answers 503' },
    { name: 'tomcat-6', state: 'Verifying' },
    { name: 'tomcat-7', state: 'Updating', message: 'started again 2 times' },
    { name: 'tomcat-8', state: 'TakingOut' },
    { name: 'tomcat-9', state: 'Pending' },
    { name: 'tomcat-10', state: 'Succeeded' },
  ]);
  t.equal(stage?.done, 1, 'ready for less than minReadySeconds is not done');
  t.equal(stage?.total, 3);

  const many = Array.from({ length: 205 }, (_, index) => unit(`tomcat-${index}`, index % 2 === 0 ? NEW : OLD));
  const shown = documentOf(state, tomcatLive(...many, unit('tomcat-999', NEW, { ready: false }))).rollout?.stages[0];
  t.strictSame(shown?.units, [{ name: 'tomcat-999', state: 'Verifying' }], 'of many only those worth a look');
});

t.test('a later stage about the same version takes the units over; removal counts as one thing', async (t) => {
  const state = shop();
  const { plan } = state.rollout;
  const removal = {
    kind: 'replicas',
    version: 'v8',
    want: {},
    maxTotal: 0,
    minAvailable: 0,
    minReadySeconds: 0,
  } as const;
  plan.stages = [...plan.stages.slice(0, 1), { name: 'remove v8', goal: removal, gates: [] }];
  delete state.rollout.reachedAt;
  const [deploy, remove] = documentOf(state, shopLive()).rollout?.stages ?? [];
  t.equal(deploy?.units, undefined);
  t.strictSame(
    remove?.units?.map(({ name, state }) => `${name} ${state}`),
    ['shop-v8-1 Pending', 'shop-v8-2 TakingOut'],
  );
  t.strictSame([remove?.goal, remove?.done, remove?.total], ['none of v8', 0, 1]);
  const gone = { ...shopLive(), units: [] };
  t.equal(documentOf(state, gone).rollout?.stages[1]?.done, 1);
  t.equal(documentOf(state, { ...gone, complete: false }).rollout?.stages[1]?.done, 0, 'not seen is not gone');
});

t.test('versions are those whose name is taken and those that are seen', async (t) => {
  const live = shopLive();
  live.units.push(unit('shop-v9-1', NEW, { version: 'v9' }));
  const document = documentOf(shop(), live);
  t.strictSame(
    document.versions?.map(({ name, ready, total, address, rollout }) => [name, ready, total, address, rollout]),
    [
      ['v7', 2, 2, 'v7.shop.localhost', 6],
      ['v8', 1, 2, 'v8.shop.localhost', 7],
      ['v9', 1, 1, 'v9.shop.localhost', undefined],
    ],
  );
  t.strictSame(
    Object.keys(fromDocument(document).settled.versions),
    ['v7', 'v8'],
    'what is only seen is not remembered',
  );
});

t.test('units of a rollout that has turned or ended are held to what is settled', async (t) => {
  const unitsAfter = (change: (state: ReturnType<typeof shop>) => void) => {
    const state = shop();
    change(state);
    const stage = documentOf(state, shopLive()).rollout?.stages[0];
    return stage?.units?.map(({ name, state }) => `${name} ${state}`);
  };
  t.strictSame(
    unitsAfter(() => {}),
    ['shop-v8-1 Succeeded', 'shop-v8-2 Failed'],
  );
  const turned = unitsAfter(({ rollout }) => Object.assign(rollout, { phase: 'RollingBack', turned: true }));
  t.strictSame(turned, ['shop-v8-1 Pending', 'shop-v8-2 TakingOut'], 'v8 is to go');
  const succeeded = unitsAfter(({ rollout, settled }) => {
    settled.goals = rollout.plan.stages.map(({ goal }) => goal);
    Object.assign(rollout, { phase: 'Succeeded', stage: 3 });
  });
  t.strictSame(succeeded, ['shop-v8-1 Succeeded', 'shop-v8-2 Failed']);
});
