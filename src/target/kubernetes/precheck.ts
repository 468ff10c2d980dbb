/** What must hold before pods are started. Looks, changes nothing; each answer says what to do. */
import { formatPath } from '../../manifest/diagnostic.ts';
import type { ReplicasSpec, Runnable } from '../../manifest/resource.ts';
import type { KubernetesTarget } from '../../manifest/target.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import { askAll, fail, orPass, pass, secrets as secretsThere, warn } from '../local/precheck.ts';
import type { SecretSource } from '../ports.ts';
import { type Kube, type KubeObject, statusOf } from './client.ts';
import { notHonouredByKubernetes, notRunByKubernetes } from './honour.ts';
import type { Images } from './images.ts';
import { corePath, nameOf, type Scope, scalersPath } from './names.ts';
import type { Scaler } from './scalers.ts';

export interface AskedOfKubernetes {
  kube: Kube;
  scope: Scope;
  target: KubernetesTarget;
  secrets: SecretSource;
  images: Pick<Images, 'look'>;
  spec: ReplicasSpec;
  runnable: Runnable;
}

export async function precheckKubernetes(asked: AskedOfKubernetes): Promise<PrecheckResult[]> {
  const [answer] = await askAll({ cluster }, asked);
  if (answer?.result === 'fail') return [answer];
  const others = await askAll({ namespace, permissions, images, secrets, gateway, scaler, fields }, asked);
  return answer === undefined ? others : [answer, ...others];
}

/** `sleep` of `preStop`, which keeps a pod serving until nothing new comes, is there from then on. */
const OLDEST_MINOR = 30;

async function cluster({ kube }: AskedOfKubernetes): Promise<PrecheckResult[]> {
  try {
    const { gitVersion, major, minor } = await kube.ask<{ gitVersion: string; major: string; minor: string }>(
      'GET',
      '/version',
    );
    if (major === '1' && Number.parseInt(minor, 10) < OLDEST_MINOR)
      return [fail('cluster', `${kube.server}: Kubernetes ${gitVersion} is too old`, 'upgrade it to 1.30 or later')];
    return [pass('cluster', `Kubernetes ${gitVersion} answers at ${kube.server}`)];
  } catch (error) {
    const remedy = 'start it, or correct the context of the target';
    return [fail('cluster', (error as Error).message, remedy)];
  }
}

async function namespace({ kube, scope }: AskedOfKubernetes): Promise<PrecheckResult[]> {
  const remedy = `kubectl create namespace ${scope.namespace}, or correct \`kubernetes.namespace\``;
  try {
    const found = await kube.find(`/api/v1/namespaces/${scope.namespace}`);
    return found === undefined ? [fail('namespace', `there is no namespace ${scope.namespace}`, remedy)] : [];
  } catch (error) {
    // Whoever may not look at namespaces may still use one.
    if (statusOf(error) === 403) return [];
    throw error;
  }
}

/** Each as group, resource and verbs: the least that the driver needs. */
const NEEDED: [group: string, resource: string, verbs: string[]][] = [
  ['', 'pods', ['list', 'watch']],
  ['apps', 'replicasets', ['get', 'list', 'watch', 'create', 'patch', 'delete']],
  ['', 'services', ['get', 'list', 'watch', 'create', 'patch', 'delete']],
  ['', 'configmaps', ['get', 'create', 'update']],
  ['', 'secrets', ['get', 'create', 'delete']],
  ['', 'persistentvolumeclaims', ['list', 'create', 'delete']],
  ['autoscaling', 'horizontalpodautoscalers', ['get', 'list', 'watch', 'patch']],
];
const ROUTES: (typeof NEEDED)[number] = [
  'gateway.networking.k8s.io',
  'httproutes',
  ['get', 'list', 'watch', 'create', 'patch', 'delete'],
];

async function permissions({ kube, scope, target }: AskedOfKubernetes): Promise<PrecheckResult[]> {
  const asked = [...NEEDED, ...(target.gateway === undefined ? [] : [ROUTES])].flatMap(([group, resource, verbs]) =>
    verbs.map((verb) => ({ group, resource, verb })),
  );
  const missing: string[] = [];
  await Promise.all(
    asked.map(async ({ group, resource, verb }) => {
      const spec = { resourceAttributes: { namespace: scope.namespace, group, resource, verb } };
      const review = await kube.ask<{ status?: { allowed?: boolean } }>(
        'POST',
        '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        { body: { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec } },
      );
      if (review.status?.allowed !== true) missing.push(`${verb} ${resource}`);
    }),
  );
  if (missing.length === 0) return [pass('permissions', 'all that is needed is allowed')];
  const message = `the operator may not ${missing.sort().join(', ')} in namespace ${scope.namespace}`;
  return [fail('permissions', message, 'give it the Role of deploy/kubernetes')];
}

async function images({ images: known, runnable }: AskedOfKubernetes): Promise<PrecheckResult[]> {
  const looks = await known.look(runnable);
  const told = looks.flatMap(({ image, recorded, now }): PrecheckResult[] => {
    if ('error' in now) return recorded === undefined ? [unresolved(image, now.error)] : [];
    if (recorded === undefined || recorded.endsWith(`@${now.digest}`)) return [];
    const message = `the tag ${image} has moved to ${now.digest} since this revision first ran; it runs ${recorded} again`;
    return [warn('images', message, 'commit another tag to run what the tag stands for now')];
  });
  const count = runnable.template.spec.containers.length;
  return orPass(told, 'images', `${count} ${count === 1 ? 'is' : 'are'} known by digest`);
}

/** No failure: what the operator cannot reach, the nodes may. */
const unresolved = (image: string, { message }: Error) =>
  warn(
    'images',
    `what ${image} stands for is not known: ${message}; each node resolves it when it pulls, so a tag that is moved gives pods of one revision different images`,
    'never move a tag; let the operator reach the registry, or name it with a secret under `kubernetes.registries`',
  );

/** Of `--secrets-dir`, or of the namespace as they are. */
function secrets({ kube, scope, secrets: source, runnable }: AskedOfKubernetes): Promise<PrecheckResult[]> {
  const read: SecretSource['read'] = async (name) => {
    const given = await source.read(name);
    if (given !== undefined) return given;
    const found = await kube.find<KubeObject & { data?: Record<string, string> }>(corePath(scope, 'secrets', name));
    return found && Object.fromEntries(Object.keys(found.data ?? {}).map((key) => [key, Buffer.alloc(0)]));
  };
  return secretsThere({ host: { secrets: { read } }, runnable });
}

async function gateway({ kube, scope, target }: AskedOfKubernetes): Promise<PrecheckResult[]> {
  if (target.gateway === undefined) return [];
  const { name, namespace = scope.namespace } = target.gateway;
  const path = `/apis/gateway.networking.k8s.io/v1/namespaces/${namespace}/gateways/${name}`;
  try {
    const found = await kube.find<
      KubeObject & { status?: { conditions?: { type: string; status: string; message?: string }[] } }
    >(path);
    if (found === undefined) {
      const remedy = 'make it, correct `kubernetes.gateway`, or install the Gateway API';
      return [fail('gateway', `there is no Gateway ${name} in namespace ${namespace}`, remedy)];
    }
    const programmed = found.status?.conditions?.find(({ type }) => type === 'Programmed');
    if (programmed?.status === 'True') return [pass('gateway', `Gateway ${name} is programmed`)];
    const why = programmed?.message ?? 'nobody programs it';
    return [warn('gateway', `Gateway ${name} is not programmed: ${why}`, 'look at its controller')];
  } catch (error) {
    if (statusOf(error) !== 403) throw error;
    const remedy = `allow the operator to get gateways in namespace ${namespace}`;
    return [warn('gateway', `Gateway ${name} cannot be looked at`, remedy)];
  }
}

/** Who else says how many replicas there are. */
async function scaler({ kube, scope, spec, runnable }: AskedOfKubernetes): Promise<PrecheckResult[]> {
  const { items } = await kube.ask<{ items: Scaler[] }>('GET', scalersPath(scope)).catch((error) => {
    if (statusOf(error) === 403) return { items: [] as Scaler[] };
    throw error;
  });
  const name = nameOf(runnable.resource);
  const isSet = new RegExp(spec.kind === 'Workload' ? `^${name}(-[0-9a-f]{10})?$` : `^${name}-.*-[0-9a-f]{10}$`);
  const [first, ...others] = items
    .filter(({ spec: { scaleTargetRef: to } }) => to.kind === 'ReplicaSet' && isSet.test(to.name))
    .map(({ metadata }) => metadata.name)
    .sort();
  if (first === undefined) return [];
  const who = `HorizontalPodAutoscaler ${first}`;
  if (spec.kind === 'Service') {
    const message = `${who} scales a version of ${name}: Sluice puts \`replicas\` back`;
    return [warn('scaler', message, 'delete it, and let commits say how many there are; or declare a Workload')];
  }
  if (others.length > 0)
    return [warn('scaler', `${who} and ${others.join(', ')} scale ${name}: only the first counts`, 'keep one')];
  return [pass('scaler', `${who} says how many replicas there are, and is held while a rollout lasts`)];
}

function fields({ spec, runnable, target }: AskedOfKubernetes): PrecheckResult[] {
  const wrong = [
    ...notRunByKubernetes(nameOf(runnable.resource), spec, target),
    ...notHonouredByKubernetes(runnable.template).map((each) => ({ ...each, path: ['template', ...each.path] })),
  ].map(({ path, result, message, remedy }) => ({
    ...{ name: 'fields', result, message: `${formatPath(path)}: ${message}`, remedy },
  }));
  return orPass(wrong, 'fields', 'all can be honoured');
}
