/**
 * The one writer of what the operator publishes: commits are made in the clone, on top of the known tip, and pushed with
 * tags and other refs in one atomic request. What the remote rejects is forgotten: the caller reads again and decides anew.
 */
import type { Oid } from '../manifest/resource.ts';
import type { Clone } from './clone.ts';
import { editTree, type FileChanges } from './edit-tree.ts';
import { GitError, PushRejected } from './errors.ts';
import { trackedRef } from './transport.ts';
import type { Person, RefUpdate } from './types.ts';

export interface PublishedCommit {
  changes: FileChanges;
  message: string;
  author: Person;
  /** Milliseconds since the epoch. */
  at: number;
  /** A commit is made although nothing changes. */
  evenEmpty?: boolean;
}

export interface Publisher {
  /** Fetches the branch, drops unpushed commits on it, and returns its tip; undefined: there is no such branch yet. */
  reread(branch: string, signal: AbortSignal): Promise<Oid | undefined>;
  /** The tip that the clone saw last, for a remote that cannot be asked now. */
  recall(branch: string): Promise<Oid | undefined>;
  /** The tip that the next commit is made on, pushed or not; `reread` comes first. */
  tip(branch: string): Oid | undefined;
  /** Commits to a branch by its full name, in the clone alone. Changes that change nothing make no commit. */
  commit(branch: string, commit: PublishedCommit): Promise<Oid>;
  /** Adds a ref (a tag, a keep ref, a branch) to the next push. */
  update(update: RefUpdate): void;
  /** Whether the next push has anything to carry. */
  pending(): boolean;
  /**
   * Pushes all that is pending, atomically. `PushRejected`, or a clone that lost what was committed (`missing-object`,
   * `broken-clone`): it was all forgotten, `reread` and make it anew. Any other error: it stays pending, push again later.
   */
  push(signal: AbortSignal): Promise<void>;
  /** What is pending will not be pushed: commits and refs. A push that failed without an answer may have brought it there all the same. */
  withdraw(): Promise<void>;
}

interface Branch {
  remote: Oid | undefined;
  tip: Oid | undefined;
  /** Commits from `remote` to `tip`, made here. */
  made: Oid[];
}

const FORGETTING = ['push-rejected', 'missing-object', 'broken-clone'];

/** After a push that failed so, the tips of branches are not known any more: they are to be read again. */
export const forgets = ({ code }: GitError): boolean => FORGETTING.includes(code);

export function openPublisher(clone: Clone): Publisher {
  const { objects, transport, refs } = clone;
  const branches = new Map<string, Branch>();
  let updates: RefUpdate[] = [];
  let queue: Promise<unknown> = Promise.resolve();

  /** One thing at a time: a commit is made on the tip that the one before left. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = queue.then(work, work);
    queue = turn.catch(() => {});
    return turn;
  }

  function known(branch: string): Branch {
    const found = branches.get(branch);
    if (found === undefined) throw new GitError('failed', `${branch}: its tip is not known; read it first`);
    return found;
  }

  function moves(): RefUpdate[] {
    const moved = [...branches].filter(([, { remote, tip }]) => remote !== tip);
    return [...moved.map(([ref, { remote, tip }]) => ({ ref, old: remote, new: tip })), ...updates];
  }

  async function pushed(sent: readonly RefUpdate[]): Promise<void> {
    updates = updates.filter((update) => !sent.includes(update));
    clone.tidy.pushed(sent.length);
    for (const { ref, new: oid } of sent) {
      const branch = branches.get(ref);
      if (branch === undefined || oid === undefined) continue;
      const went = branch.made.indexOf(oid) + 1;
      branches.set(ref, { remote: oid, tip: branch.tip, made: branch.made.slice(went) });
      clone.tidy.committed(went);
      await refs.set(trackedRef(ref), oid);
    }
  }

  /** An earlier push whose answer was lost may have got through: then the remote holds one of our own commits. */
  function recognized(rejection: PushRejected): boolean {
    return rejection.refs.every(({ ref, actual }) => {
      const branch = branches.get(ref);
      if (branch === undefined || actual === undefined || !branch.made.includes(actual)) return false;
      // It is known to be there: this push was refused for another reason.
      if (branch.remote === actual) return false;
      branch.remote = actual;
      return true;
    });
  }

  async function pushAll(signal: AbortSignal): Promise<void> {
    const sent = moves();
    try {
      await transport.push(sent, signal);
      await pushed(sent);
    } catch (error) {
      if (!(error instanceof GitError) || !forgets(error)) throw error;
      if (error instanceof PushRejected && recognized(error)) return await pushAll(signal);
      updates = [];
      branches.clear();
      throw error;
    }
  }

  return {
    reread: (branch, signal) =>
      inTurn(async () => {
        const tip = await transport.fetch(branch, signal);
        branches.set(branch, { remote: tip, tip, made: [] });
        return tip;
      }),
    recall: (branch) =>
      inTurn(async () => {
        const tip = await refs.read(trackedRef(branch));
        branches.set(branch, { remote: tip, tip, made: [] });
        return tip;
      }),
    tip: (branch) => known(branch).tip,
    commit: (branch, { changes, message, author, at, evenEmpty }) =>
      inTurn(async () => {
        const { tip, made } = known(branch);
        const before = tip === undefined ? undefined : (await objects.commit(tip)).tree;
        const tree = await editTree(objects, before, changes);
        if (tip !== undefined && tree === before && evenEmpty !== true) return tip;
        const parents = tip === undefined ? [] : [tip];
        const oid = await objects.writeCommit({ tree, parents, message, author, at });
        branches.set(branch, { ...known(branch), tip: oid, made: [...made, oid] });
        return oid;
      }),
    update(update) {
      updates.push(update);
    },
    pending: () => moves().length > 0,
    push: (signal) => inTurn(() => pushAll(signal)),
    withdraw: () =>
      inTurn(async () => {
        updates = [];
        for (const [name, { remote }] of branches) branches.set(name, { remote, tip: remote, made: [] });
      }),
  };
}
