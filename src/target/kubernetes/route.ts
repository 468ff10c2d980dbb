/** Where traffic goes, as an HTTPRoute of the Gateway API, and read back from one. PURE. */
import { isDeepStrictEqual } from 'node:util';
import type { ResourceId } from '../../manifest/resource.ts';
import type { KubernetesTarget } from '../../manifest/target.ts';
import type { TrafficPolicy } from '../../plan/live.ts';
import { trafficNames } from '../../plan/versions.ts';
import type { KubeObject } from './client.ts';
import { ANNOTATION, nameOf, resourceLabels, type Scope, versionName } from './names.ts';

export type Gateway = NonNullable<KubernetesTarget['gateway']>;

interface Backend {
  name: string;
  port: number;
  weight: number;
}
interface Match {
  queryParams: { type: 'Exact' | 'RegularExpression'; name: string; value: string }[];
}
/** As it is read: the API adds a path to each, and such a match to a rule that has none. */
type ReadMatch = Partial<Match> & { path?: { type: string; value: string } };
interface Rule {
  matches?: Match[];
  backendRefs: Backend[];
}
interface ReadRule {
  matches?: ReadMatch[];
  backendRefs: Backend[];
}
interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  observedGeneration?: number;
}
export interface HttpRoute extends KubeObject {
  spec: { parentRefs: object[]; hostnames: string[]; rules: ReadRule[] };
  status?: { parents?: { parentRef: { name: string; namespace?: string }; conditions?: Condition[] }[] };
}

export interface Routed {
  resource: ResourceId;
  host: string;
  policy: TrafficPolicy;
  /** What it did before; until the Gateway takes up the new one, that goes on. */
  before: TrafficPolicy | undefined;
  /** Of each version. */
  ports: Record<string, number>;
}

export function httpRoute(scope: Scope, gateway: Gateway, routed: Routed): object {
  const { resource, policy, before } = routed;
  return {
    ...routeOf(scope, gateway, resource, nameOf(resource), [routed.host], rulesOf(routed), {
      [ANNOTATION.policy]: JSON.stringify(policy),
      ...(before !== undefined && { [ANNOTATION.before]: JSON.stringify(before) }),
    }),
  };
}

/** `v8.shop.example.org`: one version, whatever its share. */
export const versionRoute = (
  scope: Scope,
  gateway: Gateway,
  resource: ResourceId,
  version: string,
  host: string,
  port: number,
): object =>
  routeOf(
    scope,
    gateway,
    resource,
    versionName(resource, version),
    [`${version}.${host}`],
    [{ backendRefs: [backend(resource, version, port, 1)] }],
  );

function routeOf(
  scope: Scope,
  gateway: Gateway,
  resource: ResourceId,
  name: string,
  hostnames: string[],
  rules: Rule[],
  annotations: Record<string, string> = {},
): object {
  const { name: parent, namespace, listener } = gateway;
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name, namespace: scope.namespace, labels: resourceLabels(scope, resource), annotations },
    spec: {
      parentRefs: [
        {
          ...{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: parent },
          ...(namespace !== undefined && { namespace }),
          ...(listener !== undefined && { sectionName: listener }),
        },
      ],
      hostnames,
      rules,
    },
  };
}

const backend = (resource: ResourceId, version: string, port: number, weight: number): Backend => ({
  name: versionName(resource, version),
  port,
  weight,
});

/**
 * 90 % to v7 and 10 % to v8 are one rule with two weights; `match` is a rule for each of its own, tried in their order, and one for the
 * rest.
 */
function rulesOf({ resource, policy, ports }: Routed): Rule[] {
  const to = (version: string, weight: number) => backend(resource, version, ports[version] ?? 80, weight);
  if (policy.kind === 'percent')
    return [
      {
        backendRefs: Object.entries(policy.weights)
          .sort()
          .map(([version, share]) => to(version, share)),
      },
    ];
  return [
    ...policy.rules.map(({ version, query }) => ({
      matches: [
        {
          queryParams: Object.entries(query)
            .sort()
            .map(([name, glob]) => paramOf(name, glob)),
        },
      ],
      backendRefs: [to(version, 1)],
    })),
    { backendRefs: [to(policy.default, 1)] },
  ];
}

const GLOB = /[*?[]/;

function paramOf(name: string, glob: string): Match['queryParams'][number] {
  if (!GLOB.test(glob)) return { type: 'Exact', name, value: glob };
  return { type: 'RegularExpression', name, value: globPattern(glob) };
}

/** `1*` is `^1.*$`, `v[0-9]?` is `^v[0-9].$`. */
export function globPattern(glob: string): string {
  const parts = glob.match(/\*|\?|\[[^\]]*\]|[^*?[]+|\[/g) ?? [];
  const pattern = parts.map((part) => {
    if (part === '*') return '.*';
    if (part === '?') return '.';
    return /^\[.+\]$/.test(part) ? part : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return `^${pattern.join('')}$`;
}

/** What the spec of a route does; undefined: not what Sluice made of it, so somebody changed it. */
export function policyOf(resource: ResourceId, { spec, metadata }: HttpRoute): TrafficPolicy | undefined {
  const [only] = spec.rules;
  if (spec.rules.length === 1 && (only?.matches ?? []).every(isAll))
    return percentOf(resource, only?.backendRefs ?? []);
  const policy = readPolicy(metadata.annotations?.[ANNOTATION.policy]);
  if (policy?.kind !== 'match') return undefined;
  const ports: Record<string, number> = {};
  for (const version of trafficNames(policy))
    for (const { backendRefs } of spec.rules)
      for (const { name, port } of backendRefs) if (name === versionName(resource, version)) ports[version] = port;
  const made = rulesOf({ resource, policy, ports, host: '', before: undefined });
  return isDeepStrictEqual(spec.rules.map(plainRule), made) ? policy : undefined;
}

const isAll = (match: ReadMatch): boolean => isDeepStrictEqual({ path: ALL_PATHS, ...match }, { path: ALL_PATHS });
const ALL_PATHS = { type: 'PathPrefix', value: '/' };

/** Without what the API adds to it; what somebody else added stays, so that it is seen. */
const plainRule = ({ matches = [], backendRefs }: ReadRule): object => ({
  ...(!matches.every(isAll) && {
    matches: matches.map(({ path = ALL_PATHS, queryParams = [], ...others }) => ({
      ...others,
      ...(!isDeepStrictEqual(path, ALL_PATHS) && { path }),
      queryParams: queryParams.map(({ type, name, value }) => ({ type, name, value })),
    })),
  }),
  backendRefs: backendRefs.map(({ name, port, weight }) => ({ name, port, weight })),
});

function percentOf(resource: ResourceId, backends: Backend[]): TrafficPolicy | undefined {
  const weights: Record<string, number> = {};
  const prefix = `${nameOf(resource)}-`;
  for (const { name, weight } of backends) {
    if (name !== nameOf(resource) && !name.startsWith(prefix)) return undefined;
    weights[name === nameOf(resource) ? '' : name.slice(prefix.length)] = weight;
  }
  return { kind: 'percent', weights };
}

export const beforeOf = ({ metadata }: HttpRoute): TrafficPolicy | undefined =>
  readPolicy(metadata.annotations?.[ANNOTATION.before]);

function readPolicy(text: string | undefined): TrafficPolicy | undefined {
  try {
    const policy = JSON.parse(text ?? '') as TrafficPolicy;
    return policy.kind === 'percent' || policy.kind === 'match' ? policy : undefined;
  } catch {
    return undefined;
  }
}

const REQUIRED = ['Accepted', 'ResolvedRefs'];

export interface Acceptance {
  accepted: boolean;
  /** It will not be, as it is. */
  refused: boolean;
  message: string;
}

/** Whether the Gateway has taken up this very spec; else what it says, or that it says nothing. */
export function acceptance({ status, metadata }: HttpRoute, gateway: Gateway): Acceptance {
  const waits = { accepted: false, refused: false };
  const parent = status?.parents?.find(({ parentRef }) => parentRef.name === gateway.name);
  if (parent === undefined) return { ...waits, message: `Gateway ${gateway.name} has not taken up the route yet` };
  for (const type of REQUIRED) {
    const condition = parent.conditions?.find((each) => each.type === type);
    const current = (condition?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
    if (condition === undefined || !current)
      return { ...waits, message: `Gateway ${gateway.name} has not taken up the change of the route yet` };
    if (condition.status !== 'True') {
      const { reason = type, message = '' } = condition;
      return { ...waits, refused: true, message: `Gateway ${gateway.name} refuses the route: ${reason}: ${message}` };
    }
  }
  return { accepted: true, refused: false, message: '' };
}
