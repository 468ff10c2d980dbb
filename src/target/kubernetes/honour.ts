/** What a manifest asks for and a cluster does not give in the same way. PURE: validate and plan say it too. */
import type { PathSegment } from '../../manifest/diagnostic.ts';
import type { Container, PodTemplate, ReplicasSpec, Volume } from '../../manifest/resource.ts';
import type { KubernetesTarget } from '../../manifest/target.ts';
import type { NotHonoured } from '../local/honour.ts';
import { OWN_VARIABLE } from './pod.ts';

/** Paths go into the template. */
export function notHonouredByKubernetes({ spec }: PodTemplate): NotHonoured[] {
  return [
    ...spec.containers.flatMap((container, index) => {
      const path = ['spec', 'containers', index];
      return [...variables(container, path), ...logs(container, path)];
    }),
    ...spec.volumes.flatMap((volume, index) => disks(volume, ['spec', 'volumes', index])),
  ];
}

function variables({ env }: Container, path: PathSegment[]): NotHonoured[] {
  return env.flatMap(({ name }, index): NotHonoured[] => {
    if (!OWN_VARIABLE.test(name)) return [];
    const message = `${name} is set by Sluice, to the unit's own value`;
    return [{ path: [...path, 'env', index], result: 'warn', message, remedy: 'remove it, or use another name' }];
  });
}

function logs({ logs: files }: Container, path: PathSegment[]): NotHonoured[] {
  return files.map((file, index) => ({
    path: [...path, 'logs', index],
    result: 'warn',
    message: `kubernetes: ${file.path} is not collected, and nothing keeps it within ${file.maxSize}`,
    remedy: 'let the program write to standard output, which the node collects',
  }));
}

function disks(volume: Volume, path: PathSegment[]): NotHonoured[] {
  if (!('disk' in volume)) return [];
  return [
    {
      path: [...path, 'disk'],
      result: 'warn',
      message: `kubernetes: the disk of volume ${volume.name} goes with its pod, and a pod is never replaced in its place`,
      remedy: 'keep there only what can be made again; use a `file` volume for what must stay',
    },
  ];
}

/** A Kubernetes Service is called `<name>-<version>`, and a name has at most 63 characters; a version that is not declared is called `v<number>`. */
const LONGEST = 63;
const RESERVED = 'v99999';
/** Of `Workload.` in a label, and of the revision in the name of a ReplicaSet whose pods keep their names readable. */
const LONGEST_NAME = 46;

/** Paths go into `spec`. */
export function notRunByKubernetes(name: string, spec: ReplicasSpec, { gateway }: KubernetesTarget): NotHonoured[] {
  const found: NotHonoured[] = [];
  const version = spec.kind === 'Service' ? `-${spec.version ?? RESERVED}` : '';
  if (name.length > LONGEST_NAME || `${name}${version}`.length > LONGEST)
    found.push({
      path: ['target'],
      result: 'fail',
      message: `kubernetes: the name ${name}${version} is too long; its objects are called after it`,
      remedy: `give it a name of at most ${LONGEST_NAME} characters, with its version ${LONGEST}`,
    });
  if (spec.kind !== 'Service') return found;
  if (gateway === undefined)
    found.push({
      path: ['target'],
      result: 'fail',
      message: 'kubernetes: traffic of a Service is divided by a Gateway, and its target has none',
      remedy: 'give the target `kubernetes.gateway`, or declare a Workload',
    });
  return [...found, ...rules(spec.traffic)];
}

/** A Gateway prefers the rule that asks for more parameters, wherever it stands; and of a repeated one it looks at the first value. */
function rules(traffic: Extract<ReplicasSpec, { kind: 'Service' }>['traffic']): NotHonoured[] {
  if (!('match' in traffic)) return [];
  return traffic.match.rules.flatMap(({ query }, index): NotHonoured[] => {
    const path = ['traffic', 'match', 'rules', index];
    const keys = Object.keys(query).length;
    const earlier = traffic.match.rules.slice(0, index).findIndex((rule) => Object.keys(rule.query).length < keys);
    const order: NotHonoured[] =
      earlier < 0
        ? []
        : [
            {
              path,
              result: 'fail',
              message: `kubernetes: a Gateway tries the rule of more keys first, so it would come before rules[${earlier}]`,
              remedy: 'put rules of more keys first',
            },
          ];
    const globs = Object.values(query).filter((glob) => /[*?[]/.test(glob));
    if (globs.length === 0) return order;
    return [
      ...order,
      {
        path: [...path, 'query'],
        result: 'warn',
        message: `kubernetes: ${globs[0]} becomes a regular expression, which not every Gateway takes, and of a repeated key only the first value counts`,
        remedy: 'try it with your Gateway; one that refuses it says so, and traffic stays as it is',
      },
    ];
  });
}
