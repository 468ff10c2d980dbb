/** Objects through the `git` program: any repository that git reads, 10,000 blobs in a third of a second. */
import { openCatFile } from './cat-file.ts';
import { type ObjectStore, openObjects, storageOf } from './objects.ts';
import type { GitProgram } from './program.ts';

/** `packed` is told of each pack that comes of what is written. */
export function openNativeObjects(git: GitProgram, packed?: () => void): ObjectStore {
  return openObjects(git.gitdir, openCatFile(git), storageOf(git.gitdir, packed));
}
