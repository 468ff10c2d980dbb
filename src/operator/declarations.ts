/** From what a commit declares to what each known resource is told: deletion is guarded, invalid is never deleted. Pure. */
import { formatDiagnostic } from '../manifest/diagnostic.ts';
import type { Declared, Oid, Resource, ResourceId } from '../manifest/resource.ts';
import type { Declaration } from '../rollout/decision.ts';
import type { DeclaredNow } from '../status/health.ts';

/** What is known of a resource before the commit. */
export interface KnownResource {
  /** The file that declared it; absent: only its status is known. */
  file?: string;
  kind: string;
  /** Of the last valid declaration; `commit` is where it came from. */
  digest?: string;
  resource?: Resource;
  commit?: Oid;
  /** Its deletion is under way or waits already. */
  deletion?: { commit: Oid; confirmed: boolean };
}

export interface Told {
  /** The newest commit that changed what is said of it. */
  commit: Oid;
  /** Absent: nothing valid was ever declared. */
  declaration?: Declaration;
  now: DeclaredNow;
}

/**
 * `commitOf`: the newest commit that changed the inputs of a resource; `deletedBy`: the one that deleted it.
 * What is as it was told `before` is the same object as there.
 * More than half of what was there, or the last of a kind, is only deleted when an operation names the commit.
 */
export function tell(
  declared: Declared,
  known: ReadonlyMap<ResourceId, KnownResource>,
  commitOf: (id: ResourceId) => Oid,
  before: ReadonlyMap<ResourceId, Told> = new Map(),
): Map<ResourceId, Told> {
  const told = new Map<ResourceId, Told>();
  for (const [id, resource] of declared.resources) {
    const said = before.get(id);
    if (said?.declaration?.resource === resource && said.now.valid) {
      told.set(id, said);
      continue;
    }
    const commit = commitOf(id);
    told.set(id, {
      commit,
      declaration: { resource, commit, deletionConfirmed: false },
      now: { valid: true, ...aimOf(resource) },
    });
  }
  for (const id of declared.invalid) told.set(id, goesOn(declared, known.get(id), errorsOf(declared, id)));
  const deleted: ResourceId[] = [];
  for (const [id, before] of known) {
    if (told.has(id)) continue;
    if (before.file !== undefined && declared.unreadable.has(before.file)) {
      told.set(id, goesOn(declared, before, errorsIn(declared, before.file)));
    } else {
      deleted.push(id);
    }
  }
  const guarded = needsConfirmation(deleted, known, declared);
  for (const id of deleted) told.set(id, deletionOf(declared, known.get(id), guarded));
  return told;
}

/** What should run; of a cluster, under the name that people know it by. */
const aimOf = ({ revision, spec }: Resource): Pick<DeclaredNow, 'revision' | 'version'> => ({
  revision,
  ...(spec.kind === 'Cluster' && { version: spec.version }),
});

function goesOn(declared: Declared, before: KnownResource | undefined, errors: string): Told {
  const now: DeclaredNow = { valid: false, errors };
  if (before?.resource === undefined || before.commit === undefined) return { commit: declared.commit, now };
  const { resource, commit } = before;
  return {
    commit,
    declaration: { resource, commit, deletionConfirmed: false },
    now: { ...now, ...aimOf(resource) },
  };
}

function deletionOf(declared: Declared, before: KnownResource | undefined, guarded: boolean): Told {
  const commit = before?.deletion?.commit ?? declared.commit;
  const waits = before?.deletion === undefined ? guarded : !before.deletion.confirmed;
  return {
    commit,
    declaration: { commit, deletionConfirmed: !waits || confirmed(declared, commit) },
    now: { valid: true },
  };
}

/** Deletions that are under way already count neither as deleted now nor as there before. */
function needsConfirmation(
  deleted: ResourceId[],
  known: ReadonlyMap<ResourceId, KnownResource>,
  declared: Declared,
): boolean {
  const fresh = deleted.filter((id) => known.get(id)?.deletion === undefined);
  if (fresh.length === 0) return false;
  const before = [...known].filter(([, resource]) => resource.deletion === undefined);
  if (fresh.length * 2 > before.length) return true;
  const left = new Set([...declared.resources.keys(), ...declared.invalid].map((id) => id.split('/')[0]));
  return fresh.some((id) => !left.has(known.get(id)?.kind));
}

function confirmed(declared: Declared, commit: Oid): boolean {
  return [...declared.operations.values()].some(
    (operation) =>
      operation.action === 'confirmDeletion' && operation.commit !== undefined && commit.startsWith(operation.commit),
  );
}

function errorsOf(declared: Declared, id: ResourceId): string {
  return firstOf(declared.diagnostics.filter((diagnostic) => diagnostic.resource === id));
}

function errorsIn(declared: Declared, file: string): string {
  return firstOf(declared.diagnostics.filter((diagnostic) => diagnostic.place.file === file));
}

function firstOf(diagnostics: Declared['diagnostics']): string {
  const errors = diagnostics.filter((diagnostic) => diagnostic.severity === 'error');
  const [first] = errors;
  if (first === undefined) return 'it cannot be read';
  return `${formatDiagnostic(first)}${errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''}`;
}
