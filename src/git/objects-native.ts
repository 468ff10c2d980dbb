/** Objects through the `git` program: any repository that git reads, 10,000 blobs in a third of a second. */
import { openCatFile } from './cat-file.ts';
import { type ObjectStore, openObjects } from './objects.ts';
import type { GitProgram } from './program.ts';

export function openNativeObjects(git: GitProgram): ObjectStore {
  return openObjects(git.gitdir, openCatFile(git));
}
