/** From manifests to objects, as `golden/*.yaml`; `GOLDEN=write` writes them anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { stringify } from 'yaml';
import type { ReplicasResource } from '../../../src/manifest/resource.ts';
import { runnableOf } from '../../../src/manifest/runnable.ts';
import type { TrafficPolicy } from '../../../src/plan/live.ts';
import { notHonouredByKubernetes, notRunByKubernetes } from '../../../src/target/kubernetes/honour.ts';
import { fitting, type Scope } from '../../../src/target/kubernetes/names.ts';
import { claims, configMap, replicaSet, secret, service } from '../../../src/target/kubernetes/objects.ts';
import {
  acceptance,
  globPattern,
  type HttpRoute,
  httpRoute,
  policyOf,
  versionRoute,
} from '../../../src/target/kubernetes/route.ts';
import { podView } from '../../../src/target/kubernetes/view.ts';
import { repository } from '../../manifest/commit.ts';

const SCOPE: Scope = { namespace: 'shop', project: 'shop-config', target: 'prod' };
const GATEWAY = { name: 'public', namespace: 'gateways', listener: 'https' };
const TARGET = `
apiVersion: sluice/v1
kind: Target
metadata: {name: prod}
spec: {kubernetes: {context: prod, namespace: shop}}
---`;

const declared = (yaml: string): ReplicasResource => {
  const { resources, diagnostics } = repository()({ 'a.yaml': `${TARGET}\n${yaml}` });
  t.strictSame(diagnostics, [], 'valid');
  return [...resources.values()][0] as ReplicasResource;
};

function golden(name: string, objects: object[]): void {
  const file = new URL(`../../../../test/target/kubernetes/golden/${name}`, import.meta.url);
  const text = objects.map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n');
  if (process.env.GOLDEN === 'write') writeFileSync(file, text);
  t.equal(text, readFileSync(file, 'utf8'), `is golden/${name}`);
}

const FULL = declared(`
apiVersion: v1
kind: ConfigMap
metadata: {name: look}
data: {colour: blue}
---
apiVersion: sluice/v1
kind: Workload
metadata: {name: tomcat}
spec:
  target: prod
  replicas: 3
  template:
    metadata: {labels: {team: shop}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
        - name: web
          image: tomcat:9
          command: [catalina.sh]
          args: [run, "--port=$(PORT)"]
          workingDir: /srv
          ports: [{name: http, containerPort: 8080}, {containerPort: 9090}]
          env:
            - {name: COLOUR, valueFrom: {configMapKeyRef: {name: look, key: colour}}}
            - {name: TOKEN, valueFrom: {secretKeyRef: {name: db, key: token}}}
            - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
            - {name: PORT, value: "1"}
          envFrom: [{prefix: DB_, secretRef: {name: db}}, {configMapRef: {name: other, optional: true}}]
          resources: {requests: {cpu: 250m, memory: 256Mi}, limits: {memory: 1Gi}}
          securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true, capabilities: {add: [NET_BIND_SERVICE]}}
          startupProbe: {tcpSocket: {port: http}, periodSeconds: 2}
          livenessProbe: {httpGet: {path: /live, port: http}}
          lifecycle: {postStart: {exec: {command: ["true"]}}}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: shared, mountPath: /shared, subPath: web}
            - {name: look, mountPath: /etc/look, readOnly: true}
          logs: [{path: /var/log/tomcat.log}]
        - {name: side, image: "side:1"}
      volumes:
        - {name: data, disk: {size: 1Gi, class: fast}}
        - {name: shared, file: {size: 10Gi}}
        - {name: look, configMap: {name: look}}
        - {name: keys, secret: {secretName: elsewhere}}
        - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
`);

t.test('a workload', async () => {
  const runnable = runnableOf(FULL);
  const set = { resource: runnable.resource, version: '', revision: 'aaaaaaaaaa' };
  const owned = { configMaps: new Set(['look']), secrets: new Set(['db']) };
  const owner = { name: 'tomcat-aaaaaaaaaa', uid: '9c0f' };
  golden('workload.yaml', [
    replicaSet(runnable, { scope: SCOPE, set, owned, drainSeconds: 10 }),
    configMap(SCOPE, set, 'look', runnable.configMaps.look as never, owner),
    secret(SCOPE, set, 'db', { token: Buffer.from('s3cret') }, owner),
    ...claims(runnable, SCOPE).map(({ object }) => object),
    service(SCOPE, {
      resource: runnable.resource,
      version: '',
      ports: [{ name: 'http', containerPort: 8080 }, { containerPort: 9090 }],
    }),
  ]);
});

t.test('what a cluster does not give is told at its place', async (t) => {
  const told = notHonouredByKubernetes(runnableOf(FULL).template).map(
    ({ path, result }) => `${path.join('.')} ${result}`,
  );
  t.strictSame(told, ['spec.containers.0.env.3 warn', 'spec.containers.0.logs.0 warn', 'spec.volumes.0.disk warn']);
  t.strictSame(notRunByKubernetes('tomcat', FULL.spec, { namespace: 'shop', drainSeconds: 0 }), []);
});

const SHOP = 'Service/shop';
const routed = (policy: TrafficPolicy, before?: TrafficPolicy) =>
  httpRoute(SCOPE, GATEWAY, {
    resource: SHOP,
    host: 'shop.example.org',
    policy,
    before,
    ports: { v7: 8080, v8: 8081 },
  });
const PERCENT: TrafficPolicy = { kind: 'percent', weights: { v7: 90, v8: 10 } };
const MATCH: TrafficPolicy = {
  kind: 'match',
  rules: [
    { version: 'v8', query: { beta: '1*', user: 'ann' } },
    { version: 'v7', query: { old: 'yes' } },
  ],
  default: 'v7',
};

t.test('traffic of a service', async (t) => {
  golden('service.yaml', [
    service(SCOPE, { resource: SHOP, version: 'v8', ports: [{ containerPort: 8081 }] }),
    versionRoute(SCOPE, GATEWAY, SHOP, 'v8', 'shop.example.org', 8081),
    routed(PERCENT, { kind: 'percent', weights: { v7: 100 } }),
    routed(MATCH),
  ]);
  for (const policy of [PERCENT, MATCH]) t.strictSame(policyOf(SHOP, routed(policy) as HttpRoute), policy, 'read back');
  const changed = structuredClone(routed(MATCH)) as HttpRoute;
  changed.spec.rules.pop();
  t.equal(policyOf(SHOP, changed), undefined, 'somebody changed it');
});

t.test('globs are regular expressions', async (t) => {
  const cases = { '1*': '^1.*$', 'v[0-9]?': '^v[0-9].$', 'a.b': '^a\\.b$', 'a[b': '^a\\[b$', '[]x': '^\\[\\]x$' };
  for (const [glob, pattern] of Object.entries(cases)) t.equal(globPattern(glob), pattern);
});

t.test('a Gateway has accepted a route when it says so of this very generation', async (t) => {
  const route = (generation: number, status: string, of: string[] = ['Accepted', 'ResolvedRefs']): HttpRoute => {
    const made = structuredClone(routed(PERCENT)) as HttpRoute;
    made.metadata.generation = 2;
    const conditions = of.map((type) => ({
      type,
      status,
      observedGeneration: generation,
      reason: 'UnsupportedValue',
      message: 'no',
    }));
    made.status = { parents: [{ parentRef: { name: 'public' }, conditions }] };
    return made;
  };
  t.ok(acceptance(route(2, 'True'), GATEWAY).accepted);
  t.notOk(acceptance(route(1, 'True'), GATEWAY).accepted, 'of an earlier one');
  t.notOk(acceptance(route(2, 'True', ['Accepted']), GATEWAY).accepted, 'what it points to is not there');
  t.match(acceptance(route(2, 'False'), GATEWAY).message, /refuses the route: UnsupportedValue: no/);
  t.notOk(acceptance(routed(PERCENT) as HttpRoute, GATEWAY).accepted);
});

t.test(
  'a service without a Gateway, too long a name, and rules that a Gateway would turn round are refused',
  async (t) => {
    const yaml = (traffic: string) => `
apiVersion: sluice/v1
kind: Service
metadata: {name: shop}
spec:
  target: prod
  traffic: ${traffic}
  template: {spec: {containers: [{name: web, image: "shop:8", ports: [{containerPort: 8080}]}]}}
`;
    const target = { namespace: 'shop', drainSeconds: 0 };
    const match =
      '{match: {rules: [{version: latest, query: {a: "1"}}, {version: stable, query: {a: "1*", b: "2"}}], default: stable}}';
    const told = (name: string, traffic: string, more = {}) =>
      notRunByKubernetes(name, declared(yaml(traffic)).spec, { ...target, ...more }).map(
        ({ result, message }) => `${result} ${message}`,
      );
    t.match(told('shop', '{onDeploy: all}'), [/^fail kubernetes: traffic of a Service is divided by a Gateway/]);
    t.match(told('s'.repeat(50), '{onDeploy: all}', { gateway: GATEWAY }), [
      /^fail kubernetes: the name s+-v99999 is too long/,
    ]);
    t.match(told('shop', match, { gateway: GATEWAY }), [
      /^fail .*more keys first.*rules\[0\]/,
      /^warn .*1\* becomes a regular expression/,
    ]);
    t.equal(fitting('x'.repeat(80)).length, 63);
    t.not(fitting('x'.repeat(80)), fitting('x'.repeat(81)));
  },
);

t.test('why a pod is not ready is told in the words of the cluster', async (t) => {
  const metadata = { name: 'tomcat-1', uid: 'u', resourceVersion: '1' };
  const status = (containerStatuses: object[], conditions: object[] = [{ type: 'PodScheduled', status: 'True' }]) =>
    ({ metadata, spec: { nodeName: 'n' }, status: { containerStatuses, conditions } }) as never;
  const waiting = (reason: string, more = {}) => [
    { name: 'web', restartCount: 3, state: { waiting: { reason, message: 'said' } }, ...more },
  ];
  const crashed = { lastState: { terminated: { exitCode: 1, reason: 'Error', message: 'Error: no such module\n' } } };
  const stuck = podView(status(waiting('CrashLoopBackOff', crashed)), undefined, 1000);
  t.match(stuck, {
    message: 'container web: CrashLoopBackOff: exited with code 1: Error: no such module',
    stuckSince: 1000,
    restarts: 3,
  });
  const between = podView(status([{ name: 'web', restartCount: 4, state: { running: {} } }]), stuck, 9000);
  t.match(between, { message: stuck.message, stuckSince: 1000 }, 'still, while it runs for a moment');
  const ready = [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }];
  t.match(podView(status([], ready), between, 9500), {
    ready: true,
    stuckSince: undefined,
    message: undefined,
    restarts: 0,
  });
  t.match(podView(status(waiting('ContainerCreating')), undefined, 0), {
    message: 'container web: ContainerCreating: said',
    stuckSince: undefined,
  });
  const unschedulable = [
    {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message: '0/3 nodes',
      lastTransitionTime: '1970-01-01T00:01:00Z',
    },
  ];
  t.match(
    podView(status([], unschedulable), undefined, 0),
    { message: 'Unschedulable: 0/3 nodes', stuckSince: 80_000 },
    'a node may be added for it',
  );
});
