/** A pod template of a manifest → the one of Kubernetes. PURE. */
import type { Container, PodTemplate, Probe, Volume } from '../../manifest/resource.ts';
import { mountVariables, portVariables } from '../local/variables.ts';
import { claimName, type Labels, partName, type Scope, type SetId, setLabels } from './names.ts';

export interface Parts {
  scope: Scope;
  set: SetId;
  /** Which ConfigMaps and Secrets are made for the revision; the others are those of the namespace. */
  owned: { configMaps: ReadonlySet<string>; secrets: ReadonlySet<string> };
  drainSeconds: number;
}

/** Set by Sluice; what a manifest says of them does not count. */
export const OWN_VARIABLE = /^(PORT|PORT_.*|SLUICE_.*)$/;

export function podTemplate({ metadata, spec }: PodTemplate, parts: Parts): object {
  const labels: Labels = { ...metadata.labels, ...setLabels(parts.scope, parts.set) };
  const grace = spec.terminationGracePeriodSeconds;
  const waits = spec.containers.some((container, index) => drains(container, index === 0, parts));
  return {
    metadata: { labels },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
      terminationGracePeriodSeconds: grace + (waits ? parts.drainSeconds : 0),
      containers: spec.containers.map((container, index) => containerOf(container, index === 0, parts)),
      ...(spec.volumes.length > 0 && { volumes: spec.volumes.map((volume) => volumeOf(volume, parts)) }),
    },
  };
}

/** It serves, and has no hook of its own: then it waits until nothing new comes before it is told to stop. */
const drains = ({ ports, lifecycle }: Container, isFirst: boolean, { drainSeconds }: Parts): boolean =>
  isFirst && ports.length > 0 && lifecycle?.preStop === undefined && drainSeconds > 0;

function containerOf(container: Container, isFirst: boolean, parts: Parts): object {
  const { name, image, command, args, workingDir, ports, resources, livenessProbe, startupProbe, volumeMounts } =
    container;
  const readinessProbe = container.readinessProbe ?? listens(container, isFirst);
  const { postStart, preStop } = container.lifecycle ?? {};
  const ending =
    preStop ?? (drains(container, isFirst, parts) ? { sleep: { seconds: parts.drainSeconds } } : undefined);
  return {
    ...{ name, image },
    ...(command !== undefined && { command }),
    ...(args !== undefined && { args }),
    ...(workingDir !== undefined && { workingDir }),
    env: envOf(container, parts),
    ...(container.envFrom.length > 0 && { envFrom: envFromOf(container, parts) }),
    ...(ports.length > 0 && { ports: ports.map((port) => ({ ...port, protocol: 'TCP' })) }),
    ...(Object.keys(resources).length > 0 && { resources }),
    securityContext: securityOf(container),
    // So that what it said last is told when it crashes.
    terminationMessagePolicy: 'FallbackToLogsOnError',
    ...(livenessProbe && { livenessProbe: probeOf(livenessProbe) }),
    ...(readinessProbe && { readinessProbe: probeOf(readinessProbe) }),
    ...(startupProbe && { startupProbe: probeOf(startupProbe) }),
    ...((postStart ?? ending) && {
      lifecycle: { ...(postStart && { postStart }), ...(ending && { preStop: ending }) },
    }),
    ...(volumeMounts.length > 0 && { volumeMounts }),
  };
}

/** Without a probe it is ready when it listens, as on every target. */
function listens({ ports: [first] }: Container, isFirst: boolean): Probe | undefined {
  if (first === undefined || !isFirst) return undefined;
  const often = { initialDelaySeconds: 0, periodSeconds: 1, timeoutSeconds: 1 };
  return { tcpSocket: { port: first.containerPort }, ...often, successThreshold: 1, failureThreshold: 3 };
}

const probeOf = (probe: Probe): object => {
  const { initialDelaySeconds, ...rest } = probe;
  return initialDelaySeconds === 0 ? rest : probe;
};

/** Nothing that is not asked for. */
function securityOf({ securityContext }: Container): object {
  const { runAsUser, runAsGroup, readOnlyRootFilesystem = false, capabilities } = securityContext ?? {};
  const add = capabilities?.add ?? [];
  return {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'], ...(add.length > 0 && { add }) },
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsUser !== undefined && runAsUser > 0 && { runAsNonRoot: true }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    ...(readOnlyRootFilesystem && { readOnlyRootFilesystem }),
  };
}

function envOf(container: Container, { set, owned }: Parts): object[] {
  const refer = <T extends { name: string }>(ref: T, mine: ReadonlySet<string>) => ownRef(ref, mine, set);
  const declared = container.env.flatMap((variable): object[] => {
    if (OWN_VARIABLE.test(variable.name)) return [];
    if ('value' in variable) return [variable];
    const { name, valueFrom } = variable;
    if ('configMapKeyRef' in valueFrom)
      return [{ name, valueFrom: { configMapKeyRef: refer(valueFrom.configMapKeyRef, owned.configMaps) } }];
    if ('secretKeyRef' in valueFrom)
      return [{ name, valueFrom: { secretKeyRef: refer(valueFrom.secretKeyRef, owned.secrets) } }];
    return [variable];
  });
  const ports = Object.fromEntries(container.ports.map(({ containerPort }) => [containerPort, containerPort]));
  const mounts = container.volumeMounts.map(({ name, mountPath }) => ({ volume: name, folder: mountPath }));
  const own = {
    ...portVariables(container, ports),
    ...mountVariables(mounts),
    SLUICE_RESOURCE: set.resource,
    SLUICE_REVISION: set.revision,
    SLUICE_VERSION: set.version,
    SLUICE_CONTAINER: container.name,
  };
  // First, so that the declared ones may name them as $(PORT).
  return [
    ...Object.entries(own).map(([name, value]) => ({ name, value })),
    { name: 'SLUICE_UNIT', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    ...declared,
  ];
}

function envFromOf({ envFrom }: Container, { set, owned }: Parts): object[] {
  return envFrom.map(({ prefix, configMapRef, secretRef }) => ({
    ...(prefix !== undefined && { prefix }),
    ...(configMapRef && { configMapRef: ownRef(configMapRef, owned.configMaps, set) }),
    ...(secretRef && { secretRef: ownRef(secretRef, owned.secrets, set) }),
  }));
}

/** The immutable object that was made for this revision, where there is one. */
const ownRef = <T extends { name: string }>(ref: T, owned: ReadonlySet<string>, set: SetId): T =>
  owned.has(ref.name) ? { ...ref, name: partName(set, ref.name) } : ref;

function volumeOf(volume: Volume, { set, owned, scope }: Parts): object {
  const { name } = volume;
  if ('configMap' in volume) return { name, configMap: ownRef(volume.configMap, owned.configMaps, set) };
  if ('secret' in volume) {
    const { secretName, ...rest } = volume.secret;
    return { name, secret: { ...rest, secretName: ownRef({ name: secretName }, owned.secrets, set).name } };
  }
  if ('emptyDir' in volume) return { name, emptyDir: volume.emptyDir };
  if ('file' in volume) return { name, persistentVolumeClaim: { claimName: claimName(set.resource, name) } };
  const spec = claimSpec(volume.disk, 'ReadWriteOnce');
  return {
    name,
    ephemeral: { volumeClaimTemplate: { metadata: { labels: setLabels(scope, set) }, spec } },
  };
}

export const claimSpec = (
  { size, class: storageClassName }: { size: string; class?: string },
  mode: 'ReadWriteOnce' | 'ReadWriteMany',
): object => ({
  accessModes: [mode],
  resources: { requests: { storage: size } },
  ...(storageClassName !== undefined && { storageClassName }),
});

/** The volumes that all replicas share. */
export const sharedVolumes = ({ spec }: PodTemplate) =>
  spec.volumes.flatMap((volume) => ('file' in volume ? [volume] : []));
