/**
 * The operator as it runs in a cluster: with the token and the CA that a pod is given, as the account of `deploy/kubernetes`, and with what that is
 * granted there. On a real API server with hollow nodes, where `KUBECONFIG` names one; in a mount namespace, since those files have one place.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { identityOf } from '../../../src/target/kubernetes/identity.ts';
import { clean, cli, commit, place, runArguments, settled, status } from '../../e2e/support.ts';
import { until } from '../../support/until.ts';
import type { Json } from './api.ts';
import { actAsKubelets, hollowCluster } from './nodes/hollow.ts';

t.setTimeout(600_000);
const { kube, context, skip } = await hollowCluster();
if (skip === undefined) t.teardown(() => kube.close());
const why = skip ?? (process.getuid?.() === 0 ? undefined : 'NOT RUN: a mount namespace takes root');
const MERGE = 'application/merge-patch+json';
const SHOP = `sluice-shop-${process.pid}`;
const VERSION = '1.36.8';

const collections: Record<string, string> = {
  Namespace: '/api/v1/namespaces',
  ServiceAccount: '/api/v1/namespaces/NS/serviceaccounts',
  Deployment: '/apis/apps/v1/namespaces/NS/deployments',
  Role: '/apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles',
  RoleBinding: '/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings',
  ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
};

/** As `kubectl apply -n NAMESPACE -f FILE` does it; gives what undoes it. */
async function applied(file: string, namespace = ''): Promise<string[]> {
  const text = readFileSync(new URL(`../../../../deploy/kubernetes/${file}`, import.meta.url), 'utf8');
  const made: string[] = [];
  for (const object of parseAllDocuments(text).map((document) => document.toJSON())) {
    const its = object.metadata.namespace ?? namespace;
    const path = (collections[object.kind] as string).replace('NS', its);
    const query = { fieldManager: 'kubectl', force: true };
    const type = 'application/apply-patch+yaml';
    await kube.ask('PATCH', `${path}/${object.metadata.name}`, { body: object, type, query });
    made.push(`${path}/${object.metadata.name}`);
  }
  return made;
}

/** As a Gateway's controller does it, until it is stopped. */
function actAsGateway(): () => void {
  const routes = `/apis/gateway.networking.k8s.io/v1/namespaces/${SHOP}/httproutes`;
  const timer = setInterval(async () => {
    const { items } = await kube.ask<{ items: Json[] }>('GET', routes).catch(() => ({ items: [] as Json[] }));
    for (const { metadata, spec, status } of items) {
      const observedGeneration = metadata.generation;
      if (status?.parents?.[0]?.conditions[0].observedGeneration === observedGeneration) continue;
      const now = { status: 'True', reason: 'Done', message: '', lastTransitionTime: new Date().toISOString() };
      const conditions = ['Accepted', 'ResolvedRefs'].map((type) => ({ type, observedGeneration, ...now }));
      const parents = [{ parentRef: spec.parentRefs[0], controllerName: 'sluice.test/gateway', conditions }];
      const body = { status: { parents } };
      await kube.ask('PATCH', `${routes}/${metadata.name}/status`, { body, type: MERGE }).catch(() => {});
    }
  }, 200);
  return () => clearInterval(timer);
}

const manifests = (tag: string) => ({
  'shop.yaml': `apiVersion: sluice/v1
kind: Target
metadata: {name: cluster}
spec: {kubernetes: {namespace: ${SHOP}, gateway: {name: public}, drainSeconds: 0}}
---
apiVersion: sluice/v1
kind: Target
metadata: {name: nodes}
spec: {kubernetes: {namespace: sluice-nodes, upgradeImage: "busybox:1.37"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: look}
data: {colour: ${tag}}
---
apiVersion: sluice/v1
kind: Workload
metadata: {name: web}
spec:
  target: cluster
  replicas: 3
  template:
    spec:
      containers:
        - name: web
          image: "web:${tag}"
          ports: [{containerPort: 8080}]
          envFrom: [{configMapRef: {name: look}}]
          volumeMounts: [{name: db, mountPath: /db}]
      volumes: [{name: db, secret: {secretName: db}}]
---
apiVersion: sluice/v1
kind: Service
metadata: {name: shop}
spec:
  target: cluster
  replicas: 2
  traffic: {steps: [{percent: 50}, {percent: 100}]}
  template: {spec: {containers: [{name: shop, image: "shop:${tag}", ports: [{containerPort: 8080}]}]}}
---
apiVersion: sluice/v1
kind: Cluster
metadata: {name: prod}
spec:
  target: nodes
  version: ${VERSION}
  upgrade: {maxBatchPercent: 50, drain: {timeout: 2m}, script: {run: "upgrade to $SLUICE_VERSION"}}
`,
});

t.test('what deploy/kubernetes grants is enough', { ...(why && { skip: why }) }, async (t) => {
  const undo: string[] = [`/api/v1/namespaces/${SHOP}`];
  await kube.ask('POST', '/api/v1/namespaces', { body: { metadata: { name: SHOP } } });
  t.teardown(async () => {
    for (const path of undo.reverse()) await kube.find(path).then((found) => found && kube.ask('DELETE', path));
  });
  for (const [file, namespace] of [
    ['operator.yaml'],
    ['nodes.yaml'],
    ['target.yaml', 'sluice-nodes'],
    ['target.yaml', SHOP],
  ])
    undo.push(...(await applied(file as string, namespace)));
  const operators = '/apis/apps/v1/namespaces/sluice/deployments/sluice';
  await until(
    'its pods are admitted under restricted pod security, and run',
    async () => (await kube.ask<Json>('GET', operators)).status?.readyReplicas === 2,
    60,
  );

  const gateways = `/apis/gateway.networking.k8s.io/v1/namespaces/${SHOP}/gateways`;
  const listeners = [{ name: 'http', port: 80, protocol: 'HTTP' }];
  await kube.ask('POST', gateways, {
    body: {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: { name: 'public' },
      spec: { gatewayClassName: 'test', listeners },
    },
  });
  const programmed = {
    type: 'Programmed',
    status: 'True',
    reason: 'Programmed',
    message: '',
    lastTransitionTime: new Date().toISOString(),
  };
  await kube.ask('PATCH', `${gateways}/public/status`, { body: { status: { conditions: [programmed] } }, type: MERGE });
  t.teardown(actAsGateway());
  const scalers = `/apis/autoscaling/v2/namespaces/${SHOP}/horizontalpodautoscalers`;
  const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web' };
  await kube.ask('POST', scalers, {
    body: { metadata: { name: 'web' }, spec: { scaleTargetRef, minReplicas: 3, maxReplicas: 9 } },
  });

  const account = t.testdir();
  const { server, tls } = await identityOf({ context });
  const { status: granted } = await kube.ask<Json>('POST', '/api/v1/namespaces/sluice/serviceaccounts/sluice/token', {
    body: { spec: { expirationSeconds: 3600 } },
  });
  for (const [name, content] of Object.entries({
    token: granted.token,
    'ca.crt': tls.ca as string,
    namespace: 'sluice',
  }))
    writeFileSync(join(account, name), content);
  const kubelets = actAsKubelets(kube, 'sluice-nodes', VERSION);
  t.teardown(kubelets.stop);
  const at = await place(manifests('one'));
  t.teardown(() => clean(at));
  mkdirSync(join(at.root, 'secrets', 'db'), { recursive: true });
  writeFileSync(join(at.root, 'secrets', 'db', 'password'), 'hidden');
  const url = new URL(server);
  const env = { KUBECONFIG: '', KUBERNETES_SERVICE_HOST: url.hostname, KUBERNETES_SERVICE_PORT: url.port };
  const mounted =
    'mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io && cp -r "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"';
  const inside = ['unshare', '--mount', 'sh', '-c', mounted, account];
  const highest = Math.max(
    0,
    ...(await kube.ask<{ items: Json[] }>('GET', '/api/v1/nodes')).items.map(({ metadata }) =>
      Number(metadata.annotations?.['sluice/epoch'] ?? 0),
    ),
  );
  const secrets = ['--secrets-dir', join(at.root, 'secrets')];
  const running = cli(
    [...runArguments(at, at.repo), '--interval', '1s', ...secrets, '--epoch', String(highest + 1)],
    at.repo,
    env,
    inside,
  );
  t.teardown(() => void running.process.kill('SIGKILL'));
  const told = (error: Error) => {
    throw new Error(`${error.message}\n${running.output().slice(-3000)}`);
  };
  const passes = (id: string, rollout: number) => settled(at, id, rollout, 200).catch(told);
  const warned = (id: string) =>
    status(at, id).rollout.prechecks.filter(({ name, result }: Json) => result !== 'pass' && name !== 'fields');
  for (const id of ['Workload/web', 'Service/shop']) {
    await passes(id, 1);
    t.strictSame(warned(id), [], `${id}: every precheck passes`);
  }
  commit(at, manifests('two'), 'two');
  for (const id of ['Workload/web', 'Service/shop']) await passes(id, 2);
  // Its number goes on from what the nodes remember.
  const upgraded = () => status(at, 'Cluster/prod')?.rollout?.phase === 'Succeeded';
  await until('the cluster is upgraded', upgraded, 200).catch(told);
  t.strictSame(
    warned('Cluster/prod').filter(({ result }: Json) => result === 'fail'),
    [],
  );
  t.notMatch(running.output(), /forbidden/i, 'nothing was asked for that is not granted');
});
