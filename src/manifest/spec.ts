/** A valid document → a spec: what the schema's defaults cannot say, because it depends on other fields. */
import type {
  Container,
  DeclaredTraffic,
  PodTemplate,
  ReplicasKind,
  ReplicasSpec,
  ResourceAmounts,
  Volume,
} from './resource.ts';
import type { WrittenResource } from './written.ts';

/** `written` must be valid, with the schema's defaults filled in: then every field without a `?` below is there. */
export function toSpec(kind: ReplicasKind, name: string, { template: _, ...written }: WrittenResource): ReplicasSpec {
  const isInPlace = written.upgrade === 'inPlace';
  const common = {
    ...(written as Pick<
      ReplicasSpec,
      'target' | 'description' | 'paused' | 'progressDeadlineSeconds' | 'revisionHistoryLimit' | 'windows' | 'replicas'
    >),
    host: written.host ?? `${name}.localhost`,
    onFailure: written.onFailure ?? (isInPlace ? 'rollback' : 'pause'),
  };
  if (kind === 'Service')
    return {
      ...(common as typeof common & { upgrade: 'newVersion' | 'inPlace'; keepVersions: number }),
      kind,
      // In place, `none` says what the contract does: traffic stays as it is.
      traffic: (written.traffic as DeclaredTraffic | undefined) ?? { onDeploy: isInPlace ? 'none' : 'all' },
    };
  const { maxSurge = 1, maxUnavailable = 0 } = written.strategy?.rollingUpdate ?? {};
  return { ...(common as typeof common & { minReadySeconds: number }), kind, strategy: { maxSurge, maxUnavailable } };
}

/** Of the same `written`. */
export function toTemplate({ template }: WrittenResource): PodTemplate {
  const { metadata, spec } = template as PodTemplate;
  return {
    metadata,
    spec: { ...spec, containers: spec.containers.map(toContainer), volumes: spec.volumes.map(toVolume) },
  };
}

/** Quantities that were written as numbers become text, as the types have them. */
function toContainer(container: Container): Container {
  const { requests, limits } = container.resources;
  return {
    ...container,
    resources: { ...(requests && { requests: toAmounts(requests) }), ...(limits && { limits: toAmounts(limits) }) },
    logs: container.logs.map((log) => ({ ...log, maxSize: String(log.maxSize) })),
  };
}

const toAmounts = (amounts: ResourceAmounts): ResourceAmounts =>
  Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, String(amount)]));

function toVolume(volume: Volume): Volume {
  if ('disk' in volume) return { ...volume, disk: { ...volume.disk, size: String(volume.disk.size) } };
  if ('file' in volume) return { ...volume, file: { ...volume.file, size: String(volume.file.size) } };
  if (!('emptyDir' in volume) || volume.emptyDir.sizeLimit === undefined) return volume;
  return { ...volume, emptyDir: { sizeLimit: String(volume.emptyDir.sizeLimit) } };
}
