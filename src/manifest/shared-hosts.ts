/** What two have, neither is upgraded on anew: a host of a target, or a host name at the router. */
import { quote } from './diagnostic.ts';
import { type Entry, listOthers } from './documents.ts';
import { membersOn } from './members.ts';
import type { InstanceDocument } from './parsed.ts';
import type { Diagnostic, InstanceResource, InstanceResourceId } from './resource.ts';
import type { HostTarget } from './target.ts';
import type { KnownTarget } from './targets.ts';

interface Shared {
  /** Empty: every node that the target has. */
  host: string;
  /** Of which it is a host; absent: a host name at the router. */
  target?: string;
  /** All that have it, of whatever kind. */
  users: string[];
}

/** `taken`: what else has a host at the router. Each resource is told of one thing that it shares. */
export function sharedBy(
  {
    instances,
    hostTargets,
    targets,
  }: {
    instances: Map<InstanceResourceId, InstanceResource>;
    hostTargets: Map<string, HostTarget>;
    targets: ReadonlyMap<string, KnownTarget>;
  },
  taken: (host: string) => string | undefined,
): (Shared & { ids: InstanceResourceId[] })[] {
  const found = new Map<string, Shared & { ids: InstanceResourceId[] }>();
  for (const [id, { spec }] of instances) {
    const target = hostTargets.get(spec.target);
    if (target !== undefined)
      for (const { name } of membersOn(target.ssh, spec)) use(found, { host: name, target: target.name }, id);
    else if (spec.kind === 'Fleet') use(found, { host: spec.host }, id);
    else if (targets.get(spec.target)?.target.kubernetes !== undefined)
      use(found, { host: '', target: spec.target }, id);
  }
  for (const shared of found.values()) {
    const other = shared.target === undefined ? taken(shared.host) : undefined;
    if (other !== undefined) shared.users.push(other);
  }
  const told = new Set<InstanceResourceId>();
  return [...found.values()]
    .filter(({ users }) => users.length > 1)
    .map((shared) => {
      const ids = shared.ids.filter((id) => !told.has(id));
      for (const id of ids) told.add(id);
      return { ...shared, ids };
    });
}

function use(
  found: Map<string, Shared & { ids: InstanceResourceId[] }>,
  what: Pick<Shared, 'host' | 'target'>,
  id: InstanceResourceId,
): void {
  const key = JSON.stringify(what);
  const shared = found.get(key) ?? { ...what, users: [], ids: [] };
  found.set(key, shared);
  shared.users.push(id);
  shared.ids.push(id);
}

export function sharedDiagnostic(
  id: InstanceResourceId,
  { host, target, users }: Shared,
  entry: Entry<InstanceDocument> | undefined,
): Diagnostic {
  const { declares, at = [1, 1] } = entry?.document ?? {};
  const isRouted = target === undefined;
  const isFleet = id.startsWith('Fleet/');
  const [line, column] = (isRouted ? declares?.hostAt : isFleet ? declares?.membersAt : declares?.targetAt) ?? at;
  const named = host === '' ? 'every node' : `host ${quote(host)}`;
  const what = isRouted ? `the host ${quote(host)}` : `${named} of Target ${quote(target)}`;
  return {
    place: { file: entry?.path ?? '', line, column },
    path: isRouted ? 'spec.host' : isFleet ? 'spec.selector' : 'spec.target',
    severity: 'error',
    code: isRouted ? 'duplicate-host' : 'shared-host',
    message: `${what} is also that of ${listOthers(users, id, String)}, which makes all of them invalid; give each its own`,
    resource: id,
  };
}
