/** What differs with where instances live: folders and processes of this machine, or containers of an engine. */
import type { Container, ResourceId, Revision, Volume } from '../../manifest/resource.ts';
import type { UnitPlace } from '../hosts/attempts.ts';
import type { Answer } from '../local/handler.ts';
import type { Unit } from '../replicas/unit.ts';
import type { Instance } from './instance.ts';
import type { InstanceRecord, PlacedImage } from './record.ts';

/** Enough to look at instances and to ask them. */
export interface Looking {
  /** The folder of the instance, as its scripts see it. */
  homeOf(record: InstanceRecord): string;
  /** `SLUICE_PEERS`, as the nodes see it. */
  peersFile(resource: ResourceId): string;
  /** The port that a script is told; undefined: it knows it otherwise, or there is none. */
  scriptPort(record: InstanceRecord, unit: Unit | undefined): number | undefined;
  /** What its process has in its environment, but for what would make another program one of the unit's own processes. */
  processEnvironment(unit: Unit | undefined): Promise<Record<string, string>>;
  /** Runs a program in the instance's folder. Throws when `signal` aborts. */
  run(record: InstanceRecord, command: string[], how: RunHow): Promise<Ran>;
  /** Whether a command of the manifest passes, run as scripts are. */
  check(record: InstanceRecord, command: string[], env: Record<string, string>, timeoutMs: number): Promise<Answer>;
}

interface RunHow {
  env: Record<string, string>;
  timeoutMs: number;
  signal: AbortSignal;
}

interface Ran {
  /** Absent: it did not end by itself, and `failure` says why. */
  code?: number;
  failure?: string;
  stdout: string;
}

export interface Ground extends Looking {
  /** Where its scripts leave their markers. */
  placeOf(record: InstanceRecord): UnitPlace;
  /** Throws where nothing must or can be begun now. */
  accept?(): Promise<void>;
  /** Sees to it that no earlier operator begins anything in them from now on. Never throws. */
  claim?(instances: Instance[]): Promise<void>;
  /** A record is about to be written, and was: it may be kept elsewhere besides, so that it outlives this machine. */
  stamp?(record: InstanceRecord): void;
  kept?(record: InstanceRecord): void;
  /** Before anything is run for it: what it needs is there, and what is remembered of it lies wherever it has to. */
  prepare(record: InstanceRecord): Promise<void>;
  /** The image as it is run from now on, wherever its name may lead later. Throws `Failed` where it cannot be had. */
  settle(record: InstanceRecord, settling: Settling): Promise<PlacedImage>;
  /** Of the container that its process is. */
  container(
    record: InstanceRecord,
    image: PlacedImage,
  ): Pick<Container, 'image' | 'volumeMounts'> & Partial<Pick<Container, 'securityContext'>>;
  volumesOf(record: InstanceRecord): Volume[];
  /**
   * Begins to watch. What it gives back is asked of a process that died since: it resolves with true, once it can be gone on, where that
   * death was none of its own but that of all that runs there.
   */
  watchRuns?(): () => Promise<boolean>;
  /** What its scripts are told besides. */
  scriptEnvironment(unit: Unit | undefined): Promise<Record<string, string>>;
  /** What its own image gives to be run before it is stopped. */
  ownDrain(unit: Unit | undefined): { command: string[]; cwd: string } | undefined;
  /** The ports of nodes that must be told before their processes run; absent: each has all ports for itself. */
  ports?: {
    reserve(): Promise<number>;
    free(port: number): void;
    /** Its port is no other unit's, also while it has no process. */
    keep(record: InstanceRecord): void;
    let(record: InstanceRecord): void;
  };
  /** At which name its peers reach a node. */
  peerHost(record: InstanceRecord): string;
  writePeers(resource: ResourceId, text: string): void | Promise<void>;
  /** Removes what the instance has left, but its record. */
  clear(record: InstanceRecord): Promise<void>;
}

export interface Settling {
  image: PlacedImage;
  revision: Revision;
  /** Told what a person may read while it is fetched. */
  progress(text: string): void;
}
