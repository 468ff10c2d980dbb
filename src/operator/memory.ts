/** V8 collects garbage when something allocates. An idle operator does not, and would hold on to all that its start took. */
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Long enough after the first commit that rollouts begun with it are on their way. */
const DELAY_MS = 10_000;
/** The first collection finds what is garbage, the next ones give its pages back. */
const COLLECTIONS = 5;

/** Gives memory back some seconds from now, in pauses of some 100 ms for ten thousand resources. */
export async function releaseLater(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let times = 0; times < COLLECTIONS; times++) {
    await setTimeout(times === 0 ? DELAY_MS : 1000, undefined, { ref: false });
    collect();
  }
}
