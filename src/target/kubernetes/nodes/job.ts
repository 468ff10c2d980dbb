/**
 * The Job that upgrades a node: one pod, pinned on it, which runs the script on the node itself. It is made suspended and let run once the
 * node remembers it, so that it never runs twice: a Job that the node remembers and that is gone is not made again. PURE.
 */
import { hash } from 'node:crypto';
import { seconds } from '../../../manifest/duration.ts';
import type { ResourceId, Script } from '../../../manifest/resource.ts';
import { rolloutOf } from '../../hosts/attempts.ts';
import type { KubeObject } from '../client.ts';
import { ALREADY, RUN_ON_NODE, SIGNALED, TIMED_OUT } from './script.ts';

export interface Upgrade {
  resource: ResourceId;
  node: string;
  attempt: string;
  version: string;
  script: Script;
}

export const NODE_LABEL = 'sluice/upgrades-node';
const ATTEMPT = 'sluice/attempt';

/** With `nsenter` and `sh`. */
export const UPGRADE_IMAGE = 'busybox:1.37';

/** So much longer than its script a Job may take: its image is pulled, its pod is started. */
const STARTING_SECONDS = 300;

/** A node's name may be longer than a label or the name of a Job. */
const digestOf = (text: string): string => hash('sha256', text).slice(0, 10);
export const nodeLabel = (node: string): string =>
  node.length <= 63 ? node : `${node.slice(0, 50)}-${digestOf(node)}`;

/** The same for the same attempt, so that it is made once, whoever makes it. */
export function jobName(resource: ResourceId, attempt: string): string {
  const readable = attempt.replaceAll('.', '-').slice(-45).replace(/^-+/, '');
  return `sluice-${readable}-${digestOf(`${resource} ${attempt}`)}`;
}

export function upgradeJob({ resource, node, attempt, version, script }: Upgrade, image: string) {
  const limit = seconds(script.timeout);
  const env = {
    SLUICE_RESOURCE: resource,
    SLUICE_ROLLOUT: rolloutOf(attempt),
    SLUICE_INSTANCE: node,
    SLUICE_VERSION: version,
  };
  const labels = { [NODE_LABEL]: nodeLabel(node) };
  const given = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: jobName(resource, attempt), labels, annotations: { [ATTEMPT]: attempt } },
    spec: {
      suspend: true,
      backoffLimit: 0,
      activeDeadlineSeconds: limit + STARTING_SECONDS,
      template: {
        metadata: { labels, annotations: { [ATTEMPT]: attempt } },
        spec: {
          nodeName: node,
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
              image,
              command: ['nsenter', '-t', '1', '-m', '-u', '-i', '-n', '-p', '--', 'sh', '-c', RUN_ON_NODE, 'sh'],
              args: [ATTEMPTS_FOLDER, attempt, String(limit), script.run, ...given],
              securityContext: { privileged: true },
              terminationMessagePolicy: 'FallbackToLogsOnError',
            },
          ],
        },
      },
    },
  };
}

/** On the node. */
const ATTEMPTS_FOLDER = '/var/lib/sluice/attempts';

export interface Job extends KubeObject {
  spec: { suspend?: boolean };
  status?: { conditions?: { type: string; status: string; reason?: string; message?: string }[] };
}
export interface JobView {
  name: string;
  uid: string;
  /** As `nodeLabel` says it. */
  node: string;
  suspended: boolean;
  end?: { state: 'succeeded' | 'failed'; reason: string; message: string };
}

export function viewJob({ metadata, spec, status }: Job): JobView {
  const condition = status?.conditions?.find(
    ({ type, status }) => status === 'True' && (type === 'Complete' || type === 'Failed'),
  );
  const { type, reason = '', message = '' } = condition ?? {};
  return {
    name: metadata.name,
    uid: metadata.uid,
    node: metadata.labels?.[NODE_LABEL] ?? '',
    suspended: spec.suspend === true,
    ...(type !== undefined && { end: { state: type === 'Complete' ? 'succeeded' : 'failed', reason, message } }),
  };
}

/** The pod of such a Job, as far as it tells how it goes. */
export interface JobPod extends KubeObject {
  status?: {
    phase?: string;
    reason?: string;
    message?: string;
    containerStatuses?: {
      state?: {
        waiting?: { reason?: string; message?: string };
        terminated?: { exitCode: number; reason?: string; message?: string };
      };
    }[];
  };
}
export interface JobPodView {
  /** Of its Job. */
  job: string;
  /** What keeps it from starting; empty: nothing. */
  waiting: string;
  exit?: { code: number; said: string };
  /** What the node says of it, when it ended it. */
  ended: string;
}

export function viewJobPod({ metadata, status }: JobPod): JobPodView {
  const { waiting, terminated } = status?.containerStatuses?.[0]?.state ?? {};
  const owner = metadata.ownerReferences?.find(({ kind }) => kind === 'Job');
  return {
    job: owner?.uid ?? '',
    waiting: joined(waiting?.reason === 'ContainerCreating' ? '' : waiting?.reason, waiting?.message),
    ...(terminated && { exit: { code: terminated.exitCode, said: lastLine(terminated.message) } }),
    ended: joined(status?.reason, status?.message),
  };
}

const joined = (reason = '', message = ''): string => [reason, message].filter((text) => text !== '').join(': ');

const lastLine = (text = ''): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .at(-1)
    ?.slice(0, 300) ?? '';

export interface Outcome {
  state: 'succeeded' | 'failed' | 'unknown';
  message: string;
}

/** Undefined: it has not ended. What may have run in part, and left no outcome, is unknown. */
export function outcomeOf({ end }: JobView, pod: JobPodView | undefined): Outcome | undefined {
  if (end === undefined) return undefined;
  if (end.state === 'succeeded') return { state: 'succeeded', message: '' };
  const { exit, waiting = '', ended = '' } = pod ?? {};
  if (exit?.code === ALREADY) return { state: 'unknown', message: exit.said };
  if (exit !== undefined && exit.code <= SIGNALED) return { state: 'failed', message: exitText(exit) };
  if (end.reason === DEADLINE || (pod !== undefined && exit === undefined))
    return { state: 'failed', message: `its Job failed: ${waiting || ended || joined(end.reason, end.message)}` };
  const what = exit === undefined ? 'its pod is gone' : joined('its pod was killed', ended);
  return { state: 'unknown', message: `${what}, and left no outcome` };
}

const DEADLINE = 'DeadlineExceeded';

function exitText({ code, said }: { code: number; said: string }): string {
  if (code === TIMED_OUT || code === SIGNALED) return said;
  return said === '' ? `exited with code ${code}` : `exited with code ${code}: ${said}`;
}
