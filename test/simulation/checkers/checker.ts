/** What a checker of an invariant is: somebody who looks at a world from outside and says what must not be. */
import type { ResourceId } from '../../../src/manifest/resource.ts';
import type { Live } from '../../../src/plan/live.ts';
import type { Process } from '../process.ts';
import type { Audience, World } from '../world.ts';

export type Report = (message: string) => void;

export type Checker = (report: Report) => Audience & {
  /** Asked when all faults are mended and everything has come to rest. */
  atRest?(world: World): void;
};

/** What each process saw of each resource last. */
export interface Sights {
  note(process: Process, id: ResourceId, live: Live): void;
  of(process: Process, id: ResourceId): Live | undefined;
  /** The last of them first: what is told was seen some time before it is read. */
  lately(process: Process, id: ResourceId): readonly Live[];
}

const KEPT = 25;

export function createSights(): Sights {
  const seen = new Map<Process, Map<ResourceId, Live[]>>();
  return {
    note(process, id, live) {
      const own = seen.get(process) ?? new Map<ResourceId, Live[]>();
      seen.set(process, own);
      const lives = own.get(id) ?? [];
      own.set(id, lives);
      lives.unshift(live);
      lives.length = Math.min(lives.length, KEPT);
    },
    of: (process, id) => seen.get(process)?.get(id)?.[0],
    lately: (process, id) => seen.get(process)?.get(id) ?? [],
  };
}

export const ENDED: readonly string[] = ['Succeeded', 'RolledBack', 'Canceled', 'Failed', 'Superseded', 'Expired'];
