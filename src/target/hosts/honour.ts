/** What a fleet or a cluster asks for and its target cannot give it, whatever the machines are. PURE: validate and plan say it. */
import type { PathSegment } from '../../manifest/diagnostic.ts';
import type { ClusterSpec, FleetSpec, InstanceResource, InstanceSpec } from '../../manifest/resource.ts';
import type { NotHonoured } from '../local/honour.ts';

/** What is known of where it runs: a target of `hosts` that are there already, or one that creates instances on this machine. */
export interface On {
  hosts: boolean;
  /** The target holds what runs there to rules for pods. */
  policy?: boolean;
}

/** Paths start at `spec`. */
export function notHonouredByInstances({ id, spec }: InstanceResource, { hosts, policy = false }: On): NotHonoured[] {
  if (spec.kind === 'Cluster')
    return [...onFailure(spec), ...(hosts ? [] : [...interpreter(spec), ...rules(spec, policy)])];
  if (hosts) return [...router(id, spec), ...processes(spec)];
  return [...unserved(id, spec), ...ports(spec), ...interpreter(spec), ...seldom(spec), ...rules(spec, policy)];
}

const warn = (path: PathSegment[], message: string, remedy: string): NotHonoured => ({
  ...{ path, result: 'warn', message, remedy },
});

const isWritten = (id: string, host: string): boolean => host !== `${id.slice(id.indexOf('/') + 1)}.localhost`;

function router(id: string, { host }: FleetSpec): NotHonoured[] {
  if (!isWritten(id, host)) return [];
  const message = `requests for ${host} are not sent to hosts: they serve at their own addresses`;
  return [warn(['host'], message, 'remove it; put loadBalancer into the target')];
}

function processes({ suspended }: FleetSpec): NotHonoured[] {
  if (suspended.length === 0) return [];
  const message = 'nothing is created, removed or mended by itself on hosts, so there is nothing to hold';
  return [warn(['suspended'], message, 'remove it')];
}

/** A fleet that never had an image has no process that Sluice knows, and no port. */
function unserved(id: string, { image, host, check }: FleetSpec): NotHonoured[] {
  if (image !== undefined) return [];
  const found = isWritten(id, host)
    ? [warn(['host'], `instances without an image serve nothing at ${host}`, 'add image, or remove it')]
    : [];
  for (const [index, each] of check.entries()) {
    if (!('http' in each) || each.http.url !== undefined || each.http.port !== undefined) continue;
    const message = 'instances without an image have no port of their own to ask';
    found.push(warn(['check', index, 'http'], message, 'give it a port or a url, or use command'));
  }
  return found;
}

/** All instances share this machine's ports. */
const ports = ({ check }: FleetSpec): NotHonoured[] =>
  check.flatMap((each, index) => {
    if (!('http' in each) || each.http.port === undefined) return [];
    const { port } = each.http;
    const message = `port ${port} is this machine's, not the instance's: it is asked as it is, whoever listens there`;
    return [warn(['check', index, 'http', 'port'], message, 'remove it: an instance is asked at its own PORT')];
  });

/** A target that creates instances runs on Linux. */
function interpreter(spec: InstanceSpec): NotHonoured[] {
  const [script, path] =
    spec.kind === 'Fleet' ? [spec.script, ['script']] : [spec.upgrade.script, ['upgrade', 'script']];
  if (script?.interpreter !== 'bat') return [];
  const message = 'a local target needs Linux, which has no cmd.exe: a bat script hardly ever runs there';
  return [warn([...path, 'interpreter'], message, 'write the script for sh')];
}

const SELDOM_DAYS = 8;

/** A schedule counts for so many days after it came. */
export const seldom = ({ schedules }: FleetSpec): NotHonoured[] =>
  schedules.flatMap(({ cron }, index) => {
    if (longestGap(cron) <= SELDOM_DAYS) return [];
    const message = `"${cron}" may come more than ${SELDOM_DAYS} days after it came before: by then it counts no more, and a rollout goes by size again`;
    return [
      warn(
        ['scaling', 'schedules', index, 'cron'],
        message,
        'use one that comes every week, or write its size into size',
      ),
    ];
  });

/** In days, of what is written with numbers and lists; 1 for whatever is written otherwise. */
function longestGap(cron: string): number {
  const [, , day = '*', month = '*', weekday = '*'] = cron.trim().split(/\s+/);
  if (month !== '*') return 366;
  if (weekday !== '*' || !/^\d+(,\d+)*$/.test(day)) return 1;
  const days = day
    .split(',')
    .map(Number)
    .sort((a, b) => a - b);
  return Math.max(...days.map((each, index) => (days[index + 1] ?? (days[0] ?? 0) + 31) - each));
}

export function rules({ kind }: InstanceSpec, policy: boolean): NotHonoured[] {
  if (!policy) return [];
  const message = `policy.resources of the target is for pods; a ${kind} declares no resources and is not held to it`;
  return [warn(['target'], message, 'nothing, or choose a target without it')];
}

export function onFailure({ onFailure }: ClusterSpec): NotHonoured[] {
  if (onFailure === 'pause') return [];
  const message = `a cluster is never downgraded: instead of ${onFailure}, a rollout that failed waits for a person`;
  return [warn(['onFailure'], message, 'remove it')];
}
