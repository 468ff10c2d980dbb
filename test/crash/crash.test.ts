/** A few of the boundaries that `npm run crash` walks through, of other kinds each day. On Docker: docker.test.ts. */
import t from 'tap';
import { killed, seed, stopped } from './daily.ts';
import { WITHOUT_ENGINE } from './kinds.ts';
import { noSsh } from './ssh.ts';

/** Of some 250 to 400 effects three or so, for each kind. */
const EVERY = 97;
/** So many kinds a day: each takes up to a minute and a half. */
const KINDS_A_DAY = 2;

t.setTimeout(900_000);

const kinds = Object.entries(WITHOUT_ENGINE);
const today = Array.from({ length: KINDS_A_DAY }, (_, at) => kinds[(seed * KINDS_A_DAY + at) % kinds.length] ?? []);
for (const [kind = '', open] of today) {
  if (open === undefined) throw new Error(`no kind for seed ${seed}`);
  const skip = kind === 'ssh' && noSsh;
  t.test(`${kind}: killed with -9 on the way, it goes on`, { skip, timeout: 800_000 }, (t) =>
    killed(t, open, { every: EVERY }, 2),
  );
}

/** What overwrote, started or removed something of the operator that had taken over, when nothing but a look came before it. */
const STOPS: Record<string, RegExp[]> = {
  workload: [/rename .*\/unit\.json$/, /spawn .*server\.js/, /rm .*\/run$/],
  fleet: [/rename .*\/instance\.json$/, /send a script/],
};

for (const [kind, effects] of Object.entries(STOPS)) {
  t.test(`${kind}: stopped on the way and woken when another has finished, it does nothing any more`, async (t) => {
    const open = WITHOUT_ENGINE[kind];
    if (open === undefined) throw new Error(`there is no ${kind}`);
    await stopped(t, open, effects);
  });
}
