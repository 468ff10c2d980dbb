/** The highest epoch that ever acted on this target; it stands beside the units, so that it outlives any operator's memory. */
import { readFileSync } from 'node:fs';
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

/** Throws StaleEpoch when a later operator has taken over. */
export function checkEpoch(dataDir: string, mine: number): void {
  const seen = highest(dataDir);
  if (seen > mine) throw new StaleEpoch(mine, seen);
}

/** Takes the target over for `mine`, unless a later operator has it. */
export function claimEpoch(dataDir: string, mine: number): void {
  checkEpoch(dataDir, mine);
  writeFileAtomic.sync(epochFile(dataDir), `${mine}\n`);
}
