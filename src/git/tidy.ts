/**
 * Packs what piles up, in the background, through git: in the clone loose objects of commits and small packs of fetches and pushes, in a repository on
 * this machine the refs that are pushed to it. Each push there reads all its refs, and from a file of its own one costs
 * fifteen times what it costs among others.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { LocalRepository } from './local-repository.ts';
import { type GitProgram, runGit } from './program.ts';

/** As many commits, or a twentieth as many packs, go by between two packings. */
const DUE = 1000;
const PACK = 20;
/** Objects that a status commit leaves loose: its files, three trees, itself. */
const OBJECTS_PER_COMMIT = 5;
const PACK_MS = 10 * 60_000;
/** So many refs with files of their own are left to be. */
const LOOSE_REFS = 500;
const TAGS = 'refs/tags/sluice';

export interface Tidy {
  /** So many commits were written, each with few objects, loose. */
  committed(commits: number): void;
  /** A pack came into the clone. */
  packed(): void;
  /** So many refs were moved at the remote. */
  pushed(refs: number): void;
  /** Resolves when nothing runs in the background. */
  idle(): Promise<void>;
  /** Ends what runs. */
  close(): Promise<void>;
}

/** `local`: the remote, where it lies on this machine. */
export function keepTidy(gitdir: string, git: GitProgram | undefined, local?: LocalRepository): Tidy {
  const ended = new AbortController();
  const running = new Set<Promise<void>>();
  /** Counts work, and packs when so much of it has come together; fails quietly: unpacked is slow, not wrong, and the next time comes. */
  function chore(enough: number, program: GitProgram | undefined, args: readonly string[]): (work: number) => void {
    let due = 0;
    let packing: Promise<void> | undefined;
    return (work) => {
      due += work;
      if (due < enough || program === undefined || packing !== undefined || ended.signal.aborted) return;
      due = 0;
      const packed = runGit(program, args, { timeoutMs: PACK_MS, signal: ended.signal }).then(
        () => {},
        () => {},
      );
      packing = packed.finally(() => {
        packing = undefined;
        running.delete(packed);
      });
      running.add(packed);
    };
  }
  const add = chore(DUE, git, ['repack', '-d', '-l', '-q', '--geometric=2']);
  const there = git && local && { ...git, gitdir: local.commondir };
  const addRefs = chore(LOOSE_REFS, there, ['pack-refs', '--all']);
  const counted = Promise.all([leftBehind(gitdir).then(add), local && looseTags(local.commondir).then(addRefs)]);
  const idle = async () => {
    await counted;
    await Promise.all(running);
  };
  return {
    committed: add,
    packed: () => add(PACK),
    pushed: addRefs,
    idle,
    async close() {
      ended.abort();
      await idle();
    },
  };
}

/** What an earlier process left unpacked, from one of the 256 folders, as git itself estimates it. */
async function leftBehind(gitdir: string): Promise<number> {
  const count = async (folder: string) => (await readdir(join(gitdir, 'objects', folder)).catch(() => [])).length;
  const [loose, packs] = await Promise.all([count('17'), count('pack')]);
  return (loose * 256) / OBJECTS_PER_COMMIT + (packs / 2) * PACK;
}

/** At least so many have files of their own: the folders of their resources are counted. */
async function looseTags(commondir: string): Promise<number> {
  const inside = async (folder: string) => await readdir(join(commondir, TAGS, folder)).catch(() => []);
  const kinds = await Promise.all((await inside('')).map(inside));
  return kinds.reduce((sum, resources) => sum + resources.length, 0);
}
