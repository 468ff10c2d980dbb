/** The status branch and the refs beside it, as the operator writes them: one atomic push, by compare-and-swap. */

import type { Clock } from '../clock.ts';
import type { Clone } from '../git/clone.ts';
import { GitError, PushRejected } from '../git/errors.ts';
import { laterHolder } from '../git/lease.ts';
import { forgets, openPublisher } from '../git/publish.ts';
import type { Person, RefUpdate } from '../git/types.ts';
import type { Oid, Resource, ResourceId } from '../manifest/resource.ts';
import type { State } from '../rollout/state.ts';
import { toDocument } from '../status/document.ts';
import { health } from '../status/health.ts';
import type { Head } from '../status/markdown.ts';
import { tagMessage, takeoverMessage } from '../status/message.ts';
import { KEEP_PREFIX, keepRef, revertBranch, STATUS_REF, TAG_PREFIX, tagName, tagRef } from '../status/names.ts';
import { type StatusBranch, StatusStore, type StatusWrite } from '../status/store.ts';
import type { StateChange } from './controller.ts';
import { takenOverMessage } from './heartbeat.ts';
import type { Log } from './options.ts';
import type { Publication, RefWish } from './publisher.ts';
import { createRefIndex, type RefIndex } from './ref-index.ts';
import { justSucceeded, keptRevisions, surplusTags } from './refs.ts';
import { revertCommit } from './revert.ts';

export interface StatusRemote {
  /** The document of a state, and the refs that go with it. */
  publication(change: StateChange): Publication;
  prepare(changes: Publication[], head: Head): StatusWrite | undefined;
  /**
   * Commits and pushes; false when there was nothing to push. What could not be pushed because the remote does not answer
   * goes with the next push; what is `provisional`, and all that waited with it, only if it is asked for again. A ref that somebody else made
   * is left as it is, and said.
   */
  push(write: StatusWrite | undefined, wishes: RefWish[], provisional: boolean): Promise<boolean>;
  /** What a push that failed means; the branch is taken as it is now. */
  afterFailure(error: unknown): Promise<{ kind: 'taken-over' | 'tampered'; message: string } | undefined>;
  /** The highest rollout id that a tag knows. */
  highestTag(id: ResourceId): number;
}

export interface RemoteOptions {
  clone: Clone;
  clock: Clock;
  /** The remote answers now; otherwise what was fetched last is gone on from until it does. */
  reachable: boolean;
  epoch: number;
  author: Person;
  /** The config branch's head now. */
  head(): Oid | undefined;
  resourceAt(commit: Oid, id: ResourceId): Promise<Resource | undefined>;
  log: Log;
  signal: AbortSignal;
}

const NO_REFS = createRefIndex(new Map());

/** Reads the status branch and Sluice's refs, and goes on from there. */
export async function openStatusRemote(
  options: RemoteOptions,
): Promise<{ remote: StatusRemote; branch: StatusBranch | undefined }> {
  const { clone, clock, reachable, epoch, author, log, signal } = options;
  const { objects, transport } = clone;
  const git = openPublisher(clone);
  let known = reachable ? await listRefs() : undefined;
  /** The tip of the status branch as the remote is known to hold it, and the commits made since, which it may hold too. */
  let seen = reachable ? await git.reread(STATUS_REF, signal) : await git.recall(STATUS_REF);
  const made = new Set<Oid>();
  /** Of refs that are wished for and not known to be there; and those of which nobody waits to hear any more, which may be there. */
  let onTheWay: RefUpdate[] = [];
  const withdrawn = new Map<string, Oid | undefined>();
  /** A push failed, and what the remote holds now was not read yet. */
  let unread = false;
  /** It is being read now. */
  let reading = false;
  /** It goes on from what was fetched last, and the remote was not heard of yet. */
  let resumed = !reachable;
  const opened = reachable ? await takeOver() : await StatusStore.open(objects, seen);
  let store = opened.store;

  /**
   * A commit of this operator's own on the branch as it is: from then on whatever an earlier one still pushes is refused,
   * also if that one does not know yet that it has lost the lease. What it pushed before is read.
   */
  async function takeOver(): ReturnType<typeof StatusStore.open> {
    for (;;) {
      const found = await StatusStore.open(objects, seen);
      const head = found.branch?.head;
      if (head === undefined) return found;
      const message = takeoverMessage(epoch, head);
      made.add(await git.commit(STATUS_REF, { changes: new Map(), message, author, at: clock.now(), evenEmpty: true }));
      try {
        await git.push(signal);
        read(git.tip(STATUS_REF));
        return found;
      } catch (error) {
        // Unless it was rejected it goes with the next push.
        if (!(error instanceof PushRejected)) return found;
        const before = seen;
        read(await git.reread(STATUS_REF, signal));
        if (seen === before) return found;
      }
    }
  }

  function read(tip: Oid | undefined): void {
    seen = tip;
    made.clear();
    unread = false;
    resumed = false;
  }

  const isOwn = (tip: Oid | undefined): boolean => tip === seen || (tip !== undefined && made.has(tip));

  async function listRefs(): Promise<RefIndex> {
    return createRefIndex(await transport.refs([TAG_PREFIX, KEEP_PREFIX, 'refs/heads/sluice/revert/'], signal));
  }

  /** A ref that is there, or is on its way there, is not wished for again. */
  async function updatesOf(wishes: RefWish[]): Promise<RefUpdate[]> {
    const updates: RefUpdate[] = [];
    known ??= await listRefs();
    for (const { ref, make } of wishes) {
      const old = known.get(ref);
      if (make === undefined ? old === undefined : old !== undefined) continue;
      const update = { ref, old, new: make === undefined ? undefined : await make() };
      known.set(ref, update.new);
      updates.push(update);
      onTheWay.push(update);
    }
    return updates;
  }

  async function withdraw(): Promise<void> {
    await git.withdraw();
    for (const { ref, old, new: oid } of onTheWay.reverse()) {
      known?.set(ref, old);
      withdrawn.set(ref, oid);
    }
    onTheWay = [];
  }

  async function pushAll(write: StatusWrite | undefined, updates: RefUpdate[]): Promise<boolean> {
    if (write !== undefined) {
      const { files: changes, message } = write;
      made.add(await git.commit(STATUS_REF, { changes, message, author, at: clock.now() }));
    }
    for (const update of updates) git.update(update);
    if (!git.pending()) return false;
    try {
      await git.push(signal);
    } catch (error) {
      if (!(await gotThrough(error))) throw error;
    }
    write?.committed();
    onTheWay = [];
    withdrawn.clear();
    read(git.tip(STATUS_REF));
    return true;
  }

  /**
   * A push that was not answered may have got through, with all that it carried. Taken for lost, what is durable would be decided anew, and what was
   * decided before written over it.
   */
  async function gotThrough(error: unknown): Promise<boolean> {
    if (!(error instanceof GitError) || forgets(error)) return false;
    const sent = git.tip(STATUS_REF);
    if (sent === seen) return false;
    const there = await transport.refs([STATUS_REF], signal).catch(() => undefined);
    if (there?.get(STATUS_REF) !== sent) return false;
    if ((await git.reread(STATUS_REF, signal)) !== sent) {
      unread = true;
      return false;
    }
    await git.withdraw();
    return true;
  }

  /** Refs that somebody else made keep nothing else from being pushed. */
  async function pushBeside(write: StatusWrite | undefined, updates: RefUpdate[]): Promise<boolean> {
    try {
      return await pushAll(write, updates);
    } catch (error) {
      const beside = error instanceof PushRejected && error.refs.every(({ ref }) => ref !== STATUS_REF);
      if (!beside) throw error;
      if (!isOwn(await git.reread(STATUS_REF, signal))) throw error;
      return await pushAll(write, withoutForeign(updates, error));
    }
  }

  /** Refs that are there although nobody told: they stay; only what Sluice wrote is Sluice's to change. */
  function withoutForeign(updates: RefUpdate[], rejected: PushRejected): RefUpdate[] {
    for (const { ref, actual } of rejected.refs) {
      const own = actual !== undefined && withdrawn.get(ref) === actual;
      if (!own) log('warn', `${ref} was made or moved by somebody else; it is left as it is`);
      known?.set(ref, actual);
    }
    const isLeft = (update: RefUpdate) => !rejected.refs.some(({ ref }) => ref === update.ref);
    onTheWay = onTheWay.filter(isLeft);
    return updates.filter(isLeft);
  }

  async function readAnew(): Promise<{ kind: 'taken-over' | 'tampered'; message: string } | undefined> {
    known = await listRefs();
    onTheWay = [];
    const now = await git.reread(STATUS_REF, signal);
    // Whoever takes over writes there after it has taken the lease: looked for before, it might have done both in between.
    const later = await laterHolder(clone, epoch, signal);
    if (later !== undefined) return { kind: 'taken-over', message: takenOverMessage(later, epoch) };
    ({ store } = await StatusStore.open(objects, now));
    const untouched = isOwn(now);
    const wasResumed = resumed;
    read(now);
    if (untouched) return undefined;
    if (wasResumed) return { kind: 'taken-over', message: BEHIND };
    const what = now === undefined ? 'was deleted' : `holds commit ${now.slice(0, 10)}`;
    const message = `sluice/status ${what}, which this operator did not write; look at it, then sluice continue`;
    return { kind: 'tampered', message };
  }

  const remote: StatusRemote = {
    publication: (change) => ({
      id: change.id,
      document: () => (change.next === undefined ? undefined : documentOf(change, change.next)),
      refs: wishesOf(change, known ?? NO_REFS, options),
    }),
    prepare(changes, head) {
      if (head.commit === '') return undefined;
      const documents = changes.map(({ id, document }) => ({ id, document: document() }));
      return store.prepare(documents, head);
    },
    async push(write, wishes, provisional) {
      // `write` was made of what was thought to stand there: what was never pushed would be taken for pushed.
      if (unread) throw new GitError('failed', 'what the remote holds is not known since the last push failed');
      try {
        return await pushBeside(write, await updatesOf(wishes));
      } catch (error) {
        if (provisional) await withdraw();
        throw error;
      }
    },
    async afterFailure(error) {
      if (!(error instanceof GitError)) throw error;
      unread ||= forgets(error);
      if (!unread || reading) return undefined;
      reading = true;
      try {
        return await readAnew();
      } finally {
        reading = false;
      }
    },
    highestTag: (id) => Math.max(0, ...(known ?? NO_REFS).tags(id)),
  };
  return { remote, branch: opened.branch };
}

/** What it decided meanwhile was decided from too little: the next start reads what is there. */
const BEHIND =
  'sluice/status holds what this operator did not know of when it started while the config repository could not be reached: another operator wrote it, or the one before this with its last push; this one ends, start it again to go on from what is there';

function documentOf({ id, live, told }: StateChange, next: State) {
  const { health: how, message } = health(id, next, live, told.now);
  const spec = told.declaration?.resource?.spec;
  const host = spec?.kind === 'Service' ? spec.host : undefined;
  return toDocument({ id, state: next, live, health: how, message, host, version: told.now.version });
}

/** A tag for a rollout that succeeded, what holds the commits it needs, and the branch that proposes a revert. */
function wishesOf(
  { id, before, next, told, proposeRevert }: StateChange,
  known: RefIndex,
  { clone, clock, author, head, resourceAt }: RemoteOptions,
): RefWish[] {
  const { objects } = clone;
  const wishes: RefWish[] = [];
  const kept = next === undefined ? new Map<string, Oid>() : keptRevisions(next);
  for (const [revision, commit] of kept) wishes.push({ ref: keepRef(id, revision), make: async () => commit });
  for (const revision of known.keeps(id)) {
    if (!kept.has(revision)) wishes.push({ ref: keepRef(id, revision), make: undefined });
  }
  const resource = told.declaration?.resource;
  if (next?.rollout !== undefined && resource !== undefined && justSucceeded(before, next)) {
    const { rollout } = next;
    const message = tagMessage(id, rollout, resource.spec.description);
    const name = tagName(id, rollout.id);
    const make = () => objects.writeTag({ name, object: rollout.commit, message, tagger: author, at: clock.now() });
    wishes.push({ ref: tagRef(id, rollout.id), make });
    for (const old of surplusTags([...known.tags(id), rollout.id], resource.spec.revisionHistoryLimit)) {
      wishes.push({ ref: tagRef(id, old), make: undefined });
    }
  }
  const settled = next?.settled.lineage.at(-1);
  const tip = head();
  if (
    proposeRevert &&
    next?.rollout !== undefined &&
    resource !== undefined &&
    settled !== undefined &&
    tip !== undefined
  ) {
    const { rollout } = next;
    const to = settled.commit;
    const make = async () =>
      revertCommit(objects, {
        ...{ id, tip, to, author, at: clock.now() },
        resources: [resource, await resourceAt(to, id)],
        reason: `Rollout ${rollout.id} failed: ${rollout.message}`,
      });
    wishes.push({ ref: `refs/heads/${revertBranch(id, rollout.id)}`, make });
  }
  return wishes;
}
