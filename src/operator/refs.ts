/** Which refs go with a state: the tag of a rollout that succeeded, and the commits that must not be lost. */
import type { Oid, Revision } from '../manifest/resource.ts';
import { runningVersions } from '../plan/versions.ts';
import type { State } from '../rollout/state.ts';
import { active } from '../rollout/transitions.ts';

/** The commit of every revision that runs or can be gone back to. */
export function keptRevisions({ settled, rollout }: State): Map<Revision, Oid> {
  const kept = new Map<Revision, Oid>();
  const running = new Set(runningVersions(settled));
  for (const { revision, commit } of settled.lineage) kept.set(revision, commit);
  for (const [name, version] of Object.entries(settled.versions)) {
    if (running.has(name)) kept.set(version.revision, version.commit);
  }
  if (active(rollout) || settled.partial !== undefined) {
    const { plan, commit } = rollout ?? { plan: undefined, commit: '' };
    if (plan && !kept.has(plan.to)) kept.set(plan.to, commit);
  }
  return kept;
}

/** The commit from which a revision of the resource can be read; undefined: nothing remembers it. */
export function commitOfRevision(state: State, revision: Revision): Oid | undefined {
  const { settled, rollout, history } = state;
  const version = Object.values(settled.versions).find((candidate) => candidate.revision === revision);
  const applied = settled.lineage.find((entry) => entry.revision === revision);
  const past = history.findLast((entry) => entry.revision === revision);
  return (
    (rollout?.plan.to === revision ? rollout.commit : undefined) ?? applied?.commit ?? version?.commit ?? past?.commit
  );
}

/** Tags beyond the newest `limit` go, oldest first; `tags` are rollout ids that have one. */
export function surplusTags(tags: number[], limit: number): number[] {
  return [...tags].sort((a, b) => b - a).slice(limit);
}

/** It has just succeeded: `before` is the state that was known until now. */
export function justSucceeded(before: State | undefined, next: State): boolean {
  if (next.rollout?.phase !== 'Succeeded') return false;
  return before?.rollout?.id !== next.rollout.id || before.rollout.phase !== 'Succeeded';
}
