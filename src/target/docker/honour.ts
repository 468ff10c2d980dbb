/** What a pod template asks for and a container of this driver cannot be given. PURE: validate and plan say it too. */
import type { PathSegment } from '../../manifest/diagnostic.ts';
import type { Container, PodTemplate, ReplicasSpec, ServiceSpec, Volume } from '../../manifest/resource.ts';
import type { DockerTarget } from '../../manifest/target.ts';
import { whyNoExpression } from '../haproxy/router/glob.ts';
import type { NotHonoured } from '../local/honour.ts';

/** Below `spec`. */
export function notHonouredByDocker(spec: ReplicasSpec, what: PodTemplate, target: DockerTarget): NotHonoured[] {
  const template = templateOnDocker(what, target).map((each) => ({
    ...each,
    path: ['template', ...each.path],
  }));
  return [...template, ...(target.router === 'haproxy' && spec.kind === 'Service' ? globs(spec) : [])];
}

function globs({ traffic }: ServiceSpec): NotHonoured[] {
  const rules = 'match' in traffic ? traffic.match.rules : [];
  return rules.flatMap(({ query }, index) =>
    Object.entries(query).flatMap(([key, glob]): NotHonoured[] => {
      const message = whyNoExpression(glob);
      if (message === undefined) return [];
      const path = ['traffic', 'match', 'rules', index, 'query', key];
      return [
        { path, result: 'fail', message: `haproxy: ${message}`, remedy: 'write the characters as rules of their own' },
      ];
    }),
  );
}

export function templateOnDocker({ spec }: PodTemplate, { host }: DockerTarget): NotHonoured[] {
  const isHere = host.startsWith('unix://');
  return [
    ...spec.containers.flatMap((container, index) => {
      const path = ['spec', 'containers', index];
      return [...variables(container, path), ...mounts(container, spec.volumes, path), ...logs(container, path)];
    }),
    ...spec.volumes.flatMap((volume, index) => volumes(volume, isHere, ['spec', 'volumes', index])),
  ];
}

function variables({ env, envFrom }: Container, path: PathSegment[]): NotHonoured[] {
  const found = env.flatMap((variable, index): NotHonoured[] => {
    const at = [...path, 'env', index];
    if (/^(PORT|PORT_.*|SLUICE_.*)$/.test(variable.name)) {
      const message = `${variable.name} is set by Sluice, to the unit's own value`;
      return [{ path: at, result: 'warn', message, remedy: 'remove it, or use another name' }];
    }
    if (!('valueFrom' in variable)) return [];
    if ('secretKeyRef' in variable.valueFrom) return [secretVariable(at)];
    if (!('fieldRef' in variable.valueFrom) || variable.valueFrom.fieldRef.fieldPath !== 'status.podIP') return [];
    return [
      {
        path: [...at, 'valueFrom', 'fieldRef', 'fieldPath'],
        result: 'fail',
        message: 'the address of a container is not known before it is started',
        remedy: 'let the program look it up, or listen on 0.0.0.0',
      },
    ];
  });
  const gathered = envFrom.flatMap(({ secretRef }, index) =>
    secretRef === undefined ? [] : [secretVariable([...path, 'envFrom', index])],
  );
  return [...found, ...gathered];
}

const secretVariable = (path: PathSegment[]): NotHonoured => ({
  path,
  result: 'warn',
  message: "a secret in a variable lies in the engine's own files, and whoever may ask the engine can read it",
  remedy: 'mount it as a volume, which is kept in memory only',
});

function mounts({ volumeMounts }: Container, declared: Volume[], path: PathSegment[]): NotHonoured[] {
  return volumeMounts.flatMap(({ name, subPath }, index): NotHonoured[] => {
    const volume = declared.find((each) => each.name === name);
    if (subPath === undefined || volume === undefined || 'secret' in volume) return [];
    return [
      {
        path: [...path, 'volumeMounts', index, 'subPath'],
        result: 'fail',
        message: `docker: only a whole volume can be mounted, not ${subPath} of volume ${name}`,
        remedy: 'mount the whole volume at a folder of its own',
      },
    ];
  });
}

function logs({ logs: files }: Container, path: PathSegment[]): NotHonoured[] {
  return files.map((file, index) => ({
    path: [...path, 'logs', index],
    result: 'warn',
    message: `docker: ${file.path} is not collected, and nothing keeps it within ${file.maxSize}`,
    remedy: 'let the program write to standard output, which is collected and kept within 10 MiB',
  }));
}

function volumes(volume: Volume, isHere: boolean, path: PathSegment[]): NotHonoured[] {
  if ('secret' in volume) {
    if (isHere) return [];
    return [
      {
        path: [...path, 'secret'],
        result: 'fail',
        message:
          'docker: a secret volume lies in the memory of the machine of the operator, and the engine is on another',
        remedy: 'take the secret as a variable, or run the operator beside the engine',
      },
    ];
  }
  const asked =
    'disk' in volume
      ? { kind: 'disk', size: volume.disk.size, storage: volume.disk.class, field: 'size' }
      : 'file' in volume
        ? { kind: 'file', size: volume.file.size, storage: volume.file.class, field: 'size' }
        : 'emptyDir' in volume
          ? { kind: 'emptyDir', size: volume.emptyDir.sizeLimit, storage: undefined, field: 'sizeLimit' }
          : undefined;
  if (asked === undefined) return [];
  const found: NotHonoured[] = [];
  if (asked.size !== undefined)
    found.push({
      path: [...path, asked.kind, asked.field],
      result: 'warn',
      message: `volume ${volume.name} is a volume of the engine, which nothing keeps within ${asked.size}`,
      remedy: "watch the space that is left on the engine's disk",
    });
  if (asked.storage !== undefined)
    found.push({
      path: [...path, asked.kind, 'class'],
      result: 'warn',
      message: `volume ${volume.name} has no class: it lies where the engine keeps its volumes`,
      remedy: "place the engine's data on storage of that class",
    });
  return found;
}
