/** The status branch and the refs beside it, as the operator writes them: one atomic push, by compare-and-swap. */

import type { Clone } from '../git/clone.ts';
import { GitError, PushRejected } from '../git/errors.ts';
import { readLease } from '../git/lease.ts';
import { openPublisher } from '../git/publish.ts';
import type { Person, RefUpdate } from '../git/types.ts';
import type { Oid, Resource, ResourceId } from '../manifest/resource.ts';
import type { State } from '../rollout/state.ts';
import { toDocument } from '../status/document.ts';
import { health } from '../status/health.ts';
import type { Head } from '../status/markdown.ts';
import { tagMessage } from '../status/message.ts';
import { KEEP_PREFIX, keepRef, revertBranch, STATUS_REF, TAG_PREFIX, tagName, tagRef } from '../status/names.ts';
import { type StatusBranch, StatusStore, type StatusWrite } from '../status/store.ts';
import type { StateChange } from './controller.ts';
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
   * goes with the next push. A ref that somebody else made is left as it is, and said.
   */
  push(write: StatusWrite | undefined, wishes: RefWish[]): Promise<boolean>;
  /** What a push that failed means; the branch is taken as it is now. */
  afterFailure(error: unknown): Promise<{ kind: 'taken-over' | 'tampered'; message: string } | undefined>;
  /** The highest rollout id that a tag knows. */
  highestTag(id: ResourceId): number;
}

export interface RemoteOptions {
  clone: Clone;
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
  const { clone, reachable, epoch, author, log, signal } = options;
  const { objects, transport } = clone;
  const git = openPublisher(clone);
  let known = reachable ? await listRefs() : undefined;
  const tip = reachable ? await git.reread(STATUS_REF, signal) : await git.recall(STATUS_REF);
  const opened = await StatusStore.open(objects, tip);
  let store = opened.store;

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
    }
    return updates;
  }

  async function pushAll(write: StatusWrite | undefined, updates: RefUpdate[]): Promise<boolean> {
    if (write !== undefined) {
      await git.commit(STATUS_REF, { changes: write.files, message: write.message, author, at: Date.now() });
    }
    for (const update of updates) git.update(update);
    if (!git.pending()) return false;
    write?.committed();
    await git.push(signal);
    return true;
  }

  /** Refs that are there although nobody told: they stay; only what Sluice wrote is Sluice's to change. */
  function withoutForeign(updates: RefUpdate[], rejected: PushRejected): RefUpdate[] {
    for (const { ref, actual } of rejected.refs) {
      log('warn', `${ref} was made or moved by somebody else; it is left as it is`);
      known?.set(ref, actual);
    }
    return updates.filter((update) => !rejected.refs.some(({ ref }) => ref === update.ref));
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
    async push(write, wishes) {
      const updates = await updatesOf(wishes);
      try {
        return await pushAll(write, updates);
      } catch (error) {
        const beside = error instanceof PushRejected && error.refs.every(({ ref }) => ref !== STATUS_REF);
        if (!beside) throw error;
        await git.reread(STATUS_REF, signal);
        return await pushAll(write, withoutForeign(updates, error));
      }
    },
    async afterFailure(error) {
      if (!(error instanceof GitError)) throw error;
      if (!(error instanceof PushRejected)) return undefined;
      const lease = await readLease(clone, signal);
      if (lease !== undefined && lease.epoch > epoch) {
        const message = `another operator (${lease.holder}, epoch ${lease.epoch}) has taken over; this one (epoch ${epoch}) acts no more`;
        return { kind: 'taken-over', message };
      }
      known = await listRefs();
      const now = await git.reread(STATUS_REF, signal);
      ({ store } = await StatusStore.open(objects, now));
      const what = now === undefined ? 'was deleted' : `holds commit ${now.slice(0, 10)}`;
      const message = `sluice/status ${what}, which this operator did not write; look at it, then sluice continue`;
      return { kind: 'tampered', message };
    },
    highestTag: (id) => Math.max(0, ...(known ?? NO_REFS).tags(id)),
  };
  return { remote, branch: opened.branch };
}

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
  { clone, author, head, resourceAt }: RemoteOptions,
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
    const make = () => objects.writeTag({ name, object: rollout.commit, message, tagger: author, at: Date.now() });
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
        ...{ id, tip, to, author, at: Date.now() },
        resources: [resource, await resourceAt(to, id)],
        reason: `Rollout ${rollout.id} failed: ${rollout.message}`,
      });
    wishes.push({ ref: `refs/heads/${revertBranch(id, rollout.id)}`, make });
  }
  return wishes;
}
