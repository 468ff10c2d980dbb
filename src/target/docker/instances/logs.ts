/** What the scripts of instances printed, as it lies in their containers. */
import type Docker from 'dockerode';
import { openUnitPlace } from '../../hosts/attempts.ts';
import type { UnitLog } from '../../local/logs.ts';
import { allContainers } from '../containers.ts';
import type { Scope } from '../labels.ts';
import { MARKERS_FOLDER } from './ground.ts';
import { containerShell } from './shell.ts';

/** Below any that an operator holds: whatever would act is refused. */
const NO_EPOCH = 0;
const LOOK_MS = 10_000;

/** Of the containers that run: what lies in others cannot be read. */
export async function readScriptLogs(
  docker: Docker,
  scope: Scope,
  resource: string,
  unit: string | undefined,
): Promise<UnitLog[]> {
  const there = (await allContainers(docker, scope)).filter(
    ({ mark, alive }) => alive && mark.resource === resource && (unit === undefined || mark.unit === unit),
  );
  const logs = await Promise.all(
    there.map(async ({ id, mark }) => {
      const shell = containerShell(docker, async () => id);
      const place = openUnitPlace({ shell, folder: MARKERS_FOLDER, epoch: NO_EPOCH });
      const text = await place.logs(AbortSignal.timeout(LOOK_MS)).catch(() => '');
      return { unit: mark.unit, container: 'scripts', source: 'stdout', text };
    }),
  );
  return logs.filter(({ text }) => text !== '');
}
