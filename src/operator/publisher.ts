/**
 * Makes decisions durable at the remote. What must be pushed before acting is awaited; all else is gathered. One push is
 * under way at a time; each takes all that has come together.
 */
import type { Clock } from '../clock.ts';
import { GitError } from '../git/errors.ts';
import type { Oid, ResourceId } from '../manifest/resource.ts';
import type { StatusDocument } from '../status/document.ts';
import type { Head } from '../status/markdown.ts';
import type { StatusWrite } from '../status/store.ts';

/** A tag, a kept revision or a proposed branch that goes with a status. */
export interface RefWish {
  ref: string;
  /** Makes the object the ref is to point at; undefined deletes the ref. Called at most once for each push. */
  make: (() => Promise<Oid>) | undefined;
}

export interface Publication {
  id: ResourceId;
  /** Made when it is pushed: of what is superseded before, none is. Undefined: the resource is gone. */
  document(): StatusDocument | undefined;
  refs: RefWish[];
}

export interface PublisherPorts {
  clock: Clock;
  head(): Head;
  prepare(changes: Publication[], head: Head): StatusWrite | undefined;
  /** One commit on the status branch and all refs, with what an earlier push left, in one atomic push.
   * False: there was nothing to push. Throws when it is not durable; what is `provisional` is then not pushed later either. */
  push(write: StatusWrite | undefined, refs: RefWish[], provisional: boolean): Promise<boolean>;
  /** A gathered push failed: it is tried again by itself. */
  failed(error: unknown): void;
  /** The least time between gathered pushes, in milliseconds; 0: none. */
  intervalMs: number;
}

export interface Publisher {
  /** To be written with the next push. */
  gather(publication: Publication): void;
  /** Resolves when it is durable; rejects when it is not, and then it was not written. */
  first(publication: Publication): Promise<void>;
  /** The head has changed: STATUS.md is to say so. */
  touch(): void;
  /** Resolves when nothing is left to write, or the remote does not take it. */
  flush(): Promise<void>;
  /** Nothing is written any more, but for a push that is under way. */
  close(): void;
}

interface Waiter {
  publication: Publication;
  resolve(): void;
  reject(error: unknown): void;
}

const RETRY_MS = 2000;

export function createPublisher(ports: PublisherPorts): Publisher {
  const gathered = new Map<ResourceId, Publication>();
  let waiters: Waiter[] = [];
  let touched = false;
  let lastPush = Number.NEGATIVE_INFINITY;
  let failures = 0;
  /** How long the remote asked to be left alone, when it took nothing last. */
  let restMs = 0;
  /** Calls off the push that waits for its time. */
  let timer: (() => void) | undefined;
  let running: Promise<void> | undefined;
  let closed = false;

  const gather = (publication: Publication) => {
    gathered.set(publication.id, merged(gathered.get(publication.id), publication));
    schedule();
  };

  function schedule(): void {
    if (closed || running !== undefined) return;
    if (waiters.length > 0) {
      start();
      return;
    }
    if (timer !== undefined || (gathered.size === 0 && !touched)) return;
    const delay =
      failures > 0 ? Math.max(backoff(failures), restMs) : Math.max(0, lastPush + ports.intervalMs - ports.clock.now());
    timer = ports.clock.after(delay, () => {
      timer = undefined;
      start();
    });
  }

  function start(): void {
    timer?.();
    timer = undefined;
    running = pushAll().finally(() => {
      running = undefined;
      schedule();
    });
  }

  async function pushAll(): Promise<void> {
    const first = waiters;
    waiters = [];
    const before = new Map(gathered);
    gathered.clear();
    const wasTouched = touched;
    touched = false;
    const all = new Map(before);
    for (const { publication } of first) all.set(publication.id, merged(all.get(publication.id), publication));
    try {
      const publications = [...all.values()];
      const write = ports.prepare(publications, ports.head());
      const refs = publications.flatMap((publication) => publication.refs);
      // Who waits takes back what is not durable: it may be decided otherwise by the next push.
      if (await ports.push(write, refs, first.length > 0)) lastPush = ports.clock.now();
      failures = 0;
      for (const waiter of first) waiter.resolve();
    } catch (error) {
      failures++;
      restMs = error instanceof GitError ? (error.retryAfterMs ?? 0) : 0;
      touched ||= wasTouched;
      for (const [id, publication] of before) gathered.set(id, merged(publication, gathered.get(id)));
      for (const waiter of first) waiter.reject(error);
      ports.failed(error);
    }
  }

  return {
    gather,
    first: (publication) =>
      new Promise((resolve, reject) => {
        waiters.push({ publication, resolve, reject });
        schedule();
      }),
    touch() {
      touched = true;
      schedule();
    },
    async flush() {
      const isLeft = () => !closed && (gathered.size > 0 || touched || waiters.length > 0);
      while (running !== undefined || isLeft()) {
        if (running === undefined) start();
        await running;
        if (failures > 0) return;
      }
    },
    close() {
      closed = true;
      timer?.();
    },
  };
}

/** The later document, with the refs of both. */
function merged(earlier: Publication | undefined, later: Publication | undefined): Publication {
  if (earlier === undefined || later === undefined) return (earlier ?? later) as Publication;
  const refs = new Map([...earlier.refs, ...later.refs].map((wish) => [wish.ref, wish]));
  return { ...later, refs: [...refs.values()] };
}

/** 2 s, 4 s, 8 s … 60 s. */
const backoff = (failures: number) => Math.min(RETRY_MS * 2 ** (failures - 1), 60_000);
