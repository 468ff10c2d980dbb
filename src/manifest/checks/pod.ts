/** What a pod template must mean besides having the right form. */
import { parseQuantity, QUANTITY_PATTERN } from '../quantity.ts';
import type { WrittenContainer, WrittenTemplate, WrittenVolume } from '../written.ts';
import { badPath } from './paths.ts';
import type { Path, Report } from './report.ts';
import { unique } from './unique.ts';

export function checkTemplate(template: WrittenTemplate, path: Path, report: Report): void {
  const containers = template.spec?.containers ?? [];
  const volumes = template.spec?.volumes ?? [];
  const within = [...path, 'spec'];
  unique(containers, 'name', [...within, 'containers'], report);
  unique(volumes, 'name', [...within, 'volumes'], report);
  const known = new Set(volumes.flatMap((volume) => volume?.name ?? []));
  for (const [index, container] of containers.entries())
    if (container) checkContainer(container, known, [...within, 'containers', index], report);
  for (const [index, volume] of volumes.entries())
    if (volume) checkVolume(volume, [...within, 'volumes', index], report);
}

function checkContainer(container: WrittenContainer, volumes: Set<string>, path: Path, report: Report): void {
  for (const field of ['name', 'containerPort'] as const)
    unique(container.ports ?? [], field, [...path, 'ports'], report);
  unique(container.env ?? [], 'name', [...path, 'env'], report);
  unique(container.volumeMounts ?? [], 'mountPath', [...path, 'volumeMounts'], report);
  unique(container.logs ?? [], 'path', [...path, 'logs'], report);
  checkPorts(container, path, report);
  checkPath(container.workingDir, [...path, 'workingDir'], report);
  checkResources(container, path, report);
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const at = [...path, 'volumeMounts', index];
    if (mount?.name !== undefined && !volumes.has(mount.name))
      report(
        [...at, 'name'],
        'missing-reference',
        `there is no volume ${JSON.stringify(mount.name)}; ${listed('volumes', [...volumes])}`,
      );
    checkPath(mount?.mountPath, [...at, 'mountPath'], report);
    checkPath(mount?.subPath, [...at, 'subPath'], report);
  }
  for (const [index, log] of (container.logs ?? []).entries()) {
    checkPath(log?.path, [...path, 'logs', index, 'path'], report);
    checkQuantity(log?.maxSize, [...path, 'logs', index, 'maxSize'], report);
  }
}

const listed = (what: string, names: string[]) =>
  names.length === 0 ? `no ${what} are declared` : `${what} declared: ${names.join(', ')}`;

function checkPath(value: string | undefined, path: Path, report: Report): void {
  const message = value === undefined ? undefined : badPath(value);
  if (message !== undefined) report(path, 'bad-path', message);
}

/** A port by name must be one of the container's own. */
function checkPorts(container: WrittenContainer, path: Path, report: Report): void {
  const names = (container.ports ?? []).flatMap((port) => port?.name ?? []);
  const asks = {
    livenessProbe: container.livenessProbe,
    readinessProbe: container.readinessProbe,
    startupProbe: container.startupProbe,
    'lifecycle.postStart': container.lifecycle?.postStart,
    'lifecycle.preStop': container.lifecycle?.preStop,
  };
  for (const [field, handler] of Object.entries(asks))
    for (const kind of ['httpGet', 'tcpSocket'] as const) {
      const port = handler?.[kind]?.port;
      if (typeof port !== 'string' || names.includes(port)) continue;
      const at = [...path, ...field.split('.'), kind, 'port'];
      report(
        at,
        'missing-reference',
        `the container has no port named ${JSON.stringify(port)}; ${listed('ports', names)}`,
      );
    }
}

function checkResources({ resources }: WrittenContainer, path: Path, report: Report): void {
  for (const name of ['cpu', 'memory'] as const) {
    for (const part of ['requests', 'limits'] as const) {
      const at = [...path, 'resources', part, name];
      const amount = checkQuantity(resources?.[part]?.[name], at, report);
      if (amount === 0 && part === 'limits')
        report(at, 'bad-value', 'a limit of 0 lets nothing run; raise it or remove it');
    }
    const request = amountOf(resources?.requests?.[name]);
    const limit = amountOf(resources?.limits?.[name]);
    if (request !== undefined && limit !== undefined && request > limit)
      report(
        [...path, 'resources', 'requests', name],
        'bad-value',
        `more is requested than the limit of ${resources?.limits?.[name]} allows; lower it or raise the limit`,
      );
  }
}

const amountOf = (value: string | number | undefined) =>
  value === undefined ? undefined : parseQuantity(String(value));

const quantity = new RegExp(QUANTITY_PATTERN);

/** What has not the form of one, the schema has told already. */
function checkQuantity(value: string | number | undefined, path: Path, report: Report): number | undefined {
  const amount = amountOf(value);
  const isFormed = typeof value === 'number' || (value !== undefined && quantity.test(value));
  if (isFormed && amount === undefined)
    report(path, 'bad-quantity', `${value} is too large, or too fine, for a quantity; write one such as 500m or 1Gi`);
  return amount;
}

function checkVolume(volume: WrittenVolume, path: Path, report: Report): void {
  checkQuantity(volume.disk?.size, [...path, 'disk', 'size'], report);
  checkQuantity(volume.file?.size, [...path, 'file', 'size'], report);
  checkQuantity(volume.emptyDir?.sizeLimit, [...path, 'emptyDir', 'sizeLimit'], report);
  for (const kind of ['configMap', 'secret'] as const) {
    const items = volume[kind]?.items ?? [];
    unique(items, 'path', [...path, kind, 'items'], report);
    for (const [index, item] of items.entries()) checkPath(item?.path, [...path, kind, 'items', index, 'path'], report);
  }
}
