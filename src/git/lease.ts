/**
 * `refs/sluice/lease`: who operates the repository. Each epoch is a commit on the one before it, so that a push that only
 * goes forward is a compare-and-swap: of two operators that start, one gets the epoch and the other the next.
 */
import { randomBytes } from 'node:crypto';
import type { Oid } from '../manifest/resource.ts';
import type { Clone } from './clone.ts';
import { GitError, PushRejected } from './errors.ts';

export const LEASE_REF = 'refs/sluice/lease';
const SUBJECT = 'sluice lease';
const ATTEMPTS = 10;
/** In the clone: the epoch that an operator with this state folder held last. */
const HELD_NOTE = 'held-epoch';

export interface Lease {
  epoch: number;
  /** Whom to ask: the host and the process. */
  holder: string;
  /** Milliseconds since the epoch. */
  at: number;
  commit: Oid;
}

/** Undefined: nobody ever operated this repository. Throws `bad-lease` for what is not one. */
export async function readLease(clone: Clone, signal: AbortSignal): Promise<Lease | undefined> {
  const commit = await clone.transport.fetch(LEASE_REF, signal);
  return commit === undefined ? undefined : parseLease(commit, (await clone.objects.commit(commit)).message);
}

/**
 * Who holds a later epoch than this one, if anybody does. One that was resumed stands only in the clone: whoever starts with the
 * same state folder while the remote is down.
 */
export async function laterHolder(
  clone: Clone,
  epoch: number,
  signal: AbortSignal,
): Promise<Pick<Lease, 'epoch' | 'holder'> | undefined> {
  const held = await heldEpoch(clone);
  if (held > epoch) return { epoch: held, holder: 'with the same state folder' };
  const lease = await readLease(clone, signal);
  return lease !== undefined && lease.epoch > epoch ? lease : undefined;
}

/** Somebody else has taken what was to be taken over. */
export class LeaseMoved extends Error {}

/**
 * Takes the next epoch, or `atLeast`: a lease ref may be lost, or the repository made anew, while targets remember. Whoever
 * held the one before finds out at its next push, and acts no more. With `from`, only from who holds it by that commit:
 * throws `LeaseMoved` when it is another.
 */
export async function takeLease(
  clone: Clone,
  holder: string,
  now: number,
  signal: AbortSignal,
  atLeast = 1,
  from?: { commit: Oid | undefined },
): Promise<Lease> {
  for (let attempt = 1; ; attempt++) {
    const held = await readLease(clone, signal);
    if (from !== undefined && held?.commit !== from.commit) throw new LeaseMoved('the lease was taken by another');
    const lease = { epoch: Math.max((held?.epoch ?? 0) + 1, atLeast), holder, at: now };
    // Two that start alike in the same millisecond would make the same commit, and both take it for theirs.
    const nonce = randomBytes(6).toString('hex');
    const commit = await clone.objects.writeCommit({
      tree: await clone.objects.writeTree([]),
      parents: held === undefined ? [] : [held.commit],
      message: `${SUBJECT}: epoch ${lease.epoch}\n\n${JSON.stringify({ ...lease, nonce })}\n`,
      author: { name: 'Sluice', email: 'sluice@localhost' },
      at: now,
    });
    try {
      await clone.transport.push([{ ref: LEASE_REF, old: held?.commit, new: commit }], signal);
      await noteLease(clone, lease.epoch);
      return { ...lease, commit };
    } catch (error) {
      if (!(error instanceof PushRejected) || attempt >= ATTEMPTS) throw error;
    }
  }
}

/** For `resumeLease`: what was taken by another clone is held by this one. */
export const noteLease = ({ notes }: Clone, epoch: number): Promise<void> => notes.write(HELD_NOTE, `${epoch}\n`);

/**
 * For an operator that starts while the remote is down: the epoch that its state folder held last, and a little more, so
 * that the process that held it before is fenced off: 7, 7.001, 7.002 … and 8 for whoever takes the lease next.
 * Undefined: nothing was held, or it was resumed too often.
 */
export async function resumeLease(clone: Clone): Promise<number | undefined> {
  const held = await heldEpoch(clone);
  if (!(held > 0)) return undefined;
  const thousandths = Math.round(held * 1000) + 1;
  if (thousandths % 1000 === 0) return undefined;
  await clone.notes.write(HELD_NOTE, `${thousandths / 1000}\n`);
  return thousandths / 1000;
}

const heldEpoch = async ({ notes }: Clone): Promise<number> => Number((await notes.read(HELD_NOTE)) ?? Number.NaN);

function parseLease(commit: Oid, message: string): Lease {
  const lease = leaseOfMessage(message);
  if (lease !== undefined) return { ...lease, commit };
  throw new GitError(
    'bad-lease',
    `${LEASE_REF} holds ${commit.slice(0, 10)}, which is no lease: somebody else wrote it; stop all operators of this repository and delete the ref`,
  );
}

/** Undefined: it is none. */
export function leaseOfMessage(message: string): Omit<Lease, 'commit'> | undefined {
  try {
    const [subject = '', , body = ''] = message.split('\n');
    const { epoch, holder, at } = JSON.parse(body) as Record<string, unknown>;
    if (
      subject.startsWith(`${SUBJECT}:`) &&
      Number.isSafeInteger(epoch) &&
      Number(epoch) > 0 &&
      typeof holder === 'string' &&
      typeof at === 'number'
    )
      return { epoch: Number(epoch), holder: holder.slice(0, 200), at };
  } catch {
    // As any other text.
  }
  return undefined;
}
