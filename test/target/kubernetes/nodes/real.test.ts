/** Against a real API server with its controllers: what a server of the tests' own would only repeat. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ClusterRunnable, ClusterSpec } from '../../../../src/manifest/resource.ts';
import type { LiveInstance } from '../../../../src/plan/live.ts';
import type { Plan } from '../../../../src/plan/plan.ts';
import { openKubernetesNodes } from '../../../../src/target/kubernetes/nodes/target.ts';
import { clean, git, operator, place, sluice, status } from '../../../e2e/support.ts';
import { until } from '../../../support/until.ts';
import { clusterSpec } from '../../ssh/driver.ts';
import type { Json } from '../api.ts';
import { actAsKubelets, hollowCluster } from './hollow.ts';

const { kube, context, skip } = await hollowCluster();
const real = { timeout: 300_000, ...(skip !== undefined && { skip }) };
if (skip === undefined) t.teardown(() => kube.close());
const { signal } = new AbortController();
const more = { drainSeconds: 0, upgradeImage: 'busybox:1.37' };
const VERSION = '1.36.9';

const DEPLOYMENTS = '/apis/apps/v1/namespaces';

async function space(t: Test, replicas: number, minAvailable: number): Promise<string> {
  const name = `sluice-nodes-${process.pid}-${Date.now().toString(36)}`;
  await kube.ask('POST', '/api/v1/namespaces', { body: { metadata: { name } } });
  t.teardown(() => kube.ask('DELETE', `/api/v1/namespaces/${name}`));
  const labels = { app: 'web' };
  const containers = [{ name: 'web', image: 'web:1' }];
  const template = { metadata: { labels }, spec: { containers, terminationGracePeriodSeconds: 1 } };
  const selector = { matchLabels: labels };
  const metadata = { name: 'web' };
  await kube.ask('POST', `${DEPLOYMENTS}/${name}/deployments`, {
    body: { metadata, spec: { replicas, selector, template } },
  });
  await kube.ask('POST', `/apis/policy/v1/namespaces/${name}/poddisruptionbudgets`, {
    body: { metadata, spec: { selector, minAvailable } },
  });
  await until(
    'all of them run, and their budget knows',
    async () => {
      const budget = await kube.ask<Json>('GET', `/apis/policy/v1/namespaces/${name}/poddisruptionbudgets/web`);
      return budget.status?.currentHealthy === replicas;
    },
    120,
  );
  return name;
}

const script = { interpreter: 'sh' as const, run: 'upgrade', timeout: '10m' };
const spec = (timeout: string): ClusterSpec =>
  clusterSpec({ drain: { timeout }, script: { ...script, run: { text: script.run } } }, { version: VERSION });
const PROD = 'Cluster/hollow';
const runnable: ClusterRunnable = { resource: PROD, revision: 'aaaaaaaaa2', version: VERSION, script };

async function driven(t: Test, namespace: string, timeout: string) {
  const { items } = await kube.ask<{ items: Json[] }>('GET', '/api/v1/nodes');
  const highest = Math.max(0, ...items.map(({ metadata }) => Number(metadata.annotations?.['sluice/epoch'] ?? 0)));
  const driver = await openKubernetesNodes({
    ...{ name: 'hollow', epoch: highest + 1, kubernetes: { context, namespace, ...more } },
    dataDir: join(t.testdir(), 'cache'),
  });
  t.teardown(() => driver.close());
  await driver.declare(PROD, spec(timeout));
  const units = async () => (await driver.observe([PROD], signal)).get(PROD)?.instances ?? [];
  const seen = (what: string, id: string, holds: (unit: LiveInstance) => boolean, act = async () => {}) =>
    until(
      what,
      async () => {
        const found = (await units()).find((unit) => unit.id === id);
        if (found !== undefined && holds(found)) return found;
        await act();
        return undefined;
      },
      120,
    );
  return { driver, units, seen };
}

const planOf = (node: string): Plan => ({
  ...{ generation: 1, to: 'aaaaaaaaa2', version: '' },
  stages: [
    {
      name: 'batch 1',
      goal: { kind: 'units', want: { [node]: { to: 'aaaaaaaaa2', undo: [] } }, maxInFlight: 1 },
      gates: [],
    },
  ],
});

/** The worker with the most pods of a namespace. */
async function busiest(namespace: string): Promise<string> {
  const { items } = await kube.ask<{ items: Json[] }>('GET', `/api/v1/namespaces/${namespace}/pods`);
  const count = new Map<string, number>();
  for (const { spec } of items) count.set(spec.nodeName, (count.get(spec.nodeName) ?? 0) + 1);
  return [...count].sort((a, b) => b[1] - a[1])[0]?.[0] ?? '';
}

t.test(
  'a budget holds while a node is emptied; its Job runs there, its version is read, it is put back',
  real,
  async (t) => {
    const namespace = await space(t, 6, 5);
    const it = await driven(t, namespace, '2m');
    const node = await busiest(namespace);
    const results = await it.driver.precheck(PROD, spec('2m'), runnable, planOf(node), signal);
    const told = new Map(results.map(({ name, result }) => [name, result]));
    for (const name of [
      'API server',
      'API version',
      'permissions',
      'nodes',
      'pressure',
      'disruption budgets',
      'upgrade Job',
    ])
      t.equal(told.get(name), 'pass', `${name}: ${results.find((each) => each.name === name)?.message}`);
    t.ok(told.has('deprecated APIs'));

    const attempt = `${node}.${process.pid}.1`;
    const start = (action: Parameters<typeof it.driver.start>[1]) => it.driver.start(PROD, action, runnable, signal);
    const takeOut = () => start({ kind: 'takeOut', unit: node, attempt, cordon: true });
    let least = 6;
    const out = await it.seen(
      'it is empty',
      node,
      ({ service }) => service === 'out',
      async () => {
        await takeOut();
        const { items } = await kube.ask<{ items: Json[] }>('GET', `/api/v1/namespaces/${namespace}/pods`);
        const well = items.filter(
          ({ metadata, status }) =>
            metadata.deletionTimestamp === undefined &&
            status.conditions?.some(({ type, status }: Json) => type === 'Ready' && status === 'True'),
        );
        least = Math.min(least, well.length);
      },
    );
    t.match(out, { cordoned: true, drain: { state: 'succeeded' } });
    t.ok(least >= 5, `never less than the budget says: ${least}`);

    const kubelets = actAsKubelets(kube, namespace, VERSION);
    t.teardown(kubelets.stop);
    kubelets.exits.set(node, { code: 3, said: 'one\ndisk full\n' });
    await start({ kind: 'update', unit: node, attempt, change: { to: 'aaaaaaaaa2', undo: [] } });
    const failed = await it.seen('it failed', node, ({ attempt }) => attempt?.state === 'failed');
    t.equal(failed.attempt?.message, 'exited with code 3: disk full');

    kubelets.exits.delete(node);
    const second = `${node}.${process.pid}.2`;
    await start({ kind: 'takeOut', unit: node, attempt: second, cordon: true });
    await it.seen('it is empty', node, ({ drain, service }) => drain?.id === second && service === 'out');
    await start({ kind: 'update', unit: node, attempt: second, change: { to: 'aaaaaaaaa2', undo: [] } });
    const done = await it.seen(
      'it has the version',
      node,
      ({ attempt, version }) => attempt?.state === 'succeeded' && version === VERSION,
    );
    t.strictSame(done.applied.slice(-1), ['aaaaaaaaa2']);
    await start({ kind: 'putBack', unit: node, cordoned: false });
    await it.seen('it is back', node, ({ service, cordoned }) => service === 'in' && !cordoned);
  },
);

t.test('a budget that lets no pod go is told before, and named when it held back a drain', real, async (t) => {
  const namespace = await space(t, 3, 3);
  const it = await driven(t, namespace, '3s');
  const node = await busiest(namespace);
  const results = await it.driver.precheck(PROD, spec('3s'), runnable, planOf(node), signal);
  t.match(
    results.find(({ name }) => name === 'disruption budgets'),
    {
      ...{ result: 'fail', message: new RegExp(`${namespace}/web \\(needs 3 of 3 pods, 3 are well`) },
    },
  );
  const attempt = `${node}.${process.pid}.3`;
  await it.driver.start(PROD, { kind: 'takeOut', unit: node, attempt, cordon: true }, runnable, signal);
  const failed = await it.seen('it failed', node, ({ drain }) => drain?.state === 'failed');
  t.match(
    failed.drain?.message,
    /web-\S+ held back: The disruption budget web needs 3 healthy pods and has 3 currently/,
  );
  t.equal((await kube.ask<{ items: Json[] }>('GET', `/api/v1/namespaces/${namespace}/pods`)).items.length, 3);
  await it.driver.start(PROD, { kind: 'putBack', unit: node, cordoned: false }, runnable, signal);
  await it.seen('it is back', node, ({ service, cordoned }) => service === 'in' && !cordoned);
});

const WALK = '1.36.5';

t.test(
  'a commit upgrades a cluster, through a crash of the operator, a drain held back, and a script that fails',
  real,
  async (t) => {
    const namespace = await space(t, 6, 5);
    const { items } = await kube.ask<{ items: Json[] }>('GET', '/api/v1/nodes');
    const names = items.map(({ metadata }) => metadata.name);
    const masters = names.filter((name) => name.startsWith('cp-'));
    const manifest = (version: string) => `apiVersion: sluice/v1
kind: Target
metadata: {name: hollow}
spec: {kubernetes: {context: ${context}, namespace: ${namespace}}}
---
apiVersion: sluice/v1
kind: Cluster
metadata: {name: prod}
spec:
  target: hollow
  version: ${version}
  upgrade: {maxBatchPercent: 50, drain: {timeout: 2m}, script: {run: "upgrade to $SLUICE_VERSION"}}
`;
    const at = await place({ 'prod.yaml': manifest(WALK) });
    t.teardown(() => clean(at));
    const checked = await sluice(at, 'check', 'Cluster/prod');
    t.match(checked.output, /nodes\s+\d+ ready/);
    const highest = Math.max(0, ...items.map(({ metadata }) => Number(metadata.annotations?.['sluice/epoch'] ?? 0)));
    const kubelets = actAsKubelets(kube, namespace, WALK);
    t.teardown(kubelets.stop);
    const unlucky = names.filter((name) => !masters.includes(name)).at(-1) ?? '';
    kubelets.exits.set(unlucky, { code: 9, said: 'no space' });
    const cordoned = names.filter((name) => !masters.includes(name))[0] ?? '';
    const type = 'application/merge-patch+json';
    await kube.ask('PATCH', `/api/v1/nodes/${cordoned}`, { body: { spec: { unschedulable: true } }, type });
    t.teardown(() => kube.ask('PATCH', `/api/v1/nodes/${cordoned}`, { body: { spec: { unschedulable: null } }, type }));

    const first = operator(at, '--epoch', String(highest + 1));
    await until('the first worker is upgraded', () => kubelets.upgraded.length > masters.length, 120);
    t.strictSame(kubelets.upgraded.slice(0, masters.length).sort(), masters.sort(), 'the control plane first');
    first.process.kill('SIGKILL');
    await first.exit;
    const next = operator(at);
    t.teardown(() => next.process.kill('SIGKILL'));
    await until('it pauses', () => status(at, 'Cluster/prod')?.health === 'Paused', 120).catch((error) => {
      throw new Error(`${error.message}\n${JSON.stringify(status(at, 'Cluster/prod'))}\n${next.output().slice(-2000)}`);
    });
    t.match(status(at, 'Cluster/prod').message, new RegExp(`${unlucky}: exited with code 9: no space`));
    kubelets.exits.delete(unlucky);
    t.equal((await sluice(at, 'retry', 'Cluster/prod', unlucky)).code, 0);
    await until('it is done', () => status(at, 'Cluster/prod')?.health === 'Healthy', 120).catch((error) => {
      throw new Error(`${error.message}\n${JSON.stringify(status(at, 'Cluster/prod'))}\n${next.output().slice(-2000)}`);
    });
    const after = (await kube.ask<{ items: Json[] }>('GET', '/api/v1/nodes')).items;
    t.strictSame(
      after.filter(({ spec }) => spec.unschedulable).map(({ metadata }) => metadata.name),
      [cordoned],
      'only what was cordoned before is',
    );
    t.strictSame([...kubelets.upgraded].sort(), [...names].sort(), 'each of them once');
    t.match(
      git(at.repo, 'tag', '-l'),
      /^sluice\/cluster\/prod\/\d+$/m,
      'its number goes on from what the nodes remember',
    );
    next.process.kill('SIGTERM');
    await next.exit;
  },
);
