import type { Check, Operation, Resource, Revision } from '../manifest/resource.ts';
import type { Instant, TrafficPolicy } from '../plan/live.ts';
import type { Plan } from '../plan/plan.ts';
import type { PrecheckResult, State } from './state.ts';

/** What a driver does to one unit or to one resource's traffic. Accepted at once; its outcome is learnt by observing. */
export type Action =
  /** Starts `unit` afresh, over whatever of it is dead; nothing happens when this attempt is there already. */
  | { kind: 'start'; unit: string; revision: Revision; version: string; attempt: string; restarts: number }
  /** Takes its traffic away, lets it finish what it serves, stops it, forgets it. Its disk stays. */
  | { kind: 'stop'; unit: string; attempt: string }
  | { kind: 'route'; policy: TrafficPolicy }
  /** Takes away the host, and the whole of what the driver remembers of a deleted resource. */
  | { kind: 'forget' };

/** What the operator asks and reports back as an event. Without side effects on what runs. */
export type Question =
  | { kind: 'precheck'; plan: Plan }
  | { kind: 'check'; stage: number; checks: { check: Check; version: string }[] };

export type Event =
  /** A new head declares the resource so; `commit` is the newest that changed its inputs. */
  | { kind: 'declared'; resource: Resource; commit: string }
  | { kind: 'deleted'; commit: string; confirmed: boolean }
  | { kind: 'operation'; operation: Operation }
  | { kind: 'prechecked'; rollout: number; results: PrecheckResult[] }
  | { kind: 'checked'; rollout: number; stage: number; pass: boolean; message: string }
  /** The status branch holds a tip that this operator did not write. */
  | { kind: 'tampered'; message: string };

export interface Decision {
  next: State;
  /** `next` must be durable at the remote before `actions` are carried out. */
  pushFirst: boolean;
  actions: Action[];
  questions: Question[];
  /** When to decide again even if nothing happens. */
  wakeAt?: Instant;
  /** One line for people: why this, or why nothing. */
  why: string;
}
