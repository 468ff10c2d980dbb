/** One file → its documents, validated, with defaults: a pure function of the content. */
import { checkCluster } from './checks/cluster.ts';
import { checkFleet } from './checks/fleet.ts';
import { checkOperation } from './checks/operation.ts';
import type { Report } from './checks/report.ts';
import { checkResource } from './checks/resource.ts';
import { checkHosts } from './checks/ssh.ts';
import { checkTarget } from './checks/target.ts';
import { formatPath, type PathSegment, plain, quote } from './diagnostic.ts';
import { digest } from './digest.ts';
import { toClusterSpec, toFleetSpec, toSshTarget } from './instance-spec.ts';
import { toJsonText } from './json-text.ts';
import { isUpgraded } from './kinds.ts';
import { nearest } from './nearest.ts';
import type {
  ConfigMapDocument,
  FileDiagnostic,
  InstanceDocument,
  OperationDocument,
  ParsedDocument,
  ParsedFile,
  Places,
  ResourceDocument,
  TargetDocument,
} from './parsed.ts';
import { configMapsOf, imagesOf, instanceImages, scriptFiles } from './references.ts';
import type { ConfigMap, ReplicasKind, ResourceId } from './resource.ts';
import { toSpec, toTemplate } from './spec.ts';
import type { Target } from './target.ts';
import { validate } from './validate.ts';
import type {
  WrittenCluster,
  WrittenConfigMap,
  WrittenFleet,
  WrittenOperation,
  WrittenResource,
  WrittenTarget,
} from './written.ts';
import { readYaml, TOO_LARGE, type YamlDocument } from './yaml.ts';

export { MAX_FILE } from './yaml.ts';

const GROUP = 'sluice/';
const API_VERSION = 'sluice/v1';

/** Never throws, whatever the content: everything wrong in the file is a diagnostic at its place. */
export function parseFile(content: string | Uint8Array): ParsedFile {
  const file: ParsedFile = { documents: [], diagnostics: [], unreadable: false };
  for (const document of readYaml(content)) {
    const { documents, diagnostics, unreadable } = parseDocument(document);
    file.documents.push(...documents);
    // Messages cite what was found, and are printed on terminals.
    file.diagnostics.push(...diagnostics.map((one) => ({ ...one, message: plain(one.message) })));
    file.unreadable ||= unreadable;
  }
  return file;
}

/** What a file is without being read, when it is larger than `MAX_FILE`. */
export const tooLargeFile = (): ParsedFile =>
  unreadable([{ at: [1, 1], path: '', severity: 'error', code: 'too-large', message: TOO_LARGE }]);

const nothing: ParsedFile = { documents: [], diagnostics: [], unreadable: false };

/** What cannot even be named: nothing that the file declared before may be deleted because of it. */
const unreadable = (diagnostics: FileDiagnostic[]): ParsedFile => ({ documents: [], diagnostics, unreadable: true });

type Value = Record<string, unknown>;
const isMap = (value: unknown): value is Value => typeof value === 'object' && value !== null && !Array.isArray(value);

function parseDocument(document: YamlDocument): ParsedFile {
  if (document.errors.length > 0) return unreadable(document.errors);
  const { value, locate } = document;
  if (!isMap(value)) return nothing;
  const { apiVersion, kind } = value;
  const refuse = (path: PathSegment[], code: string, message: string): FileDiagnostic => ({
    at: locate(path, 'value'),
    path: formatPath(path),
    severity: 'error',
    code,
    message,
  });
  if (apiVersion === 'v1' && kind === 'ConfigMap') return parseKind('ConfigMap', value, document);
  const secret = secretIn(value);
  if (secret !== undefined) return { ...nothing, diagnostics: [refuse(secret, 'secret-in-clear', SECRET)] };
  if (apiVersion !== API_VERSION) {
    const message = foreign(apiVersion, kind);
    return message === undefined ? nothing : unreadable([refuse(['apiVersion'], 'bad-api-version', message)]);
  }
  if (typeof kind === 'string' && Object.hasOwn(PARSERS, kind))
    return parseKind(kind as keyof typeof PARSERS, value, document);
  return unreadable([refuse(['kind'], 'unknown-kind', unknownKind(kind))]);
}

const SECRET =
  'a Secret in the clear must not be in Git: remove it, change what it held, and keep its keys as files <name>/<key> in the folder given by --secrets-dir';

/** The `kind` of a Secret as Kubernetes has it, alone or in a list; one without its apiVersion is as secret. */
function secretIn({ apiVersion, kind, items }: Value): PathSegment[] | undefined {
  if (apiVersion !== undefined && apiVersion !== 'v1') return undefined;
  if (kind === 'Secret') return ['kind'];
  if ((kind !== 'List' && kind !== 'SecretList') || !Array.isArray(items)) return undefined;
  if (kind === 'SecretList') return ['kind'];
  const index = items.findIndex((item) => isMap(item) && secretIn(item) !== undefined);
  return index < 0 ? undefined : ['items', index, 'kind'];
}

/** Another apiVersion is left alone, unless it was surely meant for Sluice. */
function foreign(apiVersion: unknown, kind: unknown): string | undefined {
  if (typeof apiVersion === 'string' && apiVersion.startsWith(GROUP))
    return `this version of Sluice reads ${API_VERSION}, not ${quote(apiVersion)}`;
  if (apiVersion === undefined && typeof kind === 'string' && Object.hasOwn(PARSERS, kind) && kind !== 'ConfigMap')
    return `missing; add "apiVersion: ${API_VERSION}"`;
  return undefined;
}

function unknownKind(kind: unknown): string {
  const kinds = ['Workload', 'Service', 'Fleet', 'Cluster', 'Target', 'Operation'];
  const guess = typeof kind === 'string' ? nearest(kind, kinds) : undefined;
  if (kind === undefined) return `missing; add one of ${kinds.join(', ')}`;
  return `unknown kind ${quote(kind)}; ${guess === undefined ? `known: ${kinds.join(', ')}` : `did you mean ${quote(guess)}?`}`;
}

type Declares = NonNullable<ParsedDocument['declares']>;

/** Makes what a valid document declares; `digests` were taken before defaults. */
const PARSERS: Record<
  ParsedDocument['kind'],
  {
    check: (value: Value, report: Report) => void;
    declare: (context: Context) => Declares;
  }
> = {
  Workload: {
    check: ({ spec }, report) => checkResource('Workload', (spec ?? {}) as WrittenResource, report),
    declare: declareResource,
  },
  Service: {
    check: ({ spec }, report) => checkResource('Service', (spec ?? {}) as WrittenResource, report),
    declare: declareResource,
  },
  Fleet: { check: ({ spec }, report) => checkFleet((spec ?? {}) as WrittenFleet, report), declare: declareInstances },
  Cluster: {
    check: ({ spec }, report) => checkCluster((spec ?? {}) as WrittenCluster, report),
    declare: declareInstances,
  },
  Target: {
    check: ({ spec }, report) => {
      checkTarget((spec ?? {}) as WrittenTarget, report);
      checkHosts((spec ?? {}) as WrittenTarget, report);
    },
    declare: declareTarget,
  },
  Operation: {
    check: ({ spec }, report) => checkOperation((spec ?? {}) as WrittenOperation, report),
    declare: declareOperation,
  },
  ConfigMap: { check: checkConfigMap, declare: declareConfigMap },
};

interface Context {
  kind: ParsedDocument['kind'];
  name: string;
  value: Value;
  written: { template: string; spec: string };
  locate: YamlDocument['locate'];
}

function parseKind(kind: ParsedDocument['kind'], value: Value, { locate }: YamlDocument): ParsedFile {
  const { check, declare } = PARSERS[kind];
  const written = digestWritten(value);
  const name = nameOf(value);
  const diagnostics = validate(kind, value, locate);
  const isNamed = name !== undefined && !diagnostics.some(({ path }) => path === 'metadata.name');
  const report: Report = (path, code, message, part = 'value') =>
    diagnostics.push({ at: locate(path, part), path: formatPath(path), severity: 'error', code, message });
  check(value, report);
  diagnostics.sort((a, b) => a.at[0] - b.at[0] || a.at[1] - b.at[1]);
  if (!isNamed) return { documents: [], diagnostics, unreadable: isUpgraded(kind) || kind === 'Target' };
  if (isUpgraded(kind)) for (const diagnostic of diagnostics) diagnostic.resource = `${kind}/${name}`;
  const base = { kind, name, at: locate(['metadata', 'name'], 'value') };
  const document =
    diagnostics.length > 0 ? base : { ...base, declares: declare({ kind, name, value, written, locate }) };
  return { documents: [document as ParsedDocument], diagnostics, unreadable: false };
}

function nameOf({ metadata }: Value): string | undefined {
  return isMap(metadata) && typeof metadata.name === 'string' ? metadata.name : undefined;
}

function digestWritten({ spec }: Value): Context['written'] {
  if (!isMap(spec)) return { template: '', spec: '' };
  const template = digest(spec.template);
  return { template, spec: digest({ ...spec, template }) };
}

function declareResource({ kind, name, value, written, locate }: Context): NonNullable<ResourceDocument['declares']> {
  const spec = toSpec(kind as ReplicasKind, name, value.spec as WrittenResource);
  const template = toTemplate(value.spec as WrittenResource);
  const containers = ['spec', 'template', 'spec', 'containers'];
  const configMaps = configMapsOf(template);
  const images = imagesOf(template);
  return {
    spec,
    template: toJsonText(template),
    templateDigest: written.template,
    specDigest: written.spec,
    configMaps: configMaps.map(({ path: _, ...rest }) => rest),
    images: images.map(({ name }) => name),
    places: toJsonText<Places>({
      configMaps: configMaps.map(({ path }) => ({ path: formatPath(path), at: locate([...path, 'name'], 'value') })),
      images: images.map(({ path }) => ({ path: formatPath(path), at: locate(path, 'value') })),
      target: locate(['spec', 'target'], 'value'),
      host: locate(['spec', 'host'], 'value'),
      containers: locate(containers, 'key'),
      resources: template.spec.containers.map((_, index) => locate([...containers, index, 'resources'], 'key')),
    }),
  };
}

function declareInstances({ kind, name, value, written, locate }: Context): NonNullable<InstanceDocument['declares']> {
  const spec =
    kind === 'Fleet' ? toFleetSpec(name, value.spec as WrittenFleet) : toClusterSpec(value.spec as WrittenCluster);
  const at = (...path: string[]) => locate(['spec', ...path], 'value');
  const members = spec.kind === 'Cluster' ? 'image' : 'selector' in spec.members ? 'selector' : 'size';
  return {
    spec,
    specDigest: written.spec,
    images: instanceImages(spec).map(({ name, path }) => ({ name, path: formatPath(path), at: locate(path, 'value') })),
    scripts: scriptFiles(spec).map(({ file, path }) => ({ file, path: formatPath(path), at: locate(path, 'value') })),
    targetAt: at('target'),
    membersAt: locate(['spec', members], 'key'),
    hostAt: at('host'),
  };
}

function declareTarget({ value }: Context): NonNullable<TargetDocument['declares']> {
  if (Object.hasOwn(value.spec as Value, 'ssh')) {
    const ssh = toSshTarget(value.spec as WrittenTarget);
    return { ssh, digest: digest({ ssh }) };
  }
  const { local, docker, kubernetes, policy } = value.spec as Omit<Target, 'name'>;
  const drivers = { ...(local && { local }), ...(docker && { docker }), ...(kubernetes && { kubernetes }) };
  const declared = { ...drivers, ...(policy && { policy }) };
  return { ...declared, digest: digest(declared) };
}

function declareOperation({ value, name }: Context): NonNullable<OperationDocument['declares']> {
  const { resource, ...rest } = value.spec as WrittenOperation &
    Pick<NonNullable<OperationDocument['declares']>, 'action'>;
  return {
    ...rest,
    ...(resource !== undefined && { resource: resource as ResourceId }),
    digest: digest({ name, spec: value.spec }).slice(0, 10),
  };
}

/** A key is a file of a volume and the name of a variable: it cannot be both text and binary. */
function checkConfigMap(value: Value, report: Report): void {
  const { data, binaryData } = value as WrittenConfigMap;
  for (const key of Object.keys(binaryData ?? {}))
    if (data !== undefined && Object.hasOwn(data, key))
      report(['binaryData', key], 'duplicate', `${quote(plain(key))} is in data too; remove one`, 'key');
}

function declareConfigMap({ value }: Context): NonNullable<ConfigMapDocument['declares']> {
  const { data, binaryData } = value as unknown as ConfigMap;
  const configMap = { data, binaryData };
  return { configMap, digest: digest(configMap) };
}
