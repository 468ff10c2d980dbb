/** The smart HTTP server of the tests in a process of its own, so that its work is not counted as ours. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { serveHttp } from '../../test/support/git-servers.ts';
import { nextMessage } from '../harness.ts';

export interface GitServer {
  url: string;
  /** Requests that came so far. */
  requests(): Promise<number>;
  close(): Promise<void>;
}

const SELF = fileURLToPath(import.meta.url);

/** Serves every repository below `root` at `<url>/<name>`. */
export async function startGitServer(root: string): Promise<GitServer> {
  const child = fork(SELF, [root]);
  const url = await nextMessage(child);
  return {
    url: String(url),
    async requests() {
      child.send('requests');
      return Number(await nextMessage(child));
    },
    async close() {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}

if (process.argv[1] === SELF) {
  const server = await serveHttp(process.argv[2] ?? '');
  process.on('disconnect', () => process.exit());
  process.on('message', () => process.send?.(server.requests.length));
  process.send?.(server.url);
}
