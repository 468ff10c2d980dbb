/** Packs: one made of the objects that a push sends, one taken in that a fetch brought. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import writeFileAtomic from 'write-file-atomic';
import type { Oid } from '../manifest/resource.ts';
import { compress } from './deflate.ts';
import { isomorphicGit } from './isomorphic.ts';
import { parseCommit, parseTree, type RawObject, taggedObject } from './object-format.ts';
import type { ObjectStore } from './objects.ts';
import { formatPackIndex, type PackedObject } from './pack-index.ts';
import { brokenOff } from './pkt-line.ts';

const HEADER_BYTES = 12;
const TYPES = { commit: 1, tree: 2, blob: 3, tag: 4 };

/**
 * What `tips` need of what was written here and not sent yet. Everything else in the clone came from the remote, so that
 * neither a tag nor a branch on an old commit walks its history.
 */
export async function unsentObjects(store: ObjectStore, tips: readonly Oid[]): Promise<Map<Oid, RawObject>> {
  const found = new Map<Oid, RawObject>();
  const open = [...tips];
  for (let oid = open.pop(); oid !== undefined; oid = open.pop()) {
    if (!store.unsent.has(oid) || found.has(oid)) continue;
    const object = await store.raw(oid);
    found.set(oid, object);
    open.push(...references(oid, object));
  }
  return found;
}

function references(oid: Oid, { type, content }: RawObject): Oid[] {
  if (type === 'commit') {
    const { tree, parents } = parseCommit(oid, content);
    return [tree, ...parents];
  }
  if (type === 'tree') return parseTree(oid, content).map((entry) => entry.oid);
  const target = type === 'tag' ? taggedObject(content) : undefined;
  return target === undefined ? [] : [target];
}

/** The pack's bytes, in parts: header, one part for each object, checksum. */
export async function formatPack(objects: ReadonlyMap<Oid, RawObject>): Promise<Buffer[]> {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write('PACK');
  header.writeUInt32BE(2, 4);
  header.writeUInt32BE(objects.size, 8);
  const parts = [header];
  for (const { type, content } of objects.values())
    parts.push(Buffer.concat([objectHeader(TYPES[type], content.length), await compress(content)]));
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return [...parts, hash.digest()];
}

/** Puts objects that were made here into the clone as one pack, whole or not at all: readers see it once its index is there. */
export async function keepPack(gitdir: string, objects: ReadonlyMap<Oid, RawObject>): Promise<void> {
  const parts = await formatPack(objects);
  const checksum = parts.at(-1) as Buffer;
  const packed: PackedObject[] = [];
  let offset = 0;
  const bodies = parts.slice(1, -1).values();
  for (const oid of objects.keys()) {
    const body = bodies.next().value as Buffer;
    packed.push({ oid, offset: HEADER_BYTES + offset, crc32: crc32(body) });
    offset += body.length;
  }
  const path = join(gitdir, 'objects', 'pack', `pack-${checksum.toString('hex')}`);
  await mkdir(dirname(path), { recursive: true });
  await writeFileAtomic(`${path}.pack`, Buffer.concat(parts), { mode: 0o444 });
  await writeFileAtomic(`${path}.idx`, formatPackIndex(packed, checksum), { mode: 0o444 });
}

/** The type in bits 4 to 6 and the length, least significant bits first: 4 bits, then 7 a byte. 300 bytes of blob: bc 12. */
function objectHeader(type: number, length: number): Buffer {
  const bytes: number[] = [];
  let byte = (type << 4) | (length & 15);
  for (let rest = Math.floor(length / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes.push(byte | 128);
    byte = rest & 127;
  }
  bytes.push(byte);
  return Buffer.from(bytes);
}

/**
 * Puts a pack into the clone, whole or not at all: it is checked and indexed in a folder of its own, and readers see it
 * once its index is renamed into place. Throws `bad-answer` for half a pack.
 */
export async function storePack(gitdir: string, pack: Buffer, where: string): Promise<void> {
  const checksum = pack.subarray(-20).toString('hex');
  const payload = pack.subarray(0, -20);
  if (pack.length < 32 || createHash('sha1').update(payload).digest('hex') !== checksum) throw brokenOff(where);
  const count = pack.readUInt32BE(8);
  if (count === 0) return;
  const directory = join(gitdir, 'objects', 'pack');
  await mkdir(directory, { recursive: true });
  const workshop = await mkdtemp(join(gitdir, 'tmp-pack-'));
  try {
    await writeFile(join(workshop, 'new.pack'), pack, { flush: true });
    const git = await isomorphicGit();
    const { oids } = await git.indexPack({ fs, dir: workshop, gitdir, filepath: 'new.pack', cache: {} });
    if (oids.length !== count) throw brokenOff(where);
    await rename(join(workshop, 'new.pack'), join(directory, `pack-${checksum}.pack`));
    await rename(join(workshop, 'new.idx'), join(directory, `pack-${checksum}.idx`));
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}
