/** The compiled command line as a process, and config repositories for it to work on. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { ResourceId } from '../../src/manifest/resource.ts';
import type { Live } from '../../src/plan/live.ts';
import type { State } from '../../src/rollout/state.ts';
import { toDocument } from '../../src/status/document.ts';
import { commitMessage } from '../../src/status/message.ts';
import { statusPath } from '../../src/status/names.ts';
import { toText } from '../../src/status/text.ts';

export const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A home of its own: nothing of whoever runs the tests is read or written. */
export function folder(t: Test): string {
  const made = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function start(program: string, args: string[], cwd: string, env: Record<string, string>): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => {
      ended.stdout += data;
    });
    child.stderr.on('data', (data) => {
      ended.stderr += data;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...ended }));
  });
}

export interface Workplace {
  home: string;
  /** The config repository's working tree. */
  repo: string;
  sluice(...args: string[]): Promise<Ended>;
  /** What git printed; throws when it failed. */
  git(...args: string[]): Promise<string>;
}

export function at(home: string, repo: string, more: Record<string, string> = {}): Workplace {
  const env = { PATH: process.env.PATH ?? '', HOME: home, GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C.UTF-8', ...more };
  return {
    home,
    repo,
    sluice: (...args) => start(process.execPath, [MAIN, ...args], repo, env),
    async git(...args) {
      const { code, stdout, stderr } = await start('git', args, repo, env);
      if (code !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
      return stdout.trimEnd();
    },
  };
}

/** The examples, as `init` makes them, by somebody whom git knows. */
export async function examples(t: Test): Promise<Workplace> {
  const home = folder(t);
  const known = '[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = other\n';
  writeFileSync(join(home, '.gitconfig'), known);
  const made = await at(home, home).sluice('init', 'config');
  if (made.code !== 0) throw new Error(made.stderr);
  return at(home, join(home, 'config'));
}

export async function commitFile(place: Workplace, file: string, text: string, message: string): Promise<string> {
  writeFileSync(join(place.repo, file), text);
  await place.git('add', '--', file);
  await place.git('commit', '--quiet', '--message', message);
  return place.git('rev-parse', 'HEAD');
}

/** Puts states on the branch sluice/status, as an operator would that has seen HEAD. Without `live`, nothing was observed. */
export async function writeStatus(place: Workplace, states: [ResourceId, State, Live?][]): Promise<void> {
  const clean = at(place.home, place.repo, { GIT_INDEX_FILE: join(place.home, 'status-index') });
  await clean.git('read-tree', '--empty');
  for (const [id, state, live] of states) {
    const health = state.rollout?.phase === 'Paused' ? 'Paused' : 'Healthy';
    const message = state.rollout?.message ?? '';
    const file = join(place.home, 'status.yaml');
    writeFileSync(file, toText(toDocument({ id, state, health, message, live, host: 'shop.localhost' })));
    const blob = await clean.git('hash-object', '-w', file);
    await clean.git('update-index', '--add', '--cacheinfo', `100644,${blob},${statusPath(id)}`);
  }
  const message = commitMessage([], await place.git('rev-parse', 'HEAD'));
  const commit = await clean.git('commit-tree', await clean.git('write-tree'), '-m', message);
  await clean.git('update-ref', 'refs/heads/sluice/status', commit);
}
