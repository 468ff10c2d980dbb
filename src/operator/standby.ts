/**
 * Waits beside the operator that holds the lease, and takes the lease when that one shows no more signs of life. What it
 * goes by is its own looks: so many in a row, each of which was answered, that found nothing new. So neither a clock that
 * differs or jumps, nor a machine that slept, nor a remote that was down makes it take over from an operator that lives.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../error-text.ts';
import type { Clone } from '../git/clone.ts';
import { PushRejected } from '../git/errors.ts';
import { LeaseMoved, readLease, takeLease } from '../git/lease.ts';
import { giveSign, readSigns, standbyPrefix, standbySign, type VitalSigns } from '../git/vital-signs.ts';
import { STATUS_REF } from '../status/names.ts';
import type { OperatorOptions } from './options.ts';
import { type Parts, systemParts } from './parts.ts';

const LOOK_MS = 5_000;
/** So many looks without a sign: forty seconds, in which an operator that lives gives two. */
const SILENT_LOOKS = 8;
/** Every five minutes the sign that somebody waits is renewed. */
const RENEW_LOOKS = 60;

/** The epoch that was taken; undefined: the signal aborted first. */
export async function standBy(
  options: OperatorOptions,
  signal: AbortSignal,
  parts: Parts = systemParts,
): Promise<number | undefined> {
  // A clone of its own: that of the operator may be on this machine, too.
  const clone = await parts.openClone({ ...options, stateDir: join(options.stateDir, 'standby') });
  const name = `${hostname().replace(/[^A-Za-z0-9-]/g, '-')}-${process.pid}-${randomBytes(3).toString('hex')}`;
  try {
    return await wait({ options, parts, clone, name, signal });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    await takeSignAway(clone, name).catch(() => {});
    await clone.close();
  }
}

interface Waiting {
  options: OperatorOptions;
  parts: Parts;
  clone: Clone;
  name: string;
  signal: AbortSignal;
}

async function wait(waiting: Waiting): Promise<number> {
  const { options, parts, clone, name, signal } = waiting;
  let pulse: string | undefined;
  let silent = 0;
  let answered = true;
  for (let looks = 0; ; looks++) {
    signal.throwIfAborted();
    try {
      const signs = await readSigns(clone, STATUS_REF, signal);
      answered = true;
      silent = signs.pulse === pulse ? silent + 1 : 0;
      pulse = signs.pulse;
      if (looks === 0) await introduce(waiting, signs);
      if (signs.lease === undefined || silent >= SILENT_LOOKS) return await takeOver(waiting, signs);
      if (looks % RENEW_LOOKS === 0 || !hasSign(signs, name)) await renew(waiting, signs, looks);
    } catch (error) {
      signal.throwIfAborted();
      silent = 0;
      pulse = undefined;
      if (answered && !(error instanceof LeaseMoved || error instanceof PushRejected))
        options.log('warn', `stands by, but cannot look: ${messageOf(error)}`);
      answered = error instanceof LeaseMoved || error instanceof PushRejected;
    }
    await pause(parts, signal);
  }
}

async function introduce({ options, clone, signal }: Waiting, { lease }: VitalSigns): Promise<void> {
  const held = lease === undefined ? undefined : await readLease(clone, signal);
  if (held !== undefined) options.log('info', `stands by for ${held.holder} (epoch ${held.epoch})`);
}

async function takeOver({ options, parts, clone, signal }: Waiting, { lease }: VitalSigns): Promise<number> {
  const holder = `${hostname()} ${process.pid}`;
  const from = { commit: lease };
  const before = lease === undefined ? undefined : await readLease(clone, signal);
  const now = parts.clock.now();
  const { epoch } = await takeLease(clone, holder, now, signal, parts.nextEpoch(options), from);
  const whose = before === undefined ? 'nobody operates the repository' : `no sign of life of ${before.holder}`;
  options.log('warn', `${whose}: takes over with epoch ${epoch}`);
  return epoch;
}

const own = ({ standbys }: VitalSigns, name: string) =>
  new Map([...standbys].filter(([ref]) => ref.startsWith(standbyPrefix(name))));
const hasSign = (signs: VitalSigns, name: string): boolean => own(signs, name).size > 0;

async function renew({ clone, name, signal }: Waiting, signs: VitalSigns, looks: number): Promise<void> {
  const { lease } = signs;
  if (lease === undefined) return;
  // The commit that the sign names must be in the clone.
  await readLease(clone, signal);
  await giveSign(clone, { lease, sign: standbySign(name, looks), before: own(signs, name) }, signal);
}

const LEAVING_MS = 10_000;

async function takeSignAway(clone: Clone, name: string): Promise<void> {
  const signal = AbortSignal.timeout(LEAVING_MS);
  const signs = await readSigns(clone, STATUS_REF, signal);
  if (signs.lease === undefined || !hasSign(signs, name)) return;
  await readLease(clone, signal);
  await giveSign(clone, { lease: signs.lease, sign: undefined, before: own(signs, name) }, signal);
}

function pause({ clock }: Parts, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const callOff = clock.after(LOOK_MS, done);
    function done(): void {
      callOff();
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done, { once: true });
  });
}
