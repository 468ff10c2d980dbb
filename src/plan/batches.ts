/** How many units each stage of a batch upgrade takes. */

/** As equal as they can be, the larger first; never more batches than units: 10 in 4 → 3, 3, 2, 2; 2 in 4 → 1, 1. */
export function equalBatches(units: number, batches: number): number[] {
  const count = Math.min(batches, units);
  const least = Math.floor(units / count);
  return Array.from({ length: count }, (_, index) => least + (index < units % count ? 1 : 0));
}

/**
 * Doubling from 1, up to a share of all nodes, at least 1: 100 nodes at 10 % → 1, 2, 4, 8, 10, 10, … `all` is what the
 * share is of, `left` what is still to be done: after a continue it starts again at 1.
 *
 *   all 4, 10 %, left 4 → 1, 1, 1, 1;   all 100, 10 %, left 20 → 1, 2, 4, 8, 5
 */
export function doublingBatches(all: number, percent: number, left: number): number[] {
  const most = Math.max(1, Math.floor((all * percent) / 100));
  const sizes: number[] = [];
  for (let size = 1, rest = left; rest > 0; size = Math.min(size * 2, most)) {
    const next = Math.min(size, most, rest);
    sizes.push(next);
    rest -= next;
  }
  return sizes;
}

/** The units in their order, in groups of these sizes. */
export function grouped<T>(units: T[], sizes: number[]): T[][] {
  let at = 0;
  return sizes.map((size) => {
    at += size;
    return units.slice(at - size, at);
  });
}
