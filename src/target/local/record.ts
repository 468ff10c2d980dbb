/**
 * What is remembered of one unit on disk. Replaced as a whole, so that a reader sees the one before or the one after.
 *
 * Nothing in it is a secret: values from a SecretSource are read again when they are needed.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ResourceId, Runnable } from '../../manifest/resource.ts';
import type { Instant, UnitPhase } from '../../plan/live.ts';
import type { Hold } from './epoch.ts';
import { resourceFolder, resourceOf, unitFolder, unitsFolder } from './folders.ts';
import { readJson, subfolders } from './read.ts';

/** One process of a unit, known beyond doubt: a process id may be reused, but not within one boot with the same start. */
export interface ProcessMark {
  pid: number;
  /** Clock ticks between the boot and the start of the process (`/proc/<pid>/stat`, field 22). */
  start: number;
}

export interface ContainerRecord {
  name: string;
  /** The loopback port that stands for each declared `containerPort`; `0` is the port of a first container that declares none. */
  ports: Record<string, number>;
  /** Where these ports are; absent: on this machine's loopback interface. */
  address?: string;
  /** The control groups that are made for its process, and hold all that descends from it. */
  groups: string[];
  process?: ProcessMark;
  /** The engine's own id of it, where an engine runs it. */
  id?: string;
  /** `begun` is written before the hook runs and never runs again. */
  postStart?: 'begun' | 'done';
}

export interface UnitRecord {
  resource: ResourceId;
  unit: string;
  revision: string;
  version: string;
  /** `''` where the record on the disk cannot be read. */
  attempt: string;
  restarts: number;
  phase: UnitPhase;
  /** The boot that the processes belong to. */
  boot: string;
  containers: ContainerRecord[];
  ready: boolean;
  readySince?: Instant;
  /** Of one that was ready before. */
  unreadySince?: Instant;
  startedAt: Instant;
  /** Set before the first step of a stop: whoever finds it goes on stopping. */
  stoppingAt?: Instant;
  /** Set before the preStop hooks run: they never run twice. */
  preStopAt?: Instant;
  /** Why it is ended though nobody asked for that: whoever finds it goes on with the end. */
  condemned?: string;
  diedAt?: Instant;
  /** How the attempt before this one ended. */
  formerDeath?: string;
  message?: string;
}

const recordFile = (folder: string) => join(folder, 'unit.json');
const runnableFile = (folder: string) => join(folder, 'runnable.json');

/**
 * Both writes are synchronous, so that no other step of the unit comes between them and the act that they announce.
 *
 * The beginning of an attempt is flushed to the disk: what it runs first, so that a record never lacks it.
 */
export function beginRecord(hold: Hold, record: UnitRecord, runnable: Runnable): void {
  const folder = unitFolder(hold.dataDir, record.resource, record.unit);
  hold.makeFolder(folder);
  hold.write(runnableFile(folder), JSON.stringify(runnable), { mode: 0o600, durable: true });
  hold.write(recordFile(folder), JSON.stringify(record), { mode: 0o600, durable: true });
}

/** Not flushed: what it adds is true only within this boot, and it outlives the operator without a flush. */
export function saveRecord(hold: Hold, record: UnitRecord): void {
  const folder = unitFolder(hold.dataDir, record.resource, record.unit);
  hold.write(recordFile(folder), JSON.stringify(record), { mode: 0o600, durable: false });
}

export interface FoundUnit {
  resource: ResourceId;
  unit: string;
  /** Absent: what is on the disk cannot be read. */
  record?: UnitRecord;
  runnable?: Runnable;
}

/** Every resource that was ever served from here and not forgotten: its folder says so, even while it has no units. */
export const readResources = (dataDir: string): ResourceId[] =>
  subfolders(unitsFolder(dataDir)).flatMap((name) => resourceOf(name) ?? []);

/** Units of a resource that are there or were: of one that was stopped, what it wrote. */
export const readUnitNames = (dataDir: string, resource: ResourceId): string[] =>
  subfolders(resourceFolder(dataDir, resource));

/** Every unit of a resource. One that was stopped leaves no record, and is left out. */
export function readUnits(dataDir: string, resource: ResourceId): FoundUnit[] {
  return readUnitNames(dataDir, resource).flatMap((unit) => {
    const folder = unitFolder(dataDir, resource, unit);
    if (!existsSync(recordFile(folder))) return [];
    const record = readJson<UnitRecord>(recordFile(folder));
    const runnable = readJson<Runnable>(runnableFile(folder));
    const sound =
      record?.unit === unit &&
      record.resource === resource &&
      Array.isArray(record.containers) &&
      record.containers.every(({ groups, ports }) => Array.isArray(groups) && typeof ports === 'object') &&
      runnable?.template?.spec !== undefined;
    return [sound ? { resource, unit, record, runnable } : { resource, unit }];
  });
}
