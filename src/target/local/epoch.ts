/**
 * Who may act on a target of this machine: the operator with the highest epoch that ever acted there. It stands beside the
 * units, so that it outlives any operator's memory:
 *
 *     epochs/<n>/     of the operator that acts; its files are made here, and get their names by a rename from here
 *               in    a link to the target's folder
 *               holder    who that is, for people
 *
 * The next operator takes the folder away. What the one before does from then on fails, though it was stopped and woken
 * right before that: nothing can be renamed from there any more, and no path leads through it.
 */
import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { StaleEpoch } from '../ports.ts';

const epochsFolder = (dataDir: string) => join(dataDir, 'epochs');

function epochsOf(dataDir: string): number[] {
  try {
    return readdirSync(epochsFolder(dataDir)).map(Number).filter(Number.isFinite);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** The least epoch that no target below `folder` would refuse. */
export function nextEpoch(folder: string): number {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return 1 + Math.floor(Math.max(0, ...names.flatMap((name) => epochsOf(join(folder, name)))));
}

/** What an operator does to a target's files, as long as no later one has taken over. */
export interface Hold {
  dataDir: string;
  /** Throws StaleEpoch when a later operator has taken over. Where somebody has removed the folder, it is taken over anew. */
  check(): void;
  /** The same place, by a path that leads nowhere once a later operator has taken over. No parents may be made by it. */
  reach(path: string): string;
  /** With its parents. */
  makeFolder(path: string): void;
  /** Replaces a file as a whole: a reader sees the one before or the one after. `durable`: flushed to the disk. */
  write(file: string, text: string, options: { mode: number; durable: boolean }): void;
}

/** Takes the target over for `mine`, unless a later operator has it. */
export function takeHold(dataDir: string, mine: number): Hold {
  const own = join(epochsFolder(dataDir), String(mine));
  let made = 0;
  claim(dataDir, mine);

  function check(): void {
    const epochs = epochsOf(dataDir);
    const seen = Math.max(0, ...epochs);
    if (seen > mine) throw new StaleEpoch(mine, seen, dataDir);
    if (seen < mine) claim(dataDir, mine);
  }
  const reach = (path: string) => `${own}/in/${relative(dataDir, path)}`;

  function makeFolder(path: string): void {
    if (existsSync(path)) return;
    makeFolder(dirname(path));
    try {
      mkdirSync(reach(path), 0o755);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }

  return {
    ...{ dataDir, check, reach, makeFolder },
    write(file, text, { mode, durable }) {
      const draft = join(own, `${process.pid}.${++made}`);
      try {
        writeDraft(draft, text, mode, durable);
        renameSync(draft, file);
      } catch (error) {
        rmSync(draft, { force: true });
        check();
        throw error;
      }
    },
  };
}

function writeDraft(draft: string, text: string, mode: number, durable: boolean): void {
  const file = openSync(draft, 'wx', mode);
  try {
    // Whatever is masked out of the modes of new files.
    fchmodSync(file, mode);
    writeFileSync(file, text);
    if (durable) fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** First it is seen that this one is there, then the earlier ones go: of two that claim at once the later one holds. */
function claim(dataDir: string, mine: number): void {
  const folder = epochsFolder(dataDir);
  const own = join(folder, String(mine));
  mkdirSync(own, { recursive: true, mode: 0o755 });
  if (!existsSync(join(own, 'in'))) symlinkSync('../..', join(own, 'in'));
  rmSync(join(own, 'holder'), { force: true });
  writeDraft(join(own, 'holder'), `process ${process.pid} on ${hostname()}\n`, 0o644, true);
  sync(folder);
  for (const earlier of epochsOf(dataDir)) {
    if (earlier > mine) {
      rmSync(own, { recursive: true, force: true });
      throw new StaleEpoch(mine, earlier, dataDir);
    }
    if (earlier < mine) revoke(join(folder, String(earlier)), join(own, `before-${earlier}`));
  }
}

/** At once, whatever lies in it. */
function revoke(earlier: string, aside: string): void {
  try {
    renameSync(earlier, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  rmSync(aside, { recursive: true, force: true });
}

function sync(folder: string): void {
  const opened = openSync(folder, 'r');
  try {
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}
