/** Packs what piles up in the clone (loose objects of commits, small packs of fetches) in the background, through git. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type GitProgram, runGit } from './program.ts';

/** As many commits, or a twentieth as many fetches, go by between two packings. */
const DUE = 1000;
const FETCH = 20;
/** Objects that a status commit leaves loose: its files, three trees, itself. */
const OBJECTS_PER_COMMIT = 5;
const PACK_MS = 10 * 60_000;

export interface Tidy {
  committed(): void;
  fetched(): void;
  /** Resolves when nothing runs in the background. */
  idle(): Promise<void>;
  /** Ends what runs. */
  close(): Promise<void>;
}

export function keepTidy(gitdir: string, git: GitProgram | undefined): Tidy {
  const ended = new AbortController();
  let due = 0;
  let running: Promise<void> | undefined;
  function add(work: number): void {
    due += work;
    if (due < DUE || git === undefined || running !== undefined || ended.signal.aborted) return;
    due = 0;
    running = pack(git, ended.signal).finally(() => {
      running = undefined;
    });
  }
  const counted = leftBehind(gitdir).then(add);
  const idle = async () => {
    await counted;
    await running;
  };
  return {
    committed: () => add(1),
    fetched: () => add(FETCH),
    idle,
    async close() {
      ended.abort();
      await idle();
    },
  };
}

/** Fails quietly: an unpacked clone is slow, not wrong, and the next time comes. */
async function pack(git: GitProgram, signal: AbortSignal): Promise<void> {
  await runGit(git, ['repack', '-d', '-l', '-q', '--geometric=2'], { timeoutMs: PACK_MS, signal }).catch(() => {});
}

/** What an earlier process left unpacked, from one of the 256 folders, as git itself estimates it. */
async function leftBehind(gitdir: string): Promise<number> {
  const count = async (folder: string) => (await readdir(join(gitdir, 'objects', folder)).catch(() => [])).length;
  const [loose, packs] = await Promise.all([count('17'), count('pack')]);
  return (loose * 256) / OBJECTS_PER_COMMIT + (packs / 2) * FETCH;
}
