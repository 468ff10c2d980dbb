/** Lets so many at once do something; the others wait in their order. */
export interface Slots {
  run<T>(act: () => Promise<T>): Promise<T>;
  /** How many are at it now. */
  active(): number;
  /** From now on; those that are at it already go on. */
  limit(most: number): void;
}

export function createSlots(most: number): Slots {
  const waiting: (() => void)[] = [];
  let limit = most;
  let active = 0;
  const next = () => {
    while (active < limit) {
      const begin = waiting.shift();
      if (begin === undefined) return;
      active++;
      begin();
    }
  };
  return {
    async run(act) {
      await new Promise<void>((begin) => {
        waiting.push(begin);
        next();
      });
      try {
        return await act();
      } finally {
        active--;
        next();
      }
    },
    active: () => active,
    limit(most) {
      limit = most;
      next();
    },
  };
}
