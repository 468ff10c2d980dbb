/** Fleets and clusters of a commit: references resolved, hosts that two of them have refused, revisions made. */
import { hash } from 'node:crypto';
import { quote } from './diagnostic.ts';
import { digest } from './digest.ts';
import { type Documents, type Entry, placeOf, single } from './documents.ts';
import type { ImageTree } from './image.ts';
import { membersOn } from './members.ts';
import { nearest } from './nearest.ts';
import type { InstanceDocument, Position } from './parsed.ts';
import { clusterImage, imageDirectory } from './references.ts';
import type {
  ClusterSpec,
  DeclaredScript,
  Diagnostic,
  FleetSpec,
  Image,
  InstanceResource,
  InstanceResourceId,
  Oid,
  Script,
  ScriptSource,
} from './resource.ts';
import { type ScriptFile, scriptPath, scriptText } from './script-file.ts';
import { sharedBy, sharedDiagnostic } from './shared-hosts.ts';
import type { HostTarget } from './target.ts';
import { imageFolder, type KnownTarget, validHostTargets } from './targets.ts';

/** What a commit holds, to resolve references with. */
export interface Surroundings {
  documents: Documents;
  /** That create what runs on them. */
  targets: ReadonlyMap<string, KnownTarget>;
  /** What else has a host at the router. */
  host(name: string): string | undefined;
  image(directory: string): ImageTree | undefined;
  scripts: ReadonlyMap<string, ScriptFile>;
}

export interface ResolvedInstances {
  instances: Map<InstanceResourceId, InstanceResource>;
  /** Named, but not valid. */
  invalidInstances: Set<InstanceResourceId>;
  hostTargets: Map<string, HostTarget>;
  diagnostics: Diagnostic[];
}

/** A resource that is as in `previous` is the same object. */
export function resolveInstances(
  surroundings: Surroundings,
  previous: ReadonlyMap<InstanceResourceId, InstanceResource>,
): ResolvedInstances {
  const { documents } = surroundings;
  const hostTargets = validHostTargets(documents.targets);
  const diagnostics: Diagnostic[] = [];
  const resolved: ResolvedInstances = {
    instances: new Map(),
    invalidInstances: new Set(),
    hostTargets,
    diagnostics,
  };
  const entries = new Map<InstanceResourceId, Entry<InstanceDocument>>();
  for (const id of [...documents.instances.keys()].sort()) {
    const entry = single(documents.instances.get(id));
    if (entry === 'missing') continue;
    const made = entry === 'invalid' ? undefined : new Maker(id, entry, surroundings, hostTargets, diagnostics).make();
    if (made === undefined || entry === 'invalid') resolved.invalidInstances.add(id);
    else {
      const before = previous.get(id);
      resolved.instances.set(id, before !== undefined && isSame(before, made) ? before : made);
      entries.set(id, entry);
    }
  }
  for (const { ids, ...shared } of sharedBy({ ...resolved, targets: surroundings.targets }, surroundings.host))
    for (const id of ids) {
      diagnostics.push(sharedDiagnostic(id, shared, entries.get(id)));
      resolved.instances.delete(id);
      resolved.invalidInstances.add(id);
    }
  return resolved;
}

const isSame = (a: InstanceResource, b: InstanceResource) =>
  a.digest === b.digest &&
  JSON.stringify([a.place, a.inputs, a.runnable]) === JSON.stringify([b.place, b.inputs, b.runnable]);

type Declaration = NonNullable<InstanceDocument['declares']>;

/** Makes one resource, or says why it is none. */
class Maker {
  readonly #id: InstanceResourceId;
  readonly #entry: Entry<InstanceDocument>;
  readonly #declares: Declaration;
  readonly #around: Surroundings;
  readonly #hostTargets: ReadonlyMap<string, HostTarget>;
  readonly #diagnostics: Diagnostic[];
  readonly #inputs: Map<string, Oid>;
  #failed = false;

  constructor(
    id: InstanceResourceId,
    entry: Entry<InstanceDocument>,
    surroundings: Surroundings,
    hostTargets: ReadonlyMap<string, HostTarget>,
    diagnostics: Diagnostic[],
  ) {
    this.#id = id;
    this.#entry = entry;
    this.#declares = entry.document.declares as Declaration;
    this.#around = surroundings;
    this.#hostTargets = hostTargets;
    this.#diagnostics = diagnostics;
    this.#inputs = new Map([[entry.path, entry.oid]]);
  }

  make(): InstanceResource | undefined {
    const { spec } = this.#declares;
    const target = this.#around.targets.get(spec.target);
    const hosts = this.#hostTargets.get(spec.target);
    if (target?.target.kubernetes !== undefined) this.#checkKubernetes(spec);
    else if (target !== undefined) this.#checkCreating(target);
    else if (hosts !== undefined) this.#checkHosts(hosts);
    else this.#missingTarget();
    const made = spec.kind === 'Fleet' ? this.#fleet(spec, target) : this.#cluster(spec, target);
    return this.#failed ? undefined : made;
  }

  #fail(at: Position, path: string, code: string, message: string, severity: 'error' | 'warning' = 'error'): void {
    const place = { file: this.#entry.path, line: at[0], column: at[1] };
    this.#diagnostics.push({ place, path, severity, code, message, resource: this.#id });
    this.#failed ||= severity === 'error';
  }

  #missingTarget(): void {
    const { target } = this.#declares.spec;
    const names = [...this.#around.targets.keys(), ...this.#hostTargets.keys()];
    const guess = nearest(target, names);
    const hint = guess === undefined ? `declared: ${names.slice(0, 10).join(', ')}` : `did you mean ${quote(guess)}?`;
    this.#fail(
      this.#declares.targetAt,
      'spec.target',
      'missing-reference',
      `there is no valid Target ${quote(target)}; ${hint}`,
    );
  }

  /** Nodes are there already; what of a Cluster they cannot be given is told by the driver. */
  #checkKubernetes({ kind, target }: FleetSpec | ClusterSpec): void {
    if (kind === 'Cluster') return;
    const message = `Target ${quote(target)} is a namespace of Kubernetes, in which no ${kind} runs; name one of local or of hosts`;
    this.#fail(this.#declares.targetAt, 'spec.target', 'unsupported-kind', message);
  }

  /** On a target that creates instances and nodes. */
  #checkCreating({ target: { docker } }: KnownTarget): void {
    const { spec, membersAt } = this.#declares;
    const { target } = spec;
    if (spec.kind === 'Fleet' && 'selector' in spec.members)
      this.#fail(
        membersAt,
        'spec.selector',
        'bad-members',
        `Target ${quote(target)} has no hosts to select, it creates instances; give size instead`,
      );
    if (spec.kind === 'Fleet' && spec.image === undefined && docker !== undefined)
      this.#fail(
        membersAt,
        'spec.image',
        'bad-members',
        `missing; on Target ${quote(target)}, a Docker engine, an instance is a container, so add image`,
      );
    if (spec.kind === 'Cluster' && spec.create === undefined)
      this.#fail(
        membersAt,
        'spec.image',
        'bad-members',
        `missing; Target ${quote(target)} creates the nodes, so add image, and controlPlane and nodes if they are not 1 and 0`,
      );
  }

  /** On a target of hosts that are there already. */
  #checkHosts(target: HostTarget): void {
    const { spec, membersAt } = this.#declares;
    const name = quote(target.name);
    const fail = (path: string, message: string, severity?: 'warning') =>
      this.#fail(membersAt, path, 'bad-members', message, severity);
    if (spec.kind === 'Fleet') {
      if ('size' in spec.members) fail('spec.size', `Target ${name} cannot create instances; give selector instead`);
      else if (membersOn(target.ssh, spec).length === 0)
        fail('spec.selector', `no host of Target ${name} carries these labels; see hosts there`, 'warning');
      if (spec.image !== undefined) fail('spec.image', `Target ${name} cannot replace the image of a host; use script`);
      return;
    }
    if (spec.create !== undefined) fail('spec.image', `Target ${name} cannot create nodes; remove image`);
    for (const field of ['script', 'versionCommand'] as const)
      if (spec.upgrade[field] === undefined)
        fail(`spec.upgrade.${field}`, `missing; on Target ${name} nothing else ${NEEDED[field]}`);
    if (!membersOn(target.ssh, spec).some(({ labels }) => labels.role === 'control-plane'))
      fail('spec.target', `no host of Target ${name} has the label "role: control-plane"; label those that are`);
  }

  #fleet(spec: FleetSpec, target: KnownTarget | undefined): InstanceResource {
    const image = this.#image('spec.image', spec.image, target);
    const rollbackImage = this.#image('spec.rollbackImage', spec.rollbackImage, target);
    const script = this.#script(spec.script);
    // `rollback` counts, since it is kept beside the unit with the revision; `timeout` and `rollbackImage` are how.
    const revision = digest({
      ...(image && { image: image.tree ?? image.name }),
      ...(script && { script: { ...script, timeout: undefined } }),
    }).slice(0, 10);
    const runnable = {
      resource: this.#id,
      revision,
      ...(image && { image }),
      ...(rollbackImage && { rollbackImage }),
      ...(script && { script }),
    };
    return { ...this.#base(revision, digest(runnable)), spec, runnable };
  }

  #cluster(spec: ClusterSpec, target: KnownTarget | undefined): InstanceResource {
    const { version, create, upgrade } = spec;
    const image = this.#image('spec.image', create && clusterImage(create, version), target);
    const script = this.#script(upgrade.script);
    // How a node gets there is how; a version's image that changed in the repository is another thing that runs.
    const revision = digest({ version, ...(image?.tree !== undefined && { image: image.tree }) }).slice(0, 10);
    const runnable = { resource: this.#id, revision, version, ...(image && { image }), ...(script && { script }) };
    return { ...this.#base(revision, digest(runnable)), spec, runnable };
  }

  #base(revision: string, content: string) {
    const { targets } = this.#around;
    const { spec, specDigest } = this.#declares;
    const target = targets.get(spec.target)?.digest ?? digest(this.#hostTargets.get(spec.target) ?? '');
    return {
      id: this.#id,
      revision,
      digest: hash('sha256', `${this.#id} ${specDigest} ${content} ${target}`).slice(0, 16),
      inputs: [...this.#inputs].map(([path, oid]) => ({ path, oid })),
      place: placeOf(this.#entry),
    };
  }

  #image(path: string, name: string | undefined, target: KnownTarget | undefined): Image | undefined {
    if (name === undefined || target === undefined) return undefined;
    const at = this.#declares.images.find((image) => image.path === path)?.at ?? this.#declares.membersAt;
    const folder = imageFolder(target.target);
    if (folder === undefined) return { name, command: [], env: {} };
    const directory = imageDirectory(folder, name);
    const found = this.#around.image(directory);
    if (found === undefined) {
      const message = `there is no image ${quote(name)}: the folder ${quote(directory)} is not in this commit; add it with an image.yaml`;
      this.#fail(at, path, 'missing-reference', message);
      return undefined;
    }
    const {
      tree,
      image: { runs },
    } = found;
    if (runs === undefined) {
      const message = `the image ${quote(name)} is invalid; see the error in ${directory}/image.yaml`;
      this.#fail(at, path, 'invalid-reference', message);
      return undefined;
    }
    this.#inputs.set(directory, tree);
    return { name, tree, ...runs };
  }

  #script(declared: DeclaredScript | undefined): Script | undefined {
    if (declared === undefined) return undefined;
    const run = this.#text(declared.run);
    const rollback = declared.rollback && this.#text(declared.rollback);
    const { interpreter, timeout } = declared;
    return { interpreter, run: run ?? '', ...(rollback !== undefined && { rollback }), timeout };
  }

  #text(source: ScriptSource): string | undefined {
    if ('text' in source) return source.text;
    const path = scriptPath(this.#entry.path, source.file);
    const file = this.#around.scripts.get(path);
    const found = scriptText(path, file);
    if ('wrong' in found) {
      for (const reference of this.#declares.scripts)
        if (reference.file === source.file) this.#fail(reference.at, reference.path, 'bad-script', found.wrong);
      return undefined;
    }
    if (file !== undefined && 'oid' in file) this.#inputs.set(path, file.oid);
    return found.text;
  }
}

const NEEDED = { script: 'upgrades a node', versionCommand: 'tells which version a node runs' };
