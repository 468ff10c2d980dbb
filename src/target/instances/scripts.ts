/** What runs in the folder of an instance, through the protocol that all hosts share: each attempt once, whoever asks. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LiveAttempt } from '../../plan/live.ts';
import { type Attempt, rolloutOf } from '../hosts/attempts.ts';
import type { UnitView } from '../hosts/view.ts';
import { type Instance, isNode, type Keeper, type Seen, type Sight, unitOf } from './instance.ts';

/** What a script is told, beside what its user has. */
export function scriptVariables(sight: Sight, instance: Seen, attempt: string): Record<string, string> {
  const { record } = instance;
  const port = sight.ground.scriptPort(record, unitOf(sight, instance));
  return {
    SLUICE_RESOURCE: record.resource,
    SLUICE_ROLLOUT: /^\d+$/.test(rolloutOf(attempt)) ? rolloutOf(attempt) : '',
    SLUICE_INSTANCE: record.unit,
    ...(isNode(record) && {
      SLUICE_VERSION: record.version ?? '',
      SLUICE_PEERS: sight.ground.peersFile(record.resource),
    }),
    ...(port !== undefined && { PORT: String(port) }),
  };
}

export interface Ended extends LiveAttempt {
  view: UnitView;
}

const WAIT_SECONDS = 30;

/** Begins it, or finds it again, and resolves with how it ended. `env` absent: what a script is told; `folder`: the instance's. */
export async function runOnce(
  keeper: Keeper,
  instance: Instance,
  attempt: Omit<Attempt, 'env' | 'cwd'>,
  env?: Record<string, string>,
  folder?: string,
): Promise<Ended> {
  const { ground } = keeper;
  const { host } = keeper.units;
  const { record, place } = instance;
  host.guard();
  await ground.prepare(record);
  const told = env ?? {
    ...(await ground.scriptEnvironment(unitOf(keeper, instance))),
    ...scriptVariables(keeper, instance, attempt.attempt),
  };
  const cwd = folder ?? ground.homeOf(record);
  let view = await place.begin({ ...attempt, env: told, cwd }, host.closing);
  for (;;) {
    const seen = view.attempts[attempt.kind];
    if (seen?.id === attempt.attempt && seen.state !== 'running') return { ...seen, view };
    host.closing.throwIfAborted();
    if (seen?.id !== attempt.attempt) await sleep(100, undefined, { signal: host.closing });
    view = await place.look({ signal: host.closing, waitSeconds: WAIT_SECONDS });
  }
}
