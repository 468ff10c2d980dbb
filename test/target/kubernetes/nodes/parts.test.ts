import t from 'tap';
import type { ClusterSpec } from '../../../../src/manifest/resource.ts';
import { type Budget, blocking, selects } from '../../../../src/target/kubernetes/nodes/budgets.ts';
import { deprecatedApis, isRemoved } from '../../../../src/target/kubernetes/nodes/deprecated.ts';
import { waitsFor } from '../../../../src/target/kubernetes/nodes/drain.ts';
import { notHonouredByNodes } from '../../../../src/target/kubernetes/nodes/honour.ts';
import * as memory from '../../../../src/target/kubernetes/nodes/memory.ts';
import { inOrder, liveNode, type Node, viewNode } from '../../../../src/target/kubernetes/nodes/node.ts';
import { type Pod, type PodView, viewPod } from '../../../../src/target/kubernetes/nodes/pods.ts';
import { clusterSpec } from '../../ssh/driver.ts';

const meta = (name: string, more: object = {}) => ({ name, uid: `uid-${name}`, resourceVersion: '1', ...more });

const node = (name: string, { labels = {}, annotations = {}, spec = {}, conditions = [] as object[] } = {}): Node => ({
  metadata: meta(name, { labels, annotations }),
  spec,
  status: {
    conditions: [{ type: 'Ready', status: 'True' }, ...(conditions as { type: string; status: string }[])],
    nodeInfo: { kubeletVersion: 'v1.36.2', operatingSystem: 'linux' },
    addresses: [
      { type: 'Hostname', address: name },
      { type: 'InternalIP', address: '10.0.0.7' },
    ],
  },
});

t.test('nodes stand in the order of their upgrade: the control plane first, then by number', (t) => {
  const master = { 'node-role.kubernetes.io/control-plane': '' };
  const old = { 'node-role.kubernetes.io/master': '' };
  const nodes = [node('n-10'), node('n-9'), node('m-2', { labels: master }), node('m-1', { labels: old })];
  t.strictSame(
    nodes
      .map(viewNode)
      .sort(inOrder)
      .map(({ name }) => name),
    ['m-1', 'm-2', 'n-9', 'n-10'],
  );
  t.end();
});

t.test('a node is told in the words of the engine', (t) => {
  const around = { resource: 'Cluster/prod' as const };
  const fine = liveNode(viewNode(node('n-1')), around);
  t.match(fine, { id: 'n-1', ready: true, service: 'in', cordoned: false, version: '1.36.2', address: '10.0.0.7' });
  t.notOk('message' in fine || 'attempt' in fine || 'drain' in fine);
  const conditions = [
    { type: 'DiskPressure', status: 'True', message: 'kubelet has disk pressure' },
    { type: 'MemoryPressure', status: 'False' },
  ];
  t.equal(liveNode(viewNode(node('n-1', { conditions })), around).message, 'DiskPressure: kubelet has disk pressure');
  const down = node('n-1');
  down.status = { conditions: [{ type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown', message: 'gone' }] };
  t.match(liveNode(viewNode(down), around), { ready: false, message: 'not ready: NodeStatusUnknown: gone' });
  t.match(liveNode(viewNode({ ...down, status: {} }), around), { ready: false, message: /has not said/ });

  const out = { attempt: 'n-1.7.1', since: 5, cordoned: true };
  const remembering = (more: object) =>
    viewNode(
      node('n-1', {
        spec: { unschedulable: true },
        annotations: {
          [memory.EPOCH]: '3',
          [memory.MEMORY]: JSON.stringify({ resource: 'Cluster/prod', applied: ['aaaaaaaaa1'], ...more }),
        },
      }),
    );
  t.match(liveNode(remembering({ out }), { ...around, trouble: 'waits for shop/web' }), {
    ...{ service: 'leaving', cordoned: true, cordonedBefore: true, applied: ['aaaaaaaaa1'] },
    drain: { id: 'n-1.7.1', state: 'running', message: 'waits for shop/web' },
  });
  t.match(liveNode(remembering({ out: { ...out, drained: true } }), around), {
    ...{ service: 'out', drain: { state: 'succeeded' } },
  });
  t.match(liveNode(remembering({ out: { ...out, failed: 'held back' } }), around), {
    ...{ service: 'leaving', drain: { state: 'failed', message: 'held back' } },
  });
  const update = { attempt: 'n-1.7.1', job: 'j', uid: 'u' };
  t.match(liveNode(remembering({ out, update }), around).attempt, { id: 'n-1.7.1', state: 'running' });
  const pod = { job: 'u', waiting: 'ErrImagePull: no such image', ended: '' };
  t.equal(liveNode(remembering({ out, update }), { ...around, pod }).attempt?.message, 'ErrImagePull: no such image');
  t.match(liveNode(remembering({ update: { ...update, state: 'failed', message: 'exited with code 3' } }), around), {
    attempt: { state: 'failed', message: 'exited with code 3' },
  });
  t.match(
    liveNode(remembering({ out }), { resource: 'Cluster/renamed' }),
    { applied: [], service: 'in', cordoned: true },
    'what another resource did there is not its own',
  );
  const accepted = { takeOut: 'n-1.8.1', update: 'n-1.8.1' };
  t.match(liveNode(remembering({}), { ...around, accepted }), {
    ...{ service: 'leaving', attempt: { id: 'n-1.8.1', state: 'running' } },
  });
  t.end();
});

t.test('what a node remembers: read as it was written, and never guessed', (t) => {
  const fresh = memory.remembering(undefined, 'Cluster/prod');
  const taken = memory.takenOut(fresh, 'n.1.1', true, 100);
  t.strictSame(taken.out, { attempt: 'n.1.1', since: 100, cordoned: true });
  t.equal(memory.takenOut(taken, 'n.1.1', false, 200), taken, 'once for each attempt');
  t.strictSame(
    memory.takenOut(memory.drained(taken, 'n.1.1', 'held back'), 'n.1.2', false, 300).out,
    { attempt: 'n.1.2', since: 300, cordoned: true },
    'how it was found at first stays; its drain begins anew',
  );
  t.equal(memory.drained(taken, 'other'), taken);
  const run = memory.begun(taken, { attempt: 'n.1.1', job: 'j', uid: 'u' }, 'aaaaaaaaa2');
  t.strictSame(
    memory.begun(run, { attempt: 'n.1.2', job: 'j2', uid: 'u2' }, 'aaaaaaaaa2').applied,
    ['aaaaaaaaa2'],
    'applied once',
  );
  const failed = memory.ended(run, 'n.1.1', { state: 'failed', message: 'x'.repeat(900) });
  t.equal(failed.update?.message?.length, 500);
  t.equal(memory.ended(failed, 'n.1.1', { state: 'succeeded', message: '' }), failed, 'an outcome stays');
  t.strictSame(memory.putBack(failed).out, undefined);
  let many = fresh;
  for (let n = 0; n < 130; n++)
    many = memory.begun(many, { attempt: `a${n}`, job: 'j', uid: 'u' }, `${1000000000 + n}`);
  t.equal(many.applied.length, 100);
  t.equal(many.applied.at(-1), '1000000129');

  const patch = memory.memoryPatch('77', { epoch: 4, memory: failed, unschedulable: false });
  t.match(patch, { metadata: { resourceVersion: '77' }, spec: { unschedulable: null } });
  t.strictSame(memory.readMemory(patch.metadata.annotations), { epoch: 4, memory: failed });
  t.strictSame(memory.readMemory({}), { epoch: 0 });
  for (const text of [
    '{',
    '[]',
    '{"resource":1,"applied":[]}',
    '{"resource":"a","applied":[1]}',
    '{"resource":"a","applied":["no revision"]}',
    'null',
  ])
    t.match(memory.readMemory({ [memory.MEMORY]: text }), { unreadable: /not as Sluice wrote it/ }, text);
  t.match(memory.readMemory({ [memory.EPOCH]: 'x' }), { epoch: 0, unreadable: /no number/ });
  t.end();
});

const owned = (kind: string) => ({ ownerReferences: [{ kind, name: 'x', uid: 'x', controller: true }] });
const pod = (
  name: string,
  metadata: object = owned('ReplicaSet'),
  status: Pod['status'] = { phase: 'Running' },
): Pod => ({
  metadata: meta(name, { namespace: 'shop', labels: { app: 'web' }, ...metadata }),
  spec: { nodeName: 'n-1' },
  status,
});

t.test('who leaves a drained node, who stays, who cannot leave', (t) => {
  const mirror = { annotations: { 'kubernetes.io/config.mirror': 'x' }, ...owned('Node') };
  const table: [string, Pod][] = [
    ['evict', pod('a')],
    ['evict', pod('a', owned('StatefulSet'), { phase: 'Pending' })],
    ['stays', pod('a', owned('DaemonSet'))],
    ['stays', pod('a', mirror)],
    ['stays', pod('a', owned('Job'), { phase: 'Succeeded' })],
    ['stays', pod('a', {}, { phase: 'Failed' })],
    ['leaving', pod('a', { ...owned('ReplicaSet'), deletionTimestamp: 'now' })],
    ['leaving', pod('a', { deletionTimestamp: 'now' })],
    ['lost', pod('a', {})],
    ['lost', pod('a', { ownerReferences: [{ kind: 'Thing', name: 'x', uid: 'x' }] })],
  ];
  for (const [fate, each] of table) t.equal(viewPod(each).fate, fate);
  t.end();
});

t.test('what a drain waits for is named', (t) => {
  const pods = ['a', 'b', 'c'].map((name) => viewPod(pod(name)));
  const held = 'The disruption budget web needs 3 healthy pods and has 3 currently';
  const asked = new Map([
    ['uid-a', { held }],
    ['uid-b', { held }],
    ['uid-c', {}],
  ]);
  t.equal(waitsFor(pods, asked), `shop/a, shop/b held back: ${held}; shop/c not gone yet`);
  const leaving = viewPod(pod('a', { ...owned('ReplicaSet'), deletionTimestamp: 'now' }));
  t.equal(waitsFor([leaving], asked), 'shop/a not gone yet', 'one that goes is not held back any more');
  t.end();
});

t.test('budgets that let no pod go are told, with their pods', (t) => {
  const budget = (name: string, status: Budget['status'], selector: Budget['spec']['selector']): Budget => ({
    metadata: meta(name, { namespace: 'shop' }),
    spec: { selector: selector as NonNullable<typeof selector> },
    status: status as NonNullable<typeof status>,
  });
  const web = { matchLabels: { app: 'web' } };
  const pods: PodView[] = [viewPod(pod('a')), viewPod(pod('d', owned('DaemonSet')))];
  const allHeld = { disruptionsAllowed: 0, currentHealthy: 3, desiredHealthy: 3, expectedPods: 3 };
  t.strictSame(blocking([budget('web', allHeld, web)], pods), [
    { when: 'never', text: 'shop/web (needs 3 of 3 pods, 3 are well: shop/a)' },
  ]);
  const unwell = { disruptionsAllowed: 0, currentHealthy: 2, desiredHealthy: 2, expectedPods: 3 };
  t.match(blocking([budget('web', unwell, web)], pods), [{ when: 'now' }]);
  t.strictSame(blocking([budget('web', { ...allHeld, disruptionsAllowed: 1 }, web)], pods), []);
  t.strictSame(blocking([budget('other', allHeld, { matchLabels: { app: 'other' } })], pods), []);
  t.strictSame(blocking([budget('none', allHeld, undefined)], pods), []);
  t.strictSame(blocking([budget('web', allHeld, web)], [viewPod(pod('d', owned('DaemonSet')))]), []);
  const free = { ...allHeld, disruptionsAllowed: 1 };
  t.strictSame(blocking([budget('web', free, web), budget('all', free, {})], pods), [
    { when: 'never', text: 'all and web (both over shop/a)' },
  ]);
  const expressions = (key: string, operator: string, values?: string[]) => ({
    matchExpressions: [{ key, operator, ...(values && { values }) }],
  });
  const labels = { app: 'web' };
  t.ok(selects(expressions('app', 'In', ['web', 'api']), labels));
  t.notOk(selects(expressions('app', 'NotIn', ['web']), labels));
  t.ok(selects(expressions('tier', 'NotIn', ['web']), labels));
  t.ok(selects(expressions('app', 'Exists'), labels));
  t.notOk(selects(expressions('app', 'DoesNotExist'), labels));
  t.notOk(selects(expressions('app', 'Unheard'), labels));
  t.end();
});

t.test('deprecated APIs are read from what the API server counts', (t) => {
  const sample = (group: string, version: string, resource: string, removed: string, count = 1) =>
    `apiserver_requested_deprecated_apis{group="${group}",removed_release="${removed}",resource="${resource}",subresource="",version="${version}"} ${count}`;
  const apis = deprecatedApis(
    [
      '# TYPE apiserver_requested_deprecated_apis gauge',
      sample('policy', 'v1beta1', 'podsecuritypolicies', '1.37'),
      sample('', 'v1', 'endpoints', ''),
      sample('batch', 'v1beta1', 'cronjobs', '1.25', 0),
      'apiserver_request_total{verb="GET"} 12',
    ].join('\n'),
  );
  t.strictSame(
    apis.map(({ name, removedIn }) => [name, removedIn?.text]),
    [
      ['policy/v1beta1 podsecuritypolicies', '1.37'],
      ['v1 endpoints', undefined],
    ],
  );
  const removed = (version: string) => apis.filter((api) => isRemoved(api, version)).length;
  t.strictSame(['1.36.9', '1.37.0', '1.40.1', '2.0.0'].map(removed), [0, 1, 1, 1]);
  t.end();
});

t.test('what no node can be given is refused', (t) => {
  const script = (run: string, interpreter: 'sh' | 'powershell' = 'sh') => ({ interpreter, run, timeout: '10m' });
  const wrong = (upgrade: Partial<ClusterSpec['upgrade']>, over: Partial<ClusterSpec> = {}, run = 'true') =>
    notHonouredByNodes({
      spec: clusterSpec({ script: { ...script(run), run: { text: run } }, ...upgrade }, over),
      runnable: { resource: 'Cluster/prod', revision: 'r', version: '1.36.3', script: script(run) },
    }).map(({ path, result }) => `${path.join('.')}: ${result}`);
  const drain = { timeout: '1m', command: ['sh'] };
  const powershell = { ...script('x', 'powershell'), run: { text: 'x' } };
  t.strictSame(wrong({}), []);
  t.strictSame(wrong({}, {}, 'x'.repeat(96 * 1024 + 1)), ['upgrade.script: fail']);
  t.strictSame(
    wrong(
      { drain, versionCommand: ['sh'], script: powershell },
      {
        create: { image: 'node', controlPlane: 1, nodes: 1 },
        prechecks: [{ command: ['sh'] }, { http: { url: 'u' } }],
      },
    ),
    [
      ...['image: fail', 'upgrade.script.interpreter: fail', 'upgrade.versionCommand: fail'],
      ...['upgrade.drain.command: fail', 'prechecks.0.command: fail'],
    ],
  );
  const { script: _, ...without } = clusterSpec({}).upgrade;
  t.strictSame(
    notHonouredByNodes({
      spec: { ...clusterSpec({}), upgrade: without },
      runnable: { resource: 'Cluster/prod', revision: 'r', version: '1.36.3' },
    }).map(({ path }) => path.join('.')),
    ['upgrade.script'],
  );
  t.end();
});
