/**
 * What one file of the config repository holds, whatever its path: a pure function of its content, and JSON through and through,
 * so that it can be kept by the object id of the blob.
 */
import type { JsonText } from './json-text.ts';
import type {
  ConfigMap,
  Diagnostic,
  InstanceKind,
  InstanceSpec,
  Oid,
  Operation,
  PodTemplate,
  ReplicasKind,
  ReplicasSpec,
} from './resource.ts';
import type { DockerTarget, KubernetesTarget, LocalTarget, SshTarget } from './target.ts';

/** Raise it with every change of what `parseFile` and `parseImage` make of a text, so that results that were kept are not used any more. */
export const PARSE_VERSION = 8;

/** Line and column, 1-based. */
export type Position = [line: number, column: number];

export interface FileDiagnostic extends Omit<Diagnostic, 'place'> {
  at: Position;
}

interface DocumentBase {
  name: string;
  /** Of its name. */
  at: Position;
}

/** A ConfigMap that a template names. */
export interface ConfigMapReference {
  name: string;
  /** Keys that must be in it. */
  keys: string[];
  /** Neither the ConfigMap nor its keys need be there. */
  optional: boolean;
}

/** Where something stands that an error may speak of. */
export interface Where {
  path: string;
  at: Position;
}

/** Of a resource that is declared; needed only when something is wrong with it. */
export interface Places {
  /** Of each of `configMaps` and `images`, in their order. */
  configMaps: Where[];
  images: Where[];
  target: Position;
  host: Position;
  /** Of the list of containers, and of each one's `resources` (or of the container, where it has none). */
  containers: Position;
  resources: Position[];
}

interface ImageReference extends Where {
  name: string;
}

/** A declaration is absent where the document is named but not valid. */
export interface ResourceDocument extends DocumentBase {
  kind: ReplicasKind;
  declares?: {
    spec: ReplicasSpec;
    template: JsonText<PodTemplate>;
    /** Digests of what was declared, before defaults: so a default that a later version adds changes neither. */
    templateDigest: string;
    specDigest: string;
    configMaps: ConfigMapReference[];
    /** Names. */
    images: string[];
    places: JsonText<Places>;
  };
}
export interface ConfigMapDocument extends DocumentBase {
  kind: 'ConfigMap';
  declares?: { configMap: ConfigMap; digest: string };
}
/** A file of the repository that a script names, as a path from the folder of its manifest. */
interface ScriptReference {
  file: string;
  path: string;
  at: Position;
}
export interface InstanceDocument extends DocumentBase {
  kind: InstanceKind;
  declares?: {
    spec: InstanceSpec;
    specDigest: string;
    images: ImageReference[];
    scripts: ScriptReference[];
    targetAt: Position;
    /** Of `selector` or `size`, of a cluster's `image`; of `spec`, where there is none. */
    membersAt: Position;
    hostAt: Position;
  };
}
/** Exactly one of `local`, `docker`, `kubernetes` and `ssh`. */
export interface TargetDocument extends DocumentBase {
  kind: 'Target';
  declares?: {
    local?: LocalTarget;
    docker?: DockerTarget;
    kubernetes?: KubernetesTarget;
    ssh?: SshTarget;
    policy?: { resources?: 'container-instance' };
    digest: string;
  };
}
export interface OperationDocument extends DocumentBase {
  kind: 'Operation';
  declares?: Omit<Operation, 'place' | 'name'>;
}
export type ParsedDocument =
  | ResourceDocument
  | InstanceDocument
  | ConfigMapDocument
  | TargetDocument
  | OperationDocument;

export interface ParsedFile {
  documents: ParsedDocument[];
  diagnostics: FileDiagnostic[];
  /** Something in it could not even be named: whatever the file declared before is not to be deleted. */
  unreadable: boolean;
}

/** A file of a commit. */
export interface ManifestFile {
  path: string;
  oid: Oid;
  parsed: ParsedFile;
}
