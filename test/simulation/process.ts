/** A simulated operating-system process: it can be killed between any two effects, and stopped and woken. */
import type { Clock } from '../../src/clock.ts';
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

export interface Process {
  clock: Clock;
  alive(): boolean;
  /** Everything that it does to the world outside, or asks of it: these are the boundaries between which it can die. */
  effect<T>(name: string, latency: number, work: () => T): Promise<T>;
  /** Dies at the n-th effect from now, before it takes place or after; 0: at once. */
  killAt(effects: number, before: boolean): void;
  /** As SIGSTOP and SIGCONT: what it asked for takes place meanwhile, but it does not learn of it. */
  freeze(): void;
  thaw(): void;
  /** For so many milliseconds, in the middle of the n-th act from now: it was let through already, and takes place when it wakes. */
  freezeInAct(acts: number, ms: number): void;
  /** What becomes of it when it dies. */
  onDeath(call: () => void): void;
}

/** How effects are called that a target carries out once it has let them through. */
export const ACT = 'act ';

const never = new Promise<never>(() => {});

export function createProcess(timeline: Timeline, random: Random): Process {
  let alive = true;
  let frozen = false;
  let waiting: (() => void)[] = [];
  let halt: { left: number; ms: number } | undefined;
  let fuse: { left: number; before: boolean } | undefined;
  const deaths: (() => void)[] = [];

  function die(): void {
    if (!alive) return;
    alive = false;
    waiting = [];
    for (const call of deaths) call();
  }

  const live = (call: () => void) => () => {
    if (!alive) return;
    if (frozen) waiting.push(call);
    else call();
  };

  function burns(): boolean {
    if (fuse === undefined) return false;
    fuse.left--;
    return fuse.left <= 0;
  }

  function thaw(): void {
    frozen = false;
    const calls = waiting;
    waiting = [];
    for (const call of calls) live(call)();
  }

  function haltedBy(name: string): void {
    if (halt === undefined || !name.startsWith(ACT)) return;
    halt.left--;
    if (halt.left > 0) return;
    frozen = true;
    timeline.at(timeline.now() + halt.ms, thaw);
    halt = undefined;
  }

  /** Goes on when the process may. */
  function resumed<T>(outcome: () => T): Promise<T> {
    if (!alive) return never;
    if (!frozen) return new Promise((resolve) => resolve(outcome()));
    return new Promise((resolve, reject) => {
      waiting.push(() => {
        try {
          resolve(outcome());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  return {
    clock: {
      now: timeline.now,
      after: (ms, call) => timeline.at(timeline.now() + ms, live(call)),
      soon: (call) => void timeline.at(timeline.now(), live(call)),
      random: random.next,
    },
    alive: () => alive,
    async effect(name, latency, work) {
      if (!alive) return never;
      haltedBy(name);
      if (frozen) await resumed(() => undefined);
      const last = burns();
      if (last && fuse?.before) {
        die();
        return never;
      }
      if (latency > 0) await new Promise<void>((done) => timeline.at(timeline.now() + latency, done));
      let outcome: () => ReturnType<typeof work>;
      try {
        const value = work();
        outcome = () => value;
      } catch (error) {
        outcome = () => {
          throw error;
        };
      }
      if (last) die();
      return resumed(outcome);
    },
    killAt(effects, before) {
      if (effects <= 0) die();
      else fuse = { left: effects, before };
    },
    freeze() {
      frozen = true;
    },
    thaw,
    freezeInAct(acts, ms) {
      halt = { left: acts, ms };
    },
    onDeath: (call) => void deaths.push(call),
  };
}
