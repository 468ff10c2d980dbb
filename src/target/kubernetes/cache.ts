/**
 * What is there of one kind of object, kept up to date by a watch. Own code, since the informer of the library keeps whole objects, of which a
 * pod's list of who set which field is more than half, and knows nothing of what was written by this process a moment ago.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kube, KubeError, type KubeObject, statusOf } from './client.ts';

export interface CacheOptions<T> {
  kube: Kube;
  /** Of the collection: `/api/v1/namespaces/shop/pods`. */
  path: string;
  /** Of labels: only these. */
  selector?: string;
  /** Of fields: only these, e.g. `spec.nodeName=node-1`. */
  fields?: string;
  /** What is kept of an object; the rest is dropped as soon as it is read. */
  keep(object: KubeObject, before: T | undefined): T;
  changed(now: T | undefined, before: T | undefined): void;
  /** It is known again what is there; or not any more, and why. */
  turned(up: boolean, message: string): void;
}

export interface Cache<T> {
  /** Resolves when it is first known what is there; rejects when it cannot be asked at all. */
  ready: Promise<void>;
  up(): boolean;
  /** By `name`, or `namespace/name` where the collection spans namespaces. */
  get(key: string): T | undefined;
  all(): Iterable<T>;
  /** What the API answered to a write, ahead of the watch. */
  put(object: KubeObject): void;
  close(): void;
}

interface Entry<T> {
  version: string;
  value: T;
}

const PAGE = 500;
/** The API ends a watch by then, so a connection that died in silence is noticed. */
const WATCH_SECONDS = 240;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 15_000;

export function openCache<T>(options: CacheOptions<T>): Cache<T> {
  const { kube, path, selector, fields, keep, changed } = options;
  const entries = new Map<string, Entry<T>>();
  const closing = new AbortController();
  const byNamespace = path.includes('/namespaces/');
  let isUp = false;
  const keyOf = ({ metadata: { name, namespace } }: KubeObject) =>
    byNamespace || namespace === undefined ? name : `${namespace}/${name}`;
  const turn = (up: boolean, message = '') => {
    if (isUp === up || closing.signal.aborted) return;
    isUp = up;
    options.turned(up, message);
  };
  const put = (object: KubeObject) => {
    const key = keyOf(object);
    const before = entries.get(key);
    const version = object.metadata.resourceVersion;
    if (before !== undefined && !isNewer(version, before.version)) return;
    const value = keep(object, before?.value);
    entries.set(key, { version, value });
    changed(value, before?.value);
  };
  const drop = (key: string) => {
    const before = entries.get(key);
    entries.delete(key);
    if (before !== undefined) changed(undefined, before.value);
  };

  async function list(): Promise<string> {
    const seen = new Set<string>();
    let version = '';
    let next: string | undefined;
    do {
      const query = { labelSelector: selector, fieldSelector: fields, limit: PAGE, continue: next };
      const page = await kube.ask<ObjectList>('GET', path, { query, signal: closing.signal });
      for (const object of page.items) {
        seen.add(keyOf(object));
        put(object);
      }
      version = page.metadata.resourceVersion;
      next = page.metadata.continue || undefined;
    } while (next !== undefined);
    // One that was written by this process while the list was read is newer than it.
    for (const [key, { version: its }] of [...entries]) if (!seen.has(key) && !isNewer(its, version)) drop(key);
    return version;
  }

  /** Until the API ends it; gives the version from which the next goes on. */
  async function watch(from: string): Promise<string> {
    const query = {
      ...{ watch: true, allowWatchBookmarks: true, resourceVersion: from },
      ...{ labelSelector: selector, fieldSelector: fields, timeoutSeconds: WATCH_SECONDS },
    };
    const late = AbortSignal.timeout((WATCH_SECONDS + 30) * 1000);
    const signal = AbortSignal.any([closing.signal, late]);
    const response = await kube.stream(path, { query, signal });
    turn(true);
    let version = from;
    try {
      for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
        const { type, object } = JSON.parse(line) as WatchEvent;
        if (type === 'ERROR') throw new KubeError(object.message ?? 'the watch was ended', errorOf(object));
        version = object.metadata.resourceVersion;
        if (type === 'DELETED') {
          const before = entries.get(keyOf(object));
          if (before !== undefined && !isNewer(before.version, version)) drop(keyOf(object));
        } else if (type !== 'BOOKMARK') put(object);
      }
    } finally {
      response.destroy();
    }
    return version;
  }

  async function follow(started: { yes(): void; no(error: unknown): void }): Promise<void> {
    let wait = FIRST_WAIT_MS;
    let version: string | undefined;
    while (!closing.signal.aborted) {
      try {
        version ??= await list();
        turn(true);
        started.yes();
        version = await watch(version);
        wait = FIRST_WAIT_MS;
      } catch (error) {
        if (closing.signal.aborted) break;
        // It answers that what it was asked for is too old, or asked wrongly: then from the beginning.
        if (statusOf(error) !== undefined) version = undefined;
        if (statusOf(error) !== 410) turn(false, (error as Error).message);
        started.no(error);
        await sleep(wait, undefined, { signal: closing.signal }).catch(() => {});
        wait = Math.min(wait * 2, LONGEST_WAIT_MS);
      }
    }
  }

  const ready = new Promise<void>((resolve, reject) => void follow({ yes: resolve, no: reject }));
  ready.catch(() => {});
  return {
    ready,
    up: () => isUp,
    get: (key) => entries.get(key)?.value,
    *all() {
      for (const { value } of entries.values()) yield value;
    },
    put,
    close: () => closing.abort(),
  };
}

interface ObjectList {
  metadata: { resourceVersion: string; continue?: string };
  items: KubeObject[];
}
interface WatchEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: KubeObject & { message?: string; code?: number; reason?: string };
}

const errorOf = ({ code, reason }: WatchEvent['object']) => ({
  ...(code !== undefined && { status: code }),
  ...(reason !== undefined && { reason }),
});

/** Versions are numbers that grow, of all objects together; what is no number is taken for newer. */
export function isNewer(version: string, than: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return version !== than;
  return version.length === than.length ? version > than : version.length > than.length;
}
