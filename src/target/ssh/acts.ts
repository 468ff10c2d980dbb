/** What is done to a host, each step once and in an order in which it can be cut off anywhere and asked for again. */
import { seconds } from '../../manifest/duration.ts';
import type { AnyRunnable, ClusterRunnable, FleetRunnable, InstanceSpec, ResourceId } from '../../manifest/resource.ts';
import type { Action } from '../../rollout/decision.ts';
import { rolloutOf, updateTask } from '../hosts/attempts.ts';
import type { UnitView } from '../hosts/view.ts';
import { type Balancer, readWeights, type Weights, writeWeights } from './balancer.ts';
import { isOf } from './instance.ts';
import { type HostUnit, noteView } from './watch.ts';

export interface Acting {
  resource: ResourceId;
  spec: InstanceSpec;
  unit: HostUnit;
  balancer: Balancer | undefined;
  signal: AbortSignal;
}

export type UnitAction = Extract<Action, { kind: 'takeOut' | 'update' | 'putBack' }>;

/** Returns once the host has recorded it. */
export function carryOut(acting: Acting, action: UnitAction, runnable: AnyRunnable | undefined): Promise<void> {
  if (action.kind === 'takeOut') return takeOut(acting, action);
  if (action.kind === 'update') return update(acting, action, runnable);
  return putBack(acting, action);
}

function noted(unit: HostUnit, view: UnitView): UnitView {
  unit.acts++;
  noteView(unit, view);
  return view;
}

/** What it had is beside it before it loses it. */
async function takeOut(
  { resource, spec, unit, balancer, signal }: Acting,
  { attempt, cordon }: UnitAction & { kind: 'takeOut' },
): Promise<void> {
  const servers = (await balancer?.refresh())?.get(unit.host.name) ?? [];
  const weights = servers.length > 0 ? { weights: writeWeights(servers) } : {};
  const taken = Object.fromEntries(servers.filter(({ weight }) => weight > 0).map(({ backend }) => [backend, 0]));
  const view = noted(unit, await unit.place.takeOut({ attempt, cordon, ...weights }, signal));
  if (Object.keys(taken).length > 0) {
    await balancer?.setWeights(unit.host.name, taken, () => unit.place.check(signal));
    await balancer?.refresh();
  }
  const drain = spec.kind === 'Cluster' && cordon ? spec.upgrade.drain : undefined;
  if (drain?.command === undefined || view.attempts.drain?.id === attempt) return;
  const timeoutSeconds = seconds(drain.timeout);
  const env = environmentOf(resource, unit, attempt, versionOf(spec));
  const task = { command: drain.command };
  noted(unit, await unit.place.begin({ kind: 'drain', attempt, timeoutSeconds, env, task }, signal));
}

async function update(
  { resource, unit, signal }: Acting,
  { attempt, change }: UnitAction & { kind: 'update' },
  runnable: AnyRunnable | undefined,
): Promise<void> {
  if (runnable === undefined || 'template' in runnable) throw new Error(`${attempt} has nothing to run`);
  const { script } = runnable as FleetRunnable | ClusterRunnable;
  const begun = {
    kind: 'update' as const,
    attempt,
    timeoutSeconds: script === undefined ? 600 : seconds(script.timeout),
    env: environmentOf(resource, unit, attempt, 'version' in runnable ? runnable.version : undefined),
    out: unit.out === attempt,
    task: updateTask(change, script),
  };
  noted(unit, await unit.place.begin(begun, signal));
  unit.out = undefined;
}

/** Nothing else is known of a host whose `weights` are gone than what the rollout remembers. */
async function putBack(acting: Acting, action: UnitAction & { kind: 'putBack' }): Promise<void> {
  const { unit, balancer, signal } = acting;
  const { weight, cordoned } = action;
  const view = unit.view ?? noted(unit, await unit.place.look({ signal }));
  if (!cordoned && !(await undrained(acting, view))) return;
  const servers = (await balancer?.refresh())?.get(unit.host.name) ?? [];
  const kept = readWeights(view.weights ?? '');
  const wanted: Weights = {};
  for (const [index, server] of servers.entries()) {
    const before = (index === 0 ? weight : kept[server.backend]) ?? kept[server.backend] ?? weight;
    if (before !== undefined && before !== server.weight) wanted[server.backend] = before;
  }
  await balancer?.setWeights(unit.host.name, wanted, () => unit.place.check(signal));
  noted(unit, await unit.place.putBack({ cordoned }, signal));
  unit.out = undefined;
  if (Object.keys(wanted).length > 0) await balancer?.refresh();
}

/** Whether what took it out of the cluster is taken back; if not yet, that is begun. */
async function undrained({ resource, spec, unit, signal }: Acting, view: UnitView): Promise<boolean> {
  const undo = spec.kind === 'Cluster' ? spec.upgrade.drain.undo : undefined;
  const { cordoned } = view;
  if (undo === undefined || spec.kind !== 'Cluster' || cordoned === undefined) return true;
  const last = view.attempts.undrain;
  const mine = last !== undefined && isOf(last.id, view) ? last : undefined;
  if (mine?.state === 'succeeded') return true;
  if (mine?.state === 'running') return false;
  const attempt = `${cordoned}-${1 + Number(mine?.id.slice(cordoned.length + 1) ?? 0)}`;
  const timeoutSeconds = seconds(spec.upgrade.drain.timeout);
  const env = environmentOf(resource, unit, cordoned, versionOf(spec));
  noted(
    unit,
    await unit.place.begin({ kind: 'undrain', attempt, timeoutSeconds, env, task: { command: undo } }, signal),
  );
  if (mine !== undefined) throw new Error(`its drain could not be taken back: ${mine.message}; it is tried again`);
  return false;
}

const versionOf = (spec: InstanceSpec): string | undefined => (spec.kind === 'Cluster' ? spec.version : undefined);

function environmentOf(resource: ResourceId, { host }: HostUnit, attempt: string, version: string | undefined) {
  return {
    SLUICE_RESOURCE: resource,
    SLUICE_ROLLOUT: rolloutOf(attempt),
    SLUICE_INSTANCE: host.name,
    ...(version !== undefined && { SLUICE_VERSION: version }),
  };
}
