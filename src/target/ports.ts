/** What every driver offers. A driver does as it is told and reports what it sees; it decides nothing. */
import type { AnyRunnable, Check, Oid, ResourceId, Spec } from '../manifest/resource.ts';
import type { Live } from '../plan/live.ts';
import type { Plan } from '../plan/plan.ts';
import type { Action } from '../rollout/decision.ts';
import type { PrecheckResult } from '../rollout/state.ts';

export interface UnitDriver {
  /**
   * What is there now for each of `resources`, without waiting for anything slow: probes run on their own schedule.
   * A resource of which nothing exists yields an empty, complete `Live`.
   */
  observe(resources: ResourceId[], signal: AbortSignal): Promise<Map<ResourceId, Live>>;
  /**
   * Accepts an action and returns; from then on `observe` shows its effect (a started unit is there as `starting`).
   * Idempotent by attempt id. `runnable` comes with `start`, `create` and `update`. Throws `StaleEpoch` when a later operator has taken over.
   */
  start(resource: ResourceId, action: Action, runnable: AnyRunnable | undefined, signal: AbortSignal): Promise<void>;
  /** Looks, changes nothing: images exist, the target answers, capacity is there, secrets exist, fields it cannot honour. */
  precheck(
    resource: ResourceId,
    spec: Spec,
    runnable: AnyRunnable,
    plan: Plan,
    signal: AbortSignal,
  ): Promise<PrecheckResult[]>;
  /** Runs one check on every ready unit of `version`; a `url` is asked as it is. */
  check(
    resource: ResourceId,
    version: string,
    check: Check,
    signal: AbortSignal,
  ): Promise<{ pass: boolean; message: string }>;
  /** Runs the checks on one instance of a fleet or a cluster. */
  verify(
    resource: ResourceId,
    unit: string,
    checks: Check[],
    signal: AbortSignal,
  ): Promise<{ pass: boolean; message: string }>;
  /**
   * Makes known what is declared: the address at which it is served, the hosts that it selects. Called before it is observed
   * for the first time, and when it changes; never of what is not declared any more. `frozen`: the units of the rollout that is under
   * way. A target of hosts goes on with those of them that it still has, selected or not.
   */
  declare(resource: ResourceId, spec: Spec, frozen?: readonly string[]): Promise<void>;
  /** Calls back whenever something about a resource may have changed: a hint, never the truth. */
  subscribe(changed: (resource: ResourceId) => void): () => void;
  /** Every resource of which units exist here, declared or not. */
  resources(): Promise<ResourceId[]>;
  /** Stops watching; what runs goes on running. */
  close(): Promise<void>;
}

/** Where a driver gets the content of an image that lies in the config repository. */
export interface ImageSource {
  /** Writes the files of a Git tree below `directory`, which does not exist yet. Throws on links that leave the tree and on submodules. */
  materialize(tree: Oid, directory: string): Promise<void>;
}

/** Where a driver gets secrets: `<name>/<key>` of `--secrets-dir`. A value is never logged and never leaves the process that needs it. */
export interface SecretSource {
  /** All keys of a secret, or undefined when there is none of that name. */
  read(name: string): Promise<Record<string, Buffer> | undefined>;
}

/** A later operator has taken over; or one of another repository, or of this one before it was made anew. */
export class StaleEpoch extends Error {
  readonly code = 'stale-epoch';
  readonly highest: number;
  /** `where` names the place that remembers `highest`. */
  constructor(mine: number, highest: number, where = 'the target') {
    const least = Math.floor(highest) + 1;
    super(
      `this operator holds epoch ${mine}, but ${where} has seen epoch ${highest}: a later operator has taken over. ` +
        `If there is none, because the repository or its refs/sluice/lease was made anew, make sure that no operator of ` +
        `another repository has the target, then start this one with --epoch ${least}`,
    );
    this.highest = highest;
  }
}
