/** Waiting for a condition: as long as a busy machine may take, since a wait that ends well costs only what it took. */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What `look` saw, when that is something; it fails with `what` when that does not come.
 *
 * Without `everyMs`, looks are a fifth of the time at most: what is waited for needs the machine, too, and whatever server this
 * process is for it stands still while a look is made by a program.
 */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  seconds = 180,
  everyMs?: number,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const began = performance.now();
    const seen = await look();
    if (seen) return seen as NonNullable<Exclude<T, false>>;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`);
    await sleep(everyMs ?? Math.max(20, 4 * (performance.now() - began)));
  }
}
