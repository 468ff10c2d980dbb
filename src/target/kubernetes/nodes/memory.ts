/**
 * What a node remembers of Sluice, in its own annotations: it is read and written with the node, by compare-and-swap, so that nothing else has to
 * outlive the operator. PURE.
 */
import type { Revision } from '../../../manifest/resource.ts';
import type { Instant } from '../../../plan/live.ts';

export const EPOCH = 'sluice/epoch';
export const MEMORY = 'sluice/node';

export interface NodeMemory {
  /** Of which the node is. */
  resource: string;
  /** Revisions applied to it, oldest first: each from the moment at which its Job was let run. */
  applied: Revision[];
  /** Out of service: since when, and whether it was cordoned before. */
  out?: NodeOut;
  /** The last upgrade that was begun. */
  update?: NodeUpdate;
}
export interface NodeOut {
  attempt: string;
  since: Instant;
  cordoned: boolean;
  /** Absent: it is being drained. */
  drained?: boolean;
  /** Why it could not be drained. */
  failed?: string;
}
export interface NodeUpdate {
  attempt: string;
  /** Its Job, by name and as the one that it is: another of the name is not it. */
  job: string;
  uid: string;
  /** Absent: no outcome was seen yet. */
  state?: 'succeeded' | 'failed' | 'unknown';
  message?: string;
}

export interface Remembered {
  /** The highest that acted on the node; 0: nobody did. */
  epoch: number;
  memory?: NodeMemory;
  /** Why the annotation could not be read. */
  unreadable?: string;
}

export function readMemory(annotations: Record<string, string> = {}): Remembered {
  const epoch = Number(annotations[EPOCH] ?? 0);
  const text = annotations[MEMORY];
  if (!Number.isFinite(epoch) || epoch < 0) return { epoch: 0, unreadable: `its annotation ${EPOCH} is no number` };
  if (text === undefined) return { epoch };
  const memory = parsed(text);
  return memory === undefined
    ? { epoch, unreadable: `its annotation ${MEMORY} is not as Sluice wrote it` }
    : { epoch, memory };
}

function parsed(text: string): NodeMemory | undefined {
  try {
    const memory: unknown = JSON.parse(text);
    return isMemory(memory) ? memory : undefined;
  } catch {
    return undefined;
  }
}

/** Whoever may change a node may write there what he likes, and the status repeats it. */
const REVISION = /^[0-9a-f]{10}$/;

function isMemory(read: unknown): read is NodeMemory {
  const { resource, applied, out, update } = (read ?? {}) as Partial<NodeMemory>;
  return (
    typeof resource === 'string' &&
    Array.isArray(applied) &&
    applied.every((revision) => typeof revision === 'string' && REVISION.test(revision)) &&
    (out === undefined || (typeof out.attempt === 'string' && typeof out.since === 'number')) &&
    (update === undefined || [update.attempt, update.job, update.uid].every((text) => typeof text === 'string'))
  );
}

/** A merge patch that holds only for the node as it was at `resourceVersion`. */
export const memoryPatch = (
  resourceVersion: string,
  { epoch, memory, unschedulable }: { epoch: number; memory: NodeMemory; unschedulable: boolean },
) => ({
  metadata: { resourceVersion, annotations: { [EPOCH]: String(epoch), [MEMORY]: JSON.stringify(memory) } },
  spec: { unschedulable: unschedulable || null },
});

/** So many revisions are kept; annotations are bounded. */
const REMEMBERED = 100;
const LONGEST_MESSAGE = 500;

/** What another resource did there is not this one's. */
export const remembering = (memory: NodeMemory | undefined, resource: string): NodeMemory =>
  memory?.resource === resource ? memory : { resource, applied: [] };

/** Another attempt keeps how it was found at first. */
export function takenOut(memory: NodeMemory, attempt: string, cordoned: boolean, now: Instant): NodeMemory {
  if (memory.out?.attempt === attempt) return memory;
  return { ...memory, out: { attempt, since: now, cordoned: memory.out?.cordoned ?? cordoned } };
}

export const drained = (memory: NodeMemory, attempt: string, failed?: string): NodeMemory =>
  memory.out?.attempt !== attempt
    ? memory
    : { ...memory, out: { ...memory.out, ...(failed === undefined ? { drained: true } : { failed: short(failed) }) } };

/** From now on the revision counts as applied. */
export function begun(memory: NodeMemory, update: NodeUpdate, to: Revision): NodeMemory {
  const { applied } = memory;
  const next = applied.at(-1) === to ? applied : [...applied, to].slice(-REMEMBERED);
  return { ...memory, applied: next, update };
}

export const ended = (
  memory: NodeMemory,
  attempt: string,
  { state, message }: { state: 'succeeded' | 'failed' | 'unknown'; message: string },
): NodeMemory =>
  memory.update?.attempt !== attempt || memory.update.state !== undefined
    ? memory
    : { ...memory, update: { ...memory.update, state, message: short(message) } };

export function putBack(memory: NodeMemory): NodeMemory {
  const { out: _, ...rest } = memory;
  return rest;
}

const short = (text: string): string => text.slice(0, LONGEST_MESSAGE);
