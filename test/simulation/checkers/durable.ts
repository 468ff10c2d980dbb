/** Intent is durable before an act; after a crash the act is looked up, never done twice. */
import type { ResourceId } from '../../../src/manifest/resource.ts';
import type { Action } from '../../../src/rollout/decision.ts';
import type { Told } from '../published.ts';
import type { World } from '../world.ts';
import { type Checker, ENDED } from './checker.ts';

/** `web-3.7.1` → 7. */
const rolloutOf = (attempt: string): number => Number(attempt.split('.').at(-2));

function unknown(told: Told | undefined, action: Action): string | undefined {
  const rollout = told?.rollout;
  const begun = rollout !== undefined && !ENDED.includes(rollout.phase) && !/^(Pending|Checking)$/.test(rollout.phase);
  if (action.kind === 'start' || action.kind === 'create') {
    const wanted = told?.settled.goals.some((goal) => JSON.stringify(goal).includes(action.revision)) ?? false;
    // What died is started again as what it was, also after its rollout was superseded.
    const past = told?.history.some((entry) => entry.revision === action.revision) ?? false;
    if (wanted || past || (begun && rollout.to === action.revision)) return undefined;
    return `${action.kind} of ${action.unit} at ${action.revision}`;
  }
  if (action.kind === 'update' || action.kind === 'takeOut') {
    const named = rollout?.units?.ids.includes(action.unit) ?? false;
    if (begun && named && rolloutOf(action.attempt) === rollout.id) return undefined;
    return `${action.kind} of ${action.unit} as ${action.attempt}`;
  }
  return undefined;
}

export const durableFirst: Checker = (report) => {
  let world: World | undefined;
  const meddled = new Set<ResourceId>();
  return {
    begins(begun) {
      world = begun;
      begun.published.watch(({ by, changed, moves }) => {
        const all = moves.some(({ ref }) => ref.endsWith('sluice/status')) && by === undefined;
        for (const { id } of all ? begun.config.resources : []) meddled.add(id);
        for (const id of by === undefined ? [] : changed.keys()) meddled.delete(id);
      });
    },
    acts(_, id, action) {
      if (world === undefined || meddled.has(id)) return;
      // What is there and has died is started again as what it was, whoever knows of it.
      const there = action.kind === 'start' ? world.target.replicas.get(id)?.units.get(action.unit) : undefined;
      if (action.kind === 'start' && there?.revision === action.revision) return;
      const what = unknown(world.published.get(id), action);
      if (what !== undefined) report(`${id}: ${what}, of which the status branch knows nothing`);
    },
  };
};

/** A script runs once for each rollout and unit, and once more for each retry that somebody asked for. */
export const scriptsOnce: Checker = (report) => ({
  atRest({ target, history }) {
    for (const [id, { scripts }] of target.machines) {
      const retries = history.events.filter((event) => event.do === 'operate' && event.action === 'retry').length;
      const counts = new Map<string, Set<string>>();
      const seen = new Set<string>();
      for (const { unit, what, revision, attempt } of scripts) {
        const one = `${attempt} ${what} ${revision}`;
        if (seen.has(one)) report(`${id}: ${what} of ${revision} was begun twice on ${unit} as ${attempt}`);
        seen.add(one);
        const key = `${unit} ${what} ${revision} ${attempt.split('.').length > 2 ? rolloutOf(attempt) : attempt}`;
        const attempts = counts.get(key) ?? new Set<string>();
        counts.set(key, attempts.add(attempt));
        if (attempts.size > 1 + retries) report(`${id}: ${what} of ${revision} ran ${attempts.size} times on ${unit}`);
      }
    }
  },
});
