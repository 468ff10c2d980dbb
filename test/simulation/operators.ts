/** The operators of a simulated world: real ones, in simulated processes, watched over as by a service manager. */
import { parseMany } from '../../src/manifest/parse-many.ts';
import type { ParsedFile } from '../../src/manifest/parsed.ts';
import type { Oid, ResourceId } from '../../src/manifest/resource.ts';
import { startHeartbeat } from '../../src/operator/heartbeat.ts';
import { type KeptParses, unkeptParses } from '../../src/operator/kept-parses.ts';
import { startOperator } from '../../src/operator/operator.ts';
import type { Log } from '../../src/operator/options.ts';
import type { Parts } from '../../src/operator/parts.ts';
import type { Decision } from '../../src/rollout/decision.ts';
import { type Disk, emptyDisk, openSimulatedClone, type Remote } from './git.ts';
import type { History } from './history.ts';
import { createProcess, type Process } from './process.ts';
import type { Random } from './random.ts';
import type { SimulatedTarget } from './target.ts';
import type { Timeline } from './timeline.ts';

export interface OperatorsOptions {
  timeline: Timeline;
  random: Random;
  remote: Remote;
  target: SimulatedTarget;
  history: History;
  decided(process: Process, id: ResourceId, decision: Decision): void;
  log: Log;
}

export interface Operators {
  start(): void;
  /** The one that acts, as far as the world knows: the one that was started last. */
  current(): Process | undefined;
  crash(effects: number, before: boolean, disk: boolean, down: number): void;
  /** From now on nothing new is started; or no longer so. */
  pause(on: boolean): void;
  /** What went wrong inside of an operator that nobody caught. */
  failures: Error[];
  alive(): Process[];
}

const RESTART_MS = 5000;
const MOST_DECISIONS = 20_000;

/** What a blob parses to never changes, in no world. */
const parsed = new Map<Oid, ParsedFile>();
const MOST_PARSED = 20_000;

const parses: KeptParses = {
  parseImages: unkeptParses.parseImages,
  async parse(oids, objects) {
    const result = new Map<Oid, ParsedFile>();
    const missing = oids.filter((oid) => !parsed.has(oid));
    if (parsed.size > MOST_PARSED) parsed.clear();
    if (missing.length > 0) {
      await parseMany({
        count: missing.length,
        read: (take) => objects.blobs(missing, take),
        each: (oid, file) => void parsed.set(oid, file),
      });
    }
    for (const oid of oids) result.set(oid, parsed.get(oid) as ParsedFile);
    return result;
  },
};

export function createOperators(options: OperatorsOptions): Operators {
  const { timeline, random, remote, target, history } = options;
  const alive: Process[] = [];
  const watchers = new Set<() => void>();
  let disk: Disk = emptyDisk();
  let paused = false;

  let moment = { at: 0, decisions: 0 };
  /** Decided again and again while no time passes, nothing would ever end. */
  function stillMoving(id: ResourceId): void {
    const at = timeline.now();
    moment = { at, decisions: at === moment.at ? moment.decisions + 1 : 0 };
    if (moment.decisions > MOST_DECISIONS) throw new Error(`${id}: is decided again and again at the same moment`);
  }

  const partsOf = (process: Process): Parts => ({
    clock: process.clock,
    openClone: async () => openSimulatedClone(remote, disk, process, timeline, random),
    openParses: async () => parses,
    nextEpoch: () => 1 + Math.floor(target.epoch()),
    openTargets: async (_, __, epoch, changed) => target.open(process, epoch, changed),
    patiently: async (ask, passes) => {
      for (;;) {
        try {
          return await ask();
        } catch (error) {
          if (!passes(error as Error)) throw error;
          await new Promise<void>((done) => process.clock.after(2000, done));
        }
      }
    },
    paused: () => ({
      isOn: () => paused,
      watch(changed) {
        const watcher = () => process.clock.soon(changed);
        watchers.add(watcher);
        process.onDeath(() => watchers.delete(watcher));
        return () => watchers.delete(watcher);
      },
    }),
    decided(id, decision) {
      stillMoving(id);
      options.decided(process, id, decision);
    },
    releaseMemory() {},
    ...(history.heartbeat && { startHeartbeat }),
  });

  function start(): void {
    const process = createProcess(timeline, random);
    alive.push(process);
    process.onDeath(() => alive.splice(alive.indexOf(process), 1));
    const running = startOperator(
      {
        ...{ repo: 'remote', branch: 'main', path: '', intervalMs: history.poll, pushIntervalMs: history.pushInterval },
        ...{ stateDir: '', dataDir: '', router: { host: '', port: 0 }, paused: false, once: false },
        ...{ acceptRewrite: history.acceptRewrite, log: options.log },
      },
      partsOf(process),
    );
    running.then(
      async (operator) => {
        const { message } = await operator.done;
        options.log('info', `ended: ${message}`);
        process.killAt(0, true);
        startLater(RESTART_MS);
      },
      (error: Error) => {
        options.log('error', `did not start: ${error.message}`);
        process.killAt(0, true);
        startLater(RESTART_MS);
      },
    );
  }

  const startLater = (ms: number) =>
    timeline.at(timeline.now() + ms, () => {
      if (alive.length === 0) start();
    });

  const operators: Operators = {
    start,
    current: () => alive.at(-1),
    crash(effects, before, keepsDisk, down) {
      const process = alive.at(-1);
      if (process === undefined) return;
      process.onDeath(() => {
        if (!keepsDisk) disk = emptyDisk();
        startLater(down);
      });
      process.killAt(effects, before);
    },
    pause(on) {
      paused = on;
      for (const watcher of [...watchers]) watcher();
    },
    failures: [],
    alive: () => [...alive],
  };
  return operators;
}
