/** A workload rolled on hollow nodes, beside a Deployment on the same cluster: what Kubernetes takes by itself. The cluster is the one of `KUBECONFIG`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kube } from '../src/target/kubernetes/client.ts';
import { clean, commit, operator, place, settled } from '../test/e2e/support.ts';
import { hollowCluster } from '../test/target/kubernetes/nodes/hollow.ts';
import { type Figure, note } from './harness.ts';

const [REPLICAS, NODES] = [600, 60];
const BOUND = 1;
const WITHIN_SECONDS = 900;
const MERGE = 'application/merge-patch+json';

const container = (tag: string) => ({ name: 'web', image: `web:${tag}` });
const manifest = (context: string, namespace: string, tag: string) => ({
  'web.yaml': `apiVersion: sluice/v1
kind: Target
metadata: {name: cluster}
spec: {kubernetes: {context: ${context}, namespace: ${namespace}}}
---
apiVersion: sluice/v1
kind: Workload
metadata: {name: web}
spec:
  target: cluster
  replicas: ${REPLICAS}
  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}
  progressDeadlineSeconds: ${WITHIN_SECONDS}
  template: {spec: {containers: [{name: web, image: "web:${tag}"}]}}
`,
});

interface DeploymentStatus {
  metadata: { generation: number };
  status?: { observedGeneration?: number; replicas?: number; updatedReplicas?: number; availableReplicas?: number };
}

async function deployed(kube: Kube, path: string): Promise<void> {
  const until = Date.now() + WITHIN_SECONDS * 1000;
  for (;;) {
    const { metadata, status = {} } = await kube.ask<DeploymentStatus>('GET', path);
    const { observedGeneration, replicas, updatedReplicas, availableReplicas } = status;
    const counts = [replicas, updatedReplicas, availableReplicas];
    if (observedGeneration === metadata.generation && counts.every((count) => count === REPLICAS)) return;
    if (Date.now() > until) throw new Error(`the Deployment is not there after ${WITHIN_SECONDS} s: ${counts}`);
    await sleep(100);
  }
}

const secondsSince = (began: number): number => (performance.now() - began) / 1000;

async function deployment(kube: Kube, namespace: string): Promise<number> {
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
  const matchLabels = { app: 'beside' };
  const template = (tag: string) => ({ metadata: { labels: matchLabels }, spec: { containers: [container(tag)] } });
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } };
  const spec = { replicas: REPLICAS, selector: { matchLabels }, strategy, template: template('1') };
  await kube.ask('POST', path, { body: { metadata: { name: 'beside' }, spec } });
  await deployed(kube, `${path}/beside`);
  const began = performance.now();
  await kube.ask('PATCH', `${path}/beside`, { body: { spec: { template: template('2') } }, type: MERGE });
  await deployed(kube, `${path}/beside`);
  const took = secondsSince(began);
  note(`the Deployment took ${took.toFixed(1)} s`);
  await kube.ask('DELETE', `${path}/beside`, { query: { propagationPolicy: 'Foreground' } });
  while ((await kube.find(`${path}/beside`)) !== undefined) await sleep(500);
  return took;
}

async function workload(context: string, namespace: string): Promise<number> {
  const at = await place(manifest(context, namespace, '1'));
  const running = operator(at);
  try {
    await settled(at, 'Workload/web', 1, WITHIN_SECONDS);
    const began = performance.now();
    commit(at, manifest(context, namespace, '2'), 'two');
    await settled(at, 'Workload/web', 2, WITHIN_SECONDS);
    const took = secondsSince(began);
    note(`the workload took ${took.toFixed(1)} s`);
    return took;
  } finally {
    await clean(at, running);
  }
}

export async function bench(): Promise<Figure[]> {
  const { kube, context, skip } = await hollowCluster();
  if (skip !== undefined) throw new Error(skip);
  const namespace = `sluice-bench-${process.pid}`;
  try {
    const { items } = await kube.ask<{ items: unknown[] }>('GET', '/api/v1/nodes');
    if (items.length < NODES) throw new Error(`NOT RUN: ${NODES} hollow nodes are needed, there are ${items.length}`);
    await kube.ask('POST', '/api/v1/namespaces', { body: { metadata: { name: namespace } } });
    try {
      const [theirs, ours] = [await deployment(kube, namespace), await workload(context, namespace)];
      const work = `rolling ${REPLICAS} replicas on ${NODES} hollow nodes, surge and unavailable 25 %, beside a Deployment`;
      const seen = `${(ours / theirs).toFixed(2)} ×: ${ours.toFixed(1)} s, the Deployment ${theirs.toFixed(1)} s`;
      return [{ work, reach: `at most ${BOUND.toFixed(1)} × the Deployment`, seen, held: ours <= BOUND * theirs }];
    } finally {
      await kube.ask('DELETE', `/api/v1/namespaces/${namespace}`);
    }
  } finally {
    kube.close();
  }
}
