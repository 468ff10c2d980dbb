/** What runs in the folder of an instance, through the protocol that all hosts share: each attempt once, whoever asks. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LiveAttempt } from '../../../plan/live.ts';
import { environment } from '../../../process.ts';
import { type Attempt, openUnitPlace, rolloutOf, type UnitPlace } from '../../hosts/attempts.ts';
import { localShell } from '../../hosts/shell.ts';
import type { UnitView } from '../../hosts/view.ts';
import { giveTo, identityOf, type User } from '../user.ts';
import { homeFolder, hostFolder } from './folders.ts';
import type { Instance, Keeper, Sight } from './instance.ts';
import { isNode, unitOf } from './instance.ts';
import { peersFile } from './peers.ts';
import type { InstanceRecord } from './record.ts';

/** Where the protocol keeps what it knows of the instance; as the user that scripts run as. */
export function placeOf(
  { root, units }: Pick<Sight, 'root' | 'units'>,
  record: InstanceRecord,
  { epoch, cwd }: { epoch: number; cwd: string },
): UnitPlace {
  const { resource, unit } = record;
  const { user } = units.host;
  const home = homeFolder(root, resource, unit);
  const shell = localShell({ env: environmentOf(user, home), cwd, ...identityOf(user) });
  return openUnitPlace({ shell, folder: hostFolder(root, resource, unit), epoch });
}

/** Listed, never the operator's own; another user is at home in the instance's folder. */
export const environmentOf = (user: User | undefined, home: string): Record<string, string> =>
  environment(user === undefined ? {} : { HOME: home, USER: user.name, LOGNAME: user.name });

export async function prepareFolders({ root, units }: Keeper, { resource, unit }: InstanceRecord): Promise<void> {
  const { hold, user } = units.host;
  for (const folder of [homeFolder(root, resource, unit), hostFolder(root, resource, unit)]) {
    hold.makeFolder(folder);
    await giveTo(user, folder);
  }
}

/** What a script is told, beside what its user has. */
export function scriptVariables(keeper: Sight, instance: Instance, attempt: string): Record<string, string> {
  const { record } = instance;
  const unit = unitOf(keeper, instance);
  const port = unit?.record.containers[0]?.ports[0] ?? record.port;
  return {
    SLUICE_RESOURCE: record.resource,
    SLUICE_ROLLOUT: /^\d+$/.test(rolloutOf(attempt)) ? rolloutOf(attempt) : '',
    SLUICE_INSTANCE: record.unit,
    ...(isNode(record) && {
      SLUICE_VERSION: record.version ?? '',
      SLUICE_PEERS: peersFile(keeper.root, record.resource),
    }),
    ...(port !== undefined && { PORT: String(port) }),
  };
}

export interface Ended extends LiveAttempt {
  view: UnitView;
}

const WAIT_SECONDS = 30;

/** Begins it, or finds it again, and resolves with how it ended. */
export async function runOnce(
  keeper: Keeper,
  instance: Instance,
  attempt: Omit<Attempt, 'env' | 'cwd'>,
  env = scriptVariables(keeper, instance, attempt.attempt),
  folder?: string,
): Promise<Ended> {
  const { host } = keeper.units;
  const { record, place } = instance;
  host.guard();
  await prepareFolders(keeper, record);
  const cwd = folder ?? homeFolder(keeper.root, record.resource, record.unit);
  let view = await place.begin({ ...attempt, env, cwd }, host.closing);
  for (;;) {
    const seen = view.attempts[attempt.kind];
    if (seen?.id === attempt.attempt && seen.state !== 'running') return { ...seen, view };
    host.closing.throwIfAborted();
    if (seen?.id !== attempt.attempt) await sleep(100, undefined, { signal: host.closing });
    view = await place.look({ signal: host.closing, waitSeconds: WAIT_SECONDS });
  }
}
