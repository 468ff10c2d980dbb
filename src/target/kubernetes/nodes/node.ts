/** A node as its cluster shows it, and in the engine's words. PURE. */
import type { ResourceId } from '../../../manifest/resource.ts';
import type { LiveAttempt, LiveInstance } from '../../../plan/live.ts';
import type { KubeObject } from '../client.ts';
import { type JobPodView, type JobView, outcomeOf } from './job.ts';
import { type NodeMemory, type Remembered, readMemory } from './memory.ts';

export interface Node extends KubeObject {
  spec: { unschedulable?: boolean };
  status?: {
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
    nodeInfo?: { kubeletVersion?: string; operatingSystem?: string };
    addresses?: { type: string; address: string }[];
  };
}

export interface NodeView extends Remembered {
  name: string;
  resourceVersion: string;
  controlPlane: boolean;
  unschedulable: boolean;
  /** Of its kubelet, without the `v`; empty: it did not say yet. */
  version: string;
  os: string;
  /** Why it is not ready; absent: it is. */
  unready?: string;
  /** `DiskPressure: kubelet has disk pressure` */
  pressures: string[];
  address?: string;
}

const CONTROL_PLANE = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master'];
const PRESSURES = ['DiskPressure', 'MemoryPressure', 'PIDPressure', 'NetworkUnavailable'];

export function viewNode({ metadata, spec, status = {} }: Node): NodeView {
  const { conditions = [], nodeInfo = {}, addresses = [] } = status;
  const unready = unreadyText(conditions.find(({ type }) => type === 'Ready'));
  const address = addresses.find(({ type }) => type === 'InternalIP')?.address;
  return {
    name: metadata.name,
    resourceVersion: metadata.resourceVersion,
    controlPlane: CONTROL_PLANE.some((label) => metadata.labels?.[label] !== undefined),
    unschedulable: spec.unschedulable === true,
    version: (nodeInfo.kubeletVersion ?? '').replace(/^v/, ''),
    os: nodeInfo.operatingSystem ?? '',
    ...(unready !== undefined && { unready }),
    pressures: conditions
      .filter(({ type, status }) => PRESSURES.includes(type) && status === 'True')
      .map(({ type, message }) => (message ? `${type}: ${message}` : type)),
    ...(address !== undefined && { address }),
    ...readMemory(metadata.annotations),
  };
}

type Condition = NonNullable<NonNullable<Node['status']>['conditions']>[number];

function unreadyText(ready: Condition | undefined): string | undefined {
  if (ready === undefined) return 'it has not said yet that it is ready';
  if (ready.status === 'True') return undefined;
  return `not ready: ${[ready.reason, ready.message].filter(Boolean).join(': ') || ready.status}`;
}

const byName = new Intl.Collator('en', { numeric: true });

/** The control plane first, then by name: the order in which they are upgraded. */
export const inOrder = (a: NodeView, b: NodeView): number =>
  Number(b.controlPlane) - Number(a.controlPlane) || byName.compare(a.name, b.name);

/** What is known of a node besides itself. */
export interface Around {
  resource: ResourceId;
  /** What was accepted and is not seen yet: shown as begun. */
  accepted?: { takeOut?: string; update?: string };
  /** What went wrong with what was accepted last, or what a drain waits for. */
  trouble?: string;
  /** The Job that it remembers, and that one's pod. */
  job?: JobView;
  pod?: JobPodView;
}

export function liveNode(node: NodeView, around: Around): LiveInstance {
  const memory = node.memory?.resource === around.resource ? node.memory : undefined;
  const update = updateOf(memory, around);
  const drain = drainOf(memory, around);
  const message = node.unready ?? node.unreadable ?? around.trouble ?? node.pressures[0];
  return {
    id: node.name,
    created: false,
    controlPlane: node.controlPlane,
    applied: memory?.applied ?? [],
    ready: node.unready === undefined,
    service: serviceOf(memory, around),
    cordoned: node.unschedulable,
    ...(memory?.out && { cordonedBefore: memory.out.cordoned }),
    ...(update && { attempt: update }),
    ...(drain && { drain }),
    ...(node.version !== '' && { version: node.version }),
    ...(node.address !== undefined && { address: node.address }),
    restarts: 0,
    ...(message !== undefined && { message }),
  };
}

function serviceOf(memory: NodeMemory | undefined, { accepted }: Around): LiveInstance['service'] {
  if (accepted?.takeOut !== undefined && accepted.takeOut !== memory?.out?.attempt) return 'leaving';
  if (memory?.out === undefined) return 'in';
  return memory.out.drained ? 'out' : 'leaving';
}

function drainOf(memory: NodeMemory | undefined, { trouble }: Around): LiveAttempt | undefined {
  const out = memory?.out;
  if (out === undefined) return undefined;
  const { attempt: id, drained, failed } = out;
  if (failed !== undefined) return { id, state: 'failed', message: failed };
  return drained ? { id, state: 'succeeded', message: '' } : { id, state: 'running', message: trouble ?? '' };
}

function updateOf(memory: NodeMemory | undefined, { accepted, job, pod }: Around): LiveAttempt | undefined {
  const update = memory?.update;
  if (accepted?.update !== undefined && accepted.update !== update?.attempt)
    return { id: accepted.update, state: 'running', message: 'is being started' };
  if (update === undefined) return undefined;
  const { attempt: id, state, message = '' } = update;
  if (state !== undefined) return { id, state, message };
  // An outcome counts once it is remembered: until then it runs.
  return { id, state: 'running', message: pod?.waiting || (job && outcomeOf(job, pod) ? 'has ended' : 'runs') };
}
