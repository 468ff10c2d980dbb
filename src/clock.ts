/** Time, as those parts know it that wait: the system's, or a simulated one that passes years in seconds. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once, so many milliseconds from now; what it gives back calls it off. */
  after(ms: number, call: () => void): () => void;
  /** Calls back once, when what is under way now has had its turn. */
  soon(call: () => void): void;
  /** At least 0 and less than 1: so that not everybody waits for the same moment. */
  random(): number;
}

/** The longest that a timer of the system waits; what is later is looked at again then. */
const LONGEST_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, Math.min(ms, LONGEST_MS));
    return () => clearTimeout(timer);
  },
  soon: (call) => void setImmediate(call),
  random: () => Math.random(),
};
