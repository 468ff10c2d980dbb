/**
 * What a commit's files hold → what it declares: references resolved, duplicates refused, revisions made. Nothing is looked at
 * that has nothing to do with what is different from the commit before: the work grows with the change, not with the repository.
 */
import { type Documents, type Entry, ofHosts, placeOf, single } from './documents.ts';
import { sortedDiagnostics, updateFindings } from './findings.ts';
import type { ImageTree } from './image.ts';
import type { ResourceDocument } from './parsed.ts';
import { changedKeys, changesOf, empty, type MapEdit, type PersistentMap } from './persistent-map.ts';
import { type ResolvedInstances, resolveInstances } from './resolve-instances.ts';
import { imageSources, type Made, makeResource, type Names, type Sources, sameSources } from './resolve-resource.ts';
import type { Declared, Diagnostic, Operation, Resource, ResourceId } from './resource.ts';
import type { ScriptFile } from './script-file.ts';
import { type FileChange, manifestChanges, NOTHING_SURVEYED, type Survey } from './survey.ts';
import type { Target } from './target.ts';

/** All that a commit declares but its id (in no certain order), and what the next `resolve` takes over. */
export interface Resolved extends Omit<Declared, 'commit'> {
  memo: Memo;
}

/** Maps in which `changedKeys` finds what the next commit changes. */
export interface Memo {
  survey: Survey;
  images: ReadonlyMap<string, ImageTree>;
  scripts: ReadonlyMap<string, ScriptFile>;
  /** Of each id that is declared once and valid by itself. */
  made: PersistentMap<ResourceId, Made>;
  /** Those of which none is made, for want of what they name. */
  wanting: ReadonlySet<ResourceId>;
  /** Those that were made, by host at the router: more than one for a host are none of them valid. */
  hosts: PersistentMap<string, readonly ResourceId[]>;
  instances: ResolvedInstances;
  /** By where they come from. */
  findings: PersistentMap<string, readonly Diagnostic[]>;
}

const NO_INSTANCES: ResolvedInstances = {
  instances: new Map(),
  invalidInstances: new Set(),
  hostTargets: new Map(),
  diagnostics: [],
};

const NOTHING: Resolved = {
  resources: empty<ResourceId, Resource>(),
  operations: empty<string, Operation>(),
  targets: targetsOf(NOTHING_SURVEYED),
  hostTargets: new Map(),
  targetNames: new Set(),
  diagnostics: [],
  invalid: new Set(),
  unreadable: new Set(),
  memo: {
    survey: NOTHING_SURVEYED,
    images: new Map(),
    scripts: new Map(),
    made: empty(),
    wanting: new Set(),
    hosts: empty(),
    instances: NO_INSTANCES,
    findings: empty(),
  },
};

/**
 * `images`: what is at each of `survey.images`; absent where there is nothing; `scripts`: the same for `survey.scripts`. The
 * survey must be made from that of `previous`, which is left as it is. A resource whose document, ConfigMaps, images and target
 * are those of `previous` is the same object as there, and so are collections that are not different.
 */
export function resolve(
  previous: Resolved = NOTHING,
  survey: Survey,
  images: ReadonlyMap<string, ImageTree>,
  scripts: ReadonlyMap<string, ScriptFile> = new Map(),
): Resolved {
  const before = previous.memo;
  const files = [...manifestChanges(before.survey, survey)];
  const looked = remake(before, new Set(affected(previous, survey, images)), survey, images);
  const made = madeOf(before, looked);
  const hosts = updateHosts(before, looked);
  const validity = new Map<ResourceId, boolean>();
  const resources = (previous.resources as PersistentMap<ResourceId, Resource>).edit();
  for (const id of withNeighbours(before, looked, hosts)) {
    const resource = (looked.get(id)?.after ?? made.get(id))?.resource;
    const isAlone = resource !== undefined && hosts.get(resource.spec.host)?.length === 1;
    if (isAlone) resources.set(id, resource);
    else resources.delete(id);
    validity.set(id, isAlone || !survey.documents.resources.has(id));
  }
  const instances = instancesOf(before, { survey, images, scripts, hosts }, resources);
  noteInstances(before.instances, instances, resources, validity);
  const memo: Memo = {
    ...{ survey, images, scripts, made, hosts, instances },
    wanting: changedSet(before.wanting, looked, ({ after }) => after !== undefined && after.resource === undefined),
    findings: updateFindings(before, { survey, images, made, hosts, instances }, files, looked),
  };
  return {
    resources: resources.done(),
    operations: operationsOf(previous, survey.documents),
    targets: survey.targets === before.survey.targets ? previous.targets : targetsOf(survey),
    hostTargets: instances.hostTargets,
    targetNames: survey.documents.targets,
    diagnostics: memo.findings === before.findings ? previous.diagnostics : sortedDiagnostics(memo.findings),
    invalid: changedSet(previous.invalid, validity, (isValid) => !isValid),
    unreadable: changedSet(previous.unreadable, byPath(files), ({ after }) => after?.parsed.unreadable === true),
    memo,
  };
}

/** The replicas to look at anew. */
function* affected(
  { memo: before }: Resolved,
  survey: Survey,
  images: ReadonlyMap<string, ImageTree>,
): Generator<ResourceId> {
  const { documents } = survey;
  yield* changedKeys(before.survey.documents.resources, documents.resources);
  if (before.survey === NOTHING_SURVEYED) return;
  if (survey.targets !== before.survey.targets) {
    yield* documents.resources.keys();
    return;
  }
  let isNameChanged = false;
  for (const name of changedKeys(before.survey.documents.configMaps, documents.configMaps)) {
    isNameChanged = true;
    yield* resourcesIn(survey, survey.configMaps.get(name)?.keys());
  }
  for (const directory of changedKeys(before.images, images))
    yield* resourcesIn(survey, survey.images.get(directory)?.keys());
  // An error tells what else there is.
  if (isNameChanged) yield* before.wanting;
}

function* resourcesIn({ files }: Survey, paths: Iterable<string> = []): Generator<ResourceId> {
  for (const path of paths)
    for (const { kind, name } of files.get(path)?.parsed.documents ?? [])
      if (kind === 'Workload' || kind === 'Service') yield `${kind}/${name}`;
}

/** Of each replica that was looked at anew, what it was and what it is; undefined: not declared once and valid by itself. */
export type Looked = ReadonlyMap<ResourceId, { before: Made | undefined; after: Made | undefined }>;

function remake(
  { made }: Memo,
  ids: ReadonlySet<ResourceId>,
  survey: Survey,
  images: ReadonlyMap<string, ImageTree>,
): Looked {
  const looked = new Map<ResourceId, { before: Made | undefined; after: Made | undefined }>();
  const names = namesOf(survey);
  for (const id of ids) {
    const before = made.get(id);
    looked.set(id, { before, after: make(before, survey.documents.resources.get(id), survey, images, names) });
  }
  return looked;
}

function madeOf(before: Memo, looked: Looked): Memo['made'] {
  const made = before.made.edit();
  for (const [id, { after }] of looked) {
    if (after === undefined) made.delete(id);
    else made.set(id, after);
  }
  return made.done();
}

function make(
  before: Made | undefined,
  entries: readonly Entry<ResourceDocument>[] | undefined,
  { documents, targets }: Survey,
  images: ReadonlyMap<string, ImageTree>,
  names: Names,
): Made | undefined {
  const entry = single(entries);
  if (typeof entry !== 'object' || entry.document.declares === undefined) return undefined;
  const { declares } = entry.document;
  const target = targets.get(declares.spec.target);
  const sources: Sources = {
    entry,
    ...(target && { target }),
    configMaps: declares.configMaps.map(({ name }) => single(documents.configMaps.get(name))),
    images: imageSources(declares, target?.target, (directory) => images.get(directory)?.tree),
  };
  // An error also tells what else there is, so it is made anew; a resource depends on its sources only.
  if (before?.resource !== undefined && sameSources(before.sources, sources)) return before;
  return makeResource(sources, (directory) => images.get(directory)?.image.runs, names);
}

/** Sorted, so that an error does not depend on what was there before; and only where there is one. */
function namesOf({ documents, targets }: Survey): Names {
  let configMaps: string[] | undefined;
  return {
    targets: () => [...targets.keys()],
    configMaps() {
      configMaps ??= [...documents.configMaps.keys()].sort();
      return configMaps;
    },
    isOfHosts: (name) => ofHosts(documents.targets.get(name)) !== undefined,
  };
}

function updateHosts(before: Memo, looked: Looked): Memo['hosts'] {
  const hosts = before.hosts.edit();
  for (const [id, { before, after }] of looked) {
    const [was, is] = [before?.resource?.spec.host, after?.resource?.spec.host];
    if (was === is) continue;
    if (was !== undefined) replace(hosts, was, (ids) => ids.filter((other) => other !== id));
    if (is !== undefined) replace(hosts, is, (ids) => [...ids, id].sort());
  }
  return hosts.done();
}

function replace(
  hosts: MapEdit<string, readonly ResourceId[]>,
  host: string,
  change: (ids: readonly ResourceId[]) => ResourceId[],
): void {
  const ids = change(hosts.get(host) ?? []);
  if (ids.length > 0) hosts.set(host, ids);
  else hosts.delete(host);
}

/** And those that share, or shared, a host with one of them. */
function withNeighbours(before: Memo, looked: Looked, hosts: Memo['hosts']): Set<ResourceId> {
  const all = new Set(looked.keys());
  for (const { before: was = [], after: is = [] } of changesOf(before.hosts, hosts))
    if (was.length > 1 || is.length > 1) for (const id of is) all.add(id);
  return all;
}

/** Those of before, where nothing that they are made of is different. */
function instancesOf(
  before: Memo,
  now: Pick<Memo, 'survey' | 'images' | 'scripts' | 'hosts'>,
  resources: MapEdit<ResourceId, Resource>,
): ResolvedInstances {
  const { documents, targets } = now.survey;
  const isSame =
    documents.instances === before.survey.documents.instances &&
    targets === before.survey.targets &&
    (documents.instances.size === 0 ||
      (isEqual(before.images, now.images) && isEqual(before.scripts, now.scripts) && before.hosts === now.hosts));
  if (isSame) return before.instances;
  return resolveInstances(
    {
      ...{ documents, targets, scripts: now.scripts },
      host: (name) => now.hosts.get(name)?.find((id) => resources.get(id) !== undefined),
      image: (directory) => now.images.get(directory),
    },
    before.instances.instances,
  );
}

function isEqual<V>(before: ReadonlyMap<string, V>, after: ReadonlyMap<string, V>): boolean {
  for (const _ of changedKeys(before, after)) return false;
  return true;
}

function noteInstances(
  before: ResolvedInstances,
  now: ResolvedInstances,
  resources: MapEdit<ResourceId, Resource>,
  validity: Map<ResourceId, boolean>,
): void {
  if (before === now) return;
  for (const id of before.instances.keys()) if (!now.instances.has(id)) resources.delete(id);
  for (const [id, resource] of now.instances) resources.set(id, resource);
  for (const id of before.invalidInstances) validity.set(id, true);
  for (const id of now.invalidInstances) validity.set(id, false);
}

function operationsOf(previous: Resolved, documents: Documents): PersistentMap<string, Operation> {
  const operations = (previous.operations as PersistentMap<string, Operation>).edit();
  for (const name of changedKeys(previous.memo.survey.documents.operations, documents.operations)) {
    const entry = single(documents.operations.get(name));
    if (typeof entry === 'object' && entry.document.declares !== undefined)
      operations.set(name, { name, ...entry.document.declares, place: placeOf(entry) });
    else operations.delete(name);
  }
  return operations.done();
}

function targetsOf({ targets }: Survey): Map<string, Target> {
  return new Map([...targets].map(([name, { target }]) => [name, target]));
}

function* byPath(files: readonly FileChange[]): Generator<[string, FileChange]> {
  for (const file of files) yield [file.path, file];
}

/** The same object where nothing is different. */
function changedSet<T, V>(
  before: ReadonlySet<T>,
  looked: Iterable<[T, V]>,
  isIn: (value: V) => boolean,
): ReadonlySet<T> {
  let after: Set<T> | undefined;
  for (const [key, value] of looked) {
    const is = isIn(value);
    if (before.has(key) === is) continue;
    after ??= new Set(before);
    if (is) after.add(key);
    else after.delete(key);
  }
  return after ?? before;
}
