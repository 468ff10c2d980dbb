/** Everything outside that the operator works with, opened in the order in which one needs the other. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { messageOf } from '../error-text.ts';
import { goodRef, isAccepted } from '../git/accepted.ts';
import type { Clone } from '../git/clone.ts';
import { GitError } from '../git/errors.ts';
import { type Feed, type FeedEvent, openFeed } from '../git/feed.ts';
import { newestChange } from '../git/history.ts';
import { noteLease, resumeLease, takeLease } from '../git/lease.ts';
import { symbolicTarget } from '../git/refs.ts';
import type { Oid, Resource, ResourceId } from '../manifest/resource.ts';
import type { State } from '../rollout/state.ts';
import type { KeptParses } from './kept-parses.ts';
import type { OperatorOptions } from './options.ts';
import type { Parts } from './parts.ts';
import { openStatusRemote, type StatusRemote } from './remote.ts';
import { createSnapshots, type Snapshots } from './snapshots.ts';
import type { Targets } from './targets.ts';

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
  /** The head of the config branch that the status branch speaks of. */
  observed: Oid | undefined;
  /** For each of these resources of a commit, the newest commit that changed its inputs. */
  commitsOf(commit: Oid, resources: readonly Resource[]): Promise<ReadonlyMap<string, Oid>>;
  openFeed(report: (event: FeedEvent) => void | Promise<void>): Promise<Feed>;
  /** From now on whoever stands by knows that this operator lives, and it knows when another has taken over. */
  startHeartbeat(takenOver: (message: string) => void): void;
  close(): Promise<void>;
}

const AUTHOR = { name: 'Sluice', email: 'sluice@localhost' };

export async function openSite(
  options: OperatorOptions,
  parts: Parts,
  signal: AbortSignal,
  hooks: { changed(id: ResourceId): void; head(): Oid | undefined },
): Promise<Site> {
  const { log } = options;
  const { clone, branch, epoch, snapshots, remote, status, trust } = await openRepository(
    options,
    parts,
    signal,
    hooks.head,
  ).catch((error: unknown) => {
    throw unwritable(error, options.stateDir);
  });
  const targets = await parts.openTargets(options, clone, epoch, hooks.changed);
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
    observed: status?.head,
    commitsOf: (commit, resources) => commitsOf(clone, commit, resources),
    openFeed: (report) =>
      openFeed({
        ...{ clone, clock: parts.clock, ref: branch, report, trust },
        ...{ intervalMs: options.intervalMs, acceptRewrite: options.acceptRewrite },
      }),
    startHeartbeat: (takenOver) => parts.startHeartbeat?.({ clone, clock: parts.clock, epoch, log, signal, takenOver }),
    async close() {
      await targets.close();
      await clone.close();
    },
  };
}

/** The config repository as it is worked with: all that is written for it lies in the state folder. */
async function openRepository(
  options: OperatorOptions,
  parts: Parts,
  signal: AbortSignal,
  head: () => Oid | undefined,
) {
  const { log } = options;
  // Read from the disk while git is waited for; what it fails with is thrown below, unless something else failed first.
  const opening = parts.openParses(options);
  opening.catch(() => {});
  const clone = await parts.openClone(options);
  const warming = opening.then((parses) => warmed(clone, options, parses));
  warming.catch(() => {});
  const trust = await trustOf(options, clone, parts);
  const { branch, epoch, reachable } = await begin(clone, options, parts, signal);
  log('debug', `holds epoch ${epoch}`);
  const read = await warming;
  const verified = trust !== undefined;
  const snapshots: Snapshots = {
    load: read.load,
    async resourceAt(commit, id) {
      if (await isAccepted(clone, branch, verified, commit)) return await read.resourceAt(commit, id);
      throw new Error(
        `commit ${commit.slice(0, 10)}, which the status of ${id} names, is not of the config branch: nothing is taken from it; see who may write to sluice/*, and commit a manifest to go forward`,
      );
    },
  };
  const open = () =>
    openStatusRemote({
      ...{ clone, clock: parts.clock, reachable, epoch, author: AUTHOR, log, signal },
      ...{ head, resourceAt: snapshots.resourceAt },
    });
  const { remote, branch: status } = await parts.patiently(open, (passing) => unreachable(passing, options), signal);
  return { clone, branch, epoch, snapshots, remote, status, trust };
}

async function trustOf({ verifyKeys, log }: OperatorOptions, { objects }: Clone, { clock }: Parts) {
  if (verifyKeys === undefined) return undefined;
  const { openTrust } = await import('../git/trust/trust.ts');
  return await openTrust(verifyKeys, objects, { now: clock.now, warn: (message) => log('warn', message) });
}

/**
 * The commit that was good last is read while the remote is waited for: the head, which comes then, is mostly the same, or read as a
 * difference from it.
 */
async function warmed(clone: Clone, options: OperatorOptions, parses: KeptParses): Promise<Snapshots> {
  const snapshots = createSnapshots(clone.objects, options.path, parses);
  const good = await lastGood(clone, options).catch(() => undefined);
  // What cannot be read here is told when it is the head.
  if (good?.commit !== undefined) await snapshots.load(good.commit).catch(() => undefined);
  return snapshots;
}

async function lastGood(
  { gitdir, refs }: Clone,
  { branch, verifyKeys }: OperatorOptions,
): Promise<{ ref: string; commit: Oid | undefined } | undefined> {
  const ref = branch === undefined ? await symbolicTarget(gitdir, 'HEAD') : `refs/heads/${branch}`;
  return ref === undefined ? undefined : { ref, commit: await refs.read(goodRef(ref, verifyKeys !== undefined)) };
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
async function begin(clone: Clone, options: OperatorOptions, parts: Parts, signal: AbortSignal): Promise<Beginning> {
  const take = async (): Promise<Beginning> => {
    const branch = await branchRef(clone, options, signal);
    if (options.epoch !== undefined) {
      await noteLease(clone, options.epoch);
      return { branch, epoch: options.epoch, reachable: true };
    }
    const next = parts.nextEpoch(options);
    const { epoch } = await takeLease(clone, `${hostname()} ${process.pid}`, parts.clock.now(), signal, next);
    return { branch, epoch, reachable: true };
  };
  try {
    return await take();
  } catch (error) {
    if (!isPassing(error)) throw error;
    options.log('warn', `the config repository cannot be reached: ${messageOf(error)}`);
    const resumed = options.once ? undefined : await resume(clone, options);
    if (resumed !== undefined) return resumed;
    return parts.patiently(take, (passing) => unreachable(passing, options), signal);
  }
}

async function resume(clone: Clone, options: OperatorOptions): Promise<Beginning | undefined> {
  const good = await lastGood(clone, options);
  if (good?.commit === undefined) return undefined;
  const epoch = await resumeLease(clone);
  if (epoch === undefined) return undefined;
  options.log(
    'warn',
    `goes on from commit ${good.commit.slice(0, 10)}, which was fetched last; nothing new starts until it is reached`,
  );
  return { branch: good.ref, epoch, reachable: false };
}

/** A remote that is down when the operator starts is waited for. */
function unreachable(error: unknown, { log }: OperatorOptions): boolean {
  if (!isPassing(error)) return false;
  log('warn', `the config repository cannot be reached: ${messageOf(error)}`);
  return true;
}

async function branchRef(clone: Clone, { branch }: OperatorOptions, signal: AbortSignal): Promise<string> {
  if (branch !== undefined) return `refs/heads/${branch}`;
  const found = await clone.defaultBranch(signal);
  if (found === undefined) throw new Error(`${clone.address.display} names no default branch; say which with --branch`);
  await writeFileAtomic(join(clone.gitdir, 'HEAD'), `ref: ${found}\n`);
  return found;
}

/** The walk through the history ends when all are found. */
async function commitsOf({ objects }: Clone, commit: Oid, resources: readonly Resource[]): Promise<Map<string, Oid>> {
  if (resources.length === 0) return new Map();
  const groups = new Map(resources.map(({ id, inputs }) => [id, inputs.map(({ path }) => path)]));
  return await newestChange(objects, commit, groups);
}
