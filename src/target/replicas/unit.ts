/** One unit as a driver holds it: its record, its containers, and what is known of them now; whatever runs them. */
import { setMaxListeners } from 'node:events';
import type { Container, LifecycleHandler, ProbeHandler, ResourceId, Runnable } from '../../manifest/resource.ts';
import type { LiveUnit } from '../../plan/live.ts';
import type { Hold } from '../local/epoch.ts';
import type { Answer } from '../local/handler.ts';
import { mainPort } from '../local/ports.ts';
import type { ContainerRecord, UnitRecord } from '../local/record.ts';
import type { SecretSource } from '../ports.ts';

/** One container of a unit, as far as it is the same whatever runs it. */
export interface RunningContainer {
  container: Container;
  record: ContainerRecord;
  /** `drain`: run before it is stopped, besides its own hook. */
  image: { drain?: string[] };
  /** How it ended, where this operator saw it run: `exited with code 1`. */
  ended?: string;
  /** Its main port is held by a socket of its own. */
  listening: boolean;
  /** Its startup probe has passed, or it has none. */
  started: boolean;
  /** What its readiness probe says; true where it has none and has lived for a while. */
  passing: boolean;
}

/** What runs the containers of units: the machine of the operator, or an engine. */
export interface Runtime<R extends RunningContainer> {
  /**
   * Starts the containers of an attempt whose record is on the disk, and adds each to `unit.containers`; stops half way where
   * the unit is over (`isOver`). Throws why it cannot be started.
   */
  start(unit: Unit<R>): Promise<void>;
  /** Never throws: what cannot be asked has not passed. */
  ask(running: R, handler: ProbeHandler | LifecycleHandler, timeoutMs: number): Promise<Answer>;
  /** Whose socket listens on a port that the container was given. */
  holder(unit: Unit<R>, running: R, port: number): Promise<'nobody' | 'own' | 'other'>;
  /** Before it gets requests; also of a unit that an earlier operator found ready. */
  gotReady?(unit: Unit<R>): void;
  /** Tells of the end of a container that nobody else tells of; until `unit.watching` is aborted. */
  watchEnd(unit: Unit<R>, running: R): Promise<void>;
  runs(running: R): boolean;
  /** Runs `hooks` (which say whether there were any) while there is somebody to run them, then ends all that can be found of the unit; resolves when nothing is left. */
  terminate(unit: Unit<R>, hooks: (deadline: number) => Promise<boolean>): Promise<void>;
  /** `exited with code 1: Error: Cannot find module 'x'`. */
  obituary(unit: Unit<R>, running: R, how: string): Promise<string> | string;
  /** Removes what a stopped unit leaves, but disks, and what it wrote. */
  discard(unit: Unit<R>): Promise<void>;
}

/** What a unit may ask of the driver that it belongs to. */
export interface Core<R extends RunningContainer = RunningContainer> {
  dataDir: string;
  hostname: string;
  secrets: SecretSource;
  runtime: Runtime<R>;
  /** What serves nothing is taken for started when it has lived so long. */
  livedMs: number;
  /** What is done to files goes through it. */
  hold: Hold;
  /** Throws StaleEpoch when a later operator has taken over; before every act. */
  guard(): void;
  /** Aborted when this operator lets go of its units: what runs goes on running, what was begun is left to the next. */
  closing: AbortSignal;
  /** Makes the record durable. Throws where the disk does not take it. */
  save(unit: Unit<R>): void;
  /** The same where what follows does not depend on it; a failure is told in the unit's message. */
  note(unit: Unit<R>): void;
  /** Something about the unit is different: brings the router up to date, tells the subscribers. */
  changed(unit: Unit<R>): void;
  /** Resolves when the router runs without this unit, or with it where it is ready. */
  published(unit: Unit<R>): Promise<void>;
  /** How many requests and connections the router has under way for it. */
  active(unit: Unit<R>): Promise<number>;
  /** Takes a stopped unit out of what is observed. */
  gone(unit: Unit<R>): void;
  log(message: string, details: Record<string, unknown>): void;
}

export interface Unit<R extends RunningContainer = RunningContainer> {
  record: UnitRecord;
  runnable: Runnable;
  folder: string;
  /** Empty before the start and after the death. */
  containers: R[];
  /** The main port of the attempt before, which it gets again if nobody else listens there by now. */
  formerPort?: number;
  /** What was last told about its readiness and its address. */
  told?: string;
  /** Aborted when its containers need no more watching: it ends, or the driver lets go. */
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

export function createUnit<R extends RunningContainer>(
  record: UnitRecord,
  runnable: Runnable,
  folder: string,
): Unit<R> {
  const watching = new AbortController();
  setMaxListeners(0, watching.signal);
  return { record, runnable, folder, containers: [], watching, starting: Promise.resolve() };
}

/** It is to be stopped, has died meanwhile, or belongs to another operator now. */
export const isOver = (unit: Unit): boolean => unit.record.phase !== 'starting' || unit.watching.signal.aborted;

/** How the router counts it: unit ids alone are not unique on a target. */
export const routerName = (record: { resource: ResourceId; unit: string }) => `${record.resource}/${record.unit}`;
export const graceMs = (unit: Unit) => unit.runnable.template.spec.terminationGracePeriodSeconds * 1000;

/** Where the ports of a container are. */
export const addressOf = ({ address = '127.0.0.1' }: ContainerRecord): string => address;

/** The port that the router sends to: where the first container listens now. */
export function servedPort({ containers: [first] }: Unit): number | undefined {
  return first?.listening ? mainPort(first.container, first.record.ports) : undefined;
}

/** `127.0.0.1:41233`, where it serves. */
export function servedAt(unit: Unit): string | undefined {
  const port = servedPort(unit);
  const [first] = unit.containers;
  return port === undefined || first === undefined ? undefined : `${addressOf(first.record)}:${port}`;
}

/** Until there is more to say of a start, why it was made: between two deaths nobody else tells. */
function whyAgain({ phase, formerDeath }: UnitRecord): string | undefined {
  return phase === 'starting' && formerDeath !== undefined ? `started again after: ${formerDeath}` : undefined;
}

export function liveUnit(unit: Unit): LiveUnit {
  const { record } = unit;
  const address = servedAt(unit);
  const message = record.message ?? whyAgain(record);
  return {
    id: record.unit,
    revision: record.revision,
    version: record.version,
    phase: record.phase,
    ready: record.ready,
    attempt: record.attempt,
    restarts: record.restarts,
    ...(record.readySince === undefined ? {} : { readySince: record.readySince }),
    ...(record.ready ? {} : { unreadySince: record.unreadySince ?? record.startedAt }),
    ...(record.diedAt === undefined ? {} : { diedAt: record.diedAt }),
    ...(message === undefined ? {} : { message }),
    ...(address === undefined ? {} : { address }),
  };
}
