/** One active rollout per resource, by legal steps; one operator acting per repository. */
import type { ResourceId } from '../../../src/manifest/resource.ts';
import { STATUS_REF } from '../../../src/status/names.ts';
import type { Process } from '../process.ts';
import { type Checker, ENDED } from './checker.ts';

/** Written down once more, so that a change of the engine's own table is noticed. */
const NEXT: Record<string, readonly string[]> = {
  Pending: ['Checking', 'Superseded', 'Canceled'],
  Checking: ['Pending', 'Progressing', 'Failed', 'Superseded', 'Canceled'],
  Progressing: ['Paused', 'RollingBack', 'Succeeded', 'Failed', 'Superseded', 'Canceled'],
  Paused: ['Progressing', 'RollingBack', 'Superseded', 'Canceled', 'Failed', 'Expired'],
  RollingBack: ['RolledBack', 'Paused', 'Superseded', 'Canceled'],
};

/** A push tells of several steps at once. */
function reachable(from: string, to: string): boolean {
  const seen = new Set([from]);
  const open = [from];
  for (let phase = open.pop(); phase !== undefined; phase = open.pop()) {
    if (phase === to) return true;
    for (const next of NEXT[phase] ?? []) if (!seen.has(next) && open.push(next)) seen.add(next);
  }
  return false;
}

export const oneRollout: Checker = (report) => ({
  begins(world) {
    const last = new Map<ResourceId, { id: number; phase: string; to: string }>();
    /** A person wrote to the branch, and since then this operator. */
    let foreign = false;
    let writer: Process | undefined;
    world.published.watch(({ by, changed, moves }) => {
      // On top of it two operators may write, one after the other: what the earlier wrote binds the later no more than what is below.
      if (moves.some(({ ref }) => ref === STATUS_REF)) {
        if (foreign && by !== writer && writer !== undefined) last.clear();
        foreign = by === undefined || (foreign && (writer === undefined || by === writer));
        writer = by;
      }
      // What was pushed and not answered was not taken for decided: it is decided anew, perhaps otherwise.
      if (by !== undefined && world.remote.faults.lose > 0) {
        for (const id of changed.keys()) last.delete(id);
        return;
      }
      for (const [id, told] of changed) {
        const before = last.get(id);
        const { rollout } = told ?? {};
        // What a person wrote, or took away, binds nobody.
        if (by === undefined || rollout === undefined) {
          last.delete(id);
          continue;
        }
        const { phase, to } = rollout;
        // What is deleted and declared again begins anew.
        if (told?.deletion !== undefined) last.delete(id);
        else last.set(id, { id: rollout.id, phase, to });
        if (before === undefined) continue;
        if (rollout.id < before.id) report(`${id}: rollout ${rollout.id} follows rollout ${before.id}`);
        if (rollout.id > before.id) {
          const old = told?.history.find((entry) => entry.id === before.id);
          const gone = told?.history.length !== 0 && (told?.history[0]?.id ?? 0) > before.id;
          if (!ENDED.includes(before.phase) && old === undefined && !gone)
            report(`${id}: rollout ${rollout.id} began while rollout ${before.id} was ${before.phase}`);
          continue;
        }
        if (rollout.id === before.id && to !== before.to)
          report(`${id}: rollout ${rollout.id} went to another revision`);
        if (rollout.id === before.id && !reachable(before.phase, phase))
          report(`${id}: rollout ${rollout.id} was ${before.phase} and is ${phase}`);
      }
    });
  },
});

export const oneOperator: Checker = (report) => {
  const order: Process[] = [];
  let latest = -1;
  return {
    observed(process) {
      if (!order.includes(process)) order.push(process);
    },
    acts(process, id, action) {
      if (!order.includes(process)) order.push(process);
      const own = order.indexOf(process);
      if (own < latest) report(`${id}: an earlier operator does ${action.kind} after a later one has acted`);
      latest = Math.max(latest, own);
    },
  };
};
