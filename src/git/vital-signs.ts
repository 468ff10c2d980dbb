/**
 * Signs of life beside the lease, for an operator that waits to take over:
 *
 *     refs/sluice/alive/<epoch>-<n>     whoever holds the lease was alive
 *     refs/sluice/standby/<name>/<n>    somebody waits
 *
 * A sign is renewed by taking the ref away and making the next one in one push: it names a commit that is there already, so
 * that nothing grows however long somebody waits.
 */
import type { Oid } from '../manifest/resource.ts';
import type { Clone } from './clone.ts';
import { LEASE_REF } from './lease.ts';

const ALIVE = 'refs/sluice/alive/';
const STANDBY = 'refs/sluice/standby/';

export interface VitalSigns {
  /** What the lease ref holds. */
  lease: Oid | undefined;
  /** What the operator pushes that holds it: another text whenever it has pushed anything. */
  pulse: string;
  alive: Map<string, Oid>;
  standbys: Map<string, Oid>;
}

/** `written` is the ref that the operator writes most. One question to the remote. */
export async function readSigns({ transport }: Clone, written: string, signal: AbortSignal): Promise<VitalSigns> {
  const refs = await transport.refs([LEASE_REF, written, ALIVE, STANDBY], signal);
  const below = (prefix: string) => new Map([...refs].filter(([ref]) => ref.startsWith(prefix)));
  const alive = below(ALIVE);
  const pulse = [refs.get(LEASE_REF), refs.get(written), ...alive.keys()].join(' ');
  return { lease: refs.get(LEASE_REF), pulse, alive, standbys: below(STANDBY) };
}

export const aliveSign = (epoch: number, n: number): string => `${ALIVE}${epoch}-${n}`;
export const standbySign = (name: string, n: number): string => `${standbyPrefix(name)}${n}`;
export const standbyPrefix = (name: string): string => `${STANDBY}${name}/`;

/** Throws `PushRejected` when the lease is another by now, or somebody else changed what is replaced; then nothing was changed. */
export async function giveSign(
  { transport }: Clone,
  { lease, sign, before }: { lease: Oid; sign: string | undefined; before: ReadonlyMap<string, Oid> },
  signal: AbortSignal,
): Promise<void> {
  await transport.push(
    [
      { ref: LEASE_REF, old: lease, new: lease },
      ...[...before].map(([ref, old]) => ({ ref, old, new: undefined })),
      ...(sign === undefined ? [] : [{ ref: sign, old: undefined, new: lease }]),
    ],
    signal,
  );
}
