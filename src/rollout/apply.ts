/** Takes an event into the state. What is declared and what is live are looked at by `decide` each time. */
import { isInstances, isReplicas } from '../manifest/kinds.ts';
import type { InstanceResource, Operation, Resource } from '../manifest/resource.ts';
import type { Instant, Live } from '../plan/live.ts';
import { turn } from './back.ts';
import { close } from './closing.ts';
import type { Event } from './decision.ts';
import { cancel } from './finish.ts';
import { replanUnits, troubleOf } from './instances.ts';
import type { OperationOutcome, Rollout, State } from './state.ts';
import { ended, move } from './transitions.ts';
import { recordOf, withRecords } from './unit-list.ts';
import { operateUnit } from './unit-operations.ts';

/** The state after the event; the same object when the event no longer concerns it. */
export function apply(state: State, event: Event, resource: Resource | undefined, live: Live, now: Instant): State {
  const { rollout } = state;
  switch (event.kind) {
    case 'operation':
      return applyOperation(state, event.operation, resource, live, now);
    case 'prechecked':
      return rollout?.id === event.rollout ? { ...state, rollout: prechecked(rollout, event) } : state;
    case 'checked':
      if (rollout?.id !== event.rollout || rollout.stage !== event.stage || ended(rollout)) return state;
      return { ...state, rollout: checked(rollout, event.pass, event.message, now) };
    case 'verified':
      if (rollout?.id !== event.rollout || ended(rollout)) return state;
      return { ...state, rollout: verified(rollout, event) };
    case 'tampered':
      if (rollout?.phase !== 'Progressing' && rollout?.phase !== 'RollingBack' && rollout?.phase !== 'Paused')
        return state;
      return { ...state, rollout: { ...move(rollout, 'Paused', now, event.message, 'Unknown'), tampered: true } };
  }
}

function prechecked(rollout: Rollout, { revision, results }: Event & { kind: 'prechecked' }): Rollout {
  if (rollout.phase === 'Checking' && revision === rollout.plan.to) return { ...rollout, prechecks: results };
  if (rollout.successor?.revision !== revision) return rollout;
  return { ...rollout, successor: { revision, prechecks: results } };
}

function verified(rollout: Rollout, { unit, pass, message }: Event & { kind: 'verified' }): Rollout {
  const { units } = rollout;
  const record = recordOf(units, unit);
  if (units === undefined || record?.state !== 'Verifying') return rollout;
  const checks = { ...record.checks, passed: pass, failures: pass ? 0 : record.checks.failures + 1 };
  const next = { ...record, checks, message: pass ? '' : message };
  return { ...rollout, units: withRecords(units, [[unit, next]]) };
}

function checked(rollout: Rollout, pass: boolean, message: string, now: Instant): Rollout {
  const { askedAt } = rollout.checks;
  const asked = askedAt === undefined ? {} : { askedAt };
  if (pass) return { ...rollout, checks: { ...asked, passedAt: now, failures: 0, message } };
  return { ...rollout, checks: { ...asked, failures: rollout.checks.failures + 1, message } };
}

/** So many outcomes of operations whose manifest is gone stay to be read. */
const OUTCOMES = 20;

/** Outcomes are forgotten only of operations that are in no tree any more: what is in the tree is applied once. */
export function forgetOperations(state: State, inTree: ReadonlySet<string>): State {
  const gone = Object.entries(state.operations)
    .filter(([name]) => !inTree.has(name))
    .sort(([, a], [, b]) => b.at - a.at)
    .slice(OUTCOMES);
  if (gone.length === 0) return state;
  const forgotten = new Set(gone.map(([name]) => name));
  const kept = Object.entries(state.operations).filter(([name]) => !forgotten.has(name));
  return { ...state, operations: Object.fromEntries(kept) };
}

export type Outcome = { applied: string; state: State } | { refused: string };

/** An operation is applied once, known by its name and content; its outcome stands in the state either way. */
function applyOperation(
  state: State,
  operation: Operation,
  resource: Resource | undefined,
  live: Live,
  now: Instant,
): State {
  if (state.operations[operation.name]?.digest === operation.digest) return state;
  const result = outcomeOf(state, operation, resource, live, now);
  const outcome: OperationOutcome = {
    digest: operation.digest,
    outcome: 'applied' in result ? 'applied' : 'refused',
    message: 'applied' in result ? result.applied : result.refused,
    at: now,
  };
  const after = 'applied' in result ? result.state : state;
  return { ...after, operations: { ...after.operations, [operation.name]: outcome } };
}

function outcomeOf(
  state: State,
  operation: Operation,
  resource: Resource | undefined,
  live: Live,
  now: Instant,
): Outcome {
  const { rollout } = state;
  if (resource === undefined) return { refused: 'its resource is not declared any more' };
  const { action, unit } = operation;
  if (isReplicas(resource) && (unit !== undefined || action === 'skip')) {
    return { refused: `replicas are interchangeable: ${action} works on the whole rollout, not on a unit` };
  }
  if (action === 'skip' && unit === undefined) return { refused: 'skip is for a unit: name it' };
  if (rollout === undefined || (operation.rollout ?? 0) > rollout.id) {
    return { refused: `rollout ${operation.rollout} has not started; an operation is for a rollout that has` };
  }
  if (operation.rollout !== rollout.id)
    return { refused: `rollout ${operation.rollout} has ended; the last one is ${rollout.id}` };
  if (unit !== undefined && isInstances(resource)) {
    if (!UNIT_ACTIONS.includes(action)) return { refused: `${action} works on the whole rollout, not on a unit` };
    return operateUnit({ state, rollout, resource, live, now, unit }, action);
  }
  const handler = HANDLERS[action];
  return handler ? handler({ state, rollout, resource, live, now }) : { refused: `${action} is not for a rollout` };
}

const UNIT_ACTIONS: Operation['action'][] = ['retry', 'skip', 'cancel'];

interface Handling {
  state: State;
  rollout: Rollout;
  resource: Resource;
  live: Live;
  now: Instant;
}

const HANDLERS: Partial<Record<Operation['action'], (handling: Handling) => Outcome>> = {
  pause: pauseIt,
  continue: continueIt,
  retry: retryIt,
  cancel: cancelIt,
  rollback: rollBackIt,
};

const endedAs = (rollout: Rollout): Outcome => ({ refused: `rollout ${rollout.id} has ended: ${rollout.phase}` });

function pauseIt({ state, rollout, now }: Handling): Outcome {
  if (ended(rollout)) return endedAs(rollout);
  if (rollout.turned) return { refused: `rollout ${rollout.id} is rolling back; it is not paused on the way` };
  if (rollout.held) return { refused: `rollout ${rollout.id} is paused already` };
  const held = { ...rollout, held: true };
  const pausable = rollout.phase === 'Progressing' || rollout.phase === 'Paused';
  const next = pausable ? move(held, 'Paused', now, 'paused by an operation', 'Operator') : held;
  return { applied: 'paused; units under way finish', state: { ...state, rollout: next } };
}

function continueIt({ state, rollout, resource, live, now }: Handling): Outcome {
  if (ended(rollout)) return endedAs(rollout);
  if (rollout.phase !== 'Paused' && !rollout.held) return { refused: `rollout ${rollout.id} is not paused` };
  if (!rollout.held && rollout.reason === 'Window') return { refused: rollout.message };
  if (resource.spec.paused) return { refused: 'spec.paused holds it; commit paused: false' };
  if (isReplicas(resource)) return { applied: 'continued', state: { ...state, rollout: resumed(rollout, now) } };
  const trouble = troubleOf(resource, rollout);
  if (trouble !== undefined) return { refused: `${trouble.message}; retry, skip or cancel each of them` };
  const free = resumed(rollout, now);
  const restarts = resource.spec.kind === 'Cluster' && !rollout.turned;
  return { applied: 'continued', state: { ...state, rollout: restarts ? replanUnits(resource, free, live) : free } };
}

function resumed({ tampered: _, successor: __, ...rollout }: Rollout, now: Instant): Rollout {
  const continued = rollout.continued || rollout.reason === 'Step' || rollout.reason === 'Batch';
  const free: Rollout = { ...rollout, held: false, continued, checks: { failures: 0 }, retriedAt: now };
  if (rollout.phase !== 'Paused') return free;
  const moved = move(free, rollout.turned ? 'RollingBack' : 'Progressing', now, 'continued');
  return { ...moved, progress: { ...moved.progress, at: now } };
}

function retryIt({ state, rollout, resource, now }: Handling): Outcome {
  if (!ended(rollout) && isInstances(resource)) return { refused: 'name the unit that is to be tried again' };
  if (!ended(rollout)) {
    if (rollout.phase !== 'Paused' || rollout.reason !== 'Failure') {
      return { refused: `rollout ${rollout.id} has not failed: ${rollout.phase}` };
    }
    return { applied: 'tried again', state: { ...state, rollout: resumed(rollout, now) } };
  }
  if (state.attempted === undefined) return endedAs(rollout);
  const { attempted: _, ...free } = state;
  return { applied: 'the next rollout starts, to the declared revision', state: free };
}

function cancelIt({ state, rollout, resource, live, now }: Handling): Outcome {
  if (ended(rollout)) return endedAs(rollout);
  if (rollout.turned) return { refused: `rollout ${rollout.id} is rolling back already` };
  if (isInstances(resource)) return cancelUnits(state, rollout, resource);
  if (!live.complete) return { refused: 'not everything could be observed; try again' };
  return { applied: 'canceled', state: cancel(state, rollout, resource, live, now) };
}

/** What is under way finishes and what was taken out goes back before it ends. */
function cancelUnits(state: State, rollout: Rollout, { spec }: InstanceResource): Outcome {
  if (rollout.closing !== undefined) return { refused: `rollout ${rollout.id} is ending already` };
  if (spec.kind === 'Cluster' && rollout.phase === 'Progressing') {
    return { refused: "a cluster's rollout is canceled only while it is paused; pause it first" };
  }
  return { applied: 'canceled', state: close(state, rollout, 'Canceled', 'canceled; what was done stays') };
}

function rollBackIt({ state, rollout, resource, now }: Handling): Outcome {
  if (ended(rollout))
    return { refused: `rollout ${rollout.id} has ended; sluice rollback commits what restores the one before` };
  if (rollout.cause === 'rollback' || rollout.turned) return { refused: `rollout ${rollout.id} is a rollback itself` };
  if (rollout.closing !== undefined) return { refused: `rollout ${rollout.id} is ending already` };
  if (state.settled.goals.length === 0) return { refused: 'this is the first rollout: there is nothing to go back to' };
  if (rollout.phase === 'Pending' || rollout.phase === 'Checking') {
    return { refused: 'nothing was touched yet; cancel it instead' };
  }
  if (resource.spec.kind === 'Cluster') return { refused: 'a cluster is never downgraded; cancel the rollout instead' };
  return { applied: 'rolls back', state: { ...state, rollout: turn(rollout, now, 'an operation asked for it') } };
}
