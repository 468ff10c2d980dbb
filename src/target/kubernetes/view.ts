/** What is kept of pods and ReplicaSets, and what it means. PURE. */
import type { KubeObject } from './client.ts';
import { ANNOTATION, epochOf, LABEL, resourceOf, type SetId } from './names.ts';

interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}
interface ContainerState {
  waiting?: { reason?: string; message?: string };
  running?: object;
  terminated?: { exitCode: number; reason?: string; message?: string; signal?: number };
}
interface ContainerStatus {
  name: string;
  restartCount: number;
  state?: ContainerState;
  lastState?: ContainerState;
}
interface Pod extends KubeObject {
  spec?: { nodeName?: string };
  status?: {
    phase?: string;
    reason?: string;
    message?: string;
    podIP?: string;
    conditions?: Condition[];
    containerStatuses?: ContainerStatus[];
  };
}
interface ReplicaSet extends KubeObject {
  spec: { replicas?: number; template?: { spec?: { containers?: { ports?: ServedPort[] }[] } } };
  status?: { conditions?: Condition[] };
}

export interface PodView {
  name: string;
  uid: string;
  /** The uid of its ReplicaSet. */
  owner: string | undefined;
  createdAt: number;
  scheduled: boolean;
  ready: boolean;
  readySince: number | undefined;
  unreadySince: number | undefined;
  /** It was deleted; it is gone by then at the latest, unless its node does not answer. */
  goneAt: number | undefined;
  /** It ended by itself, and its ReplicaSet has another in its place. */
  over: boolean;
  restarts: number;
  address: string | undefined;
  /** Why it is not ready, in the words of the cluster. */
  message: string | undefined;
  /** Waiting does not help: since when. */
  stuckSince: number | undefined;
}

export interface ServedPort {
  name?: string;
  containerPort: number;
}

export interface SetView extends SetId {
  name: string;
  uid: string;
  replicas: number;
  epoch: number;
  attempts: string[];
  createdAt: number;
  scaledAt: number;
  /** Of its first container. */
  ports: ServedPort[];
  /** Why the cluster makes no pods of it. */
  refused: { message: string; since: number } | undefined;
}

const timeOf = (text: string | undefined): number => (text === undefined ? 0 : Date.parse(text));
const conditionOf = (conditions: Condition[] | undefined, type: string) =>
  conditions?.find((each) => each.type === type);

export function setView(object: KubeObject): SetView {
  const { metadata, spec, status } = object as ReplicaSet;
  const { labels = {}, annotations = {} } = metadata;
  const failure = conditionOf(status?.conditions, 'ReplicaFailure');
  return {
    resource: resourceOf(labels),
    version: labels[LABEL.version] ?? '',
    revision: labels[LABEL.revision] ?? '',
    name: metadata.name,
    uid: metadata.uid,
    replicas: spec.replicas ?? 1,
    epoch: epochOf(object),
    attempts: (annotations[ANNOTATION.attempts] ?? '').split(' ').filter((attempt) => attempt !== ''),
    createdAt: timeOf(metadata.creationTimestamp),
    scaledAt: timeOf(annotations[ANNOTATION.scaled] ?? metadata.creationTimestamp),
    ports: (spec.template?.spec?.containers?.[0]?.ports ?? []).map(({ name, containerPort }) => ({
      ...(name !== undefined && { name }),
      containerPort,
    })),
    refused:
      failure?.status === 'True'
        ? {
            message: `${failure.reason ?? 'refused'}: ${failure.message ?? ''}`,
            since: timeOf(failure.lastTransitionTime),
          }
        : undefined,
  };
}

/** Reasons for which a container waits, and will go on waiting. */
const HOPELESS = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'ImageInspectError',
  'RegistryUnavailable',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
  'CrashLoopBackOff',
]);

/** A node may be added for it, or another pod leave. */
const UNSCHEDULABLE_MS = 20_000;

/** `before`: the pod as it was kept last. A container that crashes again and again runs for a moment in between, and is still stuck. */
export function podView(object: KubeObject, before: PodView | undefined, now: number): PodView {
  const { metadata, spec, status = {} } = object as Pod;
  const ready = conditionOf(status.conditions, 'Ready');
  const isReady = ready?.status === 'True' && metadata.deletionTimestamp === undefined;
  const trouble = isReady ? undefined : troubleOf(status, before, now);
  return {
    name: metadata.name,
    uid: metadata.uid,
    owner: metadata.ownerReferences?.find(({ controller }) => controller)?.uid,
    createdAt: timeOf(metadata.creationTimestamp),
    scheduled: spec?.nodeName !== undefined,
    ready: isReady,
    readySince: isReady ? timeOf(ready?.lastTransitionTime) : undefined,
    unreadySince: isReady ? undefined : timeOf(ready?.lastTransitionTime ?? metadata.creationTimestamp),
    goneAt: metadata.deletionTimestamp === undefined ? undefined : timeOf(metadata.deletionTimestamp),
    over: status.phase === 'Failed' || status.phase === 'Succeeded',
    restarts: isReady ? 0 : Math.max(0, ...(status.containerStatuses ?? []).map(({ restartCount }) => restartCount)),
    address: status.podIP,
    message: trouble?.message ?? (isReady ? undefined : waitingFor(status, ready)),
    stuckSince: trouble?.since,
  };
}

function troubleOf(
  { conditions, containerStatuses = [] }: NonNullable<Pod['status']>,
  before: PodView | undefined,
  now: number,
): { message: string; since: number } | undefined {
  const scheduled = conditionOf(conditions, 'PodScheduled');
  if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable') {
    const since = timeOf(scheduled.lastTransitionTime) + UNSCHEDULABLE_MS;
    return { message: `Unschedulable: ${scheduled.message ?? ''}`, since };
  }
  const since = before?.stuckSince ?? now;
  for (const { name, state, lastState, restartCount } of containerStatuses) {
    const { reason = '', message = '' } = state?.waiting ?? {};
    if (HOPELESS.has(reason)) {
      const ended = lastState?.terminated ?? undefined;
      return { message: `container ${name}: ${reason}: ${ended === undefined ? message : endText(ended)}`, since };
    }
    if (restartCount > 0 && before?.stuckSince !== undefined)
      return { message: before.message ?? `container ${name} was started again ${restartCount} times`, since };
  }
  return undefined;
}

/** `exited with code 1: cannot find module …` */
function endText({ exitCode, reason, message, signal }: NonNullable<ContainerState['terminated']>): string {
  const how = signal ? `ended by signal ${signal}` : `exited with code ${exitCode}`;
  const said = message?.trim() || (reason === 'Error' || reason === 'Completed' ? '' : (reason ?? ''));
  return said === '' ? how : `${how}: ${said}`;
}

function waitingFor(
  { containerStatuses = [], conditions }: NonNullable<Pod['status']>,
  ready: Condition | undefined,
): string {
  for (const { name, state, lastState } of containerStatuses) {
    const { reason, message } = state?.waiting ?? {};
    if (reason !== undefined) return `container ${name}: ${reason}${message ? `: ${message}` : ''}`;
    const ended = state?.terminated ?? lastState?.terminated;
    if (ended !== undefined) return `container ${name} ${endText(ended)}`;
  }
  if (conditionOf(conditions, 'PodScheduled')?.status !== 'True') return 'not scheduled yet';
  return `not ready yet${ready?.message ? `: ${ready.message}` : ''}`;
}

/**
 * The order in which a ReplicaSet gives pods up, the last to go first: as `ActivePodsWithRanks` of the controller has it, as far as a choice
 * between equals does not matter.
 */
export function byWorth(a: PodView, b: PodView): number {
  return (
    Number(b.scheduled) - Number(a.scheduled) ||
    Number(b.ready) - Number(a.ready) ||
    (a.readySince ?? 0) - (b.readySince ?? 0) ||
    a.createdAt - b.createdAt ||
    (a.name < b.name ? -1 : 1)
  );
}
