/** Whether an updated instance is well: what the manifest asks of it. */
import type { Check } from '../../manifest/resource.ts';
import { type Answer, askHttp, httpUrl } from '../local/handler.ts';
import { addressOf, servedPort } from '../replicas/unit.ts';
import { type Seen, type Sight, unitOf } from './instance.ts';
import { scriptVariables } from './scripts.ts';

const HTTP_MS = 5000;
const COMMAND_MS = 60_000;

/** All pass, or the first that does not. */
export async function verifyInstance(
  sight: Sight,
  instance: Seen,
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

async function verifyOne(sight: Sight, instance: Seen, check: Check): Promise<Answer> {
  if ('command' in check)
    return sight.ground.check(instance.record, check.command, scriptVariables(sight, instance, ''), COMMAND_MS);
  const { url, path = '/', port } = check.http;
  if (url !== undefined) return askHttp(new URL(url), HTTP_MS);
  const asked = portOf(sight, instance, port);
  if (asked === undefined) return { pass: false, message: 'it listens on no port; give the check a port' };
  const [first] = unitOf(sight, instance)?.containers ?? [];
  return askHttp(httpUrl(first === undefined ? '127.0.0.1' : addressOf(first.record), asked, path), HTTP_MS);
}

/** Its own by default; another one as it is, at the address that it has. */
function portOf(sight: Sight, instance: Seen, port: number | string | undefined): number | undefined {
  const unit = unitOf(sight, instance);
  if (port === undefined) return unit && servedPort(unit);
  if (/^[1-9]\d{0,4}$/.test(String(port))) return Number(port);
  throw new Error(`an instance has no port ${port}; give its number, or none for its own`);
}
