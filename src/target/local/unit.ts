/** One unit whose containers are processes of this machine. */
import { createHash } from 'node:crypto';
import type { Unit as AnyUnit, Core, RunningContainer } from '../replicas/unit.ts';
import { type ContainerGroups, findGroupsNamed, type Groups, openGroups } from './cgroup.ts';
import type { Beside } from './handler.ts';
import type { Images, LocatedImage } from './image.ts';
import type { Belonging } from './processes.ts';
import type { ProcessMark } from './record.ts';
import type { User } from './user.ts';

/** What a unit may ask of the driver that it belongs to. */
export interface Host extends Core<Running> {
  user: User | undefined;
  groups: Groups;
  images: Images;
  /** Every port that a unit of this target was given. */
  ports: Set<number>;
  /** Of those, what is kept for one unit alone while it has no process. */
  keptPorts: Set<number>;
}

/** One process of a unit. */
export interface Running extends RunningContainer {
  image: LocatedImage;
  /** The program and its arguments. */
  command: string[];
  beside: Beside;
  groups: ContainerGroups;
  /** This operator is its parent: it hears at once when the process ends. */
  spawned: boolean;
}

export type Unit = AnyUnit<Running>;

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
