/** What is done to a node, each step once and in an order in which it can be cut off anywhere and asked for again. */
import { seconds } from '../../../manifest/duration.ts';
import type { ClusterRunnable, ClusterSpec, ResourceId } from '../../../manifest/resource.ts';
import type { Action } from '../../../rollout/decision.ts';
import type { Cache } from '../cache.ts';
import { type Kube, type KubeObject, statusOf } from '../client.ts';
import { drainNode } from './drain.ts';
import { type Job, type JobPodView, type JobView, nodeLabel, outcomeOf, upgradeJob, viewJob } from './job.ts';
import { begun, drained, ended, type NodeUpdate, putBack, takenOut } from './memory.ts';
import type { NodeView } from './node.ts';
import { type Nodes, remember } from './remember.ts';

export interface Acting extends Nodes {
  resource: ResourceId;
  node: string;
  spec: ClusterSpec;
  jobs: Pick<Cache<JobView>, 'get' | 'all' | 'put'>;
  /** Where its Jobs are. */
  namespace: string;
  /** What their pods run `nsenter` from. */
  image: string;
  signal: AbortSignal;
  insist(): void;
  /** What it waits for now. */
  waits(message: string): void;
}

export type NodeAction = Extract<Action, { kind: 'takeOut' | 'update' | 'putBack' }>;

export function carryOut(acting: Acting, action: NodeAction, runnable: ClusterRunnable | undefined): Promise<void> {
  if (action.kind === 'takeOut') return takeOut(acting, action);
  if (action.kind === 'update') return update(acting, action, runnable);
  return back(acting, action);
}

/** Cordoned, and how it was before remembered, in one write; then emptied. */
async function takeOut(acting: Acting, { attempt }: NodeAction & { kind: 'takeOut' }): Promise<void> {
  const { kube, resource, node, spec, signal, insist, waits } = acting;
  const { memory } = await remember(
    ...([acting, resource, node] as const),
    (before, { unschedulable }) => ({
      memory: takenOut(before, attempt, unschedulable, Date.now()),
      unschedulable: true,
    }),
    signal,
  );
  const out = memory?.out;
  if (out === undefined || out.drained || out.failed !== undefined) return;
  const until = out.since + seconds(spec.upgrade.drain.timeout) * 1000;
  const failed = await drainNode({ kube, node, until, signal, insist, waits });
  await remember(acting, resource, node, (before) => ({ memory: drained(before, attempt, failed) }), signal);
}

/**
 * The Job is made suspended, then the node remembers it as the one that it is, then it is let run. Cut off before the node
 * remembers it, nothing has run; after that, no other is made.
 */
async function update(
  acting: Acting,
  { attempt, change }: NodeAction & { kind: 'update' },
  runnable: ClusterRunnable | undefined,
): Promise<void> {
  const { resource, node, signal, image } = acting;
  const { version, script } = runnable ?? {};
  if (version === undefined || script === undefined) throw new Error(`${attempt} has nothing to run`);
  if (change.undo.length > 0) throw new Error('a cluster is never downgraded');
  const job = await made(acting, upgradeJob({ resource, node, attempt, version, script }, image));
  await remember(
    ...([acting, resource, node] as const),
    (before) =>
      before.update?.attempt === attempt
        ? { memory: before }
        : { memory: begun(before, { attempt, job: job.name, uid: job.uid }, change.to) },
    signal,
  );
  await letRun(acting, job);
}

const jobsPath = (namespace: string): string => `/apis/batch/v1/namespaces/${namespace}/jobs`;

/** As it is, where it is there already. */
async function made({ kube, jobs, namespace, signal }: Acting, body: ReturnType<typeof upgradeJob>): Promise<JobView> {
  const path = jobsPath(namespace);
  try {
    return noted(jobs, await kube.ask<KubeObject>('POST', path, { body, signal }));
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
    return noted(jobs, await kube.ask<KubeObject>('GET', `${path}/${body.metadata.name}`, { signal }));
  }
}

function noted(jobs: Pick<Cache<JobView>, 'put'>, object: KubeObject): JobView {
  jobs.put(object);
  return viewJob(object as Job);
}

/** Only this one: another of its name is not let run. */
async function letRun({ kube, jobs, namespace, signal }: Acting, { name, uid, suspended }: JobView): Promise<void> {
  if (!suspended) return;
  const body = { metadata: { uid }, spec: { suspend: false } };
  const type = 'application/merge-patch+json';
  noted(jobs, await kube.ask<KubeObject>('PATCH', `${jobsPath(namespace)}/${name}`, { body, type, signal }));
}

/** Goes on with what the node remembers and nobody ended: a Job that was not let run, an outcome that was not written down. */
export async function goOn(acting: Acting, { memory }: NodeView, pod: JobPodView | undefined): Promise<void> {
  const { resource, node, signal } = acting;
  const update = memory?.update;
  if (update === undefined || update.state !== undefined || memory?.resource !== resource) return;
  const job = await found(acting, update);
  if (job?.suspended) return letRun(acting, job);
  const outcome = job === undefined ? GONE : outcomeOf(job, pod);
  if (outcome === undefined) return;
  await remember(acting, resource, node, (before) => ({ memory: ended(before, update.attempt, outcome) }), signal);
  await forgetJobs(acting, update.job);
}

/** What is not there any more is asked for once more before it counts as gone. */
async function found({ kube, jobs, namespace, signal }: Acting, { job: name, uid }: NodeUpdate) {
  const known = jobs.get(name);
  if (known?.uid === uid) return known;
  const there = await kube.find<KubeObject>(`${jobsPath(namespace)}/${name}`, { signal });
  return there?.metadata.uid === uid ? noted(jobs, there) : undefined;
}

const GONE = { state: 'unknown', message: 'its Job is gone, and left no outcome' } as const;

/** Of earlier attempts on the node: the output of the last one is kept. */
async function forgetJobs({ kube, jobs, namespace, node, signal }: Acting, last: string): Promise<void> {
  const old = [...jobs.all()].filter(
    (job) => job.node === nodeLabel(node) && job.end !== undefined && job.name !== last,
  );
  for (const { name } of old)
    await kube.ask('DELETE', `${jobsPath(namespace)}/${name}`, { query: { propagationPolicy: 'Background' }, signal });
}

/** Uncordoned, unless it was cordoned before. */
async function back(
  { resource, node, signal, ...nodes }: Acting,
  { cordoned }: NodeAction & { kind: 'putBack' },
): Promise<void> {
  await remember(nodes, resource, node, (before) => ({ memory: putBack(before), unschedulable: cordoned }), signal);
}

/** Whether the Job could be made, its pod and all: asked of the API, which makes nothing. */
export function tryJob(kube: Kube, namespace: string, body: ReturnType<typeof upgradeJob>, signal: AbortSignal) {
  return kube.ask('POST', jobsPath(namespace), { body, query: { dryRun: 'All' }, signal });
}
