/** The instances of a fleet and the nodes of a cluster in a status file: which run what, and how each is. As observed. Pure. */
import type { Revision } from '../manifest/resource.ts';
import type { Live, LiveInstance } from '../plan/live.ts';
import { alike, fold, namesText, unfold } from './fold.ts';
import { byName } from './observed.ts';
import { oneLine } from './words.ts';

export interface InstanceDocument {
  name: string;
  /** On top of what was applied to it; absent: nothing was. */
  revision?: Revision;
  /** What a node says that it runs. */
  version?: string;
  ready: boolean;
  service: LiveInstance['service'];
  weight?: number;
  cordoned?: true;
  controlPlane?: true;
  /** Another revision is wanted on it. */
  outdated?: true;
  message?: string;
}

/** Which have the same on them. */
interface StackDocument {
  /** Oldest first, the newest 100; absent: nothing. */
  applied?: Revision[];
  version?: string;
  controlPlane?: true;
  created?: true;
  ready?: false;
  /** Names, folded. */
  units: string[];
}

export interface InstancesDocument {
  total: number;
  ready: number;
  inService: number;
  /** The version that is declared for a cluster. */
  wanted?: string;
  /** How many run what, the most first. */
  runs: { revision?: Revision; version?: string; count: number }[];
  /** What is not as it should be first: not ready, out of service, outdated; at most 200. */
  listed: InstanceDocument[];
  /** All of them: what a plan is made from. */
  stacks: StackDocument[];
}

const LISTED = 200;
const STACK = 100;

export interface Wanted {
  revision?: Revision | undefined;
  version?: string | undefined;
}

export function instancesToDocument({ instances = [] }: Live, wanted: Wanted): InstancesDocument {
  const { version } = wanted;
  return {
    total: instances.length,
    ready: instances.filter(({ ready }) => ready).length,
    inService: instances.filter(({ service }) => service === 'in').length,
    ...(version !== undefined && { wanted: version }),
    runs: runsOf(instances),
    listed: instances
      .map((instance) => instanceToDocument(instance, wanted))
      .map((document, index) => ({ document, index, rank: rankOf(document) }))
      .sort((a, b) => a.rank - b.rank || a.index - b.index)
      .slice(0, LISTED)
      .map(({ document }) => document),
    stacks: stacksOf(instances),
  };
}

const topOf = ({ applied }: LiveInstance): Revision | undefined => applied.at(-1);

export const isOutdated = (instance: LiveInstance, { revision, version }: Wanted): boolean =>
  (revision !== undefined && topOf(instance) !== revision) ||
  (version !== undefined && instance.version !== undefined && instance.version !== version);

const rankOf = ({ ready, service, outdated }: InstanceDocument): number =>
  !ready ? 0 : service !== 'in' ? 1 : outdated ? 2 : 3;

function instanceToDocument(instance: LiveInstance, wanted: Wanted): InstanceDocument {
  const { id, version, ready, service, weight, cordoned, controlPlane, message } = instance;
  const revision = topOf(instance);
  const said = message === undefined ? '' : oneLine(message);
  return {
    name: id,
    ...(revision !== undefined && { revision }),
    ...(version !== undefined && { version }),
    ready,
    service,
    ...(weight !== undefined && { weight }),
    ...(cordoned && { cordoned }),
    ...(controlPlane && { controlPlane }),
    ...(isOutdated(instance, wanted) && { outdated: true }),
    ...(said !== '' && { message: said }),
  };
}

function runsOf(instances: LiveInstance[]): InstancesDocument['runs'] {
  const groups = alike(
    instances.map((instance) => {
      const revision = topOf(instance);
      const { id, version } = instance;
      return [id, { ...(revision !== undefined && { revision }), ...(version !== undefined && { version }) }];
    }),
  );
  return groups
    .map(({ part, names }) => ({ ...part, count: names.length }))
    .sort((a, b) => b.count - a.count)
    .slice(0, LISTED);
}

function stacksOf(instances: LiveInstance[]): StackDocument[] {
  const groups = alike(
    instances.map(({ id, applied, version, controlPlane, created, ready }) => [
      id,
      {
        ...(applied.length > 0 && { applied: applied.slice(-STACK) }),
        ...(version !== undefined && { version }),
        ...(controlPlane && { controlPlane }),
        ...(created && { created }),
        ...(!ready && { ready }),
      },
    ]),
  );
  return groups.map(({ part, names }) => ({ ...part, units: fold(names) }));
}

/** What a plan needs of them: control plane first, then by name. What is not in the file reads as at rest. */
export function instancesFromDocument({ stacks }: InstancesDocument): LiveInstance[] {
  const instances = stacks.flatMap(({ applied = [], version, controlPlane, created, ready, units }) =>
    unfold(units).map(
      (id): LiveInstance => ({
        id,
        created: created ?? false,
        controlPlane: controlPlane ?? false,
        applied,
        ready: ready ?? true,
        service: 'in',
        cordoned: false,
        ...(version !== undefined && { version }),
        restarts: 0,
      }),
    ),
  );
  return instances.sort((a, b) => Number(b.controlPlane) - Number(a.controlPlane) || byName(a.id, b.id));
}

/** `1.36.3 on cp-1..3, node-1; 1.35.2 on node-2..40`: by version where there are versions, else by revision. */
export function runsText({ stacks }: InstancesDocument, most = 5): string {
  const byWhat = new Map<string, string[]>();
  for (const { version, applied, units } of stacks) {
    const what = version ?? applied?.at(-1) ?? 'nothing';
    byWhat.set(what, [...(byWhat.get(what) ?? []), ...unfold(units)]);
  }
  const groups = [...byWhat].sort(([, a], [, b]) => b.length - a.length);
  const left = groups.length - most;
  const told = groups.slice(0, most).map(([what, names]) => `${what} on ${namesText(names.sort(byName), most)}`);
  return `${told.join('; ')}${left > 0 ? `; ${left} others` : ''}`;
}
