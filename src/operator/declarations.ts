/** From what a commit declares to what each known resource is told: deletion is guarded, invalid is never deleted. Pure. */
import { formatDiagnostic } from '../manifest/diagnostic.ts';
import type { Declared, Diagnostic, Oid, Resource, ResourceId } from '../manifest/resource.ts';
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
 * `look`: those that are told; all that the commit changes must be among them, and all that are known and not in it.
 */
export function tell(
  declared: Declared,
  known: ReadonlyMap<ResourceId, KnownResource>,
  commitOf: (id: ResourceId) => Oid,
  before: ReadonlyMap<ResourceId, Told> = new Map(),
  look: Iterable<ResourceId> = new Set([...declared.resources.keys(), ...declared.invalid, ...known.keys()]),
): Map<ResourceId, Told> {
  const told = new Map<ResourceId, Told>();
  const errors = errorsOf(declared);
  const deleted: ResourceId[] = [];
  for (const id of look) {
    const resource = declared.resources.get(id);
    const was = known.get(id);
    if (resource !== undefined) told.set(id, declaredAs(resource, before.get(id), commitOf));
    else if (declared.invalid.has(id)) told.set(id, goesOn(declared, was, errors.of(id)));
    else if (was?.file !== undefined && declared.unreadable.has(was.file))
      told.set(id, goesOn(declared, was, errors.in(was.file)));
    else if (was !== undefined && mayBeIn(declared.unreadable, was))
      told.set(id, goesOn(declared, was, untold(declared, errors)));
    else if (was !== undefined) deleted.push(id);
  }
  const guarded = needsConfirmation(deleted, known, declared);
  for (const id of deleted) told.set(id, deletionOf(declared, known.get(id), guarded));
  return told;
}

/** Which file declared it is not known, so it may be one that cannot be read: that is no deletion. */
export const mayBeIn = (unreadable: ReadonlySet<string>, { file, deletion }: KnownResource): boolean =>
  unreadable.size > 0 && file === undefined && deletion === undefined;

function untold({ unreadable }: Declared, errors: Errors): string {
  const [file = ''] = unreadable;
  const others = unreadable.size > 1 ? ` (and ${unreadable.size - 1} more files)` : '';
  return `whether it was deleted cannot be told while a manifest cannot be read: ${errors.in(file)}${others}`;
}

function declaredAs(resource: Resource, said: Told | undefined, commitOf: (id: ResourceId) => Oid): Told {
  if (said?.declaration?.resource === resource && said.now.valid) return said;
  const commit = commitOf(resource.id);
  return {
    commit,
    declaration: { resource, commit, deletionConfirmed: false },
    now: { valid: true, ...aimOf(resource) },
  };
}

/** What should run, and how soon; of a cluster, under the name that people know it by. */
const aimOf = ({ revision, spec }: Resource): Omit<DeclaredNow, 'valid'> => ({
  revision,
  progressDeadlineSeconds: spec.progressDeadlineSeconds,
  ...(spec.kind === 'Cluster' && { version: spec.version }),
});

function goesOn(declared: Declared, before: KnownResource | undefined, errors: string): Told {
  const now: DeclaredNow = { valid: false, errors };
  if (before?.resource === undefined || before.commit === undefined)
    return { commit: declared.commit, now: { ...now, stands: true } };
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
  let before = 0;
  for (const { deletion } of known.values()) {
    if (deletion === undefined) before++;
    if (before >= fresh.length * 2) break;
  }
  if (fresh.length * 2 > before) return true;
  const kinds = new Set(fresh.map((id) => known.get(id)?.kind));
  for (const ids of [declared.invalid, declared.resources.keys()])
    for (const id of ids) {
      kinds.delete(id.slice(0, id.indexOf('/')));
      if (kinds.size === 0) return false;
    }
  return true;
}

function confirmed(declared: Declared, commit: Oid): boolean {
  return [...declared.operations.values()].some(
    (operation) =>
      operation.action === 'confirmDeletion' && operation.commit !== undefined && commit.startsWith(operation.commit),
  );
}

interface Errors {
  of(id: ResourceId): string;
  in(file: string): string;
}

/** The diagnostics are looked through once, and only where one is asked for. */
function errorsOf({ diagnostics }: Declared): Errors {
  let index: Record<'resources' | 'files', Map<string, Diagnostic[]>> | undefined;
  const found = () => {
    index ??= {
      resources: groupBy(diagnostics, ({ resource }) => resource ?? ''),
      files: groupBy(diagnostics, ({ place }) => place.file),
    };
    return index;
  };
  return { of: (id) => firstOf(found().resources.get(id)), in: (file) => firstOf(found().files.get(file)) };
}

function groupBy(diagnostics: readonly Diagnostic[], keyOf: (diagnostic: Diagnostic) => string) {
  const groups = new Map<string, Diagnostic[]>();
  for (const diagnostic of diagnostics) {
    const key = keyOf(diagnostic);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [diagnostic]);
    else group.push(diagnostic);
  }
  return groups;
}

function firstOf(diagnostics: readonly Diagnostic[] = []): string {
  const errors = diagnostics.filter((diagnostic) => diagnostic.severity === 'error');
  const [first] = errors;
  if (first === undefined) return 'it cannot be read';
  return `${formatDiagnostic(first)}${errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''}`;
}
