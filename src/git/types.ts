/** The ports of the Git layer: what the rest of Sluice may ask of a repository. */
import type { Oid } from '../manifest/resource.ts';

/** One ref to move by compare-and-swap. `old`: what it must hold now (undefined: it must not exist); `new` undefined deletes. */
export interface RefUpdate {
  ref: string;
  old: Oid | undefined;
  new: Oid | undefined;
}

/** How one remote is reached. Two implementations (isomorphic-git in process; the `git` program), one test suite. */
export interface Transport {
  /** The remote's value of one full ref name, in one round trip; undefined when it has none. */
  head(ref: string, signal: AbortSignal): Promise<Oid | undefined>;
  /** All remote refs below the prefixes. */
  refs(prefixes: string[], signal: AbortSignal): Promise<Map<string, Oid>>;
  /** Brings the history of `ref` into the clone; returns the tip whose tree was checked to be readable. Writes no local ref. */
  fetch(ref: string, signal: AbortSignal): Promise<Oid | undefined>;
  /** Moves all refs or none, never by force: throws `PushRejected` when any `old` no longer holds. */
  push(updates: RefUpdate[], signal: AbortSignal): Promise<void>;
}

export interface TreeEntry {
  name: string;
  mode: 'tree' | 'file' | 'executable' | 'link' | 'submodule';
  oid: Oid;
}
export interface Person {
  name: string;
  email: string;
}
export interface CommitData {
  tree: Oid;
  parents: Oid[];
  message: string;
  author: Person;
  /** Milliseconds since the epoch. */
  at: number;
}

/** The operator's own clone: objects by id. */
export interface Objects {
  tree(oid: Oid): Promise<TreeEntry[]>;
  blob(oid: Oid): Promise<Buffer>;
  /** Many blobs at once; through `git cat-file --batch` where there is one. Calls back in any order. */
  blobs(oids: Oid[], each: (oid: Oid, content: Buffer) => void): Promise<void>;
  commit(oid: Oid): Promise<CommitData>;
  writeBlob(content: Buffer): Promise<Oid>;
  writeTree(entries: TreeEntry[]): Promise<Oid>;
  writeCommit(commit: CommitData): Promise<Oid>;
  /** An annotated tag object; no ref is written. */
  writeTag(tag: { name: string; object: Oid; message: string; tagger: Person; at: number }): Promise<Oid>;
}

export interface PathChange {
  path: string;
  before?: TreeEntry;
  after?: TreeEntry;
}
