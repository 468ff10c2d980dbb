import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ClusterRunnable, ClusterSpec } from '../../../../src/manifest/resource.ts';
import type { LiveInstance } from '../../../../src/plan/live.ts';
import type { Plan } from '../../../../src/plan/plan.ts';
import type { Action } from '../../../../src/rollout/decision.ts';
import { jobName } from '../../../../src/target/kubernetes/nodes/job.ts';
import { EPOCH, MEMORY, type NodeMemory } from '../../../../src/target/kubernetes/nodes/memory.ts';
import { openKubernetesNodes } from '../../../../src/target/kubernetes/nodes/target.ts';
import { until } from '../../../support/until.ts';
import { clusterSpec } from '../../ssh/driver.ts';
import { type FakeApi, type Json, startApi } from '../api.ts';

const PROD = 'Cluster/prod';
const NODES = '/api/v1/nodes';
const PODS = '/api/v1/namespaces/shop/pods';
const JOBS = '/apis/batch/v1/namespaces/sluice/jobs';
const BUDGETS = '/apis/policy/v1/namespaces/shop/poddisruptionbudgets';
const { signal } = new AbortController();
const more = { drainSeconds: 0, upgradeImage: 'busybox:1.37' };
const CONTROL_PLANE = 'node-role.kubernetes.io/control-plane';

const spec = (over: Partial<ClusterSpec> = {}, timeout = '1m'): ClusterSpec =>
  clusterSpec({ drain: { timeout } }, over);
const runnable: ClusterRunnable = {
  ...{ resource: PROD, revision: 'aaaaaaaaa2', version: '1.36.3' },
  script: { interpreter: 'sh', run: 'upgrade', timeout: '10m' },
};

/** A cluster with one node of its control plane, and so many others. */
async function cluster(t: Test, count = 1): Promise<FakeApi> {
  const api = await startApi();
  t.teardown(() => api.close());
  for (const name of ['cp-1', ...Array.from({ length: count }, (_, n) => `n-${n + 1}`)])
    api.put(`${NODES}/${name}`, (node) => {
      node.metadata.labels = name === 'cp-1' ? { [CONTROL_PLANE]: '' } : {};
      node.spec = {};
      node.status = {
        conditions: [{ type: 'Ready', status: 'True' }],
        nodeInfo: { kubeletVersion: 'v1.36.2', operatingSystem: 'linux' },
      };
    });
  return api;
}

const addPod = (api: FakeApi, name: string, node: string, kind: string | undefined = 'ReplicaSet') =>
  api.put(`${PODS}/${name}`, (pod) => {
    pod.metadata.labels = { app: 'web' };
    if (kind !== '') pod.metadata.ownerReferences = [{ kind, name: 'x', uid: `owner-of-${name}`, controller: true }];
    pod.spec = { nodeName: node };
    pod.status = { phase: 'Running' };
  });

async function driven(t: Test, api: FakeApi, over: { spec?: ClusterSpec; epoch?: number; folder?: string } = {}) {
  const folder = over.folder ?? t.testdir();
  const kubernetes = { context: 'test', kubeconfig: api.kubeconfig(folder), namespace: 'sluice', ...more };
  const driver = await openKubernetesNodes({
    ...{ name: 'prod-nodes', kubernetes, epoch: over.epoch ?? 3 },
    dataDir: join(folder, 'cache'),
  });
  const close = () => driver.close();
  t.teardown(close);
  await driver.declare(PROD, over.spec ?? spec());
  const live = async () => (await driver.observe([PROD], signal)).get(PROD);
  const unit = async (name: string): Promise<LiveInstance> => {
    const found = (await live())?.instances?.find(({ id }) => id === name);
    if (found === undefined) throw new Error(`no node ${name}`);
    return found;
  };
  const start = (action: Action) => driver.start(PROD, action, runnable, signal);
  const takeOut = (unit: string, attempt: string) => start({ kind: 'takeOut', unit, attempt, cordon: true });
  const update = (unit: string, attempt: string) =>
    start({ kind: 'update', unit, attempt, change: { to: 'aaaaaaaaa2', undo: [] } });
  const putBack = (unit: string, cordoned = false) => start({ kind: 'putBack', unit, cordoned });
  const seen = (what: string, name: string, holds: (unit: LiveInstance) => boolean) =>
    until(what, async () => holds(await unit(name)));
  return { folder, driver, close, live, unit, takeOut, update, putBack, seen };
}

const memoryOf = (api: FakeApi, name: string): NodeMemory =>
  JSON.parse(api.find(`${NODES}/${name}`).metadata.annotations[MEMORY]);
const theJob = (api: FakeApi, attempt: string): Json => api.find(`${JOBS}/${jobName(PROD, attempt)}`);
const endJob = (api: FakeApi, attempt: string, type: 'Complete' | 'Failed') =>
  api.put(`${JOBS}/${jobName(PROD, attempt)}`, (job) => {
    job.status = { conditions: [{ type, status: 'True', reason: 'BackoffLimitExceeded' }] };
  });

t.test('a node is cordoned, emptied, upgraded by one Job, and put back', async (t) => {
  const api = await cluster(t);
  addPod(api, 'web-1', 'n-1');
  addPod(api, 'web-2', 'cp-1');
  addPod(api, 'logs-1', 'n-1', 'DaemonSet');
  const it = await driven(t, api);
  const live = await it.live();
  t.strictSame(
    [live?.complete, live?.instances?.map(({ id, controlPlane }) => [id, controlPlane])],
    [
      true,
      [
        ['cp-1', true],
        ['n-1', false],
      ],
    ],
  );

  await it.takeOut('n-1', 'n-1.1.1');
  t.match(await it.unit('n-1'), { service: 'leaving' }, 'shown at once');
  await it.seen('it is empty', 'n-1', ({ service, drain }) => service === 'out' && drain?.state === 'succeeded');
  t.match(await it.unit('n-1'), { cordoned: true, cordonedBefore: false });
  t.equal(api.find(`${NODES}/n-1`).metadata.annotations[EPOCH], '3');
  t.strictSame(
    api
      .list(PODS)
      .map(({ metadata }) => metadata.name)
      .sort(),
    ['logs-1', 'web-2'],
    'what belongs there stays',
  );
  t.strictSame(
    api.writes,
    ['PATCH /api/v1/nodes/n-1', `POST ${PODS}/web-1/eviction`, 'PATCH /api/v1/nodes/n-1'],
    'it is cordoned before anything is evicted',
  );

  api.writes.length = 0;
  await it.update('n-1', 'n-1.1.1');
  await until('its Job is let run', () => theJob(api, 'n-1.1.1')?.spec.suspend === false);
  const path = `${JOBS}/${jobName(PROD, 'n-1.1.1')}`;
  t.strictSame(
    api.writes,
    [`POST ${JOBS}`, `PATCH ${NODES}/n-1`, `PATCH ${path}`],
    'the node knew of it before it ran',
  );
  t.match(memoryOf(api, 'n-1'), { applied: ['aaaaaaaaa2'], update: { uid: theJob(api, 'n-1.1.1').metadata.uid } });
  t.match((await it.unit('n-1')).attempt, { id: 'n-1.1.1', state: 'running' });
  endJob(api, 'n-1.1.1', 'Complete');
  await it.seen('it is upgraded', 'n-1', ({ attempt }) => attempt?.state === 'succeeded');
  t.equal(memoryOf(api, 'n-1').update?.state, 'succeeded', 'the node remembers how it ended');

  await it.putBack('n-1');
  await it.seen('it is back', 'n-1', ({ service, cordoned }) => service === 'in' && !cordoned);
  t.strictSame(memoryOf(api, 'n-1').out, undefined);
  t.notOk('unschedulable' in api.find(`${NODES}/n-1`).spec);

  await it.takeOut('n-1', 'n-1.2.1');
  await it.seen('it is empty', 'n-1', ({ service }) => service === 'out');
  await it.update('n-1', 'n-1.2.1');
  await until('its next Job is let run', () => theJob(api, 'n-1.2.1')?.spec.suspend === false);
  endJob(api, 'n-1.2.1', 'Failed');
  await it.seen('it failed', 'n-1', ({ attempt }) => attempt?.id === 'n-1.2.1' && attempt.state === 'unknown');
  await until('Jobs of earlier attempts are gone', () => api.list(JOBS).length === 1);
});

t.test('a node that was cordoned before stays so', async (t) => {
  const api = await cluster(t);
  api.put(`${NODES}/n-1`, (node) => {
    node.spec.unschedulable = true;
  });
  const it = await driven(t, api);
  await it.takeOut('n-1', 'n-1.1.1');
  await it.seen('it is out', 'n-1', ({ service }) => service === 'out');
  t.match(await it.unit('n-1'), { cordonedBefore: true });
  await it.takeOut('n-1', 'n-1.1.2');
  await it.seen('it is out again', 'n-1', ({ drain }) => drain?.id === 'n-1.1.2' && drain.state === 'succeeded');
  t.match(await it.unit('n-1'), { cordonedBefore: true }, 'found so before Sluice cordoned it');
  await it.putBack('n-1', true);
  await it.seen('it is back', 'n-1', ({ service }) => service === 'in');
  t.match(await it.unit('n-1'), { cordoned: true });
});

t.test('whom a budget holds back is named, waited for, and fails the drain in the end', async (t) => {
  const api = await cluster(t);
  addPod(api, 'web-1', 'n-1');
  const held = "Cannot evict pod as it would violate the pod's disruption budget.";
  api.refuse('POST', /web-1\/eviction/, 429, held, 1000);
  const it = await driven(t, api, { spec: spec({}, '2s') });
  await it.takeOut('n-1', 'n-1.1.1');
  await it.seen('it waits', 'n-1', ({ message = '' }) => message === `shop/web-1 held back: ${held}`);
  await it.seen('it failed', 'n-1', ({ drain }) => drain?.state === 'failed');
  t.match(await it.unit('n-1'), {
    ...{ service: 'leaving', cordoned: true },
    drain: { message: `shop/web-1 held back: ${held}` },
  });
  t.ok(api.find(`${PODS}/web-1`));
  await it.putBack('n-1');
  await it.seen('it is back', 'n-1', ({ service }) => service === 'in');
});

t.test('a pod that nobody would start again is not evicted', async (t) => {
  const api = await cluster(t);
  addPod(api, 'web-1', 'n-1');
  addPod(api, 'mine', 'n-1', '');
  const it = await driven(t, api);
  await it.takeOut('n-1', 'n-1.1.1');
  await it.seen('it failed', 'n-1', ({ drain }) => drain?.state === 'failed');
  t.match((await it.unit('n-1')).drain?.message, /no controller would start shop\/mine again elsewhere/);
  t.equal(api.list(PODS).length, 2, 'nor anything else');
});

t.test('an operator that dies leaves a node from which the next goes on, and no Job runs twice', async (t) => {
  const api = await cluster(t, 4);
  const first = await driven(t, api);
  for (const n of [1, 2, 3, 4]) {
    await first.takeOut(`n-${n}`, `n-${n}.1.1`);
    await first.seen('it is out', `n-${n}`, ({ service }) => service === 'out');
  }
  // 1: made, and not remembered. 2: remembered, and not let run. 3: let run, and gone. 4: ended while nobody looked.
  api.refuse('PATCH', /nodes\/n-1$/, 500, 'away', 1000);
  api.refuse('PATCH', /jobs\/sluice-n-2/, 500, 'away', 1000);
  for (const n of [1, 2, 3, 4]) await first.update(`n-${n}`, `n-${n}.1.1`);
  await until('as far as they come', () => theJob(api, 'n-1.1.1') && memoryOf(api, 'n-2').update !== undefined);
  for (const n of [3, 4]) await until('they run', () => theJob(api, `n-${n}.1.1`)?.spec.suspend === false);
  await first.seen('it is said why', 'n-1', ({ message = '' }) => message.includes('away'));
  await first.close();
  const made = theJob(api, 'n-1.1.1').metadata.uid;
  api.remove(`${JOBS}/${jobName(PROD, 'n-3.1.1')}`);
  endJob(api, 'n-4.1.1', 'Complete');
  api.recover();
  api.writes.length = 0;

  const next = await driven(t, api, { epoch: 4, folder: first.folder });
  t.equal((await next.unit('n-1')).attempt, undefined, 'nothing was begun there');
  t.equal(theJob(api, 'n-1.1.1').spec.suspend, true);
  await next.seen('what was remembered runs', 'n-2', () => theJob(api, 'n-2.1.1').spec.suspend === false);
  await next.seen('it is not known', 'n-3', ({ attempt }) => attempt?.state === 'unknown');
  t.match((await next.unit('n-3')).attempt, { message: 'its Job is gone, and left no outcome' });
  await next.seen('it is known', 'n-4', ({ attempt }) => attempt?.state === 'succeeded');
  await next.update('n-1', 'n-1.1.1');
  await next.seen('it runs', 'n-1', () => theJob(api, 'n-1.1.1').spec.suspend === false);
  t.equal(theJob(api, 'n-1.1.1').metadata.uid, made, 'the one that was made');
  await next.update('n-3', 'n-3.1.1');
  await next.seen('it is looked up', 'n-3', ({ attempt }) => attempt?.state === 'unknown');
  t.equal(api.find(`${NODES}/n-4`).metadata.annotations[EPOCH], '4');
  const madeAgain = api.list(JOBS).filter(({ metadata }) => metadata.name === jobName(PROD, 'n-3.1.1'));
  t.ok(
    madeAgain.every((job: Json) => job.spec.suspend),
    'what may have run is not let run again',
  );
});

t.test('an operator of a lower epoch is refused, before and in the middle', async (t) => {
  const api = await cluster(t);
  addPod(api, 'web-1', 'n-1');
  api.refuse('POST', /web-1\/eviction/, 429, 'held', 1);
  const it = await driven(t, api, { epoch: 3 });
  await it.takeOut('n-1', 'n-1.1.1');
  await it.seen('it waits', 'n-1', ({ message = '' }) => message.includes('held'));
  api.put(`${NODES}/cp-1`, (node) => {
    node.metadata.annotations = { [EPOCH]: '4' };
  });
  await until('it is refused', async () => {
    const error = await it.takeOut('cp-1', 'cp-1.1.1').catch((error) => error);
    return error?.code === 'stale-epoch' && error.highest === 4;
  });
  addPod(api, 'web-1', 'n-1');
  await it.seen('its drain stops', 'n-1', ({ message = '' }) => message.includes('a later operator has taken over'));
  t.ok(api.find(`${PODS}/web-1`), 'nothing more is evicted');

  const late = await driven(t, api, { epoch: 2 });
  await t.rejects(late.takeOut('n-1', 'n-1.9.1'), { code: 'stale-epoch' });
  t.equal(api.find(`${NODES}/n-1`).metadata.annotations[EPOCH], '3');
});

t.test('what cannot be asked is not taken for gone', async (t) => {
  const api = await cluster(t);
  const it = await driven(t, api);
  api.refuse('GET', /./, 503, 'the API is started anew', 1000);
  api.dropWatches();
  await until('it is told', async () => (await it.live())?.complete === false);
  t.equal((await it.live())?.instances?.length, 2);
  api.recover();
  await until('it answers', async () => (await it.live())?.complete === true);
  api.put(`${NODES}/n-1`, (node) => {
    node.status.conditions = [{ type: 'Ready', status: 'False', reason: 'KubeletNotReady', message: 'starts' }];
  });
  await it.seen('it is seen', 'n-1', ({ ready, message = '' }) => !ready && message.includes('KubeletNotReady'));
});

t.test('prechecks say what is wrong, and what to do; and change nothing', async (t) => {
  const api = await cluster(t);
  api.answer('/readyz', 'ok');
  api.answer('/version', { gitVersion: 'v1.36.2' });
  api.answer('/metrics', '# none');
  api.put('/api/v1/namespaces/sluice', () => {});
  const it = await driven(t, api);
  const plan: Plan = {
    ...{ generation: 1, to: 'aaaaaaaaa2', version: '' },
    stages: [
      {
        name: 'batch 1',
        goal: { kind: 'units', want: { 'n-1': { to: 'aaaaaaaaa2', undo: [] } }, maxInFlight: 1 },
        gates: [],
      },
    ],
  };
  const ask = async (over: Partial<ClusterSpec> = {}) => it.driver.precheck(PROD, spec(over), runnable, plan, signal);
  const brief = async (over?: Partial<ClusterSpec>) => {
    const results = await ask(over);
    for (const { result, remedy, name } of results) t.equal(result === 'pass', remedy === '', `${name} has a remedy`);
    return results
      .filter(({ result }) => result !== 'pass')
      .map(({ name, result, message }) => `${name}: ${result}: ${message}`);
  };
  const upgrade = {
    ...spec().upgrade,
    script: { interpreter: 'sh' as const, run: { text: 'upgrade' }, timeout: '10m' },
  };
  t.strictSame(await brief({ upgrade }), []);
  t.strictSame(api.list(JOBS), [], 'the Job is only tried');

  addPod(api, 'web-1', 'n-1');
  addPod(api, 'mine', 'n-1', '');
  addPod(api, 'elsewhere', 'cp-1', '');
  const status = { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 };
  api.put(`${BUDGETS}/web`, (budget) =>
    Object.assign(budget, { spec: { selector: { matchLabels: { app: 'web' } } }, status }),
  );
  api.refuse('GET', /readyz/, 500, '[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed');
  api.answer(
    '/metrics',
    'apiserver_requested_deprecated_apis{group="a",removed_release="1.36",resource="b",subresource="",version="v1beta1"} 1\n',
  );
  api.answer('/version', { gitVersion: 'v1.35.9' });
  api.forbid('patch');
  api.put('/api/v1/namespaces/sluice', (space) => {
    space.metadata.labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  });
  api.put(`${NODES}/n-1`, (node) => {
    node.spec.unschedulable = true;
    node.status.nodeInfo.operatingSystem = 'windows';
    node.status.conditions = [
      { type: 'Ready', status: 'Unknown', message: 'gone' },
      { type: 'MemoryPressure', status: 'True' },
    ];
  });
  api.put(`${NODES}/cp-1`, (node) => {
    node.metadata.labels = {};
    node.metadata.annotations = {
      [MEMORY]: JSON.stringify({
        resource: 'Cluster/other',
        applied: [],
        out: { attempt: 'a', since: 1, cordoned: false },
      }),
    };
  });
  await it.seen('all is seen', 'n-1', ({ ready, cordoned }) => !ready && cordoned);
  t.strictSame(await brief({ upgrade, prechecks: [{ http: { url: 'http://127.0.0.1:1/' } }] }), [
    'API server: fail: it is not ready: etcd failed',
    'API version: fail: the API server runs v1.35.9, and no node of its control plane is shown: a node with 1.36.3 would be newer',
    'permissions: fail: the operator may not patch nodes, patch jobs in sluice',
    'nodes: fail: n-1 (not ready: gone)',
    'pressure: fail: n-1 (MemoryPressure)',
    'operating system: fail: n-1 (windows): the script runs through nsenter, on Linux',
    'disruption budgets: fail: these let no pod go: shop/web (needs 1 of 1 pods, 1 are well: shop/web-1)',
    'pods without a controller: fail: nobody would start these again: shop/mine on n-1',
    'deprecated APIs: fail: 1.36.3 does not serve what was asked for: a/v1beta1 b (not in 1.36)',
    'upgrade Job: fail: namespace sluice enforces pod security restricted, and the Job is privileged',
    'earlier upgrades: fail: cp-1 is out of service by Cluster/other',
    'earlier upgrades: warn: n-1 is cordoned, and stays so',
    'prechecks[0]: fail: GET /: connect ECONNREFUSED 127.0.0.1:1',
  ]);
  t.strictSame(api.writes, []);
});
