/** A workload rolled on hollow nodes, beside a Deployment on the same cluster: what Kubernetes takes by itself. The cluster is the one of `KUBECONFIG`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kube } from '../src/target/kubernetes/client.ts';
import { clean, commit, operator, place, type Status, settled, status } from '../test/e2e/support.ts';
import { until } from '../test/support/until.ts';
import { hollowCluster } from '../test/target/kubernetes/nodes/hollow.ts';
import { type Figure, note, residentOf } from './harness.ts';

const [REPLICAS, NODES] = [600, 60];
const BOUND = 1;
const WITHIN_SECONDS = 900;
const WATCHED = { workloads: 4, replicas: 500, mebibytes: 200 };
/** In turns, since other work on the machine comes and goes. */
const ROUNDS = 2;
const LOOK_MS = 250;
const AT_REST_MS = 20_000;
const MERGE = 'application/merge-patch+json';

const container = (tag: string) => ({ name: 'web', image: `web:${tag}` });
const target = (context: string, namespace: string) => `apiVersion: sluice/v1
kind: Target
metadata: {name: cluster}
spec: {kubernetes: {context: ${context}, namespace: ${namespace}}}
`;
const web = (name: string, replicas: number, tag: string) => `---
apiVersion: sluice/v1
kind: Workload
metadata: {name: ${name}}
spec:
  target: cluster
  replicas: ${replicas}
  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}
  progressDeadlineSeconds: ${WITHIN_SECONDS}
  template: {spec: {containers: [{name: web, image: "web:${tag}"}]}}
`;
const manifest = (context: string, namespace: string, tag: string) => ({
  'web.yaml': target(context, namespace) + web('web', REPLICAS, tag),
});

interface DeploymentStatus {
  metadata: { generation: number };
  status?: { observedGeneration?: number; replicas?: number; updatedReplicas?: number; availableReplicas?: number };
}

/** When it says that it is there, and when no pod of an earlier revision is left, which a rollout of Sluice waits for too; in ms from now. */
async function deployed(kube: Kube, namespace: string): Promise<{ told: number; gone: number }> {
  const began = performance.now();
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/beside`;
  await until('the Deployment is there', async () => isThere(await kube.ask('GET', path)), WITHIN_SECONDS, 100);
  const told = performance.now() - began;
  const pods = async () => (await kube.ask<{ items: unknown[] }>('GET', `/api/v1/namespaces/${namespace}/pods`)).items;
  await until('its earlier pods are gone', async () => (await pods()).length === REPLICAS, WITHIN_SECONDS, 100);
  return { told, gone: performance.now() - began };
}

function isThere({ metadata, status = {} }: DeploymentStatus): boolean {
  const { observedGeneration, replicas, updatedReplicas, availableReplicas } = status;
  const counts = [replicas, updatedReplicas, availableReplicas];
  return observedGeneration === metadata.generation && counts.every((count) => count === REPLICAS);
}

const secondsSince = (began: number): number => (performance.now() - began) / 1000;

async function deployment(kube: Kube, namespace: string): Promise<number> {
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
  const matchLabels = { app: 'beside' };
  const template = (tag: string) => ({ metadata: { labels: matchLabels }, spec: { containers: [container(tag)] } });
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } };
  const spec = { replicas: REPLICAS, selector: { matchLabels }, strategy, template: template('1') };
  await kube.ask('POST', path, { body: { metadata: { name: 'beside' }, spec } });
  await deployed(kube, namespace);
  await kube.ask('PATCH', `${path}/beside`, { body: { spec: { template: template('2') } }, type: MERGE });
  const { told, gone } = await deployed(kube, namespace);
  const took = gone / 1000;
  note(`the Deployment took ${took.toFixed(1)} s, and said so after ${(told / 1000).toFixed(1)} s`);
  await kube.ask('DELETE', `${path}/beside`, { query: { propagationPolicy: 'Foreground' } });
  while ((await kube.find(`${path}/beside`)) !== undefined) await sleep(500);
  return took;
}

const isDone = ({ rollout, health }: Status) =>
  rollout?.id === 2 && rollout.phase === 'Succeeded' && health === 'Healthy';

async function workload(context: string, namespace: string): Promise<number> {
  const at = await place(manifest(context, namespace, '1'));
  const running = operator(at);
  try {
    await settled(at, 'Workload/web', 1, WITHIN_SECONDS);
    const began = performance.now();
    commit(at, manifest(context, namespace, '2'), 'two');
    // Seldom: to read a status takes a process.
    await until('it is rolled out', () => isDone(status(at, 'Workload/web')), WITHIN_SECONDS, LOOK_MS);
    const took = secondsSince(began);
    note(`the workload took ${took.toFixed(1)} s`);
    return took;
  } finally {
    await clean(at, running);
  }
}

/** The most that the operator had, while pods came and after; and what it keeps. */
async function memory(context: string, namespace: string): Promise<{ most: number; kept: number }> {
  const names = Array.from({ length: WATCHED.workloads }, (_, index) => `web-${index + 1}`);
  const documents = names.map((name) => web(name, WATCHED.replicas, '1')).join('');
  const at = await place({ 'web.yaml': target(context, namespace) + documents });
  const running = operator(at);
  const pid = running.process.pid as number;
  let most = 0;
  const timer = setInterval(async () => {
    most = Math.max(most, await residentOf(pid).catch(() => 0));
  }, 250);
  try {
    for (const name of names) await settled(at, `Workload/${name}`, 1, WITHIN_SECONDS);
    note(`${WATCHED.workloads * WATCHED.replicas} pods are watched: ${most.toFixed(0)} MiB at most`);
    await sleep(AT_REST_MS);
    return { most, kept: await residentOf(pid) };
  } finally {
    clearInterval(timer);
    await clean(at, running);
  }
}

async function inNamespace<T>(kube: Kube, name: string, work: (namespace: string) => Promise<T>): Promise<T> {
  const namespace = `sluice-bench-${name}-${process.pid}`;
  await kube.ask('POST', '/api/v1/namespaces', { body: { metadata: { name: namespace } } });
  try {
    return await work(namespace);
  } finally {
    await kube.ask('DELETE', `/api/v1/namespaces/${namespace}`);
    // What of it is still ended would slow down what is measured next.
    while ((await kube.find(`/api/v1/namespaces/${namespace}`)) !== undefined) await sleep(500);
  }
}

export async function bench(): Promise<Figure[]> {
  const { kube, context, skip } = await hollowCluster();
  if (skip !== undefined) throw new Error(skip);
  try {
    const { items } = await kube.ask<{ items: unknown[] }>('GET', '/api/v1/nodes');
    if (items.length < NODES) throw new Error(`NOT RUN: ${NODES} hollow nodes are needed, there are ${items.length}`);
    let [theirs, ours] = [0, 0];
    for (let round = 0; round < ROUNDS; round++) {
      theirs += (await inNamespace(kube, 'theirs', (namespace) => deployment(kube, namespace))) / ROUNDS;
      ours += (await inNamespace(kube, 'ours', (namespace) => workload(context, namespace))) / ROUNDS;
    }
    const { most, kept } = await inNamespace(kube, 'memory', (namespace) => memory(context, namespace));
    return [
      {
        work: `rolling ${REPLICAS} replicas on ${NODES} hollow nodes, surge and unavailable 25 %, beside a Deployment`,
        reach: `at most ${BOUND.toFixed(1)} × the Deployment`,
        seen: `${(ours / theirs).toFixed(2)} ×: ${ours.toFixed(1)} s, the Deployment ${theirs.toFixed(1)} s, means of ${ROUNDS} in turns`,
        held: ours <= BOUND * theirs,
      },
      {
        work: `operator memory while watching ${WATCHED.workloads * WATCHED.replicas} pods`,
        reach: `at most ${WATCHED.mebibytes} MiB`,
        seen: `${most.toFixed(0)} MiB at most, while they came; ${kept.toFixed(0)} MiB kept`,
        held: most <= WATCHED.mebibytes,
      },
    ];
  } finally {
    kube.close();
  }
}
