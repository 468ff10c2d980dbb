/** Asks prechecks and checks of the drivers and brings back the answer as an event. Nothing here changes what runs. */
import { messageOf } from '../error-text.ts';
import type { AnyRunnable, Check, Resource, ResourceId } from '../manifest/resource.ts';
import type { Live } from '../plan/live.ts';
import type { Event, Question } from '../rollout/decision.ts';
import { builtinPrechecks } from '../rollout/prechecks.ts';
import type { PrecheckResult, Rollout, State } from '../rollout/state.ts';
import type { UnitDriver } from '../target/ports.ts';

export interface Asked {
  id: ResourceId;
  resource: Resource;
  state: State;
  rollout: Rollout;
  question: Question;
  /** As it was observed last. */
  live: Live | undefined;
  driver: UnitDriver | undefined;
}
export type QuestionAnswerer = (asked: Asked) => Promise<Event>;

const LONGEST_MS = 60_000;

/** `unopened`: the targets that have no driver, and why. */
export function createAnswerer(
  runnable: (asked: Omit<Asked, 'question'>) => Promise<AnyRunnable>,
  unopened: () => ReadonlyMap<string, string> = () => new Map(),
): QuestionAnswerer {
  return async (asked) => {
    const { question, rollout } = asked;
    if (question.kind === 'precheck') {
      const { to: revision } = question.plan;
      return { kind: 'prechecked', rollout: rollout.id, revision, results: await precheck(asked, runnable, unopened) };
    }
    if (question.kind === 'verify') {
      return { kind: 'verified', rollout: rollout.id, unit: question.unit, ...(await verify(asked, question)) };
    }
    return { kind: 'checked', rollout: rollout.id, stage: question.stage, ...(await checkAll(asked, question.checks)) };
  };
}

/** All run; one that cannot be asked fails, and says why. */
async function precheck(
  { id, resource, state, rollout, live, driver }: Omit<Asked, 'question'>,
  runnable: (asked: Omit<Asked, 'question'>) => Promise<AnyRunnable>,
  unopened: () => ReadonlyMap<string, string>,
): Promise<PrecheckResult[]> {
  const own = builtinPrechecks(resource, state.settled, rollout.id, live);
  if (driver === undefined) {
    const { target } = resource.spec;
    const why = unopened().get(target);
    const [message, remedy] =
      why === undefined
        ? [`target ${target} has no driver here`, 'declare the target, or use target: local']
        : [`target ${target} cannot be opened: ${why}`, 'see that it runs and is reached from here'];
    return [...own, { name: 'target', result: 'fail', message, remedy }];
  }
  try {
    const what = await runnable({ id, resource, state, rollout, live, driver });
    const signal = AbortSignal.timeout(LONGEST_MS);
    return [...own, ...(await driver.precheck(id, resource.spec, what, rollout.plan, signal))];
  } catch (error) {
    const message = messageOf(error);
    return [...own, { name: 'target', result: 'fail', message, remedy: 'see the operator log; then sluice retry' }];
  }
}

async function verify(
  { id, driver }: Asked,
  { unit, checks }: Question & { kind: 'verify' },
): Promise<{ pass: boolean; message: string }> {
  if (driver === undefined) return { pass: false, message: 'its target has no driver here' };
  return driver.verify(id, unit, checks, AbortSignal.timeout(LONGEST_MS));
}

async function checkAll(
  { id, driver }: Asked,
  checks: { check: Check; version: string }[],
): Promise<{ pass: boolean; message: string }> {
  const signal = AbortSignal.timeout(LONGEST_MS);
  for (const { check, version } of checks) {
    const result = driver ? await driver.check(id, version, check, signal) : { pass: false, message: 'no driver' };
    if (!result.pass) return result;
  }
  return { pass: true, message: `${checks.length} checks passed` };
}
