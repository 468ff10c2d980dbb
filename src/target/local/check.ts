/** Checks between stages: asked of every ready unit of a version. */
import type { Check } from '../../manifest/resource.ts';
import { addressOf, type Core, type RunningContainer, servedPort, type Unit } from '../replicas/unit.ts';
import { type Answer, askHttp, httpUrl } from './handler.ts';
import { resolvePort } from './ports.ts';

const HTTP_MS = 5000;
const COMMAND_MS = 60_000;

/** Passes when every ready unit of `version` passes, and there is one. A `url` is asked once, as it is. */
export async function checkUnits<R extends RunningContainer>(
  host: Core<R>,
  units: Unit<R>[],
  version: string,
  check: Check,
  signal: AbortSignal,
): Promise<Answer> {
  if ('http' in check && check.http.url !== undefined) return askHttp(new URL(check.http.url), HTTP_MS);
  const ready = units.filter(({ record }) => record.ready && record.version === version);
  if (ready.length === 0) {
    return {
      pass: false,
      message: `no unit of ${version === '' ? 'it' : `version ${version}`} is ready, so nothing could be checked`,
    };
  }
  const answers = await Promise.all(ready.map(async (unit) => ({ unit, ...(await checkUnit(host, unit, check)) })));
  signal.throwIfAborted();
  const failed = answers.filter(({ pass }) => !pass);
  const [first] = failed;
  if (first === undefined) return { pass: true, message: `passed on ${ready.length} of ${ready.length} units` };
  return {
    pass: false,
    message: `failed on ${failed.length} of ${ready.length} units: ${first.unit.record.unit}: ${first.message}`,
  };
}

async function checkUnit<R extends RunningContainer>(host: Core<R>, unit: Unit<R>, check: Check): Promise<Answer> {
  try {
    if ('command' in check) {
      const [first] = unit.containers;
      if (first === undefined) return { pass: false, message: 'it has no process to run a command beside' };
      return await host.runtime.ask(first, { exec: { command: check.command } }, COMMAND_MS);
    }
    const found = portOf(unit, check.http.port);
    if (found === undefined) return { pass: false, message: 'it listens on no port; give the check a port' };
    return await askHttp(httpUrl(found.address, found.port, check.http.path ?? '/'), HTTP_MS);
  } catch (error) {
    return { pass: false, message: (error as Error).message };
  }
}

/** Of the container that declares it, by number or name; by default where the unit is served. */
function portOf(unit: Unit, port: number | string | undefined): { address: string; port: number } | undefined {
  const declares = ({ container }: RunningContainer) =>
    container.ports.some(({ name, containerPort }) => name === port || String(containerPort) === String(port));
  const running = unit.containers.find(declares) ?? unit.containers[0];
  if (running === undefined) return undefined;
  const { container, record } = running;
  const found = port === undefined ? servedPort(unit) : resolvePort(container, record.ports, port);
  return found === undefined ? undefined : { address: addressOf(record), port: found };
}
