/** One unit as the driver holds it: its record, its processes, and what is known of them now. */
import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Container, ResourceId, Runnable } from '../../manifest/resource.ts';
import type { LiveUnit } from '../../plan/live.ts';
import type { SecretSource } from '../ports.ts';
import { type ContainerGroups, findGroupsNamed, type Groups, openGroups } from './cgroup.ts';
import type { Beside } from './handler.ts';
import type { Images, LocatedImage } from './image.ts';
import { mainPort } from './ports.ts';
import type { Belonging } from './processes.ts';
import type { ContainerRecord, ProcessMark, UnitRecord } from './record.ts';
import type { User } from './user.ts';

/** What a unit may ask of the driver that it belongs to. */
export interface Host {
  dataDir: string;
  hostname: string;
  user: User | undefined;
  groups: Groups;
  images: Images;
  secrets: SecretSource;
  /** A process that serves nothing is taken for started when it has lived so long. */
  livedMs: number;
  /** Throws StaleEpoch when a later operator has taken over; before every act. */
  guard(): void;
  /** Every port that a unit of this target was given. */
  ports: Set<number>;
  /** Of those, what is kept for one unit alone while it has no process. */
  keptPorts: Set<number>;
  /** Aborted when this operator lets go of its units: what runs goes on running, what was begun is left to the next. */
  closing: AbortSignal;
  /** Makes the record durable. Throws where the disk does not take it. */
  save(unit: Unit): void;
  /** The same where what follows does not depend on it; a failure is told in the unit's message. */
  note(unit: Unit): void;
  /** Something about the unit is different: brings the router up to date, tells the subscribers. */
  changed(unit: Unit): void;
  /** Resolves when the router runs without this unit, or with it where it is ready. */
  published(unit: Unit): Promise<void>;
  /** How many requests and connections the router has under way for it. */
  active(unit: Unit): Promise<number>;
  /** Takes a stopped unit out of what is observed. */
  gone(unit: Unit): void;
  log(message: string, details: Record<string, unknown>): void;
}

/** One process of a unit. */
export interface Running {
  container: Container;
  record: ContainerRecord;
  image: LocatedImage;
  /** The program and its arguments. */
  command: string[];
  beside: Beside;
  groups: ContainerGroups;
  /** This operator is its parent: it hears at once when the process ends. */
  spawned: boolean;
  /** How the process ended, where this operator saw it run: `exited with code 1`. */
  ended?: string;
  /** Its main port is held by a socket of its own. */
  listening: boolean;
  /** Its startup probe has passed, or it has none. */
  started: boolean;
  /** What its readiness probe says; true where it has none and has lived for a while. */
  passing: boolean;
}

export interface Unit {
  record: UnitRecord;
  runnable: Runnable;
  folder: string;
  /** Empty before the start and after the death. */
  containers: Running[];
  /** The main port of the attempt before, which it gets again if nobody else listens there by now. */
  formerPort?: number;
  /** What was last told about its readiness and its port. */
  told?: string;
  /** Aborted when its processes need no more watching: it ends, or the driver lets go. */
  watching: AbortController;
  /** Ends the keeping of its log files within their sizes. */
  letLogs?: () => void;
  /** The start under way. It ends without an error, when it sees that the unit is to be stopped. */
  starting: Promise<void>;
  /** The end under way, after a death or a failed probe. */
  ending?: Promise<void>;
  /** The stop under way. */
  stopping?: Promise<void>;
}

export function createUnit(record: UnitRecord, runnable: Runnable, folder: string): Unit {
  const watching = new AbortController();
  setMaxListeners(0, watching.signal);
  return { record, runnable, folder, containers: [], watching, starting: Promise.resolve() };
}

const digest = (...texts: string[]) => createHash('sha256').update(texts.join('\0')).digest('hex').slice(0, 16);

/** Unique on the machine: an attempt's id is only unique within its resource. */
export const groupName = ({ folder, record: { attempt } }: Unit, container: string) =>
  `${digest(folder)}-${digest(attempt, container)}`;

/** The control groups of every attempt of the unit in this folder. */
export const groupsOfAny = (groups: Groups, folder: string): ContainerGroups =>
  openGroups(findGroupsNamed(groups, digest(folder)));

/** The control groups of the unit; where its record is lost, those of any attempt. */
export const groupsOf = ({ groups }: Pick<Host, 'groups'>, { folder, record }: Unit): ContainerGroups =>
  record.attempt === '' ? groupsOfAny(groups, folder) : openGroups(record.containers.flatMap((entry) => entry.groups));

/** How the processes of the unit are found. `leaders` run, or were seen to run a moment ago. */
export function belongingOf(host: Pick<Host, 'groups'>, unit: Unit, leaders: ProcessMark[]): Belonging {
  const { folder, record } = unit;
  const name = record.attempt === '' ? { folder } : { folder, attempt: record.attempt };
  return { name, leaders, grouped: groupsOf(host, unit).members() };
}

/** How the router counts it: unit ids alone are not unique on a target. */
export const routerName = (record: { resource: ResourceId; unit: string }) => `${record.resource}/${record.unit}`;
export const graceMs = (unit: Unit) => unit.runnable.template.spec.terminationGracePeriodSeconds * 1000;

/** The port that the router sends to: where the first container listens now. */
export function servedPort({ containers: [first] }: Unit): number | undefined {
  return first?.listening ? mainPort(first.container, first.record.ports) : undefined;
}

export function liveUnit(unit: Unit): LiveUnit {
  const { record } = unit;
  const port = servedPort(unit);
  return {
    id: record.unit,
    revision: record.revision,
    version: record.version,
    phase: record.phase,
    ready: record.ready,
    attempt: record.attempt,
    restarts: record.restarts,
    ...(record.readySince === undefined ? {} : { readySince: record.readySince }),
    ...(record.diedAt === undefined ? {} : { diedAt: record.diedAt }),
    ...(record.message === undefined ? {} : { message: record.message }),
    ...(port === undefined ? {} : { address: `127.0.0.1:${port}` }),
  };
}
