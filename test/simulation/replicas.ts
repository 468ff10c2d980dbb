/** Simulated replicas of one workload or service, and where its traffic goes. */
import type { Runnable } from '../../src/manifest/resource.ts';
import type { Live, LiveUnit, TrafficPolicy } from '../../src/plan/live.ts';
import type { Action } from '../../src/rollout/decision.ts';
import { type Release, readyAfter, releaseOf } from './behaviour.ts';
import type { Timeline } from './timeline.ts';

export interface Replica extends LiveUnit {
  release: Release;
  image: string;
}

export interface Replicas {
  units: Map<string, Replica>;
  traffic: TrafficPolicy | undefined;
  act(action: Action, runnable: Runnable | undefined): void;
  live(): Live;
  /** It dies of itself. */
  kill(unit: Replica): void;
  empty(): boolean;
}

const DRAIN_MS = 2000;
const LIFE_MS = 40_000;
const FLAP_MS = 7000;
/** So often altogether, units of a release that dies or flaps do so. */
const MISHAPS = 6;

/** One that exits does so this often; then it stays and is never ready: days in which it is started each minute show nothing new. */
const EXITS = 300;

/** `calm`: what is only a fault now and then happens no more. */
export function createReplicas(timeline: Timeline, calm: () => boolean, changed: () => void): Replicas {
  const units = new Map<string, Replica>();
  const { now } = timeline;
  const mishaps = new Map<string, number>();

  function mishap({ revision }: Replica): boolean {
    const before = mishaps.get(revision) ?? 0;
    mishaps.set(revision, before + 1);
    return before < MISHAPS && !calm();
  }

  /** Something happens to it later, if it is still the same one. */
  function later(unit: Replica, ms: number, call: () => void): void {
    timeline.at(now() + ms, () => {
      if (units.get(unit.id) !== unit || unit.phase === 'dead') return;
      call();
      changed();
    });
  }

  function getReady(unit: Replica): void {
    if (unit.phase === 'stopping') return;
    Object.assign(unit, { phase: 'running', ready: true, readySince: now() });
    delete unit.unreadySince;
    if (unit.release === 'dies') later(unit, LIFE_MS, () => void (mishap(unit) && kill(unit)));
    if (unit.release === 'flaps') later(unit, FLAP_MS, () => flap(unit));
  }

  function flap(unit: Replica): void {
    if (!mishap(unit)) return;
    Object.assign(unit, { ready: false, unreadySince: now() });
    delete unit.readySince;
    later(unit, FLAP_MS / 2, () => getReady(unit));
  }

  function kill(unit: Replica): void {
    if (units.get(unit.id) !== unit || unit.phase === 'dead') return;
    if (unit.phase === 'stopping') {
      units.delete(unit.id);
      return;
    }
    Object.assign(unit, { phase: 'dead', ready: false, diedAt: now(), message: 'exited with code 1' });
  }

  function start({ unit: id, revision, version, attempt, restarts }: Action & { kind: 'start' }, runnable: Runnable) {
    const there = units.get(id);
    if (there?.attempt === attempt) return;
    if (there !== undefined && there.phase !== 'dead') throw new Error(`${id} is there already`);
    const image = runnable.template.spec.containers[0]?.image ?? '';
    const release = releaseOf(image);
    const fresh = { phase: 'starting' as const, ready: false, unreadySince: now() };
    const unit: Replica = { id, revision, version, attempt, restarts, ...fresh, release, image };
    units.set(id, unit);
    const after = readyAfter(release);
    if (release === 'crash' && restarts < EXITS) later(unit, 200, () => kill(unit));
    if (after !== undefined) later(unit, after, () => getReady(unit));
  }

  function stop({ unit: id, attempt }: Action & { kind: 'stop' }): void {
    const unit = units.get(id);
    if (unit === undefined || unit.attempt !== attempt || unit.phase === 'stopping') return;
    if (unit.phase === 'dead') {
      units.delete(id);
      return;
    }
    Object.assign(unit, { phase: 'stopping', ready: false });
    timeline.at(now() + DRAIN_MS, () => {
      if (units.get(id) === unit) units.delete(id);
      changed();
    });
  }

  const replicas: Replicas = {
    units,
    traffic: undefined,
    act(action, runnable) {
      if (action.kind === 'route') replicas.traffic = action.policy;
      else if (action.kind === 'stop') stop(action);
      else if (action.kind === 'start' && runnable !== undefined) start(action, runnable);
      else if (action.kind === 'forget' && units.size > 0) throw new Error('there are units left');
      else if (action.kind !== 'forget') throw new Error(`${action.kind} is nothing that is done to a replica`);
    },
    live: () => ({
      observedAt: now(),
      complete: true,
      units: [...units.values()].map(({ release: _, image: __, ...unit }) => unit),
      ...(replicas.traffic !== undefined && { traffic: replicas.traffic }),
    }),
    kill(unit) {
      kill(unit);
      changed();
    },
    empty: () => units.size === 0 && replicas.traffic === undefined,
  };
  return replicas;
}
