/** Walks through boundaries, one round each. */
import { type Boundary, type Ended, openWorld } from './rounds.ts';
import type { Owner, Subject } from './subjects.ts';

export interface Failure {
  boundary: Boundary;
  ended: Ended;
}

export interface Walked {
  /** Rounds in which the operator was killed. */
  crashes: number;
  /** The most effects that an operator had which came to its end. */
  effects: number;
  failures: Failure[];
}

export interface Slice {
  /** The first effect, from 1. */
  from: number;
  every: number;
  /** Only effects whose line reads so are counted. */
  of?: RegExp;
  /** It is stopped and woken when another has taken over, instead of killed. */
  stop?: boolean;
  /** So many rounds in a row that came to their end before their boundary: there are no more effects. */
  beyond?: number;
  each?: (boundary: Boundary, ended: Ended) => void;
}

/** How many effects there are is not the same in every round. */
const BEYOND = 4;

/** What goes on by itself when the operator is gone: killed right after it is another thing than right before the next effect. */
const GOES_ON = /^\d+ (spawn|signal|send|tell) /;

/** Each effect up to the last. A failure is followed by a new place: what it left must fail nothing else. */
export async function walk(owner: Owner, open: (owner: Owner) => Promise<Subject>, slice: Slice): Promise<Walked> {
  const walked: Walked = { crashes: 0, effects: 0, failures: [] };
  let world = await openWorld(owner, await open(owner));
  let beyond = 0;

  async function crash(at: Boundary): Promise<Ended> {
    const boundary = slice.of === undefined ? at : { ...at, of: slice.of };
    const ended = await (slice.stop ? world.freeze(boundary) : world.round(boundary));
    slice.each?.(boundary, ended);
    if (ended.killedAt !== undefined) walked.crashes++;
    else walked.effects = Math.max(walked.effects, ended.effects.length);
    if (ended.wrong.length > 0) {
      walked.failures.push({ boundary, ended });
      await world.close();
      world = await openWorld(owner, await open(owner));
    }
    return ended;
  }

  const over = () => beyond >= (slice.beyond ?? BEYOND);
  for (let effect = slice.from; !over(); effect += slice.every) {
    const { killedAt } = await crash({ side: 'before', effect });
    beyond = killedAt === undefined ? beyond + 1 : 0;
    if (GOES_ON.test(killedAt ?? '')) await crash({ side: 'after', effect });
  }
  await world.close();
  return walked;
}
