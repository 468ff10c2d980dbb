/** A few of the boundaries that `npm run crash` walks through, others each day: `CRASH_SEED` says which. */
import t from 'tap';
import { KINDS } from './kinds.ts';
import { openWorld } from './rounds.ts';
import { noSsh } from './ssh.ts';
import { walk } from './walk.ts';

const DAY_MS = 86_400_000;
const seed = Number(process.env.CRASH_SEED ?? Math.floor(Date.now() / DAY_MS));
/** Of some 250 to 400 effects three or so, for each kind. */
const EVERY = 97;

t.setTimeout(600_000);

for (const [kind, open] of Object.entries(KINDS)) {
  const skip = kind === 'ssh' && noSsh;
  t.test(`${kind}: killed with -9 on the way, it goes on`, { skip, timeout: 300_000 }, async (t) => {
    const from = 1 + ((seed * 17) % EVERY);
    const { crashes, failures } = await walk(t, open, { from, every: EVERY, beyond: 1 });
    t.comment(`seed ${seed}: ${crashes} crashes`);
    t.ok(crashes > 1, `${crashes} crashes`);
    for (const { boundary, ended } of failures) {
      t.fail(`${boundary.side} ${ended.killedAt ?? boundary.effect}: ${ended.wrong.join('; ')}\n${ended.told}`);
    }
  });
}

/** What overwrote, started or removed something of the operator that had taken over, when nothing but a look came before it. */
const STOPS: Record<string, RegExp[]> = {
  workload: [/rename .*\/unit\.json$/, /spawn .*server\.js/, /rm .*\/run$/],
  fleet: [/rename .*\/instance\.json$/, /send a script/],
};

for (const [kind, effects] of Object.entries(STOPS)) {
  t.test(`${kind}: stopped on the way and woken when another has finished, it does nothing any more`, async (t) => {
    const open = KINDS[kind];
    if (open === undefined) throw new Error(`there is no ${kind}`);
    const world = await openWorld(t, await open(t));
    for (const effect of effects) {
      const { killedAt, wrong, told } = await world.freeze({ side: 'before', effect });
      t.ok(killedAt, `stopped at ${effect}`);
      t.equal(wrong.join('\n'), '', `${killedAt}\n${wrong.length > 0 ? told : ''}`);
    }
    await world.close();
  });
}
