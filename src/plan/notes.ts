/** What a person should know of a change besides its stages. */
import type { Resource, Revision } from '../manifest/resource.ts';
import { isTaken } from './instances.ts';
import type { LiveInstance } from './live.ts';
import type { Plan, Stage } from './plan.ts';
import type { Direction } from './planner.ts';

const NAMED = 5;
const named = (names: string[]): string =>
  `${names.slice(0, NAMED).join(', ')}${names.length > NAMED ? ` and ${names.length - NAMED} more` : ''}`;

/** `instances` absent: the kind has none, or none are known. */
export function rolloutNotes(
  before: Resource | undefined,
  after: Resource,
  plan: Plan,
  cause: Direction,
  instances: LiveInstance[] | undefined,
): string[] {
  const { spec } = after;
  const ofUnits = spec.kind === 'Fleet' || spec.kind === 'Cluster';
  const notes: string[] = [];
  if (spec.paused) notes.push('spec.paused: nothing starts before paused: false is committed');
  if (cause === 'upgrade' && spec.windows.length > 0) {
    const windows = spec.windows.map(({ cron, duration, timezone }) => `${cron} for ${duration} (${timezone})`);
    notes.push(`starts and goes on only inside ${windows.join(' or ')}`);
  }
  if (cause === 'rollback' && !ofUnits) notes.push('a rollback waits for no window, soak or pause');
  if (cause === 'rollback' && spec.kind === 'Fleet')
    notes.push('a rollback waits for no window; its pauses are those of the fleet');
  if (cause === 'rollback' && spec.kind === 'Cluster')
    notes.push('its precheck will fail: a cluster is never downgraded; go forward to a later version');
  return ofUnits ? [...notes, ...unitNotes(spec.kind, instances ?? []), ...undoNotes(before, plan.stages)] : notes;
}

/** Of a fleet what a rollout passes over. */
function unitNotes(kind: 'Fleet' | 'Cluster', instances: LiveInstance[]): string[] {
  const comesTo = kind === 'Fleet' ? isTaken : ({ ready }: LiveInstance) => ready;
  const down = instances.filter((one) => !comesTo(one)).map(({ id }) => id);
  if (down.length === 0) return [];
  const what = kind === 'Fleet' ? 'not in service, so not upgraded' : 'not ready, so its precheck will fail';
  return [`${what}: ${named(down)}`];
}

/** A revision that goes is undone by what was stored beside each instance when it was put there. */
function undoNotes(before: Resource | undefined, stages: Stage[]): string[] {
  const undone = new Set<Revision>();
  for (const { goal } of stages) {
    if (goal.kind === 'units')
      for (const { undo } of Object.values(goal.want)) for (const each of undo) undone.add(each);
  }
  const notes: string[] = [];
  if (before !== undefined && undone.delete(before.revision)) notes.push(...scriptNotes(before));
  if (undone.size > 0) {
    notes.push(
      `${named([...undone])}: undone by the rollback script that is stored beside each instance; where there is none, nothing is run`,
    );
  }
  return notes;
}

function scriptNotes({ runnable, revision }: Resource): string[] {
  if (!('script' in runnable) || runnable.script === undefined) return [];
  return runnable.script.rollback === undefined
    ? [`${revision} has no rollback script: what its script did stays, nothing is run to undo it`]
    : [];
}

/** What differs although nothing is rolled out: it joined later, or was left out. */
export function outdatedNotes(revision: Revision, instances: LiveInstance[] | undefined): string[] {
  const outdated = (instances ?? []).filter(({ applied }) => applied.at(-1) !== revision).map(({ id }) => id);
  return outdated.length === 0 ? [] : [`outdated until the next rollout: ${named(outdated)}`];
}
