/** What people declared of each resource of late: from the commit on that its status speaks of, to the head. */
import type { Kind, Oid, ResourceId } from '../../../src/manifest/resource.ts';
import { choice, type Draft } from '../drafts.ts';
import { MAIN } from '../git.ts';
import type { World } from '../world.ts';

export interface Drafted {
  begins(world: World): void;
  /** The drafts that an operator may still be at work on; undefined among them: not declared, or not validly. */
  of(id: ResourceId): (Draft | undefined)[];
}

export function createDrafted(): Drafted {
  const lists = new Map<ResourceId, { commit: Oid; draft: Draft | undefined }[]>();
  const note = ({ config }: World, commit: Oid) => {
    const drafts = config.drafts();
    for (const { id } of config.resources) {
      const draft = drafts.get(id);
      const list = lists.get(id) ?? [];
      lists.set(id, list);
      list.push({ commit, draft });
    }
  };
  return {
    begins(world) {
      for (const commit of world.config.commits()) note(world, commit);
      world.published.watch(({ moves, changed }) => {
        for (const { ref, new: commit } of moves) if (ref === MAIN && commit !== undefined) note(world, commit);
        for (const [id, told] of changed) {
          const list = lists.get(id) ?? [];
          // Whose push is not answered does not know what it has told.
          if (told?.health !== 'Healthy' || world.remote.faults.lose > 0) continue;
          const from = list.findIndex(({ commit }) => commit === told.commit);
          // The one before counts as well: its units may be there for a moment more.
          if (from > 1) lists.set(id, list.slice(from));
        }
      });
    },
    of: (id) => (lists.get(id) ?? []).map(({ draft }) => draft),
  };
}

const percent = (text: string, of: number, round: (n: number) => number): number =>
  text.endsWith('%') ? round((Number(text.slice(0, -1)) * of) / 100) : Number(text);

/** The bounds of one version as the contract has them, worked out from the text of the manifest. */
export function boundsOf(kind: Kind, draft: Draft): { most: number; least: number } {
  const replicas = Number(choice(kind, draft, 'replicas'));
  if (kind === 'Service') return { most: replicas + 1, least: replicas };
  const [, surge = '', unavailable = ''] =
    /maxSurge: "?([0-9%]+)"?, maxUnavailable: "?([0-9%]+)"?/.exec(choice(kind, draft, 'strategy')) ?? [];
  const more = percent(surge, replicas, Math.ceil);
  const less = percent(unavailable, replicas, Math.floor);
  return { most: replicas + more, least: replicas - (more === 0 && less === 0 ? 1 : less) };
}
