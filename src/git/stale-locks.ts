/** Locks that a killed process left in the operator's own clone: nobody else would ever take them away. */
import type { Dirent } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A ref's lock is held for some milliseconds. A git that a killed operator left behind may still be at its end. */
const HELD_MS = 2000;

/** Removes every lock of refs that stays for longer than a living process would hold it. */
export async function removeStaleLocks(gitdir: string): Promise<void> {
  const found = await Promise.all((await locksIn(gitdir)).map(async (path) => ({ path, seen: await seenAs(path) })));
  const held = found.filter(({ seen }) => seen !== undefined);
  if (held.length === 0) return;
  const youngest = Math.max(...held.map(({ seen }) => seen?.mtimeMs ?? 0));
  // The clock may have jumped since: never longer than this.
  await sleep(Math.min(HELD_MS, Math.max(0, youngest + HELD_MS - Date.now())));
  for (const { path, seen } of held) {
    const now = await seenAs(path);
    if (now !== undefined && now.ino === seen?.ino && now.mtimeMs === seen.mtimeMs) await rm(path, { force: true });
  }
}

async function locksIn(gitdir: string): Promise<string[]> {
  const below = await readdir(join(gitdir, 'refs'), { recursive: true, withFileTypes: true }).catch(
    () => [] as Dirent[],
  );
  const beside = await readdir(gitdir, { withFileTypes: true }).catch(() => [] as Dirent[]);
  return [...below, ...beside]
    .filter((entry) => entry.isFile() && entry.name.endsWith('.lock'))
    .map((entry) => join(entry.parentPath, entry.name));
}

function seenAs(path: string): Promise<{ ino: number; mtimeMs: number } | undefined> {
  return stat(path).catch(() => undefined);
}
