/** Every way in which a rollout ends. */
import type { Resource } from '../manifest/resource.ts';
import type { Instant, Live, LiveUnit } from '../plan/live.ts';
import type { ReplicasGoal } from '../plan/plan.ts';
import { settle, settleAsIs } from '../plan/settle.ts';
import type { Phase, Rollout, State } from './state.ts';
import { historyEntry, move } from './transitions.ts';

/** Ends after which the declared revision is not tried again by itself. */
const IN_VAIN: readonly Phase[] = ['Failed', 'RolledBack', 'Canceled', 'Expired'];

/** Closes the rollout and writes it into the history; `state.settled` is the caller's. */
export function finish(
  state: State,
  rollout: Rollout,
  phase: Phase,
  now: Instant,
  message: string,
  resource: Resource,
): State {
  const closed = cleaned(move(rollout, phase, now, message));
  const history = [...state.history, historyEntry(closed)].slice(-resource.spec.revisionHistoryLimit);
  const attempted = IN_VAIN.includes(phase) ? { attempted: rollout.plan.to } : {};
  return { ...state, ...attempted, rollout: closed, history };
}

/** Of one that expired only what it was is kept; what units remember of it stays beside them. */
function cleaned(rollout: Rollout): Rollout {
  if (rollout.phase !== 'Expired') return rollout;
  const { units: _, ...rest } = rollout;
  return { ...rest, stage: 0, times: [], plan: { ...rollout.plan, stages: [] } };
}

export function succeed(state: State, rollout: Rollout, resource: Resource, now: Instant): State {
  const settled = settle(state.settled, resource, rollout.plan, rollout.commit, rollout.id);
  const done = rollout.cause === 'rollback' ? 'rolled back to' : 'rolled out';
  const version = resource.spec.kind === 'Cluster' ? ` (${resource.spec.version})` : '';
  return finish({ ...state, settled }, rollout, 'Succeeded', now, `${done} ${rollout.plan.to}${version}`, resource);
}

/** A unit of the new revision that has died is not done: it goes, or repairs would start what was canceled again and again. */
const inVain = (unit: LiveUnit, rollout: Rollout): boolean =>
  unit.phase === 'dead' && unit.revision === rollout.plan.to;

/** Units under way finish and done ones stay: what is there now becomes what repairs hold. */
export function cancel(state: State, rollout: Rollout, resource: Resource, live: Live, now: Instant): State {
  const message = 'canceled; what was done stays';
  if (rollout.phase === 'Pending' || rollout.phase === 'Checking') {
    return finish(state, rollout, 'Canceled', now, 'canceled before anything was touched', resource);
  }
  const counts = new Map<string, Record<string, number>>();
  for (const unit of live.units) {
    if (unit.phase === 'stopping' || inVain(unit, rollout)) continue;
    const ofVersion = counts.get(unit.version) ?? {};
    ofVersion[unit.revision] = (ofVersion[unit.revision] ?? 0) + 1;
    counts.set(unit.version, ofVersion);
  }
  for (const goal of state.settled.goals) if (goal.kind === 'replicas') fillUp(counts, goal);
  const settled = settleAsIs(state.settled, resource, rollout.plan, counts, live.traffic);
  return finish({ ...state, settled }, rollout, 'Canceled', now, message, resource);
}

/**
 * The revision that was settled before makes up the rest, so that there are as many replicas as there were.
 *
 *   settled 5 of A; live 5 of A and 1 of B → 4 of A, 1 of B;   live 3 of A and 1 of B → 4 of A, 1 of B
 */
function fillUp(counts: Map<string, Record<string, number>>, { version, want }: ReplicasGoal): void {
  const [before, ...mixed] = Object.keys(want);
  const found = counts.get(version) ?? {};
  if (before === undefined || mixed.length > 0) return;
  const others = Object.entries(found).reduce((sum, [revision, n]) => sum + (revision === before ? 0 : n), 0);
  counts.set(version, { ...found, [before]: Math.max(0, (want[before] ?? 0) - others) });
}
