/** What must hold on the hosts before anything is done to them. Looks, changes nothing; each answer says what to do. */
import { setMaxListeners } from 'node:events';
import type {
  AnyRunnable,
  ClusterRunnable,
  FleetRunnable,
  InstanceSpec,
  Interpreter,
  ResourceId,
} from '../../manifest/resource.ts';
import type { Plan, UnitChange } from '../../plan/plan.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import type { HostDetails, UnitView } from '../hosts/view.ts';
import { askHttp } from '../local/handler.ts';
import type { Balancer } from './balancer.ts';
import type { Connections } from './connections.ts';
import { verifyCommand } from './verify.ts';
import type { HostUnit } from './watch.ts';

export interface Prechecked {
  resource: ResourceId;
  spec: InstanceSpec;
  runnable: Exclude<AnyRunnable, { template: unknown }>;
  plan: Plan;
  units: HostUnit[];
  balancer: Balancer | undefined;
  connections: Connections;
  signal: AbortSignal;
}

/** A host that answered, and when. */
interface Seen {
  name: string;
  view: UnitView;
  details: HostDetails;
  askedAt: number;
  answeredAt: number;
}
interface Asked extends Prechecked {
  seen: Seen[];
  silent: { name: string; why: string }[];
  /** Of the plan, by unit. */
  changes: Map<string, UnitChange>;
}
type Check = (asked: Asked) => PrecheckResult[] | Promise<PrecheckResult[]>;

const FLEET: Check[] = [reachable, programs, interpreter, disk, balanced, rollbackScripts, unfinished];
const CLUSTER: Check[] = [
  ...[reachable, programs, interpreter, versions, disk, balanced, swap, memory, clocks, load, certificates],
  ...[unfinished, declaredChecks],
];

const CERTIFICATES = [
  ...['/etc/kubernetes/pki/*.crt', '/etc/kubernetes/pki/etcd/*.crt', '/var/lib/kubelet/pki/*.crt'],
  ...['/var/lib/kubelet/pki/kubelet-client-current.pem', '/etc/etcd/pki/*.crt', '/etc/etcd/*.crt'],
];

/** All of them run, whatever the others say. */
export async function precheckHosts(given: Prechecked): Promise<PrecheckResult[]> {
  const goals = given.plan.stages.flatMap(({ goal }) => (goal.kind === 'units' ? Object.entries(goal.want) : []));
  // As many listen to it as there are hosts.
  const signal = AbortSignal.any([given.signal]);
  setMaxListeners(0, signal);
  const asked: Asked = { ...given, signal, seen: [], silent: [], changes: new Map(goals) };
  await Promise.all(given.units.map((unit) => lookAt(asked, unit)));
  const checks = given.spec.kind === 'Fleet' ? FLEET : CLUSTER;
  return (await Promise.all(checks.map((check) => check(asked)))).flat();
}

async function lookAt({ spec, signal, seen, silent }: Asked, { place, host }: HostUnit): Promise<void> {
  const askedAt = Date.now();
  const versionCommand = spec.kind === 'Cluster' ? spec.upgrade.versionCommand : undefined;
  try {
    const details = { certificates: CERTIFICATES };
    const view = await place.look({ signal, details, ...(versionCommand && { versionCommand }) });
    if (view.details === undefined) throw new Error('it told nothing of itself');
    seen.push({ name: host.name, view, details: view.details, askedAt, answeredAt: Date.now() });
  } catch (error) {
    silent.push({ name: host.name, why: (error as Error).message });
  }
}

const result = (name: string, outcome: PrecheckResult['result'], message: string, remedy = ''): PrecheckResult => ({
  ...{ name, result: outcome, message, remedy },
});

const MOST_NAMED = 5;
function listed(texts: string[]): string {
  const sorted = [...texts].sort();
  const more = sorted.length - MOST_NAMED;
  return sorted.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** One line for all hosts with the same trouble, or one that they have none. */
function judged(
  asked: Asked,
  name: string,
  fine: string,
  remedy: string,
  judge: (seen: Seen) => { result: 'warn' | 'fail'; what: string } | undefined,
): PrecheckResult[] {
  if (asked.seen.length === 0) return [];
  const troubles = asked.seen.flatMap((seen) => {
    const trouble = judge(seen);
    return trouble ? [{ ...trouble, text: `${seen.name} (${trouble.what})` }] : [];
  });
  const of = (outcome: 'warn' | 'fail') => {
    const texts = troubles.filter((trouble) => trouble.result === outcome).map(({ text }) => text);
    return texts.length === 0 ? [] : [result(name, outcome, listed(texts), remedy)];
  };
  return troubles.length === 0 ? [result(name, 'pass', fine)] : [...of('fail'), ...of('warn')];
}

/** Of a fleet only what is to be upgraded must answer. */
function reachable({ spec, units, silent, changes }: Asked): PrecheckResult[] {
  const name = 'hosts';
  if (silent.length === 0) return [result(name, 'pass', `all ${units.length} answer`)];
  const needed = silent.filter(({ name }) => spec.kind === 'Cluster' || changes.has(name));
  const texts = silent.map(({ name, why }) => `${name} (${why})`);
  return [
    result(name, needed.length > 0 ? 'fail' : 'warn', `no answer from ${listed(texts)}`, 'bring them up, then retry'),
  ];
}

function programs(asked: Asked): PrecheckResult[] {
  const remedy = 'install the packages util-linux and coreutils there; give the user a home that it can write to';
  return judged(asked, 'programs', 'what is needed on the hosts is there', remedy, ({ details }) => {
    if (details.lacks.length > 0) return { result: 'fail', what: `no ${details.lacks.join(', ')}` };
    if (details.unwritable !== undefined) return { result: 'fail', what: `${details.unwritable} cannot be written` };
    return undefined;
  });
}

const PROGRAMS: Record<Interpreter, string[]> = {
  sh: [],
  bat: ['cmd.exe'],
  powershell: ['pwsh', 'powershell', 'powershell.exe'],
};

function interpreter(asked: Asked): PrecheckResult[] {
  const { script } = asked.runnable as FleetRunnable | ClusterRunnable;
  const wanted = script?.interpreter ?? 'sh';
  if (wanted === 'sh') return [];
  const remedy = `install ${PROGRAMS[wanted][0]} there, or write the script for sh`;
  return judged(asked, 'interpreter', `the hosts run scripts of ${wanted}`, remedy, ({ details }) =>
    PROGRAMS[wanted].some((program) => details.has.includes(program))
      ? undefined
      : { result: 'fail', what: `no ${PROGRAMS[wanted].join(', ')}` },
  );
}

const MIB = 2 ** 20;
const GIB = 2 ** 30;

function disk(asked: Asked): PrecheckResult[] {
  const least = asked.spec.kind === 'Cluster' ? GIB : 50 * MIB;
  const remedy = 'free space there, then retry';
  return judged(asked, 'disk', 'there is space on the hosts', remedy, ({ details }) => {
    if (details.disk === undefined) return { result: 'warn', what: 'does not tell' };
    const { freeBytes, totalBytes } = details.disk;
    const what = `${Math.floor(freeBytes / MIB)} MiB free`;
    if (freeBytes < least) return { result: 'fail', what: `${what}, ${least / MIB} MiB needed` };
    return freeBytes < totalBytes / 20 ? { result: 'warn', what } : undefined;
  });
}

async function balanced({ balancer, units, spec }: Asked): Promise<PrecheckResult[]> {
  if (balancer === undefined) return [];
  const name = 'load balancer';
  try {
    const servers = await balancer.refresh();
    const missing = units.filter(({ host }) => !servers.has(host.name)).map(({ host }) => host.name);
    if (missing.length === 0) return [result(name, 'pass', 'it answers, and has all of them as servers')];
    const outcome = spec.kind === 'Fleet' ? 'fail' : 'warn';
    const message = `it has no server of the name ${listed(missing)}`;
    return [result(name, outcome, message, 'name the servers in its backends like the hosts of the target')];
  } catch (error) {
    const remedy = 'start it, and correct loadBalancer.haproxy of the target';
    return [result(name, 'fail', (error as Error).message, remedy)];
  }
}

/** Only on a way back. */
function rollbackScripts(asked: Asked): PrecheckResult[] {
  const back = [...asked.changes.values()].some(({ undo }) => undo.length > 0);
  if (!back) return [];
  const remedy = 'nothing is run for these revisions; undo by hand what their scripts did';
  return judged(asked, 'rollback scripts', 'what undoes it lies beside each unit', remedy, ({ name, view }) => {
    const missing = (asked.changes.get(name)?.undo ?? []).filter((revision) => !view.undoable.includes(revision));
    return missing.length === 0 ? undefined : { result: 'warn', what: `none for ${missing.join(', ')}` };
  });
}

/** Also of an earlier operator, or of one that nobody knows any more. */
function unfinished(asked: Asked): PrecheckResult[] {
  const remedy = 'see sluice logs; wait until it has ended, or put right by hand what it left';
  return judged(asked, 'earlier upgrades', 'none is unfinished', remedy, ({ view }) => {
    const attempts = Object.values(view.attempts);
    const running = attempts.find(({ state }) => state === 'running');
    if (running !== undefined) return { result: 'fail', what: `${running.id} still runs` };
    const unknown = view.attempts.update?.state === 'unknown' ? view.attempts.update : undefined;
    if (unknown !== undefined) return { result: 'warn', what: `${unknown.id}: ${unknown.message}` };
    if (view.out !== undefined) return { result: 'warn', what: `out of service since ${view.out.attempt}` };
    return view.cordoned === undefined ? undefined : { result: 'warn', what: `cordoned by ${view.cordoned}` };
  });
}

function versions(asked: Asked): PrecheckResult[] {
  const remedy = 'correct spec.upgrade.versionCommand, or what it asks on these nodes';
  return judged(asked, 'nodes', 'each node tells its version', remedy, ({ view }) => {
    if (view.version?.ok && view.version.text !== '') return undefined;
    const said = view.version?.text ?? '';
    return { result: 'fail', what: `its version command ${said === '' ? 'prints nothing' : `says: ${said}`}` };
  });
}

function swap(asked: Asked): PrecheckResult[] {
  const remedy = 'swapoff -a there, and take it out of /etc/fstab, unless the nodes are meant to have it';
  return judged(asked, 'swap', 'no node swaps', remedy, ({ details }) =>
    details.swaps.length === 0 ? undefined : { result: 'warn', what: listed(details.swaps) },
  );
}

function memory(asked: Asked): PrecheckResult[] {
  const remedy = 'free memory there, then retry';
  return judged(asked, 'memory', 'there is memory on the nodes', remedy, ({ details }) => {
    if (details.memory === undefined) return { result: 'warn', what: 'does not tell' };
    const { totalBytes, availableBytes } = details.memory;
    const what = `${Math.floor(availableBytes / MIB)} MiB available`;
    if (availableBytes < 64 * MIB) return { result: 'fail', what };
    return availableBytes < totalBytes / 20 ? { result: 'warn', what } : undefined;
  });
}

const MOST_SKEW_SECONDS = 5;

/** Each clock against this one; how long the question took is in its favour. */
function clocks(asked: Asked): PrecheckResult[] {
  const ahead = asked.seen.flatMap(({ name, details: { clock }, askedAt, answeredAt }) => {
    if (clock === undefined) return [];
    const [least, most] = [clock - answeredAt / 1000, clock + 1 - askedAt / 1000];
    return [{ name, ahead: least > 0 ? least : most < 0 ? most : 0 }];
  });
  const [first, last] = [...ahead]
    .sort((a, b) => a.ahead - b.ahead)
    .flatMap((one, at, all) => (at === 0 || at === all.length - 1 ? [one] : []));
  if (first === undefined || last === undefined) return [];
  const apart = Math.round(last.ahead - first.ahead);
  if (apart <= MOST_SKEW_SECONDS) return [result('clocks', 'pass', 'the clocks of the nodes agree')];
  const message = `${last.name} is ${apart} s ahead of ${first.name}`;
  return [result('clocks', 'fail', message, 'let chrony or systemd-timesyncd set the clocks, then retry')];
}

function load(asked: Asked): PrecheckResult[] {
  const remedy = 'wait until they are less busy';
  return judged(asked, 'load', 'the nodes are not overloaded', remedy, ({ details }) => {
    if (details.load === undefined) return undefined;
    const { one, cpus } = details.load;
    return one > cpus * 2 ? { result: 'warn', what: `load ${one} on ${cpus} processors` } : undefined;
  });
}

const DAY = 86_400_000;

function certificates(asked: Asked): PrecheckResult[] {
  const found = asked.seen.some(({ details }) => details.certificates.length > 0);
  if (!found) return [];
  const remedy = 'renew them, for instance with kubeadm certs renew all';
  return judged(asked, 'certificates', 'those that were found are valid for 30 days and more', remedy, (seen) => {
    const [next] = [...seen.details.certificates].sort((a, b) => a.endsAt - b.endsAt);
    if (next === undefined || next.endsAt > seen.answeredAt + 30 * DAY) return undefined;
    const ended = next.endsAt <= seen.answeredAt;
    const day = new Date(next.endsAt).toISOString().slice(0, 10);
    return { result: ended ? 'fail' : 'warn', what: `${next.file} ${ended ? 'ended' : 'ends'} on ${day}` };
  });
}

/** Commands on every node that answers, addresses once from here. */
async function declaredChecks({ spec, resource, units, seen, connections, signal }: Asked): Promise<PrecheckResult[]> {
  if (spec.kind !== 'Cluster') return [];
  const answering = units.filter(({ host }) => seen.some(({ name }) => name === host.name));
  const remedy = 'see what it checks, then retry';
  const ask = async (check: InstanceChecks, index: number): Promise<PrecheckResult> => {
    const name = `precheck ${index + 1}`;
    if ('http' in check) {
      const { pass, message } = await askHttp(new URL(check.http.url ?? ''), 5_000);
      return result(name, pass ? 'pass' : 'fail', message, pass ? '' : remedy);
    }
    const verdicts = await Promise.all(
      answering.map(async ({ host }) => {
        const shell = connections.shell(host.name);
        const verdict = await verifyCommand({ resource, host, shell, signal }, check.command).catch((error: Error) => ({
          pass: false,
          message: error.message,
        }));
        return { name: host.name, ...verdict };
      }),
    );
    const failed = verdicts.filter(({ pass }) => !pass);
    if (failed.length === 0) return result(name, 'pass', `passed on ${verdicts.length} nodes`);
    return result(name, 'fail', listed(failed.map(({ name, message }) => `${name} (${message})`)), remedy);
  };
  return Promise.all(spec.prechecks.map(ask));
}
type InstanceChecks = Extract<InstanceSpec, { kind: 'Cluster' }>['prechecks'][number];
