/** The ends of a rollout of units that take their time: what is under way finishes, what was taken out goes back. */
import { finish } from './finish.ts';
import { anyUnderWay, countText, leftOver, putBackLeft } from './instances.ts';
import type { Rollout, State } from './state.ts';
import type { Context, Step } from './step.ts';
import { tallyOf } from './tally.ts';

/** What is out of service, and whether it answers, is not known: a rollout does not end on that. */
export const UNSEEN = 'not everything could be observed';

type Closing = NonNullable<Rollout['closing']>;

/** From now on nothing is begun; it ends as `phase` once nothing is under way. */
export function close(state: State, rollout: Rollout, phase: Closing['phase'], message: string): State {
  return { ...state, rollout: { ...rollout, closing: { phase, message } } };
}

export function closingDown({ resource, live, now }: Context, state: State, rollout: Rollout, closing: Closing): Step {
  if (anyUnderWay(rollout)) {
    const message = `${closing.message}; units under way finish: ${countText(rollout)}`;
    return { state: { ...state, rollout: { ...rollout, message } } };
  }
  if (!live.complete) return { state, why: UNSEEN };
  const left = putBackLeft(rollout, live, now);
  if (anyUnderWay(left)) return { state: { ...state, rollout: left }, again: true };
  const { closing: _, ...open } = left;
  const message = `${closing.message}${leftOver(open, live)}`;
  return { state: finish(withPartial(state, open), open, closing.phase, now, message, resource) };
}

/** Some units run the new revision and some do not: going back to the settled one is then a rollback. */
export function withPartial(state: State, rollout: Rollout): State {
  const { total, pending } = tallyOf(rollout);
  if (total === pending) return state;
  return { ...state, settled: { ...state.settled, partial: rollout.plan.to, observed: false } };
}
