/** What an operator does for whoever stands by: shows that it lives, and notices when another has taken over. */
import type { Clock } from '../clock.ts';
import { messageOf } from '../error-text.ts';
import type { Clone } from '../git/clone.ts';
import { type Lease, readLease } from '../git/lease.ts';
import { aliveSign, giveSign, readSigns, type VitalSigns } from '../git/vital-signs.ts';
import type { Oid } from '../manifest/resource.ts';
import { STATUS_REF } from '../status/names.ts';
import type { Log } from './options.ts';

export interface HeartbeatOptions {
  clone: Clone;
  clock: Clock;
  epoch: number;
  log: Log;
  signal: AbortSignal;
  takenOver(message: string): void;
}

/** A third of what a standby waits for, so that a slow push costs nobody the lease. */
const BEAT_MS = 15_000;
/** A standby renews its sign every five minutes: one that has not in twelve is gone. */
const GONE_BEATS = 48;

export const takenOverMessage = ({ holder, epoch }: Pick<Lease, 'holder' | 'epoch'>, mine: number): string =>
  `another operator (${holder}, epoch ${epoch}) has taken over; this one (epoch ${mine}) acts no more`;

/** Until it is taken over or the signal aborts. Nothing is pushed while nobody stands by, nor where something just was. */
export function startHeartbeat({ clone, clock, epoch, log, signal, takenOver }: HeartbeatOptions): void {
  let lease: Oid | undefined;
  let pulse = '';
  let beats = 0;
  let waiting = { names: '', beats: 0 };

  async function look(): Promise<boolean> {
    const signs = await readSigns(clone, STATUS_REF, signal);
    if (signs.lease !== lease) {
      const held = await readLease(clone, signal);
      if (held !== undefined && held.epoch > epoch) {
        takenOver(takenOverMessage(held, epoch));
        return false;
      }
      lease = held?.commit;
    }
    const names = [...signs.standbys.keys()].join(' ');
    const isNew = names !== waiting.names;
    waiting = { names, beats: isNew ? 0 : waiting.beats + 1 };
    const quiet = signs.pulse === pulse;
    pulse = signs.pulse;
    if (lease !== undefined && names !== '' && (quiet || isNew)) await show(signs, lease);
    return true;
  }

  async function show(signs: VitalSigns, lease: Oid): Promise<void> {
    if (waiting.beats >= GONE_BEATS) {
      await giveSign(clone, { lease, sign: undefined, before: signs.standbys }, signal);
      log('info', 'whoever stood by is gone');
      return;
    }
    await giveSign(clone, { lease, sign: aliveSign(epoch, ++beats), before: signs.alive }, signal);
    pulse = (await readSigns(clone, STATUS_REF, signal)).pulse;
  }

  async function beat(): Promise<void> {
    const goesOn = await look().catch((error: unknown) => {
      if (!signal.aborted) log('debug', `no sign of life could be given: ${messageOf(error)}`);
      return true;
    });
    if (goesOn && !signal.aborted) next();
  }

  function next(): void {
    const callOff = clock.after(BEAT_MS, () => {
      signal.removeEventListener('abort', callOff);
      void beat();
    });
    signal.addEventListener('abort', callOff, { once: true });
  }

  next();
}
