/** The status branch: what it says, and what to write to it. Decides file changes; somebody else commits and pushes them. */
import { createHash } from 'node:crypto';
import type { Objects, TreeEntry } from '../git/types.ts';
import type { Oid, ResourceId } from '../manifest/resource.ts';
import type { Instant } from '../plan/live.ts';
import type { State } from '../rollout/state.ts';
import { writeBlock } from './block.ts';
import { fromDocument, type StatusDocument } from './document.ts';
import { type Head, type Held, LISTED_RESOURCES, overview } from './markdown.ts';
import { type Change, commitMessage, headOfMessage, heldOfMessage } from './message.ts';
import { OVERVIEW_PATH, resourceOfStatusPath, STATUS_FOLDER, statusPath } from './names.ts';
import { Ranking } from './ranking.ts';
import type { RolloutDocument } from './rollout.ts';
import { type Summary, summaryOf } from './summary.ts';
import { StatusFileError, toText } from './text.ts';
import { type UnitsDocument, unitsFromDocument, unitsToDocument } from './units.ts';
import { fromText, type Texts } from './yaml.ts';

/** What of the Git layer reading needs. */
export type StatusObjects = Pick<Objects, 'commit' | 'tree' | 'blobs'>;

/** A file that cannot be used is an `error`: its resource is unknown, all others are as good as before. */
export type ReadStatus = { state: State; document: StatusDocument } | { error: StatusFileError };

export interface StatusBranch {
  tip: Oid;
  /** When the tip was committed. */
  at: Instant;
  /** The head of the config branch that it speaks of; absent: the tip is not Sluice's. */
  head?: Oid;
  held?: Held;
  resources: Map<ResourceId, ReadStatus>;
}

/** Throws only what `objects` throws. */
export async function readStatus(objects: StatusObjects, tip: Oid): Promise<StatusBranch> {
  return (await readBranch(objects, tip)).branch;
}

async function readBranch(
  objects: StatusObjects,
  tip: Oid,
): Promise<{ branch: StatusBranch; oids: Map<ResourceId, Oid> }> {
  const { tree, at, message } = await objects.commit(tip);
  const head = headOfMessage(message);
  const held = heldOfMessage(message);
  const branch: StatusBranch = { tip, at, ...(head && { head }), ...(held && { held }), resources: new Map() };
  const oids = new Map<ResourceId, Oid>();
  const byOid = new Map<Oid, ResourceId[]>();
  for (const { id, entry } of await statusEntries(objects, tree)) {
    oids.set(id, entry.oid);
    if (entry.mode === 'file' || entry.mode === 'executable') {
      byOid.set(entry.oid, [...(byOid.get(entry.oid) ?? []), id]);
    } else {
      branch.resources.set(id, {
        error: new StatusFileError(statusPath(id), '', `is a ${entry.mode}, expected a file`),
      });
    }
  }
  const texts: Texts = new Map();
  await objects.blobs([...byOid.keys()], (oid, content) => {
    for (const id of byOid.get(oid) ?? []) branch.resources.set(id, readOne(id, content, texts));
  });
  return { branch, oids };
}

/** The files of `status/<kind>/`; whatever else lies there is not looked at. */
async function statusEntries(objects: StatusObjects, root: Oid): Promise<{ id: ResourceId; entry: TreeEntry }[]> {
  const found: { id: ResourceId; entry: TreeEntry }[] = [];
  const folder = (await objects.tree(root)).find(({ name, mode }) => name === STATUS_FOLDER && mode === 'tree');
  if (folder === undefined) return found;
  for (const kind of await objects.tree(folder.oid)) {
    if (kind.mode !== 'tree') continue;
    for (const entry of await objects.tree(kind.oid)) {
      const id = resourceOfStatusPath(`${STATUS_FOLDER}/${kind.name}/${entry.name}`);
      if (id !== undefined) found.push({ id, entry });
    }
  }
  return found;
}

function readOne(id: ResourceId, content: Buffer, texts: Texts): ReadStatus {
  try {
    const document = fromText(id, content, texts);
    return { state: fromDocument(document), document };
  } catch (error) {
    if (error instanceof StatusFileError) return { error };
    throw error;
  }
}

/** `document` undefined: the resource is gone, its file goes. */
export interface StatusChange {
  id: ResourceId;
  document: StatusDocument | undefined;
}

export interface StatusWrite {
  /** Path → content; null deletes. STATUS.md among them. */
  files: Map<string, Buffer | null>;
  message: string;
  /** To be called once these files are committed; until then `prepare` gives them again. */
  committed(): void;
}

interface Written {
  /** Of the file without what is not worth a commit. */
  digest: string;
  summary: Summary | undefined;
}

/**
 * Knows what stands on the branch, so that nothing is written that stands there already. It holds for as long as only
 * its own writes are committed: on any other tip, open another one.
 */
export class StatusStore {
  readonly #written = new Map<ResourceId, Written>();
  readonly #ranking = new Ranking();
  #head: Oid | undefined;
  #held: string | undefined;

  /** For a branch as it was read; without one, for a branch that does not exist yet. */
  static async open(
    objects: StatusObjects,
    tip: Oid | undefined,
  ): Promise<{ store: StatusStore; branch: StatusBranch | undefined }> {
    const store = new StatusStore();
    if (tip === undefined) return { store, branch: undefined };
    const { branch, oids } = await readBranch(objects, tip);
    for (const [id, read] of branch.resources) store.#remember(id, read, oids.get(id) ?? '');
    store.#head = branch.head;
    store.#held = branch.held?.commit;
    return { store, branch };
  }

  #remember(id: ResourceId, read: ReadStatus, oid: Oid): void {
    if ('error' in read) {
      this.#written.set(id, { digest: oid, summary: undefined });
      return;
    }
    const summary = summaryOf(read.document);
    const digest = loudDigest(read.document) ?? oid;
    this.#written.set(id, { digest, summary });
    this.#ranking.set(id, summary);
  }

  /** Undefined: nothing that is worth a commit has changed since the last one, nor has the head or what is held. */
  prepare(changes: StatusChange[], head: Head): StatusWrite | undefined {
    const files = new Map<string, Buffer | null>();
    const told: Change[] = [];
    const written: [ResourceId, Written | undefined][] = [];
    for (const { id, document } of changes) {
      const before = this.#written.get(id);
      const next = document === undefined ? undefined : this.#next(id, document, before, files);
      if (document === undefined && before !== undefined) files.set(statusPath(id), null);
      if (!files.has(statusPath(id))) continue;
      this.#ranking.set(id, next?.summary);
      told.push({ id, before: before?.summary, after: next?.summary });
      written.push([id, next]);
    }
    if (files.size === 0 && head.commit === this.#head && head.held?.commit === this.#held) return undefined;
    files.set(
      OVERVIEW_PATH,
      Buffer.from(overview(head, this.#ranking.counts(), this.#ranking.first(LISTED_RESOURCES))),
    );
    return {
      files,
      message: commitMessage(told, head.commit, head.held),
      committed: () => this.#committed(written, head),
    };
  }

  /** Undefined: it stands there as it is. */
  #next(
    id: ResourceId,
    document: StatusDocument,
    before: Written | undefined,
    files: Map<string, Buffer | null>,
  ): Written | undefined {
    const content = Buffer.from(toText(document));
    const digest = loudDigest(document) ?? blobOid(content);
    if (digest === before?.digest) return undefined;
    files.set(statusPath(id), content);
    return { digest, summary: summaryOf(document) };
  }

  #committed(written: [ResourceId, Written | undefined][], { commit, held }: Head): void {
    for (const [id, next] of written) {
      if (next === undefined) this.#written.delete(id);
      else this.#written.set(id, next);
    }
    this.#head = commit;
    this.#held = held?.commit;
  }
}

/**
 * A check that is asked every few seconds moves only its times: they are written along, never alone. Undefined: there are
 * none, and the bytes say it all.
 */
function loudDigest(document: StatusDocument): string | undefined {
  const { rollout } = document;
  const verifies = rollout?.units?.records.some(({ checks }) => checks?.askedAt !== undefined);
  if (rollout === undefined || (rollout.checks === undefined && !verifies)) return undefined;
  const loud = {
    ...rollout,
    ...(rollout.checks !== undefined && { checks: quietChecks(rollout.checks) }),
    ...(rollout.units !== undefined && { units: quietUnits(rollout.units) }),
  };
  return blobOid(Buffer.from(writeBlock({ ...document, rollout: loud })));
}

function quietChecks({ askedAt: _, passedAt, ...checks }: NonNullable<RolloutDocument['checks']>) {
  return { ...checks, passed: passedAt !== undefined };
}

/** Units that differ only in when they were asked stand together, as they would without. */
function quietUnits(units: UnitsDocument): UnitsDocument {
  const { ids, records } = unitsFromDocument(units);
  const quiet = records.map((record) => {
    const { askedAt: _, ...checks } = record.checks;
    return { ...record, checks };
  });
  return unitsToDocument({ ids, records: quiet });
}

/** The id that Git gives these bytes. */
function blobOid(content: Buffer): Oid {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}
