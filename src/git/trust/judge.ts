/** Whether one commit is signed by somebody who is trusted. Nothing here is remembered, and the time is an argument. */
import type { PublicKey } from 'openpgp';
import type { SshSigner, TrustedKeys } from './keys.ts';
import type { SignedCommit } from './signed-commit.ts';
import { holdsSsh, isSshSignature, parseSshSignature } from './ssh-signature.ts';
import { SshFormatError } from './ssh-wire.ts';

/** Undefined: it holds. Otherwise what was seen instead, for people. */
export type Judgement = string | undefined;

const NAMESPACE = 'git';
/** Clocks of people's machines may be ahead of this one by so much. */
const SKEW_MS = 10 * 60_000;

export async function judge(commit: SignedCommit, keys: TrustedKeys, now: number): Promise<Judgement> {
  const { signature } = commit;
  if (signature === undefined) return 'it is not signed';
  return isSshSignature(signature)
    ? judgeSsh(commit, signature, keys.ssh, now)
    : await judgePgp(commit, signature, keys.pgp, now);
}

function judgeSsh({ payload, committedAt }: SignedCommit, armored: string, signers: SshSigner[], now: number) {
  try {
    const signature = parseSshSignature(armored);
    const { fingerprint, namespace } = signature;
    const known = signers.filter((signer) => signer.fingerprint === fingerprint);
    if (known.length === 0) return `the key ${fingerprint} that signed it is not trusted`;
    const by = `${fingerprint} (${known[0]?.name || 'no name'})`;
    if (namespace !== NAMESPACE)
      return `its signature by ${by} is for ${JSON.stringify(namespace)}, not for ${NAMESPACE}`;
    if (!holdsSsh(signature, payload)) return `its signature by ${by} does not match what it holds`;
    const refusals = known.map((signer) => unfit(signer, committedAt, now));
    return refusals.includes(undefined) ? undefined : `it is signed by ${by}, which ${refusals[0]}`;
  } catch (error) {
    if (error instanceof SshFormatError) return `its SSH signature cannot be read: ${error.message}`;
    throw error;
  }
}

/** A commit names its own time, so the key must be valid now as well. */
function unfit({ validAfter, validBefore, namespaces }: SshSigner, committedAt: number, now: number) {
  if (namespaces !== undefined && !namespaces.some((pattern) => matches(pattern, NAMESPACE)))
    return `is trusted for ${namespaces.join(', ')} only`;
  if (validAfter !== undefined && Math.min(committedAt, now) < validAfter)
    return `is valid only after ${new Date(validAfter).toISOString()}`;
  if (validBefore !== undefined && Math.max(committedAt, now) > validBefore)
    return `was valid only before ${new Date(validBefore).toISOString()}`;
  return undefined;
}

function matches(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`).test(text);
}

/** RFC 9580: over bytes. A signature over nothing, or over a key, says nothing of a commit. */
const BINARY = 0;

async function judgePgp({ payload }: SignedCommit, armored: string, trusted: PublicKey[], now: number) {
  const { createMessage, readSignature, verify } = await import('openpgp');
  const signature = await readSignature({ armoredSignature: armored }).catch(() => undefined);
  const [packet, ...others] = signature?.packets ?? [];
  if (signature === undefined || packet === undefined || others.length > 0)
    return 'its signature cannot be read: expected one SSH or OpenPGP signature';
  if (packet.signatureType !== BINARY)
    return `its signature is of another type (${packet.signatureType}) than a commit's`;
  const keyId = packet.issuerKeyID;
  const key = trusted.find((each) => each.getKeys(keyId).length > 0);
  if (key === undefined) return `the key ${keyId.toHex().toUpperCase()} that signed it is not trusted`;
  const by = `${keyId.toHex().toUpperCase()} (${key.getUserIDs()[0] ?? 'no name'})`;
  const date = new Date(Math.min(Math.max(now, packet.created?.getTime() ?? 0), now + SKEW_MS));
  try {
    await key.getSigningKey(keyId, date);
  } catch (error) {
    return `it is signed by ${by}, which cannot be used: ${(error as Error).message}`;
  }
  const message = await createMessage({ binary: new Uint8Array(payload) });
  const { signatures } = await verify({ message, signature, verificationKeys: key, date, format: 'binary' });
  return await signatures[0]?.verified.then(
    () => undefined,
    (error: Error) => `its signature by ${by} does not hold: ${error.message}`,
  );
}
