/** The resources that manifests declare, with every default filled in. Pure data: what a commit says, nothing live. */
import type { JsonText } from './json-text.ts';
import type { HostTarget, Target } from './target.ts';

export type ReplicasKind = 'Workload' | 'Service';
export type Kind = ReplicasKind | 'Fleet' | 'Cluster';
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
}

interface ReplicaSpec extends CommonSpec {
  replicas: number;
  host: string;
}

export interface WorkloadSpec extends ReplicaSpec {
  kind: 'Workload';
  /** Absolute numbers or percents (`25%`) of `replicas`. */
  strategy: { maxSurge: number | string; maxUnavailable: number | string };
  minReadySeconds: number;
}

export interface ServiceSpec extends ReplicaSpec {
  kind: 'Service';
  /** The declared version name; absent: `v<rollout id>`. */
  version?: string;
  upgrade: 'newVersion' | 'inPlace';
  traffic: DeclaredTraffic;
  keepVersions: number;
}

export type ReplicasSpec = WorkloadSpec | ServiceSpec;
export type Spec = ReplicasSpec | FleetSpec | ClusterSpec;

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
  securityContext?: SecurityContext;
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  startupProbe?: Probe;
  lifecycle?: { postStart?: LifecycleHandler; preStop?: LifecycleHandler };
  volumeMounts: VolumeMount[];
  logs: LogFile[];
}

export interface SecurityContext {
  runAsUser?: number;
  runAsGroup?: number;
  readOnlyRootFilesystem: boolean;
  capabilities?: { add: string[] };
}

interface ContainerPort {
  name?: string;
  containerPort: number;
}

export interface ResourceAmounts {
  /** A Kubernetes quantity: `0.5`, `500m`. */
  cpu?: string;
  /** A Kubernetes quantity: `128Mi`, `1Gi`. */
  memory?: string;
}

type EnvVar = { name: string; value: string } | { name: string; valueFrom: EnvSource };
export type EnvSource = { configMapKeyRef: KeyRef } | { secretKeyRef: KeyRef } | { fieldRef: { fieldPath: string } };
interface KeyRef {
  name: string;
  key: string;
  optional?: boolean;
}
export interface EnvFrom {
  prefix?: string;
  configMapRef?: { name: string; optional?: boolean };
  secretRef?: { name: string; optional?: boolean };
}

interface HttpGet {
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

interface VolumeMount {
  name: string;
  mountPath: string;
  subPath?: string;
  readOnly?: boolean;
}
interface LogFile {
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

/** As a commit declares it; `runnableOf` makes it whole. */
export interface DeclaredRunnable extends Omit<Runnable, 'template'> {
  template: JsonText<PodTemplate>;
}

/** One place in a file of the config repository; 1-based. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

interface ResourceBase {
  id: ResourceId;
  revision: Revision;
  /** A digest of the whole spec and its references: changes whenever anything declared changes. */
  digest: string;
  /** Every path of the commit that the resource was made from, with its object id: manifest, ConfigMaps, scripts, image trees. */
  inputs: { path: string; oid: Oid }[];
  place: Place;
}
/** A workload or a service as a commit declares it. */
export interface ReplicasResource extends ResourceBase {
  spec: ReplicasSpec;
  runnable: DeclaredRunnable;
}
/** A resource as a commit declares it. */
export type Resource = ReplicasResource | FleetResource | ClusterResource;
/** What one revision of any kind puts where it runs. */
export type AnyRunnable = Runnable | FleetRunnable | ClusterRunnable;

/** What is upgraded instance by instance, or node by node: no replicas of a template, but machines that stay. */
export type InstanceKind = 'Fleet' | 'Cluster';
/** `Kind/name`, e.g. `Fleet/web`. */
export type InstanceResourceId = ResourceId;

/** What goes on around a fleet by itself, and can be held while it is upgraded. */
export type ScalingProcess = 'scaleIn' | 'scaleOut' | 'healthCheck' | 'scheduledAction';
export type Interpreter = 'sh' | 'bat' | 'powershell';

/** A script with the content of its files; run on the unit, at most once per attempt. */
export interface Script {
  interpreter: Interpreter;
  run: string;
  /** What undoes `run`; absent: nothing can. */
  rollback?: string;
  timeout: Duration;
}

/** A script as a manifest declares it: its text, or the path in the repository of the file that holds it. */
export interface DeclaredScript {
  interpreter: Interpreter;
  run: ScriptSource;
  rollback?: ScriptSource;
  timeout: Duration;
}
export type ScriptSource = { text: string } | { file: string };

/** The hosts that carry all these labels; or so many instances, which the target creates and removes. */
export type Members = { selector: Record<string, string> } | { size: number };

export interface SizeSchedule {
  cron: string;
  timezone: string;
  size: number;
}

/** At least one of `image` and `script`: an image that changed is replaced first, then the script runs. */
export interface FleetSpec extends CommonSpec {
  kind: 'Fleet';
  members: Members;
  /** Where the embedded router serves its instances, on a target that has one. */
  host: string;
  /** `base:2026.11`. */
  image?: string;
  /** What a rollback replaces the image by; absent: the image before. */
  rollbackImage?: string;
  script?: DeclaredScript;
  /** A count: 10 instances in 4 batches are 3, 3, 2, 2. */
  batches: number;
  pause: 'never' | 'firstBatch' | 'everyBatch';
  /** So many units may fail before `onFailure` follows. */
  maxFailures: number;
  /** All of them pass before an updated instance is put back. */
  check: Check[];
  /** Held during a rollout, and let go on every way out. */
  suspend: ScalingProcess[];
  /** Kept held by the user; they stay so afterwards. */
  suspended: ScalingProcess[];
  /** Only with `size`, which counts until the first of them. */
  schedules: SizeSchedule[];
}

export interface ClusterSpec extends CommonSpec {
  kind: 'Cluster';
  /** `1.36.3`. */
  version: string;
  /** Only on a target that creates nodes; each is a process of `image:version`. */
  create?: { image: string; controlPlane: number; nodes: number };
  upgrade: {
    /** Of the nodes without the control plane, how many at once at most: doubling batches stop growing there. */
    maxBatchPercent: number;
    drain: {
      timeout: Duration;
      /** Over the image's own on a target that creates nodes. */
      command?: string[];
      /** Takes back what `command` did. */
      undo?: string[];
    };
    /** So long in `Paused`, and the rollout is closed. */
    expireAfter: Duration;
    /** What upgrades one node; a target of hosts has it always, one that creates nodes starts them from the new image too. */
    script?: DeclaredScript;
    /** Prints the version that the node runs; a target of hosts has it always. */
    versionCommand?: string[];
  };
  /** Besides the built-in ones; `http` has a `url` always. */
  prechecks: Check[];
}

export type InstanceSpec = FleetSpec | ClusterSpec;

/** What one revision of a fleet puts on an instance, complete. */
export interface FleetRunnable {
  resource: InstanceResourceId;
  revision: Revision;
  image?: Image;
  rollbackImage?: Image;
  script?: Script;
}
/** What one revision of a cluster puts on a node, complete. */
export interface ClusterRunnable {
  resource: InstanceResourceId;
  revision: Revision;
  version: string;
  image?: Image;
  script?: Script;
}

export interface FleetResource extends ResourceBase {
  spec: FleetSpec;
  runnable: FleetRunnable;
}
export interface ClusterResource extends ResourceBase {
  spec: ClusterSpec;
  runnable: ClusterRunnable;
}
export type InstanceResource = FleetResource | ClusterResource;

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
  resources: ReadonlyMap<ResourceId, Resource>;
  operations: ReadonlyMap<string, Operation>;
  targets: ReadonlyMap<string, Target>;
  hostTargets: ReadonlyMap<string, HostTarget>;
  /** Of all targets that are declared, also of those that are not valid. */
  targetNames: Pick<ReadonlySet<string>, 'has'>;
  diagnostics: readonly Diagnostic[];
  /** Resources that are named but not valid: the last valid one goes on. */
  invalid: ReadonlySet<ResourceId>;
  /** Files that could not be read at all: whatever they declared before is not deleted. */
  unreadable: ReadonlySet<string>;
}
