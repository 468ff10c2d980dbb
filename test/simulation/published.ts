/** What the status branch says, as anybody can read it: kept up with each push. */
import { parseCommit, parseTree } from '../../src/git/object-format.ts';
import type { Oid, ResourceId } from '../../src/manifest/resource.ts';
import type { Units } from '../../src/rollout/state.ts';
import { readBlock } from '../../src/status/block.ts';
import type { StatusDocument } from '../../src/status/document.ts';
import { headOfMessage } from '../../src/status/message.ts';
import { resourceOfStatusPath, STATUS_REF } from '../../src/status/names.ts';
import { unitsFromDocument } from '../../src/status/units.ts';
import { fromText } from '../../src/status/yaml.ts';
import type { RefMove, Remote } from './git.ts';
import type { Process } from './process.ts';

/** A status file as it was read; `units` unfolded. */
export type Told = Omit<StatusDocument, 'rollout'> & {
  rollout?: Omit<NonNullable<StatusDocument['rollout']>, 'units'> & { units?: Units };
};

export interface Push {
  by: Process | undefined;
  moves: readonly RefMove[];
  /** The status files that differ from those before, as they are now; undefined: gone, or not readable. */
  changed: ReadonlyMap<ResourceId, Told | undefined>;
  before: ReadonlyMap<ResourceId, Told>;
}

export interface Published {
  get(id: ResourceId): Told | undefined;
  all(): ReadonlyMap<ResourceId, Told>;
  /** The tip is one that an operator wrote. */
  genuine(): boolean;
  /** After each push of anybody. */
  watch(call: (push: Push) => void): void;
}

export function watchStatus(remote: Remote): Published {
  let told = new Map<ResourceId, Told>();
  let blobs = new Map<ResourceId, Oid>();
  let genuine = true;
  const watchers: ((push: Push) => void)[] = [];

  function files(tip: Oid | undefined): Map<ResourceId, Oid> {
    const found = new Map<ResourceId, Oid>();
    const commit = tip === undefined ? undefined : remote.objects.get(tip);
    if (tip === undefined || commit === undefined) return found;
    const { tree, message } = parseCommit(tip, commit.content);
    genuine = headOfMessage(message) !== undefined;
    const entries = (oid: Oid) => parseTree(oid, remote.objects.get(oid)?.content ?? Buffer.alloc(0));
    const folder = entries(tree).find(({ name }) => name === 'status');
    for (const kind of folder === undefined ? [] : entries(folder.oid)) {
      for (const { name, oid } of entries(kind.oid)) {
        const id = resourceOfStatusPath(`status/${kind.name}/${name}`);
        if (id !== undefined) found.set(id, oid);
      }
    }
    return found;
  }

  function read(id: ResourceId, oid: Oid): Told | undefined {
    try {
      const text = remote.objects.get(oid)?.content ?? Buffer.alloc(0);
      // What Sluice wrote itself is read without validation, which takes longest.
      const own = genuine ? (readBlock(text.toString()) as StatusDocument | undefined) : undefined;
      const { rollout, ...document } = own ?? fromText(id, text);
      if (rollout === undefined) return document;
      const { units, ...rest } = rollout;
      return { ...document, rollout: { ...rest, ...(units !== undefined && { units: unitsFromDocument(units) }) } };
    } catch {
      return undefined;
    }
  }

  remote.moved = (moves, by) => {
    const changed = new Map<ResourceId, Told | undefined>();
    const before = told;
    if (moves.some(({ ref }) => ref === STATUS_REF)) {
      const now = files(remote.refs.get(STATUS_REF));
      told = new Map(before);
      for (const id of blobs.keys()) {
        if (now.has(id)) continue;
        changed.set(id, undefined);
        told.delete(id);
      }
      for (const [id, oid] of now) {
        if (blobs.get(id) === oid) continue;
        const document = read(id, oid);
        changed.set(id, document);
        if (document === undefined) told.delete(id);
        else told.set(id, document);
      }
      blobs = now;
    }
    for (const call of watchers) call({ by, moves, changed, before });
  };

  return {
    get: (id) => told.get(id),
    all: () => told,
    genuine: () => genuine,
    watch: (call) => void watchers.push(call),
  };
}
