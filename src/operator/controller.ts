/**
 * The queue of resources: looks, decides, makes durable, acts; again whenever something may have changed. It knows neither
 * Git nor processes nor the clock but through its ports, so that it can be walked through simulated years.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../clock.ts';
import { messageOf } from '../error-text.ts';
import type { AnyRunnable, Operation, Resource, ResourceId, Revision } from '../manifest/resource.ts';
import type { Live } from '../plan/live.ts';
import { apply, forgetOperations } from '../rollout/apply.ts';
import { type Conditions, decide, newState } from '../rollout/decide.ts';
import type { Action, Decision, Event, Question } from '../rollout/decision.ts';
import { frozenUnits } from '../rollout/instances.ts';
import type { State } from '../rollout/state.ts';
import type { UnitDriver } from '../target/ports.ts';
import type { Told } from './declarations.ts';
import { createObserver } from './observer.ts';
import type { QuestionAnswerer } from './questions.ts';

export interface ControllerPorts {
  clock: Clock;
  conditions(id: ResourceId): Conditions;
  /** The driver of the target where the resource runs or ran; undefined: there is none. */
  driverOf(id: ResourceId, resource: Resource | undefined): UnitDriver | undefined;
  /** The targets that were declared and have no driver, and why. */
  unopened?(): ReadonlyMap<string, string>;
  runnable(id: ResourceId, revision: Revision, state: State): Promise<AnyRunnable>;
  answer: QuestionAnswerer;
  /** Makes a change durable. `first` is awaited before acting and may reject; without it, it is gathered. */
  publish(change: StateChange): Promise<void>;
  /** Everything decided is told, for logs. */
  decided(id: ResourceId, decision: Decision): void;
  /** Something went wrong that the next round tries again. */
  failed(id: ResourceId, what: string, error: unknown): void;
  signal: AbortSignal;
}

export interface StateChange {
  id: ResourceId;
  before: State | undefined;
  /** Absent: the resource is gone. */
  next: State | undefined;
  live: Live | undefined;
  told: Told;
  first: boolean;
  proposeRevert: boolean;
}

interface Tracked {
  told: Told;
  state: State | undefined;
  live: Live | undefined;
  events: Event[];
  asked: Set<string>;
  /** The actions that were accepted last. */
  acted: string;
  /** A push that must come first is under way: it is left alone until then. */
  locked: boolean;
  /** Call off what the decision waits for, and trying again what went wrong: neither puts off the other. */
  wake: (() => void) | undefined;
  retry: (() => void) | undefined;
  failures: number;
  again: boolean;
}

export interface Controller {
  /** What the newest commit says. Resources that are not in it any more are told so by their declaration. */
  declare(told: Map<ResourceId, Told>): void;
  /** A resource that is remembered from the status branch; before `declare`. */
  restore(id: ResourceId, state: State): void;
  /** All operations that the commit holds. */
  operate(operations: Operation[]): void;
  send(id: ResourceId, event: Event): void;
  /** Something about it may have changed. */
  touch(id: ResourceId): void;
  touchAll(): void;
  state(id: ResourceId): State | undefined;
  /** As it was observed last. */
  live(id: ResourceId): Live | undefined;
  tracked(): ResourceId[];
  /** Resolves when a round found nothing to do and no push, question or wait for a unit is under way. */
  idle(): boolean;
  stop(): void;
}

/** Resources whose actions are accepted side by side: what a target does one by one for each of ten thousand takes minutes. */
const AT_ONCE = 128;

export function createController(ports: ControllerPorts): Controller {
  const resources = new Map<ResourceId, Tracked>();
  const dirty = new Set<ResourceId>();
  /** Those whose state holds outcomes of operations. */
  const instructed = new Set<ResourceId>();
  let scheduled = false;
  let working = false;
  let stopped = false;

  const observer = createObserver({
    ...ports,
    declared: (id) => resources.get(id)?.told.declaration?.resource,
    frozen: (id) => frozenUnits(resources.get(id)?.state?.rollout),
    trouble: (id, what, error) => trouble(id, what, error),
  });

  const touch = (id: ResourceId) => {
    if (stopped || !resources.has(id)) return;
    dirty.add(id);
    if (scheduled || working) return;
    scheduled = true;
    ports.clock.soon(() => void round());
  };

  async function round(): Promise<void> {
    scheduled = false;
    if (working || stopped) return;
    working = true;
    try {
      while (dirty.size > 0 && !stopped) {
        const batch = [...dirty];
        dirty.clear();
        await evaluate(batch.filter((id) => !postponed(id)));
      }
    } finally {
      working = false;
    }
  }

  function postponed(id: ResourceId): boolean {
    const tracked = resources.get(id);
    if (tracked === undefined) return true;
    if (tracked.locked) tracked.again = true;
    return tracked.locked;
  }

  async function evaluate(batch: ResourceId[]): Promise<void> {
    const lives = await observer.look(batch);
    for (let at = 0; at < batch.length; at += AT_ONCE) {
      await Promise.all(
        batch.slice(at, at + AT_ONCE).map(async (id) => {
          const tracked = resources.get(id);
          const live = lives.get(id);
          if (tracked !== undefined && live !== undefined) await consider(id, tracked, live);
        }),
      );
    }
  }

  async function consider(id: ResourceId, tracked: Tracked, live: Live): Promise<void> {
    const { declaration } = tracked.told;
    tracked.live = live;
    if (declaration === undefined) {
      const next = tracked.state ?? newState({ commit: tracked.told.commit, deletionConfirmed: false });
      tracked.state = next;
      await ports.publish({
        id,
        before: undefined,
        next,
        live,
        told: tracked.told,
        first: false,
        proposeRevert: false,
      });
      return;
    }
    const now = ports.clock.now();
    const events = tracked.events.splice(0);
    const start = tracked.state ?? newState(declaration);
    const evented = events.reduce((state, event) => apply(state, event, declaration.resource, live, now), start);
    const operated = evented !== start && events.some((event) => event.kind === 'operation');
    const decision = decide(declaration, evented, live, now, ports.conditions(id));
    ports.decided(id, decision);
    const change: StateChange = {
      id,
      before: tracked.state,
      next: decision.gone ? undefined : decision.next,
      live,
      told: tracked.told,
      first: decision.pushFirst || operated,
      proposeRevert: decision.proposeRevert,
    };
    if (change.first) {
      tracked.locked = true;
      void durableFirst(id, tracked, decision, change, events);
    } else {
      void ports.publish(change);
      await adopt(id, tracked, decision, change.told);
    }
  }

  /** Not durable: nothing was decided; the events come back and it is tried again, later each time. */
  async function durableFirst(
    id: ResourceId,
    tracked: Tracked,
    decision: Decision,
    change: StateChange,
    events: Event[],
  ): Promise<void> {
    try {
      await ports.publish(change);
    } catch (error) {
      tracked.events.unshift(...events);
      tracked.locked = false;
      trouble(id, 'its next step could not be made durable, so it was not taken', error);
      return;
    }
    await adopt(id, tracked, decision, change.told);
    tracked.locked = false;
    if (tracked.again || tracked.events.length > 0 || decision.actions.length > 0) {
      tracked.again = false;
      touch(id);
    }
  }

  /** `told`: what it was decided from; something else may be declared by now. */
  async function adopt(id: ResourceId, tracked: Tracked, decision: Decision, told: Told): Promise<void> {
    const changed = !isDeepStrictEqual(tracked.state, decision.next);
    remember(id, tracked, decision.next);
    tracked.wake?.();
    tracked.wake = undefined;
    for (const question of decision.questions) ask(id, tracked, question);
    const acted = await act(id, tracked, decision.actions, told);
    if (decision.gone && acted) return drop(id, tracked, told);
    if (decision.wakeAt !== undefined) wake(id, tracked, decision.wakeAt - ports.clock.now());
    // What is accepted already shows its effect in time: asked for again and again, it would be nothing but a busy loop.
    const actions = decision.actions.length === 0 ? '' : JSON.stringify(decision.actions);
    const repeated = actions === tracked.acted;
    tracked.acted = acted ? actions : '';
    if (acted && (changed || !repeated)) touch(id);
    if (acted && tracked.live?.complete) tracked.failures = 0;
  }

  /** Perhaps it was declared again while it went. */
  function drop(id: ResourceId, tracked: Tracked, told: Told): void {
    resources.delete(id);
    instructed.delete(id);
    observer.forget(id);
    if (tracked.told !== told) declare(id, tracked.told);
  }

  function wake(id: ResourceId, tracked: Tracked, delay: number): void {
    tracked.wake?.();
    if (stopped) return;
    tracked.wake = ports.clock.after(Math.max(1, delay), () => touch(id));
  }

  /** Actions of one decision in their order; when one is not accepted, the others wait for the next round. */
  async function act(id: ResourceId, tracked: Tracked, actions: Action[], told: Told): Promise<boolean> {
    const driver = ports.driverOf(id, told.declaration?.resource);
    // Its target is not there, or not yet: then it is looked at anew.
    if (driver === undefined || tracked.state === undefined) return actions.length === 0;
    try {
      for (const action of actions) {
        const revision = revisionOf(action);
        const runnable = revision === undefined ? undefined : await ports.runnable(id, revision, tracked.state);
        await driver.start(id, action, runnable, ports.signal);
      }
      return true;
    } catch (error) {
      trouble(id, 'an action was not accepted', error);
      return false;
    }
  }

  function ask(id: ResourceId, tracked: Tracked, question: Question): void {
    const resource = tracked.told.declaration?.resource;
    const rollout = tracked.state?.rollout;
    if (resource === undefined || rollout === undefined || tracked.state === undefined) return;
    const about = question.kind === 'verify' ? question.unit : rollout.stage;
    const key = `${rollout.id} ${rollout.plan.generation} ${question.kind} ${about}`;
    if (tracked.asked.has(key)) return;
    tracked.asked.add(key);
    ports
      .answer({
        id,
        resource,
        state: tracked.state,
        live: tracked.live,
        rollout,
        question,
        driver: ports.driverOf(id, resource),
      })
      .then((event) => {
        tracked.events.push(event);
        touch(id);
      })
      .catch((error: unknown) => trouble(id, `${question.kind} could not be asked`, error))
      .finally(() => tracked.asked.delete(key));
  }

  /** Told and tried again; in words for the status. */
  function trouble(id: ResourceId, what: string, error: unknown): string {
    const tracked = resources.get(id);
    const said = `${what}: ${messageOf(error)}`;
    ports.failed(id, what, error);
    if (tracked === undefined || stopped) return said;
    tracked.failures++;
    tracked.retry?.();
    tracked.retry = ports.clock.after(Math.min(1000 * 2 ** (tracked.failures - 1), 60_000), () => touch(id));
    return said;
  }

  /** Once, however often a commit brings it. */
  function queue(operation: Operation): void {
    const tracked = operation.resource === undefined ? undefined : resources.get(operation.resource);
    if (tracked === undefined || operation.resource === undefined) return;
    if (tracked.state?.operations[operation.name]?.digest === operation.digest) return;
    const same = (event: Event) =>
      event.kind === 'operation' &&
      event.operation.name === operation.name &&
      event.operation.digest === operation.digest;
    if (tracked.events.some(same)) return;
    tracked.events.push({ kind: 'operation', operation });
    touch(operation.resource);
  }

  function remember(id: ResourceId, tracked: Tracked, state: State): void {
    tracked.state = state;
    if (Object.keys(state.operations).length > 0) instructed.add(id);
    else instructed.delete(id);
  }

  function track(id: ResourceId): Tracked {
    const known = resources.get(id);
    if (known) return known;
    const fresh: Tracked = {
      told: { commit: '', now: { valid: true } },
      state: undefined,
      live: undefined,
      events: [],
      asked: new Set(),
      acted: '',
      locked: false,
      wake: undefined,
      retry: undefined,
      failures: 0,
      again: false,
    };
    resources.set(id, fresh);
    return fresh;
  }

  function declare(id: ResourceId, say: Told): void {
    const tracked = track(id);
    if (tracked.state !== undefined && (tracked.told === say || sameTold(tracked.told, say))) return;
    tracked.told = say;
    touch(id);
  }

  return {
    declare(told) {
      for (const [id, say] of told) declare(id, say);
    },
    restore(id, state) {
      remember(id, track(id), state);
    },
    operate(operations) {
      const inTree = new Set(operations.map(({ name }) => name));
      for (const id of [...instructed]) {
        const tracked = resources.get(id);
        if (tracked?.state !== undefined) remember(id, tracked, forgetOperations(tracked.state, inTree));
      }
      for (const operation of operations) queue(operation);
    },
    send(id, event) {
      resources.get(id)?.events.push(event);
      touch(id);
    },
    touch,
    touchAll() {
      for (const id of resources.keys()) touch(id);
    },
    state: (id) => resources.get(id)?.state,
    live: (id) => resources.get(id)?.live,
    tracked: () => [...resources.keys()],
    idle() {
      if (working || scheduled || dirty.size > 0) return false;
      return [...resources.values()].every(
        (tracked) => !tracked.locked && tracked.asked.size === 0 && tracked.events.length === 0,
      );
    },
    stop() {
      stopped = true;
      for (const { wake, retry } of resources.values()) {
        wake?.();
        retry?.();
      }
    },
  };
}

/** Of what is put somewhere; everything else needs none. What an undo needs lies beside the unit. */
function revisionOf(action: Action): Revision | undefined {
  if (action.kind === 'update') return action.change.to;
  return action.kind === 'start' || action.kind === 'create' ? action.revision : undefined;
}

function sameTold(a: Told, b: Told): boolean {
  const one = a.declaration;
  const other = b.declaration;
  return (
    one?.resource?.digest === other?.resource?.digest &&
    (one?.resource === undefined) === (other?.resource === undefined) &&
    one?.commit === other?.commit &&
    one?.deletionConfirmed === other?.deletionConfirmed &&
    a.now.valid === b.now.valid &&
    a.now.errors === b.now.errors
  );
}
