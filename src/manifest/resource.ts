/** The resources that manifests declare, with every default filled in. Pure data: what a commit says, nothing live. */

export type Kind = 'Workload' | 'Service';
/** `Kind/name`, e.g. `Service/shop`. */
export type ResourceId = `${Kind}/${string}`;
/** A Git object id: 40 hex digits. */
export type Oid = string;
/** The first 10 hex digits of the SHA-256 over what changes *what* runs. */
export type Revision = string;
/** A duration as manifests write it: `90s`, `10m`, `4h`, `15d`. */
export type Duration = string;

export type OnFailure = 'pause' | 'rollback' | 'revert';

export interface Window {
  cron: string;
  duration: Duration;
  timezone: string;
}

interface CommonSpec {
  target: string;
  description?: string;
  paused: boolean;
  onFailure: OnFailure;
  progressDeadlineSeconds: number;
  revisionHistoryLimit: number;
  windows: Window[];
  replicas: number;
  host: string;
  template: PodTemplate;
}

export interface WorkloadSpec extends CommonSpec {
  kind: 'Workload';
  /** Absolute numbers or percents (`25%`) of `replicas`. */
  strategy: { maxSurge: number | string; maxUnavailable: number | string };
  minReadySeconds: number;
}

export interface ServiceSpec extends CommonSpec {
  kind: 'Service';
  /** The declared version name; absent: `v<rollout id>`. */
  version?: string;
  upgrade: 'newVersion' | 'inPlace';
  traffic: DeclaredTraffic;
  keepVersions: number;
}

export type Spec = WorkloadSpec | ServiceSpec;

/** Exactly one of the four. `latest` and `stable` are roles, resolved to version names by the planner. */
export type DeclaredTraffic =
  | { onDeploy: 'all' | 'none' }
  | { steps: TrafficStep[] }
  | { percent: { latest: number; stable: number } }
  | {
      match: { rules: { version: 'latest' | 'stable'; query: Record<string, string> }[]; default: 'latest' | 'stable' };
    };

export interface TrafficStep {
  percent: number;
  soak?: Duration;
  pause?: boolean;
  check?: Check[];
}

export type Check = { http: { path?: string; url?: string; port?: number | string } } | { command: string[] };

export interface PodTemplate {
  metadata: { labels: Record<string, string> };
  spec: {
    containers: Container[];
    volumes: Volume[];
    terminationGracePeriodSeconds: number;
  };
}

export interface Container {
  name: string;
  image: string;
  command?: string[];
  args?: string[];
  workingDir?: string;
  env: EnvVar[];
  envFrom: EnvFrom[];
  ports: ContainerPort[];
  resources: { requests?: ResourceAmounts; limits?: ResourceAmounts };
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  startupProbe?: Probe;
  lifecycle?: { postStart?: LifecycleHandler; preStop?: LifecycleHandler };
  volumeMounts: VolumeMount[];
  logs: LogFile[];
}

export interface ContainerPort {
  name?: string;
  containerPort: number;
}

export interface ResourceAmounts {
  /** A Kubernetes quantity: `0.5`, `500m`. */
  cpu?: string;
  /** A Kubernetes quantity: `128Mi`, `1Gi`. */
  memory?: string;
}

export type EnvVar = { name: string; value: string } | { name: string; valueFrom: EnvSource };
export type EnvSource = { configMapKeyRef: KeyRef } | { secretKeyRef: KeyRef } | { fieldRef: { fieldPath: string } };
export interface KeyRef {
  name: string;
  key: string;
  optional?: boolean;
}
export interface EnvFrom {
  prefix?: string;
  configMapRef?: { name: string; optional?: boolean };
  secretRef?: { name: string; optional?: boolean };
}

export interface HttpGet {
  path: string;
  port: number | string;
  httpHeaders?: { name: string; value: string }[];
}
export type ProbeHandler =
  | { httpGet: HttpGet }
  | { tcpSocket: { port: number | string } }
  | { exec: { command: string[] } };
export type Probe = ProbeHandler & {
  initialDelaySeconds: number;
  periodSeconds: number;
  timeoutSeconds: number;
  successThreshold: number;
  failureThreshold: number;
};
export type LifecycleHandler = { exec: { command: string[] } } | { httpGet: HttpGet };

export interface VolumeMount {
  name: string;
  mountPath: string;
  subPath?: string;
  readOnly?: boolean;
}
export interface LogFile {
  path: string;
  /** A Kubernetes quantity of bytes. */
  maxSize: string;
}
export interface KeyToPath {
  key: string;
  path: string;
}
export type Volume = { name: string } & (
  | { disk: { size: string; class?: string } }
  | { file: { size: string; class?: string } }
  | { configMap: { name: string; items?: KeyToPath[]; optional?: boolean } }
  | { secret: { secretName: string; items?: KeyToPath[]; optional?: boolean } }
  | { emptyDir: { sizeLimit?: string } }
);

/** `data` holds text, `binaryData` base64. */
export interface ConfigMap {
  data: Record<string, string>;
  binaryData: Record<string, string>;
}

/** An image as the commit holds it: a Git tree with an `image.yaml`; or, on a target with absolute images, only its name. */
export interface Image {
  /** As the manifest writes it: `hello:8`. */
  name: string;
  /** The tree of `images/hello/8`; absent where images lie in an absolute folder of the target. */
  tree?: Oid;
  /** From `image.yaml`; empty where `tree` is absent (the driver reads the folder's own). */
  command: string[];
  env: Record<string, string>;
  /** Run on the unit after it has lost its traffic and before it is stopped. */
  drain?: string[];
}

/** What one revision runs, complete: handed to a driver with each action that starts a unit. */
export interface Runnable {
  resource: ResourceId;
  revision: Revision;
  template: PodTemplate;
  configMaps: Record<string, ConfigMap>;
  images: Record<string, Image>;
}

/** One place in a file of the config repository; 1-based. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

/** A resource as a commit declares it. */
export interface Resource {
  id: ResourceId;
  spec: Spec;
  revision: Revision;
  /** A digest of the whole spec and its references: changes whenever anything declared changes. */
  digest: string;
  runnable: Runnable;
  /** Every path of the commit that the resource was made from, with its object id: manifest, ConfigMaps, image trees. */
  inputs: { path: string; oid: Oid }[];
  place: Place;
}

export interface LocalTarget {
  /** A folder of the config repository (`images`), or an absolute path on the machine. */
  images: string;
  dataDir?: string;
}
export interface Target {
  name: string;
  local: LocalTarget;
  policy?: { resources?: 'container-instance' };
}

export type OperationAction = 'pause' | 'continue' | 'retry' | 'skip' | 'cancel' | 'rollback' | 'confirmDeletion';
export interface Operation {
  name: string;
  /** Known by its name and content: the same name with another digest is another operation. */
  digest: string;
  action: OperationAction;
  /** Absent only for `confirmDeletion`, which names a commit. */
  resource?: ResourceId;
  rollout?: number;
  unit?: string;
  commit?: Oid;
  reason?: string;
  place: Place;
}

/** Something wrong in a manifest: where, what, and what to do. */
export interface Diagnostic {
  place: Place;
  /** A path into the document, e.g. `spec.template.spec.containers[0].image`; empty: the document itself. */
  path: string;
  severity: 'error' | 'warning';
  /** For programs: `unknown-field`, `bad-yaml`, `missing-reference` … */
  code: string;
  /** `what is wrong; what to do`, lower case. */
  message: string;
  /** The resource it makes invalid, where that is known. */
  resource?: ResourceId;
}

/** All that one commit declares. */
export interface Declared {
  commit: Oid;
  resources: Map<ResourceId, Resource>;
  operations: Map<string, Operation>;
  targets: Map<string, Target>;
  diagnostics: Diagnostic[];
  /** Resources that are named but not valid: the last valid one goes on. */
  invalid: Set<ResourceId>;
  /** Files that could not be read at all: whatever they declared before is not deleted. */
  unreadable: Set<string>;
}
