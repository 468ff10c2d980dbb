import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { ClusterSpec } from '../../../../src/manifest/resource.ts';
import { type Budget, blocking, selects } from '../../../../src/target/kubernetes/nodes/budgets.ts';
import { deprecatedApis, isRemoved } from '../../../../src/target/kubernetes/nodes/deprecated.ts';
import { waitsFor } from '../../../../src/target/kubernetes/nodes/drain.ts';
import { notHonouredByNodes } from '../../../../src/target/kubernetes/nodes/honour.ts';
import {
  type JobPod,
  jobName,
  nodeLabel,
  outcomeOf,
  upgradeJob,
  viewJob,
  viewJobPod,
} from '../../../../src/target/kubernetes/nodes/job.ts';
import * as memory from '../../../../src/target/kubernetes/nodes/memory.ts';
import { inOrder, liveNode, type Node, viewNode } from '../../../../src/target/kubernetes/nodes/node.ts';
import { type Pod, type PodView, viewPod } from '../../../../src/target/kubernetes/nodes/pods.ts';
import { ALREADY, RUN_ON_NODE } from '../../../../src/target/kubernetes/nodes/script.ts';
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

const upgrade = {
  ...{ resource: 'Cluster/prod' as const, node: 'ip-10-0-0-1.internal', attempt: 'ip-10-0-0-1.internal.7.1' },
  ...{ version: '1.36.3', script: { interpreter: 'sh' as const, run: 'kubeadm upgrade node', timeout: '10m' } },
};

t.test('the Job of an upgrade', (t) => {
  const labels = { 'sluice/upgrades-node': upgrade.node };
  const annotations = { 'sluice/attempt': upgrade.attempt };
  t.strictSame(upgradeJob(upgrade, 'busybox:1.37'), {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: jobName('Cluster/prod', upgrade.attempt), labels, annotations },
    spec: {
      suspend: true,
      backoffLimit: 0,
      activeDeadlineSeconds: 900,
      template: {
        metadata: { labels, annotations },
        spec: {
          nodeName: upgrade.node,
          tolerations: [{ operator: 'Exists' }],
          restartPolicy: 'Never',
          hostPID: true,
          hostNetwork: true,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 30,
          containers: [
            {
              name: 'upgrade',
              image: 'busybox:1.37',
              command: ['nsenter', '-t', '1', '-m', '-u', '-i', '-n', '-p', '--', 'sh', '-c', RUN_ON_NODE, 'sh'],
              args: [
                ...['/var/lib/sluice/attempts', upgrade.attempt, '600', 'kubeadm upgrade node'],
                ...['SLUICE_RESOURCE=Cluster/prod', 'SLUICE_ROLLOUT=7', `SLUICE_INSTANCE=${upgrade.node}`],
                'SLUICE_VERSION=1.36.3',
              ],
              securityContext: { privileged: true },
              terminationMessagePolicy: 'FallbackToLogsOnError',
            },
          ],
        },
      },
    },
  });
  t.equal(jobName('Cluster/prod', upgrade.attempt), 'sluice-ip-10-0-0-1-internal-7-1-5d0d096696');
  const long = `${'n'.repeat(200)}.7.1`;
  for (const name of [jobName('Cluster/prod', upgrade.attempt), jobName('Cluster/prod', long)])
    t.match(name, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])$/);
  t.not(jobName('Cluster/prod', 'n.7.1'), jobName('Cluster/test', 'n.7.1'));
  t.equal(nodeLabel('n-1'), 'n-1');
  t.ok(nodeLabel('n'.repeat(200)).length <= 63);
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

t.test('how a Job ended: nothing is claimed that its pod does not tell', (t) => {
  const job = (type?: string, reason = 'BackoffLimitExceeded') =>
    viewJob({
      metadata: meta('j'),
      spec: {},
      status: type === undefined ? {} : { conditions: [{ type, status: 'True', reason, message: 'it says' }] },
    });
  const exited = (exitCode: number, message = '', status: object = {}) =>
    viewJobPod({
      metadata: meta('p'),
      status: { ...status, containerStatuses: [{ state: { terminated: { exitCode, message } } }] },
    } as JobPod);
  const waiting = viewJobPod({
    metadata: meta('p'),
    status: { containerStatuses: [{ state: { waiting: { reason: 'ImagePullBackOff', message: 'no image' } } }] },
  });
  const refused = viewJobPod({
    metadata: meta('p'),
    status: { phase: 'Failed', reason: 'OutOfpods', message: 'full' },
  });
  const failed = job('Failed');
  const table: [string, ReturnType<typeof outcomeOf>, object | undefined][] = [
    ['runs', outcomeOf(job(), exited(0)), undefined],
    ['complete', outcomeOf(job('Complete'), undefined), { state: 'succeeded', message: '' }],
    [
      'its status',
      outcomeOf(failed, exited(3, 'one\n disk full \n\n')),
      { state: 'failed', message: 'exited with code 3: disk full' },
    ],
    ['says nothing', outcomeOf(failed, exited(1)), { state: 'failed', message: 'exited with code 1' }],
    [
      'timeout',
      outcomeOf(failed, exited(124, 'was ended after its timeout of 5 s')),
      { state: 'failed', message: 'was ended after its timeout of 5 s' },
    ],
    [
      'killed with its pod',
      outcomeOf(failed, exited(137, '', { reason: 'Evicted', message: 'low on disk' })),
      { state: 'unknown', message: 'its pod was killed: Evicted: low on disk, and left no outcome' },
    ],
    ['run before', outcomeOf(failed, exited(ALREADY, 'begun before')), { state: 'unknown', message: 'begun before' }],
    ['pod gone', outcomeOf(failed, undefined), { state: 'unknown', message: 'its pod is gone, and left no outcome' }],
    ['not admitted', outcomeOf(failed, refused), { state: 'failed', message: 'its Job failed: OutOfpods: full' }],
    [
      'never started',
      outcomeOf(job('Failed', 'DeadlineExceeded'), waiting),
      { state: 'failed', message: 'its Job failed: ImagePullBackOff: no image' },
    ],
    [
      'too late',
      outcomeOf(job('Failed', 'DeadlineExceeded'), undefined),
      { state: 'failed', message: 'its Job failed: DeadlineExceeded: it says' },
    ],
  ];
  for (const [what, seen, wanted] of table) t.strictSame(seen, wanted, what);
  t.end();
});

t.test('on the node, an attempt runs its script once, whatever starts it again', (t) => {
  const folder = join(t.testdir(), 'attempts');
  const run = (attempt: string, script: string, limit = '20', ...given: string[]) => {
    const args = ['-c', RUN_ON_NODE, 'sh', folder, attempt, limit, script, ...given];
    const { status, stdout } = spawnSync('sh', args, {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, SECRET: 'x' },
    });
    return { status, said: stdout.trim().split('\n').at(-1) };
  };
  const once = `echo ran >>${folder}/count; echo "$SLUICE_VERSION $HOME [$SECRET]"; exit 3`;
  t.strictSame(run('n.1.1', once, '20', 'SLUICE_VERSION=1.36.3 $(x)'), { status: 3, said: '1.36.3 $(x) /root []' });
  t.equal(run('n.1.1', once).status, 3, 'what it ended with is given again');
  t.equal(readFileSync(join(folder, 'count'), 'utf8'), 'ran\n');

  t.match(run('n.1.2', 'kill -9 $(cut -d " " -f 4 /proc/$PPID/stat)', '20').status, null, 'its runner is killed');
  t.strictSame(run('n.1.2', 'true'), {
    status: ALREADY,
    said: 'this attempt was begun on the node before, and left no outcome',
  });
  t.strictSame(run('n.1.3', 'sleep 30', '1'), { status: 124, said: 'was ended after its timeout of 1 s' });
  t.strictSame(run('n.1.4', 'kill -9 $$'), { status: 128, said: 'was ended by signal 9' });
  t.strictSame(run('n.1.4', 'true').status, 128);
  t.strictSame(run('n.1.5', 'cat; echo end').said, 'end', 'there is nothing to read');
  t.equal(spawnSync('sh', ['-c', RUN_ON_NODE, 'sh', '/proc/nowhere', 'n.1.6', '5', 'true']).status, 1);
  t.notOk(existsSync('/proc/nowhere'));
  t.end();
});
