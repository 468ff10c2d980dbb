/** Removes folders of units, of any size. */
import { readdirSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Some milliseconds of work. */
const FEW = 100;

/**
 * Whatever lies at the path, or nothing; links are not followed. A few entries go at once: another thread is asked some twenty times for the
 * smallest folder, and a busy operator takes long to hear each answer. Many go in such threads, so that nobody else waits for them.
 */
export async function removeTree(path: string): Promise<void> {
  if (roomLeft(path, FEW) >= 0) rmSync(path, { recursive: true, force: true });
  else await rm(path, { recursive: true, force: true });
}

/** How many entries fewer than `room` lie below a folder; less than 0, and not counted to the end, where there are more. */
function roomLeft(path: string, room: number): number {
  let left = room;
  for (const entry of entries(path)) {
    left -= 1;
    if (entry.isDirectory()) left = roomLeft(join(path, entry.name), left);
    if (left < 0) break;
  }
  return left;
}

function entries(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
}
