/** When the status branch of a repository tells that a rollout to a commit has succeeded. */
import { watch } from 'node:fs';
import { join } from 'node:path';
import { gitAsync } from './git-async.ts';

export interface StatusWatch {
  /** When the branch said so (`performance.now()`); undefined when a later commit came first. */
  succeeded(id: string, commit: string): Promise<number | undefined>;
  waiting(): number;
  close(): void;
}

interface Waiting {
  commit: string;
  resolve(at: number | undefined): void;
}

/** `Service/shop: rollout 7 succeeded` may be gathered with others: the files are read, of the resources that are waited for. */
export function watchStatus(repo: string): StatusWatch {
  const waiting = new Map<string, Waiting>();
  let reading = false;
  let again = false;

  async function read(): Promise<void> {
    if (reading) {
      again = true;
      return;
    }
    reading = true;
    do {
      again = false;
      const moved = performance.now();
      for (const [id, { commit, resolve }] of [...waiting]) {
        const [kind = '', name = ''] = id.split('/');
        const file = `refs/heads/sluice/status:status/${kind.toLowerCase()}/${name}.yaml`;
        const text = await gitAsync(repo, ['cat-file', 'blob', file]);
        if (!isDone(text, commit)) continue;
        if (waiting.get(id)?.commit === commit) waiting.delete(id);
        resolve(moved);
      }
    } while (again);
    reading = false;
  }

  const watcher = watch(join(repo, '.git/refs/heads/sluice'), () => void read());
  const poll = setInterval(() => void read(), 500);
  return {
    succeeded: (id, commit) =>
      new Promise((resolve) => {
        waiting.get(id)?.resolve(undefined);
        waiting.set(id, { commit, resolve });
      }),
    waiting: () => waiting.size,
    close() {
      watcher.close();
      clearInterval(poll);
    },
  };
}

const isDone = (text: string, commit: string): boolean =>
  new RegExp(`^commit: "?${commit}"?$`, 'm').test(text) && /^ {2}phase: Succeeded$/m.test(text);
