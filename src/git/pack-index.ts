/** The index of a pack, version 2 (gitformat-pack(5)): where in the pack each object lies. */
import { createHash } from 'node:crypto';
import type { Oid } from '../manifest/resource.ts';

export interface PackedObject {
  oid: Oid;
  /** From the pack's first byte; packs of more than 2 GiB are not made here. */
  offset: number;
  /** Of its header and its compressed content, as they stand in the pack. */
  crc32: number;
}

const MAGIC = Buffer.from('\xfftOc\0\0\0\x02', 'latin1');
const FANOUT = 256;
const OID_BYTES = 20;

/** `checksum`: the last 20 bytes of the pack. */
export function formatPackIndex(objects: readonly PackedObject[], checksum: Buffer): Buffer {
  const sorted = [...objects].sort((a, b) => (a.oid < b.oid ? -1 : 1));
  const names = Buffer.from(sorted.map(({ oid }) => oid).join(''), 'hex');
  const parts = [
    MAGIC,
    fanout(names),
    names,
    numbers(sorted.map(({ crc32 }) => crc32)),
    numbers(sorted.map(({ offset }) => offset)),
    checksum,
  ];
  const body = Buffer.concat(parts);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

/** For each first byte how many objects have it or a lower one: of 00…, 00… and 02… it begins 2, 2, 3, 3. `names` is sorted. */
function fanout(names: Buffer): Buffer {
  const ends = new Array<number>(FANOUT);
  let at = 0;
  for (let byte = 0; byte < FANOUT; byte++) {
    while (at < names.length && names[at] === byte) at += OID_BYTES;
    ends[byte] = at / OID_BYTES;
  }
  return numbers(ends);
}

function numbers(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, at * 4);
  return bytes;
}
