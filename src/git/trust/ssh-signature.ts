/** SSH signatures as `ssh-keygen -Y sign` makes them (PROTOCOL.sshsig). */
import { createHash, verify } from 'node:crypto';
import { fingerprintOf, parseSshKey, readWire, SshFormatError, type SshKey, wireString } from './ssh-wire.ts';

export interface SshSignature {
  /** Of the key that it names. */
  fingerprint: string;
  publicKey: Buffer;
  namespace: string;
  hash: string;
  algorithm: string;
  bytes: Buffer;
}

const MAGIC = 'SSHSIG';
const HASHES = new Set(['sha256', 'sha512']);
/** By the algorithm of the signature: SHA-1 is not among them. */
const RSA_HASHES: Record<string, string> = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' };
const EC_HASHES: Record<string, string> = {
  'ecdsa-sha2-nistp256': 'sha256',
  'ecdsa-sha2-nistp384': 'sha384',
  'ecdsa-sha2-nistp521': 'sha512',
};
const ARMOR = /^-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n*$/;

export const isSshSignature = (armored: string): boolean => armored.startsWith('-----BEGIN SSH SIGNATURE-----');

/** Throws `SshFormatError`. */
export function parseSshSignature(armored: string): SshSignature {
  const body = ARMOR.exec(armored.replaceAll('\r', ''))?.[1];
  if (body === undefined) throw new SshFormatError('it is no SSH signature');
  const wire = readWire(Buffer.from(body, 'base64'));
  if (wire.take(MAGIC.length).toString('latin1') !== MAGIC) throw new SshFormatError('it is no SSH signature');
  const version = wire.uint32();
  if (version !== 1) throw new SshFormatError(`version ${version} of SSH signatures is not known`);
  const publicKey = wire.string();
  const namespace = wire.text();
  wire.string();
  const hash = wire.text();
  const signature = readWire(wire.string());
  wire.end();
  const [algorithm, bytes] = [signature.text(), signature.string()];
  signature.end();
  return { fingerprint: fingerprintOf(publicKey), publicKey, namespace, hash, algorithm, bytes };
}

/** Whether `signature` is over `payload`, by the key that it names. Throws `SshFormatError` for what it cannot be. */
export function holdsSsh(signature: SshSignature, payload: Buffer): boolean {
  const { namespace, hash, publicKey } = signature;
  if (!HASHES.has(hash)) throw new SshFormatError(`the hash ${JSON.stringify(hash)} is not allowed`);
  const signed = Buffer.concat([
    Buffer.from(MAGIC),
    ...[namespace, '', hash, createHash(hash).update(payload).digest()].map(wireString),
  ]);
  return verified(parseSshKey(publicKey), signature, signed);
}

function verified({ type, key, coordinateBytes }: SshKey, { algorithm, bytes }: SshSignature, signed: Buffer): boolean {
  if (type === 'ssh-ed25519' && algorithm === type) return verify(null, signed, key, bytes);
  const rsa = type === 'ssh-rsa' ? RSA_HASHES[algorithm] : undefined;
  if (rsa !== undefined) return verify(rsa, signed, key, bytes);
  const ec = algorithm === type ? EC_HASHES[algorithm] : undefined;
  if (ec === undefined || coordinateBytes === undefined)
    throw new SshFormatError(`the algorithm ${JSON.stringify(algorithm)} is not allowed for a key of type ${type}`);
  return verify(ec, signed, { key, dsaEncoding: 'ieee-p1363' }, pointPair(bytes, coordinateBytes));
}

/** `r` and `s` at their full lengths, one after the other. */
function pointPair(bytes: Buffer, size: number): Buffer {
  const wire = readWire(bytes);
  const pair = Buffer.alloc(2 * size);
  for (const end of [size, 2 * size]) {
    const part = wire.number();
    if (part.length > size) throw new SshFormatError('its numbers are too large');
    part.copy(pair, end - part.length);
  }
  wire.end();
  return pair;
}
