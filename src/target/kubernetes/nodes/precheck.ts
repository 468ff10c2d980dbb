/** What must hold in a cluster before one of its nodes is touched. Looks, changes nothing; each answer says what to do. */
import { formatPath } from '../../../manifest/diagnostic.ts';
import type { ClusterRunnable, ClusterSpec, ResourceId } from '../../../manifest/resource.ts';
import type { Plan } from '../../../plan/plan.ts';
import type { PrecheckResult } from '../../../rollout/state.ts';
import { askHttp } from '../../local/handler.ts';
import { askAll, fail, orPass, pass, warn } from '../../local/precheck.ts';
import { type Kube, type KubeObject, statusOf } from '../client.ts';
import { tryJob } from './acts.ts';
import { type Budget, blocking } from './budgets.ts';
import { deprecatedApis, isRemoved } from './deprecated.ts';
import { notHonouredByNodes } from './honour.ts';
import { upgradeJob } from './job.ts';
import type { NodeView } from './node.ts';
import { listed, type Pod, type PodView, podName, viewPod } from './pods.ts';

export interface NodesAsked {
  kube: Kube;
  resource: ResourceId;
  spec: ClusterSpec;
  runnable: ClusterRunnable;
  plan: Plan;
  nodes: NodeView[];
  namespace: string;
  image: string;
  signal: AbortSignal;
}

/** All of them run, whatever the others say. */
export async function precheckNodes(asked: NodesAsked): Promise<PrecheckResult[]> {
  let listing: Promise<PodView[]> | undefined;
  const pods = () => {
    listing ??= planned(asked);
    return listing;
  };
  return askAll(
    {
      ...{ 'API server': ready, version, permissions, nodes: answering, pressure, 'operating system': system },
      ...{ 'disruption budgets': budgets, 'pods without a controller': lost, 'deprecated APIs': deprecated },
      ...{ 'upgrade Job': job, 'earlier upgrades': earlier, fields, prechecks: declared },
    },
    { ...asked, pods },
  );
}

type Asked = NodesAsked & { pods(): Promise<PodView[]> };

async function ready({ kube, signal }: Asked): Promise<PrecheckResult[]> {
  const name = 'API server';
  try {
    await kube.ask('GET', '/readyz', { signal });
    return [pass(name, 'it says that it is ready')];
  } catch (error) {
    const { message } = error as Error;
    const failed = [...message.matchAll(/^\[-\](\S+)/gm)].map(([, check]) => check ?? '');
    const what = failed.length > 0 ? `it is not ready: ${listed(failed)} failed` : message;
    return [fail(name, what, 'see kubectl get --raw "/readyz?verbose", then retry')];
  }
}

/** A node is never newer than what it asks; the engine holds it to the nodes of the control plane, where there are such. */
async function version({ kube, spec, nodes, signal }: Asked): Promise<PrecheckResult[]> {
  const { gitVersion } = await kube.ask<{ gitVersion: string }>('GET', '/version', { signal });
  const name = 'API version';
  const serves = `the API server runs ${gitVersion}`;
  if (nodes.some(({ controlPlane }) => controlPlane)) return [pass(name, serves)];
  const [has, wants] = [minorOf(gitVersion), minorOf(spec.version)];
  if (has !== undefined && wants !== undefined && wants <= has)
    return [pass(name, `${serves}; nodes of the control plane are not shown`)];
  const message = `${serves}, and no node of its control plane is shown: a node with ${spec.version} would be newer`;
  return [fail(name, message, 'upgrade the control plane first, where it is run')];
}

function minorOf(text: string): number | undefined {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(text) ?? [];
  return minor === undefined ? undefined : Number(major) * 1000 + Number(minor);
}

/** What is done on the way. */
const NEEDED: { verb: string; group?: string; resource: string; subresource?: string; everywhere: boolean }[] = [
  { verb: 'watch', resource: 'nodes', everywhere: true },
  { verb: 'patch', resource: 'nodes', everywhere: true },
  { verb: 'watch', resource: 'pods', everywhere: true },
  { verb: 'create', resource: 'pods', subresource: 'eviction', everywhere: true },
  ...['create', 'watch', 'patch', 'delete'].map((verb) => ({
    verb,
    group: 'batch',
    resource: 'jobs',
    everywhere: false,
  })),
];

async function permissions({ kube, namespace, signal }: Asked): Promise<PrecheckResult[]> {
  const name = 'permissions';
  const answers = await Promise.all(
    NEEDED.map(async ({ everywhere, ...rest }) => {
      const resourceAttributes = { ...rest, ...(!everywhere && { namespace }) };
      const body = {
        ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview' },
        spec: { resourceAttributes },
      };
      const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
      const { status } = await kube.ask<{ status: { allowed: boolean } }>('POST', path, { body, signal });
      const what = [rest.resource, rest.subresource].filter(Boolean).join('/');
      return { allowed: status.allowed, text: `${rest.verb} ${what}${everywhere ? '' : ` in ${namespace}`}` };
    }),
  );
  const missing = answers.filter(({ allowed }) => !allowed).map(({ text }) => text);
  if (missing.length === 0) return [pass(name, 'the operator may do what an upgrade takes')];
  return [fail(name, `the operator may not ${missing.join(', ')}`, 'give it what deploy/kubernetes/nodes.yaml has')];
}

function answering({ nodes }: Asked): PrecheckResult[] {
  const name = 'nodes';
  if (nodes.length === 0) return [fail(name, 'the cluster has no nodes', 'let nodes join it')];
  const wrong = nodes.filter(({ unready }) => unready !== undefined).map(({ name, unready }) => `${name} (${unready})`);
  if (wrong.length === 0) return [pass(name, `${nodes.length} ready`)];
  return [fail(name, listed(wrong), 'bring them up, or delete those that are no more, then retry')];
}

function pressure({ nodes }: Asked): PrecheckResult[] {
  const name = 'pressure';
  const wrong = nodes
    .filter(({ pressures }) => pressures.length > 0)
    .map(({ name, pressures }) => `${name} (${pressures.join('; ')})`);
  if (wrong.length === 0) return [pass(name, 'no node is short of disk, memory or processes')];
  return [fail(name, listed(wrong), 'free what is short there, then retry')];
}

function system({ nodes, plan }: Asked): PrecheckResult[] {
  const units = unitsOf(plan);
  const wrong = nodes.filter(({ name, os }) => units.has(name) && os !== '' && os !== 'linux');
  if (wrong.length === 0) return [];
  const message = `${listed(wrong.map(({ name, os }) => `${name} (${os})`))}: the script runs through nsenter, on Linux`;
  return [fail('operating system', message, 'keep such nodes in a cluster of their own')];
}

const unitsOf = ({ stages }: Plan): Set<string> =>
  new Set(stages.flatMap(({ goal }) => (goal.kind === 'units' ? Object.keys(goal.want) : [])));

const PAGE = 500;

/** Pods of the nodes that the plan upgrades. */
async function planned({ kube, plan, signal }: NodesAsked): Promise<PodView[]> {
  const units = unitsOf(plan);
  const pods: PodView[] = [];
  let next: string | undefined;
  do {
    const query = { limit: PAGE, continue: next };
    const page = await kube.ask<Page<Pod>>('GET', '/api/v1/pods', { query, signal });
    pods.push(...page.items.map(viewPod).filter(({ node }) => units.has(node)));
    next = page.metadata.continue || undefined;
  } while (next !== undefined);
  return pods;
}
interface Page<T extends KubeObject> {
  metadata: { continue?: string };
  items: T[];
}

async function budgets({ kube, pods, signal }: Asked): Promise<PrecheckResult[]> {
  const name = 'disruption budgets';
  const { items } = await kube.ask<Page<Budget>>('GET', '/apis/policy/v1/poddisruptionbudgets', { signal });
  const found = blocking(items, await pods());
  const of = (wanted: 'never' | 'now') => found.filter(({ when }) => when === wanted).map(({ text }) => text);
  const [never, now] = [of('never'), of('now')];
  const remedy = 'more replicas, or a budget that lets one pod go, then retry';
  return orPass(
    [
      ...(never.length === 0 ? [] : [fail(name, `these let no pod go: ${listed(never)}`, remedy)]),
      ...(now.length === 0
        ? []
        : [warn(name, `these let no pod go now: ${listed(now)}`, 'see what is not well there')]),
    ],
    name,
    items.length === 0 ? 'there are none' : 'none of them holds back a drain',
  );
}

async function lost({ pods }: Asked): Promise<PrecheckResult[]> {
  const name = 'pods without a controller';
  const found = (await pods()).filter(({ fate }) => fate === 'lost').map((pod) => `${podName(pod)} on ${pod.node}`);
  if (found.length === 0) return [pass(name, 'every pod would be started again elsewhere')];
  return [fail(name, `nobody would start these again: ${listed(found)}`, 'give them a controller, or delete them')];
}

/** Counted since the API server was started. */
async function deprecated({ kube, spec, signal }: Asked): Promise<PrecheckResult[]> {
  const name = 'deprecated APIs';
  let metrics: string;
  try {
    metrics = await kube.ask<string>('GET', '/metrics', { signal });
  } catch (error) {
    if (statusOf(error) !== 403 && statusOf(error) !== 404) throw error;
    return [warn(name, `not known: ${(error as Error).message}`, 'let the operator get /metrics (nonResourceURLs)')];
  }
  const apis = deprecatedApis(metrics);
  const told = (those: typeof apis) =>
    listed(those.map(({ name, removedIn }) => (removedIn ? `${name} (not in ${removedIn.text})` : name)));
  const removed = apis.filter((api) => isRemoved(api, spec.version));
  const later = apis.filter((api) => !removed.includes(api));
  const remedy = 'find who asks in the audit log (annotation k8s.io/deprecated), and change it';
  return orPass(
    [
      ...(removed.length === 0
        ? []
        : [fail(name, `${spec.version} does not serve what was asked for: ${told(removed)}`, remedy)]),
      ...(later.length === 0 ? [] : [warn(name, `asked for, and to be removed later: ${told(later)}`, remedy)]),
    ],
    name,
    'nobody asks for any',
  );
}

/** Whether the API would take it, with all that decides on it there. */
async function job({
  kube,
  resource,
  spec,
  runnable,
  nodes,
  namespace,
  image,
  signal,
}: Asked): Promise<PrecheckResult[]> {
  const name = 'upgrade Job';
  const { script, version } = runnable;
  const [first] = nodes;
  if (script === undefined || first === undefined) return [];
  const body = upgradeJob({ resource, node: first.name, attempt: `${first.name}.precheck.0`, version, script }, image);
  try {
    await tryJob(kube, namespace, body, signal);
  } catch (error) {
    const remedy = `correct this, or let Target ${spec.target} name another namespace`;
    return [fail(name, `namespace ${namespace} takes no such Job: ${(error as Error).message}`, remedy)];
  }
  const space = await kube.find<KubeObject>(`/api/v1/namespaces/${namespace}`, { signal }).catch(() => undefined);
  const enforced = space?.metadata.labels?.[ENFORCE] ?? 'privileged';
  if (enforced === 'privileged') return [pass(name, `namespace ${namespace} takes it`)];
  const message = `namespace ${namespace} enforces pod security ${enforced}, and the Job is privileged`;
  return [fail(name, message, `kubectl label namespace ${namespace} ${ENFORCE}=privileged, or name another namespace`)];
}
const ENFORCE = 'pod-security.kubernetes.io/enforce';

/** Also of another operator, or of one that nobody knows any more. */
function earlier({ nodes, resource }: Asked): PrecheckResult[] {
  const name = 'earlier upgrades';
  const told: PrecheckResult[] = [];
  for (const { name: node, memory, unreadable, unschedulable } of nodes) {
    const remedy = `see kubectl describe node ${node}`;
    if (unreadable !== undefined) told.push(fail(name, `${node}: ${unreadable}`, remedy));
    else if (memory?.out !== undefined && memory.resource !== resource)
      told.push(fail(name, `${node} is out of service by ${memory.resource}`, 'let that put it back first'));
    else if (memory?.update !== undefined && memory.update.state === undefined)
      told.push(fail(name, `${node}: ${memory.update.attempt} still runs`, 'wait until it has ended; see sluice logs'));
    else if (memory?.update?.state === 'unknown')
      told.push(
        warn(name, `${node}: ${memory.update.attempt}: ${memory.update.message}`, 'see sluice logs, and the node'),
      );
    else if (memory?.out !== undefined)
      told.push(
        warn(name, `${node} is out of service since ${memory.out.attempt}`, 'it is put back in with this rollout'),
      );
    else if (unschedulable)
      told.push(warn(name, `${node} is cordoned, and stays so`, `kubectl uncordon ${node}, if it should not be`));
  }
  return orPass(told, name, 'none is unfinished');
}

function fields({ spec, runnable }: Asked): PrecheckResult[] {
  return notHonouredByNodes({ spec, runnable }).map(({ path, message, remedy }) =>
    fail('fields', `${formatPath(path)}: ${message}`, remedy),
  );
}

const HTTP_MS = 5_000;

async function declared({ spec }: Asked): Promise<PrecheckResult[]> {
  const results: PrecheckResult[] = [];
  for (const [index, check] of spec.prechecks.entries()) {
    if (!('http' in check)) continue;
    const name = `prechecks[${index}]`;
    const { pass: passed, message } = await askHttp(new URL(check.http.url ?? ''), HTTP_MS);
    results.push(passed ? pass(name, message) : fail(name, message, 'see to what it asks for, then retry'));
  }
  return results;
}
