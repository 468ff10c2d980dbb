/** When the status branch of a repository tells that a rollout to a commit has succeeded. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface StatusWatch {
  /** When the branch said so (`performance.now()`); undefined when a later commit came first. */
  succeeded(id: string, commit: string): Promise<number | undefined>;
  waiting(): number;
  close(): void;
}

/** A file is read; a watch may not be had. */
const LOOK_MS = 25;

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
      const ids = [...waiting.keys()];
      const texts = await filesOf(repo, ids);
      for (const [at, id] of ids.entries()) {
        const wanted = waiting.get(id);
        if (wanted === undefined || !isDone(texts[at] ?? '', wanted.commit)) continue;
        waiting.delete(id);
        wanted.resolve(moved);
      }
    } while (again);
    reading = false;
  }

  let tip = '';
  const poll = setInterval(() => {
    const now = tipOf(repo);
    if (now === tip) return;
    tip = now;
    void read();
  }, LOOK_MS);
  return {
    succeeded: (id, commit) =>
      new Promise((resolve) => {
        waiting.get(id)?.resolve(undefined);
        waiting.set(id, { commit, resolve });
      }),
    waiting: () => waiting.size,
    close() {
      clearInterval(poll);
    },
  };
}

/** A ref that was packed by somebody is read again when it moves. */
function tipOf(repo: string): string {
  try {
    return readFileSync(join(repo, '.git/refs/heads/sluice/status'), 'latin1');
  } catch {
    return '';
  }
}

const isDone = (text: string, commit: string): boolean =>
  new RegExp(`^commit: "?${commit}"?$`, 'm').test(text) && /^ {2}phase: Succeeded$/m.test(text);

/** One question for all of them; what is not there is empty. */
function filesOf(repo: string, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return Promise.resolve([]);
  const names = ids.map((id) => {
    const [kind = '', name = ''] = id.split('/');
    return `refs/heads/sluice/status:status/${kind.toLowerCase()}/${name}.yaml`;
  });
  return new Promise((resolve) => {
    const options = { cwd: repo, encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 } as const;
    const child = execFile('git', ['cat-file', '--batch'], options, (_, output) => resolve(blobs(output)));
    child.stdin?.end(`${names.join('\n')}\n`);
  });
}

/** `<id> blob <size>`, the bytes, and a newline; or `<name> missing`. */
function blobs(output: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < output.length; ) {
    const end = output.indexOf('\n', at);
    const size = Number(/ blob (\d+)$/.exec(output.toString('latin1', at, end))?.[1] ?? -1);
    texts.push(size < 0 ? '' : output.toString('utf8', end + 1, end + 1 + size));
    at = end + 1 + (size < 0 ? 0 : size + 1);
  }
  return texts;
}
