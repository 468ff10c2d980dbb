/** Watches one branch of the remote, and keeps the last good commit of it. */
import type { Clock } from '../clock.ts';
import type { Oid } from '../manifest/resource.ts';
import { goodRef, noteLeft } from './accepted.ts';
import type { Clone } from './clone.ts';
import { GitError } from './errors.ts';
import { isAncestor, reaches } from './history.ts';
import { SETTLE_MS } from './ref-hints.ts';
import type { CommitTrust } from './trust/trust.ts';

export type FeedEvent =
  /** The commit to work from. Also told, with the same commit, at the start, when the remote is back after errors and when a rewritten branch is put back. */
  | { kind: 'head'; commit: Oid; previous: Oid | undefined }
  /** The remote branch does not follow `held` any more: `held` stays the commit to work from. Told once for each `head`, and after errors. */
  | { kind: 'rewritten'; held: Oid; head: Oid }
  /** `commit`, which came with `head`, is not signed as it must be: `held` stays. Told as the one above. */
  | { kind: 'refused'; held: Oid | undefined; head: Oid; commit: Oid; why: string }
  /** The remote could not be read; nothing is lost. After `broken-clone` the clone was made anew, and is filled again. */
  | { kind: 'error'; error: Error; failures: number; retryInMs: number };

export interface FeedOptions {
  clone: Clone;
  clock: Clock;
  /** The full name of the branch. */
  ref: string;
  intervalMs: number;
  /** Takes the branch as it is at the first look, rewritten or not. */
  acceptRewrite: boolean;
  /** Absent: every commit is worked from. */
  trust?: CommitTrust | undefined;
  /** Awaited before the next look. */
  report(event: FeedEvent): void | Promise<void>;
}

export interface Feed {
  /** Looks at once, or again when it is looking. */
  hint(): void;
  /** Resolves when the remote was read for the first time and what it holds was told: until then the last good commit stands. */
  looked: Promise<void>;
  close(): Promise<void>;
}

/** A head that is further back than so many commits is remembered as if the branch had left it. */
const NEAR = 1000;
const MAX_BACKOFF_MS = 120_000;
/** Many operators of one host do not ask in step. */
const JITTER = 0.1;

export async function openFeed(options: FeedOptions): Promise<Feed> {
  const { clone, clock, ref, intervalMs, report, trust } = options;
  const goodAt = goodRef(ref, trust !== undefined);
  const ended = new AbortController();
  const bell = createBell(clock);
  const look = createLook(options);
  let firstLook: () => void = () => {};
  const looked = new Promise<void>((resolve) => {
    firstLook = resolve;
  });
  const unwatch = await clone.watch?.(bell.ring);

  async function tell(event: FeedEvent): Promise<void> {
    if (!ended.signal.aborted) await report(event);
  }

  let first = true;
  /** Only after the first look: another operator may have acted on what is newer than this clone. */
  async function tellKept(event: FeedEvent | Error | undefined): Promise<void> {
    const isFirst = first;
    first = false;
    if (!isFirst || isHead(event)) return;
    const good = await clone.refs.read(goodAt);
    if (good !== undefined) await tell({ kind: 'head', commit: good, previous: undefined });
  }

  /** What is left to tell, once what can be mended here is: a clone that is broken is made anew, unless that fails too. */
  async function renewed(error: Error): Promise<Error> {
    if (!(error instanceof GitError && error.code === 'broken-clone')) return error;
    return (await clone.renew().catch(asError)) ?? error;
  }

  async function loop(): Promise<void> {
    let failures = 0;
    let hinted = false;
    while (!ended.signal.aborted) {
      let pauseMs = intervalMs * (1 - JITTER + 2 * JITTER * clock.random());
      const event = await look(failures > 0, ended.signal).catch(asError);
      await tellKept(event);
      if (event instanceof Error) {
        failures++;
        const error = await renewed(event);
        pauseMs = backoff(pauseMs, failures, error);
        await tell({ kind: 'error', error, failures, retryInMs: pauseMs });
      } else {
        failures = 0;
        if (event !== undefined) await tell(event);
        firstLook();
      }
      hinted = await bell.wait(hinted ? SETTLE_MS : pauseMs);
    }
  }

  const running = loop();
  return {
    hint: bell.ring,
    looked,
    async close() {
      ended.abort(new Error('the feed is closed'));
      bell.ring();
      await running;
      await unwatch?.();
    },
  };
}

type Held = Extract<FeedEvent, { kind: 'rewritten' | 'refused' }>;

/** One look at the remote: what is to be told of it, if anything. Throws what `error` events are made of. */
function createLook({ clone, ref, acceptRewrite, trust }: FeedOptions) {
  const goodAt = goodRef(ref, trust !== undefined);
  let accepting = acceptRewrite;
  let held: Held | undefined;
  let told: Oid | undefined;

  async function take(good: Oid | undefined, signal: AbortSignal): Promise<FeedEvent> {
    const fetched = await clone.transport.fetch(ref, signal);
    if (fetched === undefined) throw await noBranch(clone, ref, signal);
    clone.tidy.packed();
    const isFree = good === undefined || accepting || clone.local !== undefined;
    held = undefined;
    if (!isFree && !(await isAncestor(clone.objects, good, fetched)))
      held = { kind: 'rewritten', held: good, head: fetched };
    const refusal = await trust?.refused(good, fetched);
    if (refusal !== undefined) held = { kind: 'refused', held: good, head: fetched, ...refusal };
    if (held !== undefined) return held;
    accepting = false;
    told = fetched;
    if (good !== undefined && !(await reaches(clone.objects, [fetched], good, NEAR))) await noteLeft(clone, good);
    await clone.refs.set(goodAt, fetched);
    return { kind: 'head', commit: fetched, previous: good };
  }

  return async (retell: boolean, signal: AbortSignal): Promise<FeedEvent | undefined> => {
    const stored = await clone.refs.read(goodAt);
    // Another operator may work in the same clone: what it was told of is not told here.
    const good = stored === undefined ? undefined : (told ?? stored);
    told = good;
    const head = await clone.transport.head(ref, signal);
    if (head === undefined) throw await noBranch(clone, ref, signal);
    const stillHeld = held?.head === head && !(await trust?.changed()) ? held : undefined;
    if (head !== good && stillHeld === undefined) return take(good, signal);
    accepting = false;
    if (stillHeld !== undefined) return retell ? stillHeld : undefined;
    const back = retell || held !== undefined;
    held = undefined;
    return back && good !== undefined ? { kind: 'head', commit: good, previous: good } : undefined;
  };
}

async function noBranch(clone: Clone, ref: string, signal: AbortSignal): Promise<GitError> {
  const where = clone.address.display;
  const branches = await clone.transport.refs(['refs/heads/'], signal);
  if (branches.size === 0)
    return new GitError('empty-repository', `${where}: has no commits yet; commit to it and push`);
  const names = [...branches.keys()]
    .map((name) => name.slice('refs/heads/'.length))
    .filter((name) => !name.startsWith('sluice/'));
  return new GitError(
    'no-branch',
    `${where}: has no branch ${ref.replace('refs/heads/', '')} (it has ${names.slice(0, 5).join(', ') || 'none to read'}); push it, or check --branch`,
  );
}

/** Doubles with each failure, and never asks before the time that the remote named. */
function backoff(pauseMs: number, failures: number, error: Error): number {
  const grown = Math.max(pauseMs, Math.min(MAX_BACKOFF_MS, pauseMs * 2 ** Math.min(failures - 1, 10)));
  return Math.round(Math.max(grown, error instanceof GitError ? (error.retryAfterMs ?? 0) : 0));
}

const isHead = (event: FeedEvent | Error | undefined): boolean =>
  event !== undefined && 'kind' in event && event.kind === 'head';

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** Waits for a time or for a ring, also one that rang before. */
function createBell(clock: Clock) {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    async wait(ms: number): Promise<boolean> {
      if (!rung)
        await new Promise<void>((done) => {
          const callOff = clock.after(ms, done);
          wake = () => {
            callOff();
            done();
          };
        });
      wake = undefined;
      const rang = rung;
      rung = false;
      return rang;
    },
  };
}
