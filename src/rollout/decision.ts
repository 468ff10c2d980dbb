import type { Check, Oid, Operation, Resource, Revision, ScalingProcess } from '../manifest/resource.ts';
import type { Instant, TrafficPolicy } from '../plan/live.ts';
import type { Plan, UnitChange } from '../plan/plan.ts';
import type { PrecheckResult, State } from './state.ts';

/** What a driver does to one unit or to one resource's traffic. Accepted at once; its outcome is learnt by observing. */
export type Action =
  /** Starts `unit` afresh, over whatever of it is dead; nothing happens when this attempt is there already. */
  | { kind: 'start'; unit: string; revision: Revision; version: string; attempt: string; restarts: number }
  /** Takes its traffic away, lets it finish what it serves, stops it, forgets it. Its disk stays. */
  | { kind: 'stop'; unit: string; attempt: string }
  /** Without a policy nothing is routed any more. */
  | { kind: 'route'; policy: TrafficPolicy | undefined }
  /** Takes an instance out of service: nothing new, what is under way is waited for; `cordon` and drain in a cluster. */
  | { kind: 'takeOut'; unit: string; attempt: string; cordon: boolean }
  /** Brings an instance to what is wanted, once for each attempt; what undoes it is stored beside it first. */
  | { kind: 'update'; unit: string; attempt: string; change: UnitChange }
  /** Puts an instance back as it was. */
  | { kind: 'putBack'; unit: string; weight?: number; cordoned: boolean }
  /** Creates an instance with this revision on it; what is there of this attempt already is left. */
  | { kind: 'create'; unit: string; revision: Revision; attempt: string }
  /** Takes an instance out of service and away; a host is only let go. */
  | { kind: 'remove'; unit: string }
  /** Starts again what should run on an instance and does not. */
  | { kind: 'heal'; unit: string; attempt: string }
  /** Exactly these are held from going on by themselves. */
  | { kind: 'suspend'; processes: ScalingProcess[] }
  /** Takes away the host, and the whole of what the driver remembers of a deleted resource. */
  | { kind: 'forget' };

/** What the operator asks and reports back as an event. Without side effects on what runs. */
export type Question =
  | { kind: 'precheck'; plan: Plan }
  | { kind: 'check'; stage: number; checks: { check: Check; version: string }[] }
  /** Whether an updated instance is well. */
  | { kind: 'verify'; unit: string; checks: Check[] };

/** What happened since. What is declared and what is live are no events: they are looked at each time. */
export type Event =
  | { kind: 'operation'; operation: Operation }
  | { kind: 'prechecked'; rollout: number; revision: Revision; results: PrecheckResult[] }
  | { kind: 'checked'; rollout: number; stage: number; pass: boolean; message: string }
  | { kind: 'verified'; rollout: number; unit: string; pass: boolean; message: string }
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
