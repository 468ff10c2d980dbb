/**
 * Manifests as people write them, after the schema: every field may be absent (the checks of meaning also run over documents
 * with errors, so that all are told at once), an entry of a list too.
 */
import type { Interpreter, OnFailure, OperationAction, ScalingProcess } from './resource.ts';

type List<T> = (T | undefined)[];

export interface WrittenWindow {
  cron?: string;
  duration?: string;
  timezone?: string;
}
interface WrittenHttp {
  path?: string;
  url?: string;
  port?: number | string;
}
export interface WrittenCheck {
  http?: WrittenHttp;
  command?: List<string>;
}
interface WrittenHandler {
  httpGet?: { path?: string; port?: number | string };
  tcpSocket?: { port?: number | string };
  exec?: { command?: List<string> };
}
interface WrittenRef {
  name?: string;
  key?: string;
  optional?: boolean;
}
export interface WrittenContainer {
  name?: string;
  image?: string;
  workingDir?: string;
  env?: List<{
    name?: string;
    value?: string;
    valueFrom?: { configMapKeyRef?: WrittenRef; secretKeyRef?: WrittenRef };
  }>;
  envFrom?: List<{ configMapRef?: WrittenRef; secretRef?: WrittenRef }>;
  ports?: List<{ name?: string; containerPort?: number }>;
  resources?: { requests?: WrittenAmounts; limits?: WrittenAmounts };
  livenessProbe?: WrittenHandler;
  readinessProbe?: WrittenHandler;
  startupProbe?: WrittenHandler;
  lifecycle?: { postStart?: WrittenHandler; preStop?: WrittenHandler };
  volumeMounts?: List<{ name?: string; mountPath?: string; subPath?: string }>;
  logs?: List<{ path?: string; maxSize?: string | number }>;
}
interface WrittenAmounts {
  cpu?: string | number;
  memory?: string | number;
}
type WrittenItems = List<{ key?: string; path?: string }>;
interface WrittenDisk {
  size?: string | number;
}
export interface WrittenVolume {
  name?: string;
  disk?: WrittenDisk;
  file?: WrittenDisk;
  configMap?: { name?: string; items?: WrittenItems; optional?: boolean };
  secret?: { secretName?: string; items?: WrittenItems };
  emptyDir?: { sizeLimit?: string | number };
}
export interface WrittenTemplate {
  metadata?: { labels?: Record<string, string> };
  spec?: {
    containers?: List<WrittenContainer>;
    volumes?: List<WrittenVolume>;
    terminationGracePeriodSeconds?: number;
  };
}
export interface WrittenTraffic {
  onDeploy?: 'all' | 'none';
  steps?: List<{ percent?: number; soak?: string; pause?: boolean; check?: List<WrittenCheck> }>;
  percent?: { latest?: number; stable?: number };
  match?: {
    rules?: List<{ version?: string; query?: Record<string, string> }>;
    default?: string;
  };
}
interface WrittenCommon {
  target?: string;
  description?: string;
  paused?: boolean;
  onFailure?: OnFailure;
  progressDeadlineSeconds?: number;
  revisionHistoryLimit?: number;
  windows?: List<WrittenWindow>;
}
/** A Workload or a Service. */
export interface WrittenResource extends WrittenCommon {
  replicas?: number;
  host?: string;
  template?: WrittenTemplate;
  /** Workload. */
  strategy?: { rollingUpdate?: { maxSurge?: number | string; maxUnavailable?: number | string } };
  minReadySeconds?: number;
  /** Service. */
  version?: string;
  upgrade?: 'newVersion' | 'inPlace';
  traffic?: WrittenTraffic;
  keepVersions?: number;
}
type WrittenRegistries = List<{ registry?: string; secret?: string }>;
export interface WrittenTarget {
  local?: { images?: string; dataDir?: string };
  docker?: {
    host?: string;
    tls?: { ca?: string; cert?: string; key?: string };
    ssh?: { identityFile?: string; knownHostsFile?: string };
    address?: string;
    router?: string;
    listen?: string;
    registries?: WrittenRegistries;
  };
  kubernetes?: { kubeconfig?: string; context?: string; registries?: WrittenRegistries };
  ssh?: {
    user?: string;
    port?: number;
    identityFile?: string;
    agent?: boolean;
    knownHostsFile?: string;
    jump?: { address?: string; port?: number; user?: string };
    hosts?: List<{ name?: string; address?: string; port?: number; user?: string; labels?: Record<string, string> }>;
    loadBalancer?: { haproxy?: { socket?: string; host?: string; backends?: List<string> } };
  };
  policy?: { resources?: 'container-instance' };
}
export interface WrittenOperation {
  resource?: string;
  rollout?: number;
  action?: OperationAction;
  unit?: string;
  commit?: string;
  reason?: string;
}
export interface WrittenConfigMap {
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
}
export interface WrittenScript {
  interpreter?: Interpreter;
  run?: string;
  runFile?: string;
  rollback?: string;
  rollbackFile?: string;
  timeout?: string;
}
export interface WrittenFleet extends WrittenCommon {
  selector?: Record<string, string>;
  size?: number;
  host?: string;
  image?: string;
  rollbackImage?: string;
  script?: WrittenScript;
  batches?: number;
  pause?: 'never' | 'firstBatch' | 'everyBatch';
  maxFailures?: number;
  check?: List<WrittenCheck>;
  suspend?: List<ScalingProcess>;
  suspended?: List<ScalingProcess>;
  scaling?: { schedules?: List<{ cron?: string; timezone?: string; size?: number }> };
}
/** Text for a shell, or the program and its arguments. */
export type WrittenCommand = string | string[];
export interface WrittenCluster extends WrittenCommon {
  version?: string;
  image?: string;
  controlPlane?: number;
  nodes?: number;
  upgrade?: {
    maxBatchPercent?: number;
    drain?: { timeout?: string; command?: WrittenCommand; undo?: WrittenCommand };
    expireAfter?: string;
    script?: WrittenScript;
    versionCommand?: WrittenCommand;
  };
  prechecks?: List<{ http?: { url?: string }; command?: WrittenCommand }>;
}
