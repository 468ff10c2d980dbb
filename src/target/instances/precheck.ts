/** What must hold before instances or nodes are touched, wherever they live. Looks, changes nothing; each answer says what to do. */
import type { ClusterRunnable, FleetRunnable, InstanceSpec } from '../../manifest/resource.ts';
import type { LiveInstance } from '../../plan/live.ts';
import type { Plan } from '../../plan/plan.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import { type Answer, askHttp } from '../local/handler.ts';
import { fail, orPass, pass, warn } from '../local/precheck.ts';

export interface InstancesAsked {
  spec: InstanceSpec;
  runnable: FleetRunnable | ClusterRunnable;
  plan: Plan;
  live: LiveInstance[];
  /** Whether a rollback script of this revision is stored beside the unit; undefined: it had no script at all. */
  undoable(unit: string, revision: string): boolean | undefined;
  /** Runs a command of the manifest in the folder of a node. */
  ask(unit: string, command: string[]): Promise<Answer>;
}

/** Going back over a revision without a rollback script leaves what its script did. */
export function rollback({ plan, undoable }: InstancesAsked): PrecheckResult[] {
  const undone = plan.stages.flatMap(({ goal }) =>
    goal.kind === 'units'
      ? Object.entries(goal.want).flatMap(([unit, { undo }]) => undo.map((revision) => ({ unit, revision })))
      : [],
  );
  if (undone.length === 0) return [];
  const without = new Map<string, string[]>();
  for (const { unit, revision } of undone) {
    if (undoable(unit, revision) === false) without.set(revision, [...(without.get(revision) ?? []), unit]);
  }
  const remedy = 'undo by hand what its script did, or go forward with a script that does';
  const wrong = [...without].map(([revision, units]) =>
    warn('rollback', `revision ${revision} has no rollback script on ${some(units)}: nothing is run for it`, remedy),
  );
  return orPass(wrong, 'rollback', 'what takes it back is stored beside each unit');
}

const SOME = 5;
const some = (names: string[]): string =>
  names.length > SOME ? `${names.slice(0, SOME).join(', ')} and ${names.length - SOME} more` : names.join(', ');

export function nodes({ live }: InstancesAsked): PrecheckResult[] {
  if (live.length === 0) return [pass('nodes', 'they will be created')];
  const wrong = live
    .filter(({ ready }) => !ready)
    .map(({ id, message = 'does not answer' }) =>
      fail('nodes', `${id} is not ready: ${message}`, 'bring it up, then retry'),
    );
  return orPass(wrong, 'nodes', `${live.length} ready`);
}

const HTTP_MS = 5000;

/** The manifest's own: a `url` is asked once, a command on every node. */
export async function prechecks({ spec, live, ask }: InstancesAsked): Promise<PrecheckResult[]> {
  const declared = spec.kind === 'Cluster' ? spec.prechecks : [];
  const results: PrecheckResult[] = [];
  for (const [index, check] of declared.entries()) {
    const name = `prechecks[${index}]`;
    const answers: Answer[] =
      'command' in check
        ? await Promise.all(live.map(async ({ id }) => named(id, await ask(id, check.command))))
        : [await askHttp(new URL(check.http.url ?? ''), HTTP_MS)];
    const wrong = answers.filter((answer) => !answer.pass);
    results.push(
      ...orPass(
        wrong.map(({ message }) => fail(name, message, 'see to what it asks for, then retry')),
        name,
        'passes',
      ),
    );
  }
  return results;
}

const named = (id: string, { pass: passed, message }: Answer): Answer => ({
  pass: passed,
  message: `${id}: ${message}`,
});
