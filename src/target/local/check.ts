/** Checks between stages: asked of every ready unit of a version. */
import type { Check } from '../../manifest/resource.ts';
import { type Answer, askCommand, askHttp, localUrl } from './handler.ts';
import { resolvePort } from './ports.ts';
import { servedPort, type Unit } from './unit.ts';

const HTTP_MS = 5000;
const COMMAND_MS = 60_000;

/** Passes when every ready unit of `version` passes, and there is one. A `url` is asked once, as it is. */
export async function checkUnits(units: Unit[], version: string, check: Check, signal: AbortSignal): Promise<Answer> {
  if ('http' in check && check.http.url !== undefined) return askHttp(new URL(check.http.url), HTTP_MS);
  const ready = units.filter(({ record }) => record.ready && record.version === version);
  if (ready.length === 0) {
    return {
      pass: false,
      message: `no unit of ${version === '' ? 'it' : `version ${version}`} is ready, so nothing could be checked`,
    };
  }
  const answers = await Promise.all(ready.map(async (unit) => ({ unit, ...(await checkUnit(unit, check)) })));
  signal.throwIfAborted();
  const failed = answers.filter(({ pass }) => !pass);
  const [first] = failed;
  if (first === undefined) return { pass: true, message: `passed on ${ready.length} of ${ready.length} units` };
  return {
    pass: false,
    message: `failed on ${failed.length} of ${ready.length} units: ${first.unit.record.unit}: ${first.message}`,
  };
}

async function checkUnit(unit: Unit, check: Check): Promise<Answer> {
  try {
    if ('command' in check) {
      const [first] = unit.containers;
      if (first === undefined) return { pass: false, message: 'it has no process to run a command beside' };
      return await askCommand(check.command, first.beside, COMMAND_MS);
    }
    const port = portOf(unit, check.http.port);
    if (port === undefined) return { pass: false, message: 'it listens on no port; give the check a port' };
    return await askHttp(localUrl(port, check.http.path ?? '/'), HTTP_MS);
  } catch (error) {
    return { pass: false, message: (error as Error).message };
  }
}

/** Of the container that declares it, by number or name; by default where the unit is served. */
function portOf(unit: Unit, port: number | string | undefined): number | undefined {
  if (port === undefined) return servedPort(unit);
  const declares = ({ container }: Unit['containers'][number]) =>
    container.ports.some(({ name, containerPort }) => name === port || String(containerPort) === String(port));
  const running = unit.containers.find(declares) ?? unit.containers[0];
  return running && resolvePort(running.container, running.record.ports, port);
}
