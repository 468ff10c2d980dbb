/** What SSH writes keys and signatures in: RFC 4251 strings, and the public keys of RFC 4253, 5656 and 8709. */
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

export interface WireReader {
  /** Throws `SshFormatError` when less is left. */
  take(length: number): Buffer;
  uint32(): number;
  string(): Buffer;
  text(): string;
  /** A number as its bytes, without leading zeros. */
  number(): Buffer;
  /** Throws when anything is left. */
  end(): void;
}

export class SshFormatError extends Error {}

export function readWire(data: Buffer): WireReader {
  let at = 0;
  const reader: WireReader = {
    take(length) {
      if (at + length > data.length) throw new SshFormatError('it is cut off');
      at += length;
      return data.subarray(at - length, at);
    },
    uint32: () => reader.take(4).readUInt32BE(),
    string: () => reader.take(reader.uint32()),
    text: () => reader.string().toString('latin1'),
    number() {
      const bytes = reader.string();
      const start = bytes.findIndex((byte) => byte !== 0);
      return start < 0 ? Buffer.alloc(0) : bytes.subarray(start);
    },
    end() {
      if (at < data.length) throw new SshFormatError('something follows it');
    },
  };
  return reader;
}

export function wireString(content: Buffer | string): Buffer {
  const bytes = Buffer.from(content as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export interface SshKey {
  type: string;
  /** As `ssh-keygen -l` shows it. */
  fingerprint: string;
  key: KeyObject;
  /** Of an elliptic curve: the bytes of a coordinate. */
  coordinateBytes?: number;
}

const CURVES: Record<string, { crv: string; coordinateBytes: number }> = {
  'ecdsa-sha2-nistp256': { crv: 'P-256', coordinateBytes: 32 },
  'ecdsa-sha2-nistp384': { crv: 'P-384', coordinateBytes: 48 },
  'ecdsa-sha2-nistp521': { crv: 'P-521', coordinateBytes: 66 },
};
const MIN_RSA_BITS = 2048;

/** What `ssh-keygen` makes and Sluice verifies with; certificates and keys on security devices are not among them. */
export const KEY_TYPES: readonly string[] = ['ssh-ed25519', 'ssh-rsa', ...Object.keys(CURVES)];

export const fingerprintOf = (blob: Buffer): string =>
  `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;

/** Throws `SshFormatError` for what is not such a key, or one that is too short to be trusted. */
export function parseSshKey(blob: Buffer): SshKey {
  const wire = readWire(blob);
  const type = wire.text();
  const curve = CURVES[type];
  const jwk = jwkOf(type, wire);
  wire.end();
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    throw new SshFormatError(`it is no valid ${type} key`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < MIN_RSA_BITS)
    throw new SshFormatError(`an RSA key of ${bits} bits is too short; ${MIN_RSA_BITS} are needed`);
  return {
    type,
    fingerprint: fingerprintOf(blob),
    key,
    ...(curve !== undefined && { coordinateBytes: curve.coordinateBytes }),
  };
}

function jwkOf(type: string, wire: WireReader): JsonWebKey {
  const curve = CURVES[type];
  if (type === 'ssh-ed25519') return { kty: 'OKP', crv: 'Ed25519', x: wire.string().toString('base64url') };
  if (type === 'ssh-rsa') {
    const [e, n] = [wire.number(), wire.number()];
    return { kty: 'RSA', e: e.toString('base64url'), n: n.toString('base64url') };
  }
  if (curve === undefined) throw new SshFormatError(`a key of type ${JSON.stringify(type)} is not supported`);
  wire.string();
  const point = wire.string();
  const { crv, coordinateBytes: size } = curve;
  if (point[0] !== 4 || point.length !== 1 + 2 * size) throw new SshFormatError(`it is no point of ${crv}`);
  const coordinate = (from: number) => point.subarray(from, from + size).toString('base64url');
  return { kty: 'EC', crv, x: coordinate(1), y: coordinate(1 + size) };
}
