/** What `npm test` walks through each day: `CRASH_SEED` says which boundaries. */
import type { Test } from 'tap';
import { openWorld } from './rounds.ts';
import type { Owner, Subject } from './subjects.ts';
import { type Slice, walk } from './walk.ts';

type Open = (owner: Owner) => Promise<Subject>;

const DAY_MS = 86_400_000;
export const seed = Number(process.env.CRASH_SEED ?? Math.floor(Date.now() / DAY_MS));

/** Killed at the boundaries of a slice, it goes on; `least` crashes are to come. */
export async function killed(t: Test, open: Open, slice: Omit<Slice, 'from'>, least: number): Promise<void> {
  const from = 1 + ((seed * 17) % slice.every);
  const { crashes, failures } = await walk(t, open, { ...slice, from, beyond: 1 });
  t.comment(`seed ${seed}: ${crashes} crashes`);
  t.ok(crashes >= least, `${crashes} crashes`);
  for (const { boundary, ended } of failures)
    t.fail(`${boundary.side} ${ended.killedAt ?? boundary.effect}: ${ended.wrong.join('; ')}\n${ended.told}`);
}

/** Stopped right before each of these effects, and woken when another has finished, it changes nothing. */
export async function stopped(t: Test, open: Open, effects: RegExp[]): Promise<void> {
  const world = await openWorld(t, await open(t));
  for (const effect of effects) {
    const { killedAt, wrong, told } = await world.freeze({ side: 'before', effect });
    t.ok(killedAt, `stopped at ${effect}`);
    t.equal(wrong.join('\n'), '', `${killedAt}\n${wrong.length > 0 ? told : ''}`);
  }
  await world.close();
}
