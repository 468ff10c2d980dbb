/** What a pod template asks for and a process on this machine cannot be given. PURE: validate and plan say it too. */
import type { PathSegment } from '../../manifest/diagnostic.ts';
import type { Container, PodTemplate, Volume } from '../../manifest/resource.ts';
import { fieldValue } from './variables.ts';

export interface NotHonoured {
  /** Into the pod template, e.g. `['spec', 'containers', 0, 'volumeMounts', 1, 'readOnly']`. */
  path: PathSegment[];
  /** `fail`: it could not start like this. */
  result: 'warn' | 'fail';
  message: string;
  remedy: string;
}

/** Limits of CPU and memory are not among them: whether they hold depends on the machine, and the precheck says so. */
export function notHonoured({ metadata, spec }: PodTemplate): NotHonoured[] {
  const template = { metadata, spec };
  return [
    ...spec.containers.flatMap((container, index) => {
      const path = ['spec', 'containers', index];
      return [
        ...mounts(container, path),
        ...logs(container, path),
        ...variables(container, path, template),
        ...ports(container, path),
        ...security(container, path),
      ];
    }),
    ...spec.volumes.flatMap((volume, index) => sizes(volume, ['spec', 'volumes', index])),
  ];
}

function mounts({ volumeMounts }: Container, path: PathSegment[]): NotHonoured[] {
  return volumeMounts.flatMap(({ name, mountPath, readOnly }, index) => {
    const at = [...path, 'volumeMounts', index];
    const inside = `.${mountPath.startsWith('/') ? '' : '/'}${mountPath}`;
    const variable = `SLUICE_MOUNT_${name.toUpperCase().replaceAll('-', '_')}`;
    const where: NotHonoured = {
      path: [...at, 'mountPath'],
      result: 'warn',
      message: `${mountPath} is not mounted on a local target: it is ${inside} in the working directory, and $${variable}`,
      remedy: `let the program use ${inside} or $${variable}`,
    };
    if (!readOnly) return [where];
    const writable: NotHonoured = {
      path: [...at, 'readOnly'],
      result: 'warn',
      message: `${mountPath} can be written to: a local target cannot mount anything read-only`,
      remedy: 'nothing, where the program does not write there',
    };
    return [where, writable];
  });
}

function logs({ logs: files }: Container, path: PathSegment[]): NotHonoured[] {
  return files.flatMap((file, index) => {
    if (!file.path.startsWith('/')) return [];
    return [
      {
        path: [...path, 'logs', index, 'path'],
        result: 'warn',
        message: `${file.path} is collected from .${file.path} in the working directory`,
        remedy: `let the program write to .${file.path}`,
      },
    ];
  });
}

function variables({ env }: Container, path: PathSegment[], template: PodTemplate): NotHonoured[] {
  return env.flatMap((variable, index): NotHonoured[] => {
    const at = [...path, 'env', index];
    if (/^(PORT|PORT_.*|SLUICE_.*)$/.test(variable.name)) {
      const message = `${variable.name} is set by Sluice, to the unit's own value`;
      return [{ path: at, result: 'warn', message, remedy: `remove it, or use another name` }];
    }
    if (!('valueFrom' in variable) || !('fieldRef' in variable.valueFrom)) return [];
    const { fieldPath } = variable.valueFrom.fieldRef;
    if (fieldValue(fieldPath, template, '', '') !== undefined) return [];
    const message = `a unit of a local target has no field ${fieldPath}`;
    return [
      {
        path: [...at, 'valueFrom', 'fieldRef', 'fieldPath'],
        result: 'fail',
        message,
        remedy: 'remove it, or write a literal value',
      },
    ];
  });
}

function security({ securityContext }: Container, path: PathSegment[]): NotHonoured[] {
  if (securityContext === undefined) return [];
  return [
    {
      path: [...path, 'securityContext'],
      result: 'warn',
      message: 'a process of a local target is that of the operator, or of --run-as, in every respect',
      remedy: 'use --run-as, or a target with containers',
    },
  ];
}

/** A probe's port that is not declared is asked as it is: it is the machine's, not the unit's. */
function ports(container: Container, path: PathSegment[]): NotHonoured[] {
  const declared = new Set(container.ports.flatMap(({ name, containerPort }) => [name, String(containerPort)]));
  const handlers = {
    startupProbe: container.startupProbe,
    readinessProbe: container.readinessProbe,
    livenessProbe: container.livenessProbe,
    'lifecycle.postStart': container.lifecycle?.postStart,
    'lifecycle.preStop': container.lifecycle?.preStop,
  };
  return Object.entries(handlers).flatMap(([field, handler]): NotHonoured[] => {
    if (handler === undefined || 'exec' in handler) return [];
    const { port } = 'httpGet' in handler ? handler.httpGet : handler.tcpSocket;
    if (declared.has(String(port))) return [];
    const number = Number.isInteger(Number(port));
    return [
      {
        path: [...path, ...field.split('.')],
        result: number ? 'warn' : 'fail',
        message: `port ${port} is not among the container's ports${number ? ': it is asked as it is, whoever listens there' : ''}`,
        remedy: 'declare it under `ports`',
      },
    ];
  });
}

function sizes(volume: Volume, path: PathSegment[]): NotHonoured[] {
  const asked =
    'disk' in volume
      ? { disk: volume.disk }
      : 'file' in volume
        ? { file: volume.file }
        : 'emptyDir' in volume
          ? { emptyDir: { size: volume.emptyDir.sizeLimit } }
          : {};
  return Object.entries(asked).flatMap(
    ([kind, { size, class: storage }]: [string, { size?: string | undefined; class?: string }]) => {
      const found: NotHonoured[] = [];
      if (size !== undefined) {
        const message = `volume ${volume.name} is a folder, which nothing keeps within ${size}`;
        const field = kind === 'emptyDir' ? 'sizeLimit' : 'size';
        found.push({
          path: [...path, kind, field],
          result: 'warn',
          message,
          remedy: 'watch the space that is left on the disk',
        });
      }
      if (storage !== undefined) {
        const message = `volume ${volume.name} has no class: it is a folder of the data folder`;
        found.push({
          path: [...path, kind, 'class'],
          result: 'warn',
          message,
          remedy: 'place --data-dir on storage of that class',
        });
      }
      return found;
    },
  );
}
