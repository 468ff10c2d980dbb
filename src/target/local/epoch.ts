/** The highest epoch that ever acted on this target; it stands beside the units, so that it outlives any operator's memory. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { StaleEpoch } from '../ports.ts';

const epochFile = (dataDir: string) => join(dataDir, 'epoch');

function highest(dataDir: string): number {
  try {
    return Number(readFileSync(epochFile(dataDir), 'utf8')) || 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

/** The least epoch that no target below `folder` would refuse. */
export function nextEpoch(folder: string): number {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return 1 + Math.floor(Math.max(0, ...names.map((name) => highest(join(folder, name)))));
}

/** Throws StaleEpoch when a later operator has taken over. Where somebody has removed the folder, it is taken over anew. */
export function checkEpoch(dataDir: string, mine: number): void {
  const seen = highest(dataDir);
  if (seen > mine) throw new StaleEpoch(mine, seen, dataDir);
  if (seen === 0) claimEpoch(dataDir, mine);
}

/** Takes the target over for `mine`, unless a later operator has it. */
export function claimEpoch(dataDir: string, mine: number): void {
  const seen = highest(dataDir);
  if (seen > mine) throw new StaleEpoch(mine, seen, dataDir);
  mkdirSync(dataDir, { recursive: true, mode: 0o755 });
  writeFileAtomic.sync(epochFile(dataDir), `${mine}\n`);
}
