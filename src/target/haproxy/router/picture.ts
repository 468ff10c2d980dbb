/** What HAProxy is to do for some routes: servers of versions, and where hosts go. PURE. */
import type { ResourceId } from '../../../manifest/resource.ts';
import type { TrafficPolicy } from '../../../plan/live.ts';
import type { Backend, Route } from '../../local/router/config.ts';
import { versionsOf, withoutAbsent } from '../../local/router/table.ts';
import { ruleExpression } from './glob.ts';

export interface Server {
  address: string;
  weight: number;
}

/** Where a host goes. A version is named by `keyOf`. */
export type Destination =
  /** Nothing is routed yet. */
  | { kind: 'nothing' }
  | { kind: 'direct'; version: string }
  /** So many of a hundred to `first`. */
  | { kind: 'percent'; first: string; share: number; second: string }
  /** What no rule of the host is true of. */
  | { kind: 'match'; version: string };

export interface Picture {
  /** Each version's servers, by their names in HAProxy. */
  versions: Map<string, Map<string, Server>>;
  hosts: Map<string, Destination>;
  /** Of all hosts, in order: the first that is true decides. */
  rules: { expression: string; version: string }[];
}

export const keyOf = (resource: ResourceId, version: string): string => `${resource} ${version}`;

/** Unit and address: a container that is put back elsewhere is another server. */
const serverName = ({ unit, host = LOOPBACK, port }: Backend): string =>
  [...unit.split('/'), host, String(port)].join('_');
/** `Workload_web_web-1_10.0.0.1_8080` → `Workload/web/web-1` */
export const unitOf = (server: string): string => server.split('_').slice(0, -2).join('/');

const LOOPBACK = '127.0.0.1';

/** A declared host stands before another resource's version address; of two equal ones the resource that sorts first has it. */
export function pictureOf(routes: Record<ResourceId, Route>): Picture {
  const picture: Picture = { versions: new Map(), hosts: new Map(), rules: [] };
  const direct = new Map<string, Destination>();
  for (const resource of (Object.keys(routes) as ResourceId[]).sort().reverse()) {
    const route = routes[resource] as Route;
    const host = route.host.toLowerCase();
    for (const version of new Set([...Object.keys(route.versions), ...versionsOf(route.policy)])) {
      picture.versions.set(keyOf(resource, version), serversOf(route.versions[version] ?? []));
      if (version !== '')
        direct.set(`${version}.${host}`.toLowerCase(), { kind: 'direct', version: keyOf(resource, version) });
    }
    picture.hosts.set(host, destinationOf(resource, route));
    // Of another resource with the same host they would be asked, too.
    picture.rules = picture.rules.filter(({ expression }) => !expression.startsWith(ruleExpression(host, {})));
    if (route.policy?.kind === 'match') picture.rules.push(...rulesOf(resource, host, route.policy));
  }
  picture.hosts = new Map([...direct, ...picture.hosts]);
  return picture;
}

function destinationOf(resource: ResourceId, { policy, versions }: Route): Destination {
  if (policy === undefined) return { kind: 'nothing' };
  if (policy.kind === 'match') return { kind: 'match', version: keyOf(resource, policy.default) };
  const shared = withoutAbsent(policy, versions);
  const shares = Object.entries(shared.kind === 'percent' ? shared.weights : {}).filter(([, share]) => share > 0);
  const [first, second] = shares;
  if (first === undefined) return { kind: 'nothing' };
  if (second === undefined) return { kind: 'direct', version: keyOf(resource, first[0]) };
  if (shares.length > 2) throw new Error(`${resource}: HAProxy divides traffic between two versions at most`);
  const share = Math.round((100 * first[1]) / (first[1] + second[1]));
  return { kind: 'percent', first: keyOf(resource, first[0]), share, second: keyOf(resource, second[0]) };
}

const rulesOf = (resource: ResourceId, host: string, { rules }: TrafficPolicy & { kind: 'match' }) =>
  rules.map(({ version, query }) => ({
    expression: ruleExpression(host, query),
    version: keyOf(resource, version),
  }));

function serversOf(backends: Backend[]): Map<string, Server> {
  return new Map(
    backends.map((backend) => {
      const { host = LOOPBACK, port, weight = 100 } = backend;
      const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
      return [serverName(backend), { address, weight: Math.min(256, weight) }];
    }),
  );
}
