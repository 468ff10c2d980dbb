/** A host that is busy is left alone: for as long as it says, or ever longer where it says nothing, until it answers. */
import { GitError } from './errors.ts';

export interface Rest {
  /** Throws `busy` while the host is to be left alone. */
  check(where: string): void;
  /** The error that a busy host answered with, and from when on it may be asked again. */
  begin(status: number, error: GitError): GitError;
  /** The host answered as it should. */
  end(): void;
}

const FIRST_MS = 1000;
const LONGEST_MS = 120_000;

export function createRest(now: () => number): Rest {
  let until = Number.NEGATIVE_INFINITY;
  let status = 0;
  let refusals = 0;
  return {
    check(where) {
      const leftMs = Math.ceil(until - now());
      if (leftMs <= 0) return;
      const seconds = Math.ceil(leftMs / 1000);
      throw new GitError('busy', `${where}: asked to be left alone for another ${seconds} s (${status})`, leftMs);
    },
    begin(answered, error) {
      status = answered;
      // 1 s, 2 s, 4 s … 120 s.
      const restMs = error.retryAfterMs ?? Math.min(FIRST_MS * 2 ** refusals, LONGEST_MS);
      refusals++;
      until = now() + restMs;
      return new GitError(error.code, error.message, restMs);
    },
    end() {
      refusals = 0;
    },
  };
}
