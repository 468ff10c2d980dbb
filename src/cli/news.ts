/** What `sluice status` says beside the resources: why a newer commit is not worked from, or nobody works at all. */
import { hostname } from 'node:os';
import { LEASE_REF, leaseOfMessage } from '../git/lease.ts';
import { askGit } from './git.ts';
import type { ConfigRepository, Repository } from './repository.ts';
import { findCommit } from './repository.ts';
import { ageText, type StatusBranch } from './status-branch.ts';

export interface News {
  name: 'Held' | 'Behind' | 'Stopped';
  text: string;
}

/** So long a commit may be on its way. */
const ON_ITS_WAY_MS = 60_000;

export async function newsOf(
  repository: Repository & Partial<ConfigRepository>,
  status: StatusBranch,
  now: number,
): Promise<News[]> {
  const { held } = status;
  const news: News[] = held === undefined ? [] : [{ name: 'Held', text: held.why }];
  const stopped = await stoppedText(repository);
  if (stopped !== undefined) return [...news, { name: 'Stopped', text: stopped }];
  const behind = held === undefined ? await behindText(repository, status, now) : undefined;
  return behind === undefined ? news : [...news, { name: 'Behind', text: behind }];
}

/** Where the repository lies on this machine the lease is at hand, and so may be the process that holds it. */
async function stoppedText({ folder, statusRemote }: Repository): Promise<string | undefined> {
  if (statusRemote !== undefined) return undefined;
  const message = await askGit(folder, ['show', '--no-patch', '--format=%B', LEASE_REF]);
  const [host, pid] = (message === undefined ? undefined : leaseOfMessage(message)?.holder)?.split(' ') ?? [];
  if (host !== hostname() || pid === undefined || isAlive(Number(pid))) return undefined;
  return `no operator runs: the last one, process ${pid} on this machine, has ended; what it started goes on; to start one: sluice run`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** The branch has gone on, for a while now, and the operator says nothing of it. */
async function behindText(
  { folder, branch, upstream, workingTree }: Repository & Partial<ConfigRepository>,
  { head, at }: StatusBranch,
  now: number,
): Promise<string | undefined> {
  if (branch === undefined || head === undefined || now - at < ON_ITS_WAY_MS) return undefined;
  const name = upstream?.ref.replace('refs/heads/', '') ?? branch;
  const ref =
    upstream !== undefined && workingTree ? `refs/remotes/${upstream.remote}/${name}` : `refs/heads/${branch}`;
  const tip = await findCommit({ folder }, ref);
  if (tip === undefined || tip === head || (await findCommit({ folder }, head)) === undefined) return undefined;
  if ((await askGit(folder, ['merge-base', '--is-ancestor', tip, head])) !== undefined) return undefined;
  // Another branch than this one is the operator's.
  if (await askGit(folder, ['for-each-ref', '--points-at', head, 'refs/heads', 'refs/remotes'])) return undefined;
  const made = Number(await askGit(folder, ['show', '--no-patch', '--format=%ct', tip])) * 1000;
  if (now - made < ON_ITS_WAY_MS) return undefined;
  return `commit ${tip.slice(0, 10)} of ${name}, made ${ageText(made, now)}, is not taken up: see that the operator runs and reaches the repository (its log says), or start it: sluice run`;
}
