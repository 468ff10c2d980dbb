import t from 'tap';
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { Live } from '../../src/plan/live.ts';
import type { Health, State } from '../../src/rollout/state.ts';
import { type DeclaredNow, health } from '../../src/status/health.ts';
import { AT, C1, NEW, OLD, shop, shopLive, tomcat, tomcatLive, unit } from './examples.ts';

interface Case {
  name: string;
  id?: ResourceId;
  state: State;
  live?: Live;
  declared?: DeclaredNow;
  health: Health;
  message: string;
}

/** The example's rollout, with some of it otherwise. */
function shopWith(change: (rollout: ReturnType<typeof shop>['rollout']) => void): State {
  const state = shop();
  change(state.rollout);
  return state;
}

const ended = (phase: 'Failed' | 'RolledBack' | 'Canceled', message: string): State => ({
  ...shopWith((rollout) => {
    rollout.phase = phase;
    rollout.message = message;
    rollout.finishedAt = AT;
    delete rollout.reason;
  }),
  attempted: NEW,
});

const three = () => tomcatLive(unit('tomcat-1', OLD), unit('tomcat-2', OLD), unit('tomcat-3', OLD));
const TOMCAT = 'Workload/tomcat' as const;

const unready = { phase: 'starting' as const, ready: false, message: 'GET /health: 503' };

const cases: Case[] = [
  {
    name: 'the declared revision is settled and observed',
    id: TOMCAT,
    state: tomcat(),
    live: three(),
    health: 'Healthy',
    message: `revision ${OLD}: 3 of 3 replicas ready`,
  },
  {
    name: 'scaled to nothing',
    id: TOMCAT,
    state: {
      ...tomcat(),
      settled: {
        ...tomcat().settled,
        goals: [
          { kind: 'replicas', version: '', want: { [OLD]: 0 }, maxTotal: 1, minAvailable: 0, minReadySeconds: 0 },
        ],
      },
    },
    live: tomcatLive(),
    health: 'Healthy',
    message: `revision ${OLD}: scaled to 0`,
  },
  {
    name: 'a service says where its traffic goes',
    state: (({ rollout: _, ...rest }) => rest)(shop()),
    live: { ...shopLive(), units: shopLive().units.slice(0, 2), traffic: { kind: 'percent', weights: { v7: 100 } } },
    health: 'Healthy',
    message: `revision ${OLD}: v7 2 of 2 ready; traffic 100 % to v7`,
  },
  {
    name: 'settled, but nothing was looked at yet',
    id: TOMCAT,
    state: tomcat(),
    health: 'Progressing',
    message: `${OLD} is settled; not observed yet`,
  },
  {
    name: 'a replica died and comes back',
    id: TOMCAT,
    state: tomcat(),
    live: tomcatLive(
      unit('tomcat-1', OLD),
      unit('tomcat-2', OLD),
      unit('tomcat-3', OLD, { phase: 'dead', ready: false, message: 'exited with code 1', restarts: 1 }),
    ),
    health: 'Progressing',
    message: 'is being repaired: 2 of 3 replicas ready; tomcat-3: exited with code 1',
  },
  {
    name: 'a replica does not come back',
    id: TOMCAT,
    state: tomcat(),
    live: tomcatLive(
      unit('tomcat-1', OLD),
      unit('tomcat-2', OLD),
      unit('tomcat-3', OLD, { phase: 'dead', ready: false, message: 'exited with code 1', restarts: 3 }),
    ),
    health: 'Degraded',
    message: `tomcat-3 exited with code 1, started again 3 times; see sluice logs ${TOMCAT} tomcat-3`,
  },
  {
    name: 'a replica that was started at rest is given its time to get ready',
    id: TOMCAT,
    state: tomcat(),
    live: tomcatLive(...three().units.slice(1), unit('tomcat-1', OLD, { ...unready, unreadySince: AT + 1 })),
    declared: { valid: true, revision: OLD, progressDeadlineSeconds: 60 },
    health: 'Progressing',
    message: 'is being repaired: 2 of 3 replicas ready; tomcat-1: GET /health: 503',
  },
  {
    name: 'a replica that was started at rest does not get ready in the time that it has',
    id: TOMCAT,
    state: tomcat(),
    live: tomcatLive(...three().units.slice(1), unit('tomcat-1', OLD, { ...unready, unreadySince: AT })),
    declared: { valid: true, revision: OLD, progressDeadlineSeconds: 60 },
    health: 'Degraded',
    message: `tomcat-1 does not get ready: GET /health: 503; see sluice logs ${TOMCAT} tomcat-1`,
  },
  {
    name: 'a replica of which its target says at rest that waiting does not help',
    id: TOMCAT,
    state: tomcat(),
    live: tomcatLive(...three().units.slice(1), unit('tomcat-1', OLD, { ...unready, stuckSince: AT })),
    health: 'Degraded',
    message: `tomcat-1 does not get ready: GET /health: 503; see sluice logs ${TOMCAT} tomcat-1`,
  },
  {
    name: 'the target does not show everything',
    id: TOMCAT,
    state: tomcat(),
    live: { ...three(), complete: false },
    health: 'Degraded',
    message: "the target could not be observed whole; nothing is removed until it can be; see the operator's log",
  },
  {
    name: 'the target does not answer while it rolls: nothing is claimed of what was not seen',
    state: shopWith((rollout) => {
      rollout.phase = 'Progressing';
      rollout.stage = 0;
      delete rollout.reason;
      delete rollout.reachedAt;
    }),
    live: { observedAt: AT, complete: false, unseen: 'its target does not answer: connect ECONNREFUSED', units: [] },
    health: 'Progressing',
    message:
      "stage 1 of 3 (deploy v8): 2 of revision 12e4567890 as v8; its target does not answer: connect ECONNREFUSED; nothing is removed until it can be; see the operator's log",
  },
  {
    name: 'held by an operation before it began',
    state: shopWith((rollout) => {
      rollout.phase = 'Pending';
      rollout.message = 'paused by an operation';
      rollout.held = true;
      delete rollout.reason;
    }),
    health: 'Progressing',
    message: 'rollout 7: paused by an operation; to go on: sluice continue Service/shop',
  },
  {
    name: 'another revision is declared and its rollout does not exist yet',
    id: TOMCAT,
    state: tomcat(),
    live: three(),
    declared: { valid: true, revision: NEW },
    health: 'Progressing',
    message: `the rollout of ${NEW} has not begun`,
  },
  {
    name: 'paused by a step',
    state: shop(),
    live: shopLive(),
    health: 'Paused',
    message: 'stage 2 of 3 (10 %) waits for: sluice continue Service/shop',
  },
  {
    name: 'paused by a failure, which one unit explains',
    state: shopWith((rollout) => {
      rollout.reason = 'Failure';
      rollout.message = 'no progress for 600 s';
    }),
    live: shopLive(),
    health: 'Paused',
    message:
      'paused: no progress for 600 s; shop-v8-2 exited with code 1; see sluice logs Service/shop shop-v8-2; then sluice retry Service/shop or commit a fix',
  },
  {
    name: 'paused by a failure that no unit explains',
    state: shopWith((rollout) => {
      rollout.reason = 'Failure';
      rollout.message = 'check failed 3 times in a row: 503';
    }),
    health: 'Paused',
    message: 'paused: check failed 3 times in a row: 503; then sluice retry Service/shop or commit a fix',
  },
  {
    name: 'held by an operation',
    state: shopWith((rollout) => {
      rollout.reason = 'Operator';
      rollout.message = 'paused by an operation';
      rollout.held = true;
    }),
    health: 'Paused',
    message: 'paused by an operation; to go on: sluice continue Service/shop',
  },
  {
    name: 'held by the manifest, which no continue helps',
    state: shopWith((rollout) => {
      rollout.reason = 'Operator';
      rollout.message = 'paused by spec.paused; commit paused: false to go on';
    }),
    health: 'Paused',
    message: 'paused by spec.paused; commit paused: false to go on',
  },
  {
    name: 'waiting for a window',
    state: shopWith((rollout) => {
      rollout.reason = 'Window';
      rollout.message = 'waits for a window: 0 2 * * 6 for 4h (UTC)';
    }),
    health: 'Paused',
    message: 'waits for a window: 0 2 * * 6 for 4h (UTC)',
  },
  {
    name: 'somebody wrote to the status branch',
    state: shopWith((rollout) => {
      rollout.reason = 'Unknown';
      rollout.message = 'the status branch was written by somebody else';
    }),
    health: 'Paused',
    message:
      'paused: the status branch was written by somebody else; look at what runs, then: sluice continue Service/shop',
  },
  {
    name: 'prechecks are asked',
    state: shopWith((rollout) => {
      rollout.phase = 'Checking';
      rollout.message = 'prechecks are asked';
      delete rollout.reason;
    }),
    health: 'Progressing',
    message: 'rollout 7: prechecks are asked',
  },
  {
    name: 'replicas are being started',
    state: shopWith((rollout) => {
      rollout.phase = 'Progressing';
      rollout.stage = 0;
      rollout.message = 'deploy v8: 1 of 2 ready';
      delete rollout.reason;
      delete rollout.reachedAt;
    }),
    live: shopLive(),
    health: 'Progressing',
    message: `stage 1 of 3 (deploy v8): 2 of revision ${NEW} as v8 (1 of 2); shop-v8-2: exited with code 1`,
  },
  {
    name: 'soaking',
    state: shopWith((rollout) => {
      rollout.phase = 'Progressing';
      rollout.message = '10 %: soaks until 2026-11-20T22:32:07.625Z';
      delete rollout.reason;
    }),
    live: shopLive(),
    health: 'Progressing',
    message: 'stage 2 of 3 (10 %): soaks until 2026-11-20T22:32:07.625Z',
  },
  {
    name: 'rolling back',
    state: shopWith((rollout) => {
      rollout.phase = 'RollingBack';
      rollout.turned = true;
      rollout.message = 'rolls back: no progress for 600 s';
      delete rollout.reason;
    }),
    live: shopLive(),
    health: 'Progressing',
    message: 'rolls back: no progress for 600 s; 1 of 2 goals are back; shop-v8-2: exited with code 1',
  },
  {
    name: 'failed',
    state: ended('Failed', 'precheck failed: images: shop:8 is not there'),
    live: shopLive(),
    health: 'Degraded',
    message: `rollout 7 failed: precheck failed: images: shop:8 is not there; Git declares ${NEW}, settled is ${OLD}; commit a fix, revert, or: sluice retry Service/shop`,
  },
  {
    name: 'failed its precheck, which says what to do',
    state: {
      ...ended('Failed', ''),
      rollout: {
        ...shop().rollout,
        phase: 'Failed',
        message: 'precheck failed: data folder: it is full',
        prechecks: [{ name: 'data folder', result: 'fail', message: 'it is full', remedy: 'free space' }],
      },
    },
    live: shopLive(),
    health: 'Degraded',
    message: `rollout 7 failed: precheck failed: data folder: it is full; Git declares ${NEW}, settled is ${OLD}; free space; commit a fix, or once it holds: sluice retry Service/shop`,
  },
  {
    name: 'rolled back while Git is ahead',
    state: ended('RolledBack', 'rolls back: no progress for 600 s'),
    live: shopLive(),
    health: 'Degraded',
    message: `rollout 7 was rolled back: no progress for 600 s; Git declares ${NEW}, settled is ${OLD}; commit a fix, revert, or: sluice retry Service/shop`,
  },
  {
    name: 'canceled',
    state: ended('Canceled', 'canceled; what was done stays'),
    live: shopLive(),
    health: 'Degraded',
    message: `rollout 7 was canceled; what was done stays; Git declares ${NEW}, settled is ${OLD}; commit a fix, revert, or: sluice retry Service/shop`,
  },
  {
    name: 'canceled before it began',
    state: ended('Canceled', 'canceled before anything was touched'),
    live: shopLive(),
    health: 'Degraded',
    message: `rollout 7 was canceled before anything was touched; Git declares ${NEW}, settled is ${OLD}; commit a fix, revert, or: sluice retry Service/shop`,
  },
  {
    name: 'the manifest is broken while nothing moves',
    id: TOMCAT,
    state: tomcat(),
    live: three(),
    declared: { valid: false, errors: 'tomcat.yaml:4:3 spec.replicas: must be a number' },
    health: 'Invalid',
    message:
      'the last valid one goes on; the manifest is invalid, commit a fix: tomcat.yaml:4:3 spec.replicas: must be a number',
  },
  {
    name: 'the manifest is broken in the middle of a rollout',
    state: shop(),
    declared: { valid: false, errors: 'shop.yaml:1:1 bad' },
    health: 'Invalid',
    message: 'rollout 7 goes on; the manifest is invalid, commit a fix: shop.yaml:1:1 bad',
  },
  {
    name: 'a deletion that waits for a person',
    id: TOMCAT,
    state: { ...tomcat(), deletion: { commit: C1, confirmed: false } },
    live: three(),
    health: 'Paused',
    message:
      'deleted by commit 1111111111, with so much else that it waits: commit an Operation with action confirmDeletion and this commit, or revert',
  },
  {
    name: 'a deletion under way',
    id: TOMCAT,
    state: { ...tomcat(), deletion: { commit: C1, confirmed: true } },
    live: three(),
    health: 'Progressing',
    message: 'deleted by commit 1111111111: what was created for it is being removed',
  },
];

for (const { name, id, state, live, declared, ...expected } of cases) {
  t.test(name, async (t) => {
    t.strictSame(health(id ?? 'Service/shop', state, live, declared ?? { valid: true }), expected);
  });
}

t.test('a message is one line, whatever a unit said', async (t) => {
  const live = tomcatLive(unit('tomcat-1', OLD, { ready: false, message: `a\nb\u0007${'c'.repeat(1000)}` }));
  const { message } = health(TOMCAT, tomcat(), live, { valid: true });
  t.match(message, /tomcat-1: a b c+…$/);
  t.ok(message.length <= 300);
});
