/** A real repository in a folder of its own, as the Git layer offers it to the status store. */
import * as fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import git from 'isomorphic-git';
import type { TreeEntry } from '../../src/git/types.ts';
import type { Oid } from '../../src/manifest/resource.ts';
import type { StatusObjects } from '../../src/status/store.ts';

export interface Repository extends StatusObjects {
  /** Commits `files` over those of `parent`; null deletes. `link`: an entry that is a symbolic link. */
  save(parent: Oid | undefined, files: Map<string, Buffer | null>, message: string, link?: string): Promise<Oid>;
  remove(): Promise<void>;
}

const MODES: Record<string, TreeEntry['mode']> = {
  '040000': 'tree',
  '100644': 'file',
  '100755': 'executable',
  '120000': 'link',
  '160000': 'submodule',
};

export async function newRepository(): Promise<Repository> {
  const dir = await mkdtemp(join(tmpdir(), 'status-test-'));
  const at = { fs, dir };
  await git.init({ ...at, defaultBranch: 'main' });
  const person = { name: 'test', email: 'test@localhost', timestamp: 1_795_213_323, timezoneOffset: 0 };

  async function blob(oid: Oid): Promise<Buffer> {
    return Buffer.from((await git.readBlob({ ...at, oid })).blob);
  }

  return {
    async commit(oid) {
      const { commit } = await git.readCommit({ ...at, oid });
      const { tree, parent, message, author } = commit;
      return { tree, parents: parent, message, author, at: author.timestamp * 1000 };
    },
    async tree(oid) {
      const { tree } = await git.readTree({ ...at, oid });
      return tree.map((entry) => ({ name: entry.path, mode: MODES[entry.mode] ?? 'submodule', oid: entry.oid }));
    },
    async blobs(oids, each) {
      for (const oid of oids) each(oid, await blob(oid));
    },
    async save(parent, files, message, link) {
      await git.checkout({ ...at, ref: parent ?? 'HEAD', force: true }).catch(() => {});
      for (const [path, content] of files) {
        if (content === null) {
          await git.remove({ ...at, filepath: path });
          continue;
        }
        const oid = await git.writeBlob({ ...at, blob: content });
        await git.updateIndex({ ...at, filepath: path, oid, add: true, mode: path === link ? 0o120000 : 0o100644 });
      }
      return await git.commit({
        ...at,
        message,
        author: person,
        committer: person,
        parent: parent === undefined ? [] : [parent],
        ref: 'refs/heads/main',
      });
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
