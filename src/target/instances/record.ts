/** What is remembered of one instance on disk. Replaced as a whole and flushed, so that it is true whatever ends. */
import { existsSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image, ResourceId, Revision, ScalingProcess, Script } from '../../manifest/resource.ts';
import type { Instant, LiveAttempt } from '../../plan/live.ts';
import type { Hold } from '../local/epoch.ts';
import { resourceOf } from '../local/folders.ts';
import { readJson, subfolders } from '../local/read.ts';
import { instanceFolder, memberFolder, membersFolder } from './folders.ts';

export interface PlacedImage extends Image {
  /** What its name stood for when the revision first ran, where a registry may give it another meaning. */
  digest?: string;
  /** Where its process is to listen, if that is the image's to say. */
  port?: number;
}

/** What an attempt does, complete: whoever finds it unfinished goes on with it. */
export type Work =
  | { kind: 'run'; revision: Revision; image?: PlacedImage; script?: Script; version?: string }
  /** `image` absent: none ran before, so none is to run. */
  | { kind: 'undo'; revisions: Revision[]; image?: PlacedImage };

export interface AttemptRecord extends LiveAttempt {
  work: Work;
  /** How many processes were started for it: each start is an attempt of its own to the process. */
  starts: number;
  endedAt?: Instant;
}

/** What goes back when a revision is undone; stored before it is run. */
export interface Undo {
  /** What is to run then; absent: nothing. */
  image?: PlacedImage;
  /** Whether there is a script that undoes the revision's; absent: it has none to be undone. */
  rollback?: boolean;
}

export interface InstanceRecord {
  resource: ResourceId;
  unit: string;
  /** Oldest first. */
  applied: Revision[];
  undo: Record<Revision, Undo>;
  /** Whose process is to run; absent: it is only a folder. */
  image?: PlacedImage;
  /** Of a cluster's node: the version that it is to run. */
  version?: string;
  /** The main port, which it keeps from one process to the next; a node has it from the beginning. */
  port?: number;
  /** Its process was seen to listen there: from then on it is ready only when it does. */
  serves: boolean;
  weight: number;
  /** Out of service. `left`: nothing is under way any more, or it was waited for long enough. */
  out?: { since: Instant; left: boolean };
  cordoned: boolean;
  attempt?: AttemptRecord;
  /** The drain of the taking out, until it is put back. */
  drain?: LiveAttempt;
  /** The attempt that creates it, until that has come through. */
  creating?: string;
  /** Starts of its creation in a row that failed. */
  failures: number;
  removing: boolean;
  message?: string;
  /** Which of several copies is the latest, where it is kept in several places: the operator's epoch, then a count. */
  written?: [epoch: number, count: number];
}

export interface ResourceRecord {
  suspended: ScalingProcess[];
}

const recordFile = (folder: string) => join(folder, 'instance.json');
const resourceFile = (root: string, resource: ResourceId) => join(memberFolder(root, resource), 'resource.json');

export function saveInstance(hold: Hold, record: InstanceRecord): void {
  const folder = instanceFolder(hold.dataDir, record.resource, record.unit);
  hold.makeFolder(folder);
  hold.write(recordFile(folder), JSON.stringify(record), { mode: 0o600, durable: true });
}

/** The last of an instance: without its record it is none. */
export const removeInstance = ({ dataDir, reach }: Hold, { resource, unit }: InstanceRecord): Promise<void> =>
  rm(reach(instanceFolder(dataDir, resource, unit)), { recursive: true, force: true });

export function saveResource(hold: Hold, resource: ResourceId, record: ResourceRecord): void {
  hold.makeFolder(memberFolder(hold.dataDir, resource));
  hold.write(resourceFile(hold.dataDir, resource), JSON.stringify(record), { mode: 0o600, durable: true });
}

/** What is held of each resource that has a folder here. */
export function readResourceRecords(root: string): Map<ResourceId, ResourceRecord> {
  const found = new Map<ResourceId, ResourceRecord>();
  for (const name of subfolders(membersFolder(root))) {
    const resource = resourceOf(name);
    if (resource === undefined) continue;
    const read = readJson<ResourceRecord>(resourceFile(root, resource));
    found.set(resource, { suspended: Array.isArray(read?.suspended) ? read.suspended : [] });
  }
  return found;
}

/** Every instance of a resource. One whose record cannot be read is there, out of service, with nothing known of it. */
export const readInstances = (root: string, resource: ResourceId): InstanceRecord[] =>
  foundInstances(root, resource, (unit, file) => {
    renameSync(file, `${file}.unreadable`);
    return unreadable(resource, unit, `its record cannot be read and was put aside as ${file}.unreadable`);
  });

/** The same, and leaves everything as it is. */
export const seeInstances = (root: string, resource: ResourceId): InstanceRecord[] =>
  foundInstances(root, resource, (unit, file) => unreadable(resource, unit, `its record ${file} cannot be read`));

function foundInstances(
  root: string,
  resource: ResourceId,
  instead: (unit: string, file: string) => InstanceRecord,
): InstanceRecord[] {
  return subfolders(memberFolder(root, resource)).flatMap((unit) => {
    const folder = instanceFolder(root, resource, unit);
    // Without a record nothing was begun there: the folder is what a removal left.
    if (!existsSync(recordFile(folder))) return [];
    const record = readJson<InstanceRecord>(recordFile(folder));
    const sound = record?.unit === unit && record.resource === resource && Array.isArray(record.applied);
    return [sound ? record : instead(unit, recordFile(folder))];
  });
}

export const newRecord = (resource: ResourceId, unit: string): InstanceRecord => ({
  ...{ resource, unit, applied: [], undo: {}, serves: false, weight: 100 },
  ...{ cordoned: false, failures: 0, removing: false },
});

const unreadable = (resource: ResourceId, unit: string, message: string): InstanceRecord => ({
  ...newRecord(resource, unit),
  out: { since: Date.now(), left: true },
  message,
});
