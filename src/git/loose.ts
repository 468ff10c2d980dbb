/** Writes loose objects: whole or not at all, on disk before the call returns. */
import { randomBytes } from 'node:crypto';
import { access, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Oid } from '../manifest/resource.ts';
import { compress } from './deflate.ts';
import type { RawObject } from './object-format.ts';

/** Idempotent: the name of an object is its content. */
export async function writeLoose(gitdir: string, oid: Oid, { type, content }: RawObject): Promise<void> {
  const directory = join(gitdir, 'objects', oid.slice(0, 2));
  const path = join(directory, oid.slice(2));
  if (await exists(path)) return;
  const bytes = await compress(Buffer.concat([Buffer.from(`${type} ${content.length}\0`), content]));
  const temporary = join(directory, `tmp_obj_${randomBytes(6).toString('hex')}`);
  const file = await create(directory, temporary);
  try {
    await file.writeFile(bytes);
    await file.datasync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}

async function create(directory: string, temporary: string) {
  try {
    return await open(temporary, 'wx', 0o444);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await mkdir(directory, { recursive: true });
    return await open(temporary, 'wx', 0o444);
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
