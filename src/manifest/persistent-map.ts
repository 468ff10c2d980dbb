/**
 * A map that never changes: an edit of it is another map, which shares with it all that is the same. To edit it, and to find what
 * it and its edit differ in, costs with the edits: they lie over a map that many of them share, and are put into one like it only
 * when they have become a good part of it.
 */

/** Over a shared map lies at most such a part of it, or so many entries. */
const PART = 32;
const FEW = 64;

/** No value in it is undefined. */
export class PersistentMap<K extends string, V> implements ReadonlyMap<K, V> {
  readonly size: number;
  readonly #shared: ReadonlyMap<K, V>;
  /** What is different from `shared`; undefined: it is not there. */
  readonly #edits: ReadonlyMap<K, V | undefined>;

  /** For `MapEdit` alone; what begins empty begins with `empty`. */
  constructor(shared: ReadonlyMap<K, V>, edits: ReadonlyMap<K, V | undefined>, size: number) {
    this.#shared = shared;
    this.#edits = edits;
    this.size = size;
  }

  get(key: K): V | undefined {
    return this.#edits.size > 0 && this.#edits.has(key) ? this.#edits.get(key) : this.#shared.get(key);
  }

  has(key: K): boolean {
    return this.get(key) !== undefined;
  }

  /** Of a map without edits that of the shared one: a generator more takes as long again, for each entry of a first commit. */
  entries(): MapIterator<[K, V]> {
    return this.#edits.size === 0 ? this.#shared.entries() : this.#edited();
  }

  *#edited(): MapIterator<[K, V]> {
    for (const entry of this.#shared) if (!this.#edits.has(entry[0])) yield entry;
    for (const [key, value] of this.#edits) if (value !== undefined) yield [key, value];
  }

  *keys(): MapIterator<K> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }

  forEach(each: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) each(value, key, this);
  }

  edit(): MapEdit<K, V> {
    return new MapEdit(this, this.#shared, this.#edits);
  }

  static *changes<K extends string, V>(a: PersistentMap<K, V>, b: PersistentMap<K, V>): Generator<Change<K, V>> {
    if (a === b) return;
    if (a.#shared !== b.#shared) return yield* differences(a, b);
    for (const key of new Set([...a.#edits.keys(), ...b.#edits.keys()])) {
      const [before, after] = [a.get(key), b.get(key)];
      if (before !== after) yield { key, before, after };
    }
  }
}

/** Of one map; of no more use once `done` was called. */
export class MapEdit<K extends string, V> {
  readonly #from: PersistentMap<K, V>;
  readonly #shared: ReadonlyMap<K, V>;
  readonly #before: ReadonlyMap<K, V | undefined>;
  /** A whole map of its own: of one that was empty, or edited so much that there is nothing left to share. */
  #whole: Map<K, V> | undefined;
  #edits: Map<K, V | undefined> | undefined;
  #size: number;

  constructor(from: PersistentMap<K, V>, shared: ReadonlyMap<K, V>, edits: ReadonlyMap<K, V | undefined>) {
    this.#from = from;
    this.#shared = shared;
    this.#before = edits;
    this.#size = from.size;
  }

  get(key: K): V | undefined {
    if (this.#whole !== undefined) return this.#whole.get(key);
    return this.#edits?.has(key) === true ? this.#edits.get(key) : this.#from.get(key);
  }

  /** The same value again is no change. */
  set(key: K, value: V): void {
    if (this.#whole !== undefined) {
      this.#whole.set(key, value);
      return;
    }
    const before = this.get(key);
    if (before === value) return;
    if (before === undefined) this.#size++;
    this.#put(key, value);
  }

  delete(key: K): void {
    if (this.#whole !== undefined) this.#whole.delete(key);
    else if (this.get(key) !== undefined) {
      this.#size--;
      this.#put(key, undefined);
    }
  }

  /** The map that it began with, where nothing was changed. */
  done(): PersistentMap<K, V> {
    if (this.#whole !== undefined) return new PersistentMap(this.#whole, NONE, this.#whole.size);
    return this.#edits === undefined ? this.#from : new PersistentMap(this.#shared, this.#edits, this.#size);
  }

  #put(key: K, value: V | undefined): void {
    // Nothing is deleted from a map that is empty.
    if (this.#shared.size === 0 && value !== undefined) {
      this.#whole = new Map([[key, value]]);
      return;
    }
    this.#edits ??= new Map(this.#before);
    this.#edits.set(key, value);
    if (this.#edits.size > Math.max(FEW, this.#shared.size / PART)) this.#merge();
  }

  #merge(): void {
    this.#whole = new Map(this.#shared);
    for (const [key, value] of this.#edits ?? []) {
      if (value === undefined) this.#whole.delete(key);
      else this.#whole.set(key, value);
    }
  }
}

const NONE = new Map<never, never>();
const EMPTY = new PersistentMap<never, never>(NONE, NONE, 0);

export const empty = <K extends string, V>(): PersistentMap<K, V> => EMPTY as PersistentMap<K, V>;

export function fromEntries<K extends string, V>(entries: Iterable<readonly [K, V]>): PersistentMap<K, V> {
  const edit = empty<K, V>().edit();
  for (const [key, value] of entries) edit.set(key, value);
  return edit.done();
}

/** What only one of two maps has, or has otherwise. */
export interface Change<K, V> {
  key: K;
  before: V | undefined;
  after: V | undefined;
}

/** Quick for a map and what an edit made of it. */
export function changesOf<K extends string, V>(
  before: ReadonlyMap<K, V>,
  after: ReadonlyMap<K, V>,
): Generator<Change<K, V>> {
  if (before instanceof PersistentMap && after instanceof PersistentMap) return PersistentMap.changes(before, after);
  return differences(before, after);
}

export function* changedKeys<K extends string, V>(before: ReadonlyMap<K, V>, after: ReadonlyMap<K, V>): Generator<K> {
  for (const { key } of changesOf(before, after)) yield key;
}

function* differences<K, V>(before: ReadonlyMap<K, V>, after: ReadonlyMap<K, V>): Generator<Change<K, V>> {
  for (const [key, is] of after) {
    const was = before.size === 0 ? undefined : before.get(key);
    if (was !== is) yield { key, before: was, after: is };
  }
  for (const [key, was] of before) if (!after.has(key)) yield { key, before: was, after: undefined };
}
