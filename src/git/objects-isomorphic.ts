/** Objects through isomorphic-git, where there is no `git` program. */
import fs from 'node:fs';
import { GitError } from './errors.ts';
import { isomorphicGit } from './isomorphic.ts';
import type { ObjectType } from './object-format.ts';
import { type ObjectStore, openObjects } from './objects.ts';

export function openIsomorphicObjects(gitdir: string): ObjectStore {
  // Holds pack indexes by file name and nothing that can go stale: packs are immutable.
  const cache = {};
  return openObjects(gitdir, {
    async read(oid) {
      const git = await isomorphicGit();
      try {
        const { type, object } = await git.readObject({ fs, gitdir, oid, cache, format: 'content' });
        return { type: type as ObjectType, content: Buffer.from(object as Uint8Array) };
      } catch (error) {
        if ((error as { code?: string }).code === 'NotFoundError') return undefined;
        throw new GitError(
          'broken-clone',
          `${gitdir}: object ${oid} cannot be read (${(error as Error).message}); the clone is thrown away and cloned again`,
        );
      }
    },
    close() {},
  });
}
