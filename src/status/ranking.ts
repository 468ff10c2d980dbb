/** Resources in the order of STATUS.md, the unhealthy first, then by name; cheap to keep while single ones change. */
import type { ResourceId } from '../manifest/resource.ts';
import type { Health } from '../rollout/state.ts';
import type { Summary } from './summary.ts';

const HEALTHS: readonly Health[] = ['Degraded', 'Invalid', 'Paused', 'Progressing', 'Healthy'];

export interface Ranked {
  id: ResourceId;
  summary: Summary;
}

/** 10,000 resources: one change moves one entry within sorted lists; `first(200)` looks at 200. */
export class Ranking {
  readonly #summaries = new Map<ResourceId, Summary>();
  readonly #sorted = new Map<Health, ResourceId[]>(HEALTHS.map((health) => [health, []]));

  /** `summary` undefined: the resource is gone. */
  set(id: ResourceId, summary: Summary | undefined): void {
    const before = this.#summaries.get(id);
    if (before?.health !== summary?.health) {
      if (before !== undefined) this.#list(before.health).splice(this.#place(before.health, id), 1);
      if (summary !== undefined) this.#list(summary.health).splice(this.#place(summary.health, id), 0, id);
    }
    if (summary === undefined) this.#summaries.delete(id);
    else this.#summaries.set(id, summary);
  }

  first(limit: number): Ranked[] {
    const ranked: Ranked[] = [];
    for (const health of HEALTHS) {
      for (const id of this.#list(health).slice(0, limit - ranked.length)) {
        const summary = this.#summaries.get(id);
        if (summary !== undefined) ranked.push({ id, summary });
      }
    }
    return ranked;
  }

  counts(): { health: Health; count: number }[] {
    return HEALTHS.map((health) => ({ health, count: this.#list(health).length }));
  }

  #list(health: Health): ResourceId[] {
    return this.#sorted.get(health) ?? [];
  }

  /** Where `id` stands in its list, or belongs. By code units: a collator would cost more than all the rest. */
  #place(health: Health, id: ResourceId): number {
    const list = this.#list(health);
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((list[middle] ?? '') < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
