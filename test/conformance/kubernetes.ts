/**
 * The suite on a real API server, where `KUBECONFIG` names one; hollow nodes are enough. Everything happens in a namespace of its own. Nothing is
 * executed on hollow nodes, so what an image does is done for it: a policy of admission holds the pods of `slow` and `never` back by a readiness
 * gate, and those of `slow` are let go after their time.
 */
import t from 'tap';
import { type Kube, type KubeObject, openKube } from '../../src/target/kubernetes/client.ts';
import type { Harness } from './harness.ts';

const GATE = 'sluice.test/ready';
/** More than what an image takes elsewhere: a pod tells only in which second it was made. */
const SLOW_MS = 3000;

export const whyNoCluster = (): string | undefined =>
  process.env.KUBECONFIG === undefined
    ? 'NOT RUN on kubernetes: KUBECONFIG names no cluster (any API server with hollow nodes will do)'
    : undefined;

interface Pod extends KubeObject {
  spec: { containers: { image: string }[]; readinessGates?: object[]; nodeName?: string };
  status: { conditions?: { type: string; status: string }[]; phase?: string };
}

export async function kubernetesHarness(): Promise<Harness> {
  const kubeconfig = process.env.KUBECONFIG as string;
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const context = config.getCurrentContext();
  const kube = await openKube({ context, kubeconfig });
  const namespace = `sluice-test-${process.pid}`;
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const admission = '/apis/admissionregistration.k8s.io/v1';
  await kube.ask('POST', '/api/v1/namespaces', { body: { metadata: { name: namespace } } });
  t.teardown(async () => {
    clearInterval(timer);
    for (const kind of ['mutatingadmissionpolicybindings', 'mutatingadmissionpolicies'])
      await kube.ask('DELETE', `${admission}/${kind}/${namespace}`).catch(() => {});
    await kube.ask('DELETE', `/api/v1/namespaces/${namespace}`);
    kube.close();
  });
  await holdBack(kube, admission, namespace);
  const list = async (resource?: string) => {
    const query = resource === undefined ? {} : { labelSelector: `sluice/resource=${resource.replace('/', '.')}` };
    return (await kube.ask<{ items: Pod[] }>('GET', pods, { query })).items;
  };
  const timer = setInterval(async () => {
    for (const pod of await list().catch(() => [])) if (isDue(pod)) await letGo(kube, pods, pod).catch(() => {});
  }, 200);

  return {
    driver: 'kubernetes',
    target: `{kubernetes: {context: "${context}", kubeconfig: "${kubeconfig}", namespace: ${namespace}, drainSeconds: 0}}`,
    files: {},
    running: async (_, resource) =>
      (await list(resource)).filter(runs).map(({ metadata: { name, uid } }) => `${name}.${uid}`),
    async kill(_, __, attempt) {
      const body = { gracePeriodSeconds: 0 };
      await kube.ask('DELETE', `${pods}/${attempt.slice(0, attempt.lastIndexOf('.'))}`, { body });
    },
    hasTraffic: false,
    heals: true,
    neverReady: /not ready yet/,
  };
}

async function holdBack(kube: Kube, admission: string, namespace: string): Promise<void> {
  const metadata = { name: namespace };
  const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] };
  const path = '/spec/readinessGates';
  // One after the other: an API server of 1.36 panics over a list that holds an object.
  const expression = `[JSONPatch{op: 'add', path: '${path}', value: []}, JSONPatch{op: 'add', path: '${path}/-', value: Object.spec.readinessGates{conditionType: '${GATE}'}}]`;
  const spec = {
    matchConstraints: {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
      resourceRules: [rule],
    },
    matchConditions: [{ name: 'held', expression: "object.spec.containers[0].image.matches('^(slow|never):')" }],
    reinvocationPolicy: 'Never',
    mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression } }],
  };
  await kube.ask('POST', `${admission}/mutatingadmissionpolicies`, { body: { metadata, spec } });
  const binding = { metadata, spec: { policyName: namespace } };
  await kube.ask('POST', `${admission}/mutatingadmissionpolicybindings`, { body: binding });
}

const runs = ({ status: { phase } }: Pod): boolean => phase !== 'Succeeded' && phase !== 'Failed';

const isDue = ({ metadata, spec, status }: Pod): boolean =>
  spec.readinessGates !== undefined &&
  spec.containers[0]?.image.startsWith('slow:') === true &&
  status.conditions?.some(({ type }) => type === GATE) !== true &&
  Date.now() - Date.parse(metadata.creationTimestamp ?? '') > SLOW_MS;

async function letGo(kube: Kube, pods: string, { metadata }: Pod): Promise<void> {
  await kube.ask('PATCH', `${pods}/${metadata.name}/status`, {
    body: { status: { conditions: [{ type: GATE, status: 'True' }] } },
    type: 'application/strategic-merge-patch+json',
  });
}
