/** What is known of a host, in the engine's words. PURE. */
import type { InstanceSpec } from '../../manifest/resource.ts';
import type { LiveAttempt, LiveInstance } from '../../plan/live.ts';
import type { BalancedServer } from '../haproxy/runtime.ts';
import type { AttemptView, UnitView } from '../hosts/view.ts';
import type { HostUnit } from './watch.ts';

/** So long connections that are under way are waited for. */
export const LEAVING_MS = 60_000;
/** A script whose host does not answer may take so much longer than its timeout until its outcome counts as unknown. */
const SILENT_MS = 60_000;

export interface Known {
  unit: HostUnit;
  spec: InstanceSpec;
  /** Where it is a server at the load balancer; undefined: there is none, or it is none. */
  servers: BalancedServer[] | undefined;
  now: number;
}

export function liveInstance(known: Known): LiveInstance {
  const { unit, servers } = known;
  const { host, view, controlPlane } = unit;
  const [first] = servers ?? [];
  const message = messageOf(known);
  const update = updateOf(known);
  const drain = drainOf(known);
  return {
    id: host.name,
    created: false,
    controlPlane,
    applied: view?.applied ?? [],
    ready: view !== undefined && unit.trouble === undefined,
    service: serviceOf(known),
    ...(first !== undefined && { weight: first.weight }),
    cordoned: view?.cordoned !== undefined,
    ...(update && { attempt: update }),
    ...(drain && { drain }),
    ...(view?.version?.ok && view.version.text !== '' && { version: view.version.text }),
    address: host.address,
    restarts: 0,
    ...(message !== '' && { message }),
  };
}

export function serviceOf({ unit, servers = [], now }: Known): LiveInstance['service'] {
  const { view, accepted, seenAt } = unit;
  if (accepted?.takeOut !== undefined) return 'leaving';
  if (unit.out !== undefined) return 'out';
  if (view?.out === undefined) return 'in';
  if (servers.some(({ weight }) => weight > 0)) return 'leaving';
  const waited = view.out.seconds * 1000 + (now - seenAt);
  return servers.some(({ sessions }) => sessions > 0) && waited < LEAVING_MS ? 'leaving' : 'out';
}

const begun = (id: string): LiveAttempt => ({ id, state: 'running', message: 'is being started' });

function updateOf({ unit, now }: Known): LiveAttempt | undefined {
  const { accepted, view } = unit;
  const seen = view?.attempts.update;
  if (accepted?.update !== undefined && accepted.update !== seen?.id) return begun(accepted.update);
  return seen && asSeen(seen, unit, now);
}

function asSeen(attempt: AttemptView, { trouble, seenAt }: HostUnit, now: number): LiveAttempt {
  const { id, state, message } = attempt;
  const left = (attempt.limitSeconds - attempt.seconds) * 1000 + SILENT_MS;
  if (state !== 'running' || trouble === undefined || now - seenAt < left) return { id, state, message };
  return { id, state: 'unknown', message: `its host has not answered since it should have ended: ${trouble}` };
}

/** Without a drain command, to cordon is all. */
function drainOf({ unit, spec, now }: Known): LiveAttempt | undefined {
  const { view } = unit;
  if (view?.cordoned === undefined || spec.kind !== 'Cluster') return undefined;
  const seen = view.attempts.drain;
  if (seen?.id === view.cordoned) return asSeen(seen, unit, now);
  if (spec.upgrade.drain.command !== undefined) return undefined;
  return { id: view.cordoned, state: 'succeeded', message: '' };
}

function messageOf({ unit, servers, spec }: Known): string {
  const { trouble, failed, view, host } = unit;
  if (trouble !== undefined) return `${host.address}:${host.port} does not answer: ${trouble}`;
  if (failed !== undefined) return failed.message;
  const undrain = view?.attempts.undrain;
  if (view?.cordoned !== undefined && undrain !== undefined && undrain.state !== 'succeeded' && isOf(undrain.id, view))
    return `taking back its drain: ${undrain.message}`;
  if (spec.kind === 'Cluster' && view?.version?.ok === false)
    return `its version command fails: ${view.version.text}`.slice(0, 300);
  const down = servers?.find(({ status }) => /^(DOWN|MAINT)/.test(status));
  return down === undefined ? '' : `${down.status} in backend ${down.backend} of the load balancer`;
}

/** The undos of one drain are numbered, since one that failed is tried again. */
export const isOf = (undrain: string, { cordoned }: UnitView): boolean =>
  cordoned !== undefined && undrain.startsWith(`${cordoned}-`);
