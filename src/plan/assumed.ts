/** Over which instances a plan is made before anything runs: those that were seen, the declared hosts, or as many as there should be. */
import { clusterHosts, membersOn } from '../manifest/members.ts';
import type { InstanceSpec, ResourceId, Revision } from '../manifest/resource.ts';
import type { SshTarget } from '../manifest/target.ts';
import type { LiveInstance } from './live.ts';

export interface Assumption {
  id: ResourceId;
  spec: InstanceSpec;
  /** What was declared before; absent: nothing. */
  before?: InstanceSpec | undefined;
  /** The hosts, on a target that has them. */
  target?: SshTarget | undefined;
  /** As a status shows them; absent: they were never observed. */
  seen?: LiveInstance[] | undefined;
  /** What is taken to be on those that were not seen, oldest first. */
  applied: Revision[];
}

export interface Assumed {
  instances: LiveInstance[];
  /** What of it nobody has seen; absent: all of it was. */
  note?: string;
}

export function assumeInstances(assumption: Assumption): Assumed {
  const { target, seen } = assumption;
  if (target !== undefined) return hosts(assumption, target);
  if (seen !== undefined) return { instances: seen };
  const { spec } = assumption;
  if (spec.kind === 'Cluster' && spec.create === undefined)
    return { instances: [], note: 'nothing was observed yet: which nodes there are, the cluster tells' };
  return created(assumption);
}

/** Those that are declared, whatever was seen: a host that was taken out of the selection is not upgraded. */
function hosts({ spec, before, seen, applied }: Assumption, target: SshTarget): Assumed {
  const masters = new Set(spec.kind === 'Cluster' ? clusterHosts(target).controlPlane.map(({ name }) => name) : []);
  const known = new Map((seen ?? []).map((instance) => [instance.id, instance]));
  const taken = seen === undefined ? applied : [];
  const instances = membersOn(target, spec).map(({ name }): LiveInstance => {
    return { ...(known.get(name) ?? fresh(name, taken, before)), controlPlane: masters.has(name) };
  });
  instances.sort(inOrder);
  return {
    instances,
    ...noteOf(
      instances.map(({ id }) => id).filter((id) => !known.has(id)),
      taken,
    ),
  };
}

/** `web-1`, `web-2` …; `prod-cp-1`, `prod-node-1` … */
function created({ id, before, applied }: Assumption): Assumed {
  const name = id.slice(id.indexOf('/') + 1);
  const these = (count: number, prefix: string, controlPlane = false) =>
    Array.from({ length: count }, (_, index) => ({
      ...fresh(`${prefix}-${index + 1}`, applied, before),
      created: true,
      controlPlane,
    }));
  if (before === undefined) return { instances: [], note: 'nothing was observed yet: all instances are created' };
  const size = before.kind === 'Fleet' && 'size' in before.members ? before.members.size : 0;
  const { controlPlane = 0, nodes = 0 } = (before.kind === 'Cluster' ? before.create : undefined) ?? {};
  const instances = [...these(size, name), ...these(controlPlane, `${name}-cp`, true), ...these(nodes, `${name}-node`)];
  return {
    instances,
    ...noteOf(
      instances.map((instance) => instance.id),
      applied,
    ),
  };
}

function fresh(id: string, applied: Revision[], before: InstanceSpec | undefined): LiveInstance {
  const version = before?.kind === 'Cluster' && applied.length > 0 ? before.version : undefined;
  return {
    ...{ id, created: false, controlPlane: false, applied, ready: true, service: 'in', cordoned: false, restarts: 0 },
    ...(version !== undefined && { version }),
  };
}

function noteOf(unseen: string[], applied: Revision[]): { note?: string } {
  if (unseen.length === 0) return {};
  const names = `${unseen.slice(0, NAMED).join(', ')}${unseen.length > NAMED ? ` and ${unseen.length - NAMED} more` : ''}`;
  const what = applied.at(-1) ?? 'nothing';
  return {
    note: `not observed: ${names}; assumed to be in service with ${what} on ${unseen.length > 1 ? 'them' : 'it'}`,
  };
}
const NAMED = 5;

const collator = new Intl.Collator('en', { numeric: true });
/** As drivers tell them: the control plane first, then by name. */
const inOrder = (a: LiveInstance, b: LiveInstance): number =>
  Number(b.controlPlane) - Number(a.controlPlane) || collator.compare(a.id, b.id);
