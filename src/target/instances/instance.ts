/** One instance as the driver holds it, and what its parts may ask of the driver. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { InstanceSpec, ResourceId } from '../../manifest/resource.ts';
import type { LiveInstance } from '../../plan/live.ts';
import type { UnitPlace } from '../hosts/attempts.ts';
import { StaleEpoch } from '../ports.ts';
import type { Replicas } from '../replicas/open.ts';
import { type Core, type RunningContainer, servedAt, type Unit } from '../replicas/unit.ts';
import type { Ground, Looking } from './ground.ts';
import type { Peers } from './peers.ts';
import type { InstanceRecord, PlacedImage } from './record.ts';

/** The processes of instances, whatever runs them. */
export type Units = Replicas<RunningContainer, Core>;

/** One instance as it can be seen by whoever does nothing to it. */
export interface Seen {
  record: InstanceRecord;
  /** How far the fetching of its image has come. */
  progress?: string;
  /** The way back is under way. */
  returning?: Promise<void>;
  /** What the version command said last, of this attempt of its process. */
  reported?: { attempt: string; version?: string; message?: string };
}

export interface Instance extends Seen {
  /** Where its scripts leave their markers. */
  place: UnitPlace;
  /** What goes on in the background, one of each: the attempt, the way out of service, the way back, the end. */
  working?: Promise<void>;
  leaving?: Promise<void>;
  draining?: Promise<void>;
  removing?: Promise<void>;
}

/** What is enough to see instances, and to ask them. */
export interface Sight {
  ground: Looking;
  units: Pick<Units, 'find'> & { host: Pick<Core, 'closing'> };
  /** What is declared; undefined: it is not, or not yet. */
  specOf(resource: ResourceId): InstanceSpec | undefined;
}

/** What the driver offers its parts. */
export interface Keeper extends Sight {
  ground: Ground;
  units: Units;
  /** Durable first, then so. Throws StaleEpoch when a later operator has taken over. */
  remember(instance: Instance, change: (next: InstanceRecord) => void): void;
  /** Something about it is different: brings the router up to date, tells the subscribers. */
  changed(instance: Instance): void;
  /** Resolves when `holds` does (true), or after so long (false). Rejects when this operator lets go. */
  until(holds: () => boolean, ms: number): Promise<boolean>;
  peers: Peers;
  log(message: string, details: Record<string, unknown>): void;
  /** Takes it out of what is observed. */
  gone(instance: Instance): void;
}

export const unitOf = ({ units }: Sight, { record }: Seen): Unit | undefined =>
  units.find(record.resource, record.unit);

export const isNode = (record: InstanceRecord): boolean => record.resource.startsWith('Cluster/');

/** `prod-cp-1` of `Cluster/prod`. */
export function isControlPlane({ resource, unit }: InstanceRecord): boolean {
  return resource.startsWith('Cluster/') && unit.startsWith(`${nameOf(resource)}-cp-`);
}

const collator = new Intl.Collator('en', { numeric: true });

/** The control plane first, then by name. */
export const inOrder = (a: Seen, b: Seen): number =>
  Number(isControlPlane(b.record)) - Number(isControlPlane(a.record)) || collator.compare(a.record.unit, b.record.unit);

const nameOf = (resource: ResourceId): string => resource.slice(resource.indexOf('/') + 1);

/** The same files: a tree of the repository, or a folder of the target's own, which counts as immutable. */
export const sameImage = (a: PlacedImage | undefined, b: PlacedImage | undefined): boolean =>
  (a?.digest ?? a?.tree ?? a?.name) === (b?.digest ?? b?.tree ?? b?.name);

export const imageOf = ({ runnable }: Unit): PlacedImage | undefined => Object.values(runnable.images)[0];

/** A start that lasted for so long is no start that failed. */
const LASTED_MS = 60_000;

/** Starts in a row that did not last. */
export function restartsOf({ record }: Unit): number {
  const lasted = record.readySince !== undefined && (record.diedAt ?? Date.now()) - record.readySince >= LASTED_MS;
  return lasted ? 0 : record.restarts;
}

export function liveInstance(keeper: Sight, instance: Seen): LiveInstance {
  const { record } = instance;
  const unit = unitOf(keeper, instance);
  const address = unit && servedAt(unit);
  const died = deathOf(instance, unit);
  const version = isNode(record) ? versionOf(keeper, instance, unit) : undefined;
  const message = messageOf(instance, unit);
  return {
    id: record.unit,
    created: true,
    controlPlane: isControlPlane(record),
    applied: [...record.applied],
    ready: isReady(record, unit),
    service: serviceOf(instance),
    // What it has, also while it gets nothing: nobody but the operator takes it out.
    ...(isNode(record) ? {} : { weight: record.weight }),
    cordoned: record.cordoned,
    restarts: record.creating === undefined ? (unit === undefined ? 0 : restartsOf(unit)) : record.failures,
    ...(record.attempt && { attempt: told(record.attempt) }),
    ...(record.drain && { drain: told(record.drain) }),
    ...(version !== undefined && { version }),
    ...(address !== undefined && { address }),
    ...(died !== undefined && { diedAt: died }),
    ...(message !== undefined && { message }),
  };
}

const told = ({ id, state, message }: NonNullable<LiveInstance['attempt']>) => ({ id, state, message });

/** Its process is, or it needs none. */
function isReady(record: InstanceRecord, unit: Unit | undefined): boolean {
  if (record.creating !== undefined || record.removing) return false;
  return record.image === undefined || unit?.record.ready === true;
}

function serviceOf({ record, returning }: Seen): LiveInstance['service'] {
  if (record.creating !== undefined) return 'out';
  if (record.removing) return record.out?.left ? 'out' : 'leaving';
  if (record.out !== undefined) return record.out.left ? 'out' : 'leaving';
  return returning === undefined ? 'in' : 'out';
}

/** What is at work on it, or going away, is not dead. */
function deathOf({ record }: Seen, unit: Unit | undefined): number | undefined {
  if (record.removing || record.attempt?.state === 'running') return undefined;
  if (record.creating !== undefined) return record.attempt?.state === 'failed' ? record.attempt.endedAt : undefined;
  if (record.image === undefined) return undefined;
  if (unit === undefined) return 0;
  return unit.record.phase === 'dead' ? unit.record.diedAt : undefined;
}

/** Of a process that runs: what it says itself where somebody asks it, else the tag of the image that it was started from. */
function versionOf(keeper: Sight, instance: Seen, unit: Unit | undefined): string | undefined {
  if (unit === undefined || unit.record.phase === 'dead' || unit.containers.length === 0) return undefined;
  const spec = keeper.specOf(instance.record.resource);
  if (spec?.kind === 'Cluster' && spec.upgrade.versionCommand !== undefined) {
    return instance.reported?.attempt === unit.record.attempt ? instance.reported.version : undefined;
  }
  const name = imageOf(unit)?.name;
  return name?.slice(name.lastIndexOf(':') + 1);
}

function messageOf({ record, reported, progress }: Seen, unit: Unit | undefined): string | undefined {
  if (record.removing) return 'is being removed';
  if (progress !== undefined) return progress;
  if (record.creating !== undefined) {
    const said = record.attempt?.message ?? '';
    const how = record.attempt?.state === 'running' ? 'is being created' : 'could not be created';
    return said === '' || said === 'runs' ? how : `${how}: ${said}`;
  }
  return record.message ?? unit?.record.message ?? reported?.message;
}

/** What went wrong in a way that people must know of, and that no repetition mends. */
export class Failed extends Error {}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** Begins again until nothing is in the way; every step of `work` can be repeated. What a later operator goes on with is left to it. */
export async function insist(keeper: Keeper, { record }: Instance, what: string, work: () => Promise<void>) {
  const { log } = keeper;
  const { closing } = keeper.units.host;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StaleEpoch || closing.aborted) return;
      log(`${what} is tried again`, { instance: record.unit, message: (error as Error).message });
    }
    await sleep(pause, undefined, { signal: closing }).catch(() => {});
  }
}

export function deadlineMs(keeper: Keeper, { record }: Instance): number {
  return (keeper.specOf(record.resource)?.progressDeadlineSeconds ?? 600) * 1000;
}
