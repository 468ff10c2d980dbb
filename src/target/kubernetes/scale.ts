/**
 * How many pods each ReplicaSet is to have. Starts and stops of units are gathered: while one change of `replicas` is under way, those that
 * come meanwhile are the next one. A change compares: it is refused where another operator changed the same meanwhile. Its attempts stand
 * in the ReplicaSet, so that of one whose answer was lost it can be looked up whether it was made.
 */
import type { ResourceId, Runnable } from '../../manifest/resource.ts';
import { StaleEpoch } from '../ports.ts';
import { type Kube, type KubeObject, statusOf } from './client.ts';
import { checkKubernetesEpoch } from './epoch.ts';
import { type Making, makeSet } from './make.ts';
import { ANNOTATION, type Scope, type SetId, setName, setsPath } from './names.ts';
import type { Store } from './store.ts';
import { type SetView, setView } from './view.ts';

export interface ScaleOptions extends Making {
  store: Store;
  /** Awaited before the replicas of a resource are moved. */
  before(resource: ResourceId): Promise<void>;
  /** Something about a resource is different, or may be tried again. */
  changed(resource: ResourceId): void;
  /** A later operator has taken over. */
  stale(error: StaleEpoch): void;
}

/** What is asked of one ReplicaSet and not done yet. */
interface Asked {
  set: SetId;
  runnable: Runnable | undefined;
  wanted: number;
  attempts: string[];
}

export interface Scale {
  /** How many pods a ReplicaSet is to have, what is under way counted. */
  wanted(set: SetView): number;
  /** The ReplicaSets that are asked for and not there yet. */
  coming(resource: ResourceId): SetView[];
  /** One more; nothing happens when this attempt was taken before. Throws why the last change could not be made, for a while. */
  start(set: SetId, attempt: string, runnable: Runnable): void;
  /** One less. */
  stop(set: SetId, attempt: string): void;
  /** Nothing is asked of them. */
  rests(resource: ResourceId): boolean;
  /** Nothing is under way. */
  idle(): Promise<void>;
}

/** A change names at most so many attempts: an annotation has its limits. */
const AT_ONCE = 200;
const REMEMBERED = 20_000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

export function openScale(options: ScaleOptions): Scale {
  const { kube, scope, epoch, store, changed, stale, log } = options;
  const asked = new Map<string, Asked>();
  const taken = new Set<string>();
  const running = new Map<string, Promise<void>>();
  const failures = new Map<string, { error: Error; count: number; until: number }>();

  const wantedOf = (name: string) => asked.get(name)?.wanted ?? store.set(name)?.replicas ?? 0;

  function ask(set: SetId, change: number, attempt: string, runnable: Runnable | undefined): void {
    const name = setName(set);
    const failed = failures.get(name);
    if (failed !== undefined && Date.now() < failed.until) throw failed.error;
    const known = asked.get(name) ?? { set, runnable, wanted: wantedOf(name), attempts: [] };
    known.runnable ??= runnable;
    known.wanted = Math.max(0, known.wanted + change);
    known.attempts.push(attempt);
    asked.set(name, known);
    // Those that follow in the same decision are part of the same change.
    if (!running.has(name))
      running.set(
        name,
        Promise.resolve().then(() => carryOut(name)),
      );
  }

  async function carryOut(name: string): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    try {
      for (let each = asked.get(name); each !== undefined; each = asked.get(name)) {
        const done = await change(name, each);
        if (!done || (each.attempts.length === 0 && store.set(name)?.replicas === each.wanted)) drop(name);
      }
      failures.delete(name);
    } catch (error) {
      const { set } = asked.get(name) ?? {};
      drop(name);
      if (error instanceof StaleEpoch) stale(error);
      else if (set !== undefined) failed(name, set, error as Error);
    } finally {
      running.delete(name);
    }
  }

  /** What of it was not carried out may be asked for again. */
  function drop(name: string): void {
    for (const attempt of asked.get(name)?.attempts ?? []) taken.delete(attempt);
    asked.delete(name);
  }

  function failed(name: string, { resource }: SetId, error: Error): void {
    const count = (failures.get(name)?.count ?? 0) + 1;
    const wait = Math.min(FIRST_WAIT_MS * 2 ** (count - 1), LONGEST_WAIT_MS);
    failures.set(name, { error, count, until: Date.now() + wait });
    log(`ReplicaSet ${name} cannot be changed: ${error.message}`, { resource });
    changed(resource);
    setTimeout(() => changed(resource), wait + 1).unref();
  }

  /** The ReplicaSet as it is now, made where it is not there; undefined: what it would run is not known. */
  async function prepared(name: string, { set: id, wanted, runnable }: Asked): Promise<SetView | undefined> {
    await checkKubernetesEpoch(kube, scope, epoch);
    const set = store.set(name);
    if (set !== undefined && set.epoch > epoch) throw new StaleEpoch(epoch, set.epoch, `ReplicaSet ${name}`);
    if (set === undefined || (set.replicas === 0 && wanted > 0)) {
      if (runnable === undefined) return undefined;
      store.put(await makeSet(options, id, runnable));
    }
    await options.before(id.resource);
    return store.set(name);
  }

  /** False where somebody else changed it meanwhile: then it is decided anew from what there is. */
  async function change(name: string, each: Asked): Promise<boolean> {
    const from = await prepared(name, each);
    if (from === undefined) return false;
    const attempts = each.attempts.splice(0, AT_ONCE);
    const to = each.attempts.length === 0 ? each.wanted : towards(from.replicas, each.wanted, attempts.length);
    if (from.replicas === to) return true;
    try {
      store.put(await patch(kube, scope, from, to, attempts, epoch));
      return true;
    } catch (error) {
      return await lookedUp(name, from, attempts, error);
    }
  }

  /** Whether a change was made of which the answer is an error, or lost. */
  async function lookedUp(name: string, from: SetView, attempts: string[], error: unknown): Promise<boolean> {
    const found = await kube.find<KubeObject>(setsPath(scope, name));
    if (found === undefined) return false;
    store.put(found);
    const now = setView(found);
    if (now.epoch === epoch && attempts.every((one) => now.attempts.includes(one))) return true;
    const isOther = now.replicas !== from.replicas || now.epoch !== from.epoch;
    if (statusOf(error) === 422 && isOther) return false;
    throw error;
  }

  return {
    wanted: ({ name }) => wantedOf(name),
    coming: (resource) =>
      [...asked.values()]
        .filter(({ set }) => set.resource === resource && store.set(setName(set)) === undefined)
        .map(({ set }) => notMade(set)),
    rests: (resource) => ![...asked.values()].some(({ set }) => set.resource === resource),
    start(set, attempt, runnable) {
      if (taken.has(attempt) || store.set(setName(set))?.attempts.includes(attempt)) return;
      ask(set, 1, attempt, runnable);
      if (taken.size >= REMEMBERED) taken.clear();
      taken.add(attempt);
    },
    stop(set, attempt) {
      const stopping = `-${attempt}`;
      if (!asked.get(setName(set))?.attempts.includes(stopping)) ask(set, -1, stopping, undefined);
    },
    async idle() {
      while (running.size > 0) await Promise.all(running.values());
    },
  };
}

const notMade = (set: SetId): SetView => ({
  ...set,
  ...{ name: setName(set), uid: '', replicas: 0, epoch: 0, attempts: [] },
  ...{ createdAt: 0, scaledAt: 0, ports: [], refused: undefined },
});

/** At most `most` steps from where it is: 0 towards 150 by 100 is 100. */
function towards(from: number, to: number, most: number): number {
  return to > from ? Math.min(to, from + most) : Math.max(to, from - most);
}

const annotation = (name: string) => `/metadata/annotations/${name.replaceAll('/', '~1')}`;

function patch(kube: Kube, scope: Scope, from: SetView, to: number, attempts: string[], epoch: number) {
  const body = [
    { op: 'test', path: '/spec/replicas', value: from.replicas },
    { op: 'test', path: annotation(ANNOTATION.epoch), value: String(from.epoch) },
    { op: 'replace', path: '/spec/replicas', value: to },
    { op: 'add', path: annotation(ANNOTATION.epoch), value: String(epoch) },
    { op: 'add', path: annotation(ANNOTATION.attempts), value: attempts.join(' ') },
    { op: 'add', path: annotation(ANNOTATION.scaled), value: new Date().toISOString() },
  ];
  return kube.ask<KubeObject>('PATCH', setsPath(scope, from.name), {
    body,
    type: 'application/json-patch+json',
    query: { fieldManager: 'sluice' },
  });
}
