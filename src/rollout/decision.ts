import type { Check, Oid, Operation, Resource, Revision } from '../manifest/resource.ts';
import type { Instant, TrafficPolicy } from '../plan/live.ts';
import type { Plan } from '../plan/plan.ts';
import type { PrecheckResult, State } from './state.ts';

/** What a driver does to one unit or to one resource's traffic. Accepted at once; its outcome is learnt by observing. */
export type Action =
  /** Starts `unit` afresh, over whatever of it is dead; nothing happens when this attempt is there already. */
  | { kind: 'start'; unit: string; revision: Revision; version: string; attempt: string; restarts: number }
  /** Takes its traffic away, lets it finish what it serves, stops it, forgets it. Its disk stays. */
  | { kind: 'stop'; unit: string; attempt: string }
  /** Without a policy nothing is routed any more. */
  | { kind: 'route'; policy: TrafficPolicy | undefined }
  /** Takes away the host, and the whole of what the driver remembers of a deleted resource. */
  | { kind: 'forget' };

/** What the operator asks and reports back as an event. Without side effects on what runs. */
export type Question =
  | { kind: 'precheck'; plan: Plan }
  | { kind: 'check'; stage: number; checks: { check: Check; version: string }[] };

/** What happened since. What is declared and what is live are no events: they are looked at each time. */
export type Event =
  | { kind: 'operation'; operation: Operation }
  | { kind: 'prechecked'; rollout: number; results: PrecheckResult[] }
  | { kind: 'checked'; rollout: number; stage: number; pass: boolean; message: string }
  /** The status branch holds a tip that this operator did not write. */
  | { kind: 'tampered'; message: string };

/** What the commit says of one resource. */
export interface Declaration {
  /** The last valid declaration; absent: deleted. */
  resource?: Resource;
  /** The newest commit that changed its inputs; of a deletion, the one that deleted it. */
  commit: Oid;
  /** A deletion may be carried out (few were deleted, or somebody confirmed). */
  deletionConfirmed: boolean;
}

export interface Decision {
  next: State;
  /** `next` must be durable at the remote before `actions` are carried out. */
  pushFirst: boolean;
  actions: Action[];
  questions: Question[];
  /** A branch that restores this resource's inputs is to be pushed, ready for a pull request. */
  proposeRevert: boolean;
  /** Deleted, and nothing of it is left: its status file goes. */
  gone: boolean;
  /** When to decide again even if nothing happens. */
  wakeAt?: Instant;
  /** One line for people: why this, or why nothing. */
  why: string;
}
