/** Whether an updated instance is well: what the manifest asks of it. */
import type { Check } from '../../../manifest/resource.ts';
import { servedPort } from '../../replicas/unit.ts';
import { type Answer, askCommand, askHttp, localUrl } from '../handler.ts';
import { homeFolder } from './folders.ts';
import { type Instance, type Sight, unitOf } from './instance.ts';
import { environmentOf, scriptVariables } from './scripts.ts';

const HTTP_MS = 5000;
const COMMAND_MS = 60_000;

/** All pass, or the first that does not. */
export async function verifyInstance(
  sight: Sight,
  instance: Instance,
  checks: Check[],
  signal: AbortSignal,
): Promise<Answer> {
  for (const check of checks) {
    const answer = await verifyOne(sight, instance, check).catch((error: Error) => ({
      ...{ pass: false, message: error.message },
    }));
    signal.throwIfAborted();
    if (!answer.pass) return answer;
  }
  return { pass: true, message: `${checks.length} checks passed` };
}

async function verifyOne(sight: Sight, instance: Instance, check: Check): Promise<Answer> {
  if ('command' in check) return askInFolder(sight, instance, check.command);
  const { url, path = '/', port } = check.http;
  if (url !== undefined) return askHttp(new URL(url), HTTP_MS);
  const asked = portOf(sight, instance, port);
  if (asked === undefined) return { pass: false, message: 'it listens on no port; give the check a port' };
  return askHttp(localUrl(asked, path), HTTP_MS);
}

/** Its own by default; another one as it is, on the loopback interface. */
function portOf(sight: Sight, instance: Instance, port: number | string | undefined): number | undefined {
  const unit = unitOf(sight, instance);
  if (port === undefined) return unit && servedPort(unit);
  if (/^[1-9]\d{0,4}$/.test(String(port))) return Number(port);
  throw new Error(`an instance has no port ${port}; give its number, or none for its own`);
}

/** Where its scripts run, and as their user. */
function askInFolder(sight: Sight, instance: Instance, command: string[]): Promise<Answer> {
  const { record } = instance;
  const { user } = sight.units.host;
  const home = homeFolder(sight.root, record.resource, record.unit);
  const env = { ...environmentOf(user, home), ...scriptVariables(sight, instance, '') };
  return askCommand(command, { env, cwd: home, user, redact: (text) => text }, COMMAND_MS);
}
