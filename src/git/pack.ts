/** Packs: one made of the objects that a push sends, one taken in that a fetch brought. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Oid } from '../manifest/resource.ts';
import { compress } from './deflate.ts';
import { isomorphicGit } from './isomorphic.ts';
import { parseCommit, parseTree, type RawObject, taggedObject } from './object-format.ts';
import type { ObjectStore } from './objects.ts';
import { brokenOff } from './pkt-line.ts';

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

/** The pack's bytes, in parts: header, objects, checksum. */
export async function formatPack(objects: Iterable<RawObject>): Promise<Buffer[]> {
  const all = [...objects];
  const header = Buffer.alloc(12);
  header.write('PACK');
  header.writeUInt32BE(2, 4);
  header.writeUInt32BE(all.length, 8);
  const bodies = await Promise.all(
    all.map(async ({ type, content }) => [objectHeader(TYPES[type], content.length), await compress(content)]),
  );
  const parts = [header, ...bodies.flat()];
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return [...parts, hash.digest()];
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
