/** Everything outside that the operator works with, opened in the order in which one needs the other. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import pRetry from 'p-retry';
import writeFileAtomic from 'write-file-atomic';
import { type Clone, openClone } from '../git/clone.ts';
import { GitError } from '../git/errors.ts';
import { type Feed, type FeedEvent, goodRef, openFeed } from '../git/feed.ts';
import { newestChange } from '../git/history.ts';
import { resumeLease, takeLease } from '../git/lease.ts';
import { materialize } from '../git/materialize.ts';
import { readRef, symbolicTarget } from '../git/refs.ts';
import type { Declared, Oid, ResourceId } from '../manifest/resource.ts';
import type { State } from '../rollout/state.ts';
import { nextEpoch } from '../target/local/epoch.ts';
import { openRouter } from '../target/local/router/client.ts';
import type { KnownResource } from './declarations.ts';
import { openKeptParses } from './kept-parses.ts';
import type { OperatorOptions } from './options.ts';
import { openStatusRemote, type StatusRemote } from './remote.ts';
import { secretsFrom } from './secrets.ts';
import { createSnapshots, type Snapshots } from './snapshots.ts';
import { createTargets, messageOf, type Targets } from './targets.ts';

export interface Site {
  /** The config repository lies on this machine: its refs can be watched, and pushes cost little. */
  isLocal: boolean;
  snapshots: Snapshots;
  remote: StatusRemote;
  targets: Targets;
  /** What the status branch remembers. */
  restored: Map<ResourceId, State>;
  /** The tip of the status branch is not Sluice's: what it says of rollouts under way is not trusted. */
  foreign: string | undefined;
  /** For each resource, the newest commit that changed its inputs or deleted it. */
  commitsOf(declared: Declared, known: ReadonlyMap<ResourceId, KnownResource>): Promise<(id: ResourceId) => Oid>;
  openFeed(report: (event: FeedEvent) => void | Promise<void>): Promise<Feed>;
  close(): Promise<void>;
}

const AUTHOR = { name: 'Sluice', email: 'sluice@localhost' };

export async function openSite(
  options: OperatorOptions,
  signal: AbortSignal,
  hooks: { changed(id: ResourceId): void; head(): Oid | undefined },
): Promise<Site> {
  const { log } = options;
  const { clone, branch, epoch, snapshots, remote, status } = await openRepository(options, signal, hooks.head).catch(
    (error: unknown) => {
      throw unwritable(error, options.stateDir);
    },
  );
  const router = await openRouter({ dataDir: options.dataDir, listen: options.router });
  const targets = createTargets({
    dataDir: options.dataDir,
    images: { materialize: (tree, directory) => materialize(clone.objects, tree, directory) },
    secrets: secretsFrom(options.secretsDir),
    router,
    epoch,
    ...(options.runAs !== undefined && { runAs: options.runAs }),
    log,
    changed: hooks.changed,
  });
  const restored = new Map<ResourceId, State>();
  for (const [id, read] of status?.resources ?? []) {
    if ('state' in read) restored.set(id, read.state);
    else log('warn', `the status of ${id} cannot be used and is begun anew: ${read.error.message}`, { resource: id });
  }
  return {
    isLocal: clone.address.kind === 'file',
    snapshots,
    remote,
    targets,
    restored,
    foreign:
      status === undefined || status.head !== undefined
        ? undefined
        : `sluice/status holds commit ${status.tip.slice(0, 10)}, which is not Sluice's; look at it, then sluice continue`,
    commitsOf: (declared, known) => commitsOf(clone, declared, known),
    openFeed: (report) =>
      openFeed({
        ...{ clone, ref: branch, report },
        ...{ intervalMs: options.intervalMs, acceptRewrite: options.acceptRewrite },
      }),
    async close() {
      await targets.close();
      await router.close();
      await clone.close();
    },
  };
}

/** The config repository as it is worked with: all that is written for it lies in the state folder. */
async function openRepository(options: OperatorOptions, signal: AbortSignal, head: () => Oid | undefined) {
  const { log, stateDir } = options;
  const clone = await openClone({ stateDir, repo: options.repo });
  const { branch, epoch, reachable } = await begin(clone, options, signal);
  log('debug', `holds epoch ${epoch}`);
  const parses = await openKeptParses(join(stateDir, 'parses'));
  const snapshots = createSnapshots(clone.objects, options.path, parses);
  const { remote, branch: status } = await openStatusRemote({
    ...{ clone, reachable, epoch, author: AUTHOR, log, signal },
    ...{ head, resourceAt: snapshots.resourceAt },
  });
  return { clone, branch, epoch, snapshots, remote, status };
}

const UNWRITABLE = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EIO']);

/** The system names no file when the disk is full. */
function unwritable(error: unknown, stateDir: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (!UNWRITABLE.has(code ?? '')) return error;
  return new Error(
    `the state folder ${stateDir} cannot be written (${message}); free space on its disk, or correct --state-dir or its permissions`,
    { cause: error },
  );
}

const PASSING = new Set(['unreachable', 'timeout', 'busy', 'server', 'bad-answer']);
const isPassing = (error: unknown): boolean => error instanceof GitError && PASSING.has(error.code);

interface Beginning {
  /** The full name of the config branch. */
  branch: string;
  epoch: number;
  reachable: boolean;
}

/**
 * Takes the lease. While the remote is down, an operator that has a state folder goes on from what it fetched last: what
 * runs is held as it is; nothing new starts, because no intent can be pushed. One that has none waits.
 */
async function begin(clone: Clone, options: OperatorOptions, signal: AbortSignal): Promise<Beginning> {
  const take = async (): Promise<Beginning> => {
    const branch = await branchRef(clone, options, signal);
    const next = nextEpoch(join(options.dataDir, 'targets'));
    const { epoch } = await takeLease(clone, `${hostname()} ${process.pid}`, Date.now(), signal, next);
    return { branch, epoch, reachable: true };
  };
  try {
    return await take();
  } catch (error) {
    if (!isPassing(error)) throw error;
    options.log('warn', `the config repository cannot be reached: ${messageOf(error)}`);
    const resumed = options.once ? undefined : await resume(clone, options);
    return resumed ?? patiently(options, signal, take);
  }
}

async function resume(clone: Clone, { branch, log }: OperatorOptions): Promise<Beginning | undefined> {
  const ref = branch === undefined ? await symbolicTarget(clone.gitdir, 'HEAD') : `refs/heads/${branch}`;
  const good = ref && (await readRef(clone.gitdir, goodRef(ref)));
  if (ref === undefined || good === undefined) return undefined;
  const epoch = await resumeLease(clone);
  if (epoch === undefined) return undefined;
  log(
    'warn',
    `goes on from commit ${good.slice(0, 10)}, which was fetched last; nothing new starts until it is reached`,
  );
  return { branch: ref, epoch, reachable: false };
}

/** A remote that is down when the operator starts is waited for. */
function patiently<T>({ log }: OperatorOptions, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  return pRetry(ask, {
    ...{ retries: Number.POSITIVE_INFINITY, minTimeout: 1000, maxTimeout: 60_000, randomize: true, signal },
    shouldRetry: ({ error }) => isPassing(error),
    onFailedAttempt: ({ error }) => log('warn', `the config repository cannot be reached: ${messageOf(error)}`),
  });
}

async function branchRef(clone: Clone, { branch }: OperatorOptions, signal: AbortSignal): Promise<string> {
  if (branch !== undefined) return `refs/heads/${branch}`;
  const found = await clone.defaultBranch(signal);
  if (found === undefined) throw new Error(`${clone.address.display} names no default branch; say which with --branch`);
  await writeFileAtomic(join(clone.gitdir, 'HEAD'), `ref: ${found}\n`);
  return found;
}

/** Only resources whose declaration is new or different are looked for; the walk ends when all are found. */
async function commitsOf(
  { objects }: Clone,
  declared: Declared,
  known: ReadonlyMap<ResourceId, KnownResource>,
): Promise<(id: ResourceId) => Oid> {
  const groups = new Map<string, string[]>();
  for (const [id, resource] of declared.resources) {
    if (known.get(id)?.digest !== resource.digest)
      groups.set(
        id,
        resource.inputs.map(({ path }) => path),
      );
  }
  const found = groups.size === 0 ? new Map<string, Oid>() : await newestChange(objects, declared.commit, groups);
  return (id) => found.get(id) ?? known.get(id)?.commit ?? declared.commit;
}
