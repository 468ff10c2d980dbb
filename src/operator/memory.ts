/** V8 collects garbage when something allocates. An operator at rest does not, and would hold on to all that its start took. */
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Long enough after the first commit that rollouts begun with it are on their way. */
const DELAY_MS = 5000;
const LOOK_MS = 1000;
/** At rest is who takes less than this of a core, so many times in a row that it is looked. */
const REST = 0.05;
const CALM = 3;
/** The first collections give back the pages of what is garbage; V8 gives those of its nursery, 32 MiB, back after some 5 s of little work. */
const [COMPACTIONS, COLLECTIONS] = [3, 8];
/**
 * From then on V8 collects when the heap has grown by so many percent, and leaves its nursery at 1 MiB: a thousand rollouts at once take some
 * 70 MiB less, and a quarter more of the processor.
 */
const KEPT_SMALL = ['--heap-growing-percent=15', '--semi-space-growth-factor=1'];

/** Gives memory back once the start is over, in pauses of some 100 ms for ten thousand resources, and keeps it small. */
export async function releaseLater(): Promise<void> {
  await setTimeout(DELAY_MS, undefined, { ref: false });
  for (let calm = 0; calm < CALM; ) calm = (await share(LOOK_MS)) < REST ? calm + 1 : 0;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // Else pages of which a part is used are kept: a quarter of the heap, after a start.
  setFlagsFromString('--compact-on-every-full-gc');
  for (let times = 0; times < COLLECTIONS; times++) {
    if (times > 0) await setTimeout(LOOK_MS, undefined, { ref: false });
    if (times === COMPACTIONS) setFlagsFromString('--no-compact-on-every-full-gc');
    collect();
  }
  for (const flag of KEPT_SMALL) setFlagsFromString(flag);
}

/** Of a core, that this process takes within the next `ms`. */
async function share(ms: number): Promise<number> {
  const before = process.cpuUsage();
  await setTimeout(ms, undefined, { ref: false });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / ms;
}
