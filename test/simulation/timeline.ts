/** Simulated time: what is to happen, in its order. Nothing in it waits for the real clock. */

interface Entry {
  at: number;
  order: number;
  /** Undefined: called off. */
  call: (() => void) | undefined;
}

export interface Timeline {
  now(): number;
  /** How many things have happened. */
  steps(): number;
  /** What gives back calls it off. */
  at(time: number, call: () => void): () => void;
  /** Lets time pass until then; everything that is due happens, each with all that follows from it at once. */
  run(until: number): Promise<void>;
  /** Lets time pass to the next thing that is due, no later than `until`; false: nothing was. */
  step(until: number): Promise<boolean>;
}

/** Promises that can go on have gone on: the real event loop turns once, and costs some microseconds. */
const drained = (): Promise<void> => new Promise((done) => setImmediate(done));

/** More than any history needs. */
const MOST_STEPS = 60_000;

export function createTimeline(start: number): Timeline {
  const heap: Entry[] = [];
  let now = start;
  let order = 0;
  let steps = 0;

  const before = (a: Entry, b: Entry) => a.at < b.at || (a.at === b.at && a.order < b.order);

  function push(entry: Entry): void {
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above] as Entry;
      if (!before(entry, parent)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = entry;
  }

  function pop(): Entry {
    const first = heap[0] as Entry;
    const last = heap.pop() as Entry;
    if (heap.length === 0) return first;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      if (left >= heap.length) break;
      const right = left + 1;
      const child = right < heap.length && before(heap[right] as Entry, heap[left] as Entry) ? right : left;
      if (!before(heap[child] as Entry, last)) break;
      heap[index] = heap[child] as Entry;
      index = child;
    }
    heap[index] = last;
    return first;
  }

  async function step(until: number): Promise<boolean> {
    for (let next = heap[0]; next !== undefined && next.at <= until; next = heap[0]) {
      const { at, call } = pop();
      if (call === undefined) continue;
      now = Math.max(now, at);
      steps++;
      if (steps > MOST_STEPS) throw new Error(`goes on and on: ${steps} steps`);
      call();
      await drained();
      return true;
    }
    return false;
  }

  return {
    now: () => now,
    steps: () => steps,
    at(time, call) {
      const entry: Entry = { at: Math.max(now, time), order: order++, call };
      push(entry);
      return () => {
        entry.call = undefined;
      };
    },
    step,
    async run(until) {
      await drained();
      while (await step(until));
      now = Math.max(now, until);
    },
  };
}
