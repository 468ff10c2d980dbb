/** What a fleet or a cluster asks for and containers of an engine cannot give it. PURE: validate and plan say it too. */
import type { PathSegment } from '../../../manifest/diagnostic.ts';
import type { FleetSpec, InstanceResource } from '../../../manifest/resource.ts';
import type { DockerTarget } from '../../../manifest/target.ts';
import { onFailure, rules, seldom } from '../../hosts/honour.ts';
import type { NotHonoured } from '../../local/honour.ts';

/** A script is an argument of the program that runs it. */
const LONGEST_SCRIPT = 96 * 1024;

/** Paths start at `spec`. `policy`: the target holds what runs there to rules for pods. */
export function notHonouredByContainers(
  resource: Pick<InstanceResource, 'spec' | 'runnable'>,
  { address }: DockerTarget,
  policy = false,
): NotHonoured[] {
  const { spec } = resource;
  const common = [...scripts(resource), ...rules(spec, policy)];
  if (spec.kind === 'Cluster') return [...onFailure(spec), ...common];
  return [...(address === undefined ? [] : ports(spec, address)), ...seldom(spec), ...common];
}

function scripts({ spec, runnable: { script } }: Pick<InstanceResource, 'spec' | 'runnable'>): NotHonoured[] {
  const at = spec.kind === 'Fleet' ? ['script'] : ['upgrade', 'script'];
  const found: NotHonoured[] = [];
  if (script?.interpreter === 'bat')
    found.push(fail([...at, 'interpreter'], 'a container of Linux has no cmd.exe', 'write the script for sh'));
  for (const text of [script?.run, script?.rollback])
    if (Buffer.byteLength(text ?? '') > LONGEST_SCRIPT)
      found.push(fail(at, `longer than ${LONGEST_SCRIPT / 1024} KiB, which no container can be given`, REMEDY));
  return found;
}

const REMEDY = 'let it fetch what it needs, or put that into the image';

/** Of a container on another machine only the port that it is told is published. */
const ports = ({ check }: FleetSpec, address: string): NotHonoured[] =>
  check.flatMap((each, index) => {
    if (!('http' in each) || each.http.port === undefined) return [];
    const message = `port ${each.http.port} of an instance is not published at ${address}: it is asked there as it is, whoever listens`;
    const path = ['check', index, 'http', 'port'];
    return [{ path, result: 'warn', message, remedy: 'remove it: an instance is asked at its own PORT' }];
  });

const fail = (path: PathSegment[], message: string, remedy: string): NotHonoured => ({
  ...{ path, result: 'fail', message, remedy },
});
