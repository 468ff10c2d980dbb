/** A look at hosts from beside the operator: nothing is taken over, nothing is begun, nothing is kept. */
import type { InstanceResource } from '../../manifest/resource.ts';
import type { SshTarget } from '../../manifest/target.ts';
import type { Live } from '../../plan/live.ts';
import type { Plan } from '../../plan/plan.ts';
import type { PrecheckResult } from '../../rollout/state.ts';
import { openUnitPlace } from '../hosts/attempts.ts';
import { openBalancer } from './balancer.ts';
import { openConnections } from './connections.ts';
import { liveInstance } from './instance.ts';
import { membersInOrder, unitFolder } from './members.ts';
import { precheckHosts } from './precheck.ts';
import { type HostUnit, newUnit, noteTrouble, noteView } from './watch.ts';

/** Below any that an operator holds: whatever would act is refused. */
const NO_EPOCH = 0;

/** Prechecks of what `plan` makes of what is there now, and what that is; the connections are its own. */
export async function inspectHosts(
  { id, spec, runnable }: InstanceResource,
  ssh: SshTarget,
  plan: (live: Live) => Plan,
  signal: AbortSignal,
): Promise<{ live: Live; results: PrecheckResult[] }> {
  const connections = openConnections({ ssh });
  const balancer = openBalancer(ssh, connections, { busy: () => false, changed: () => {} });
  try {
    const units = membersInOrder(ssh, spec).map(({ host, controlPlane }) => {
      const shell = connections.shell(host.name);
      return newUnit(host, openUnitPlace({ shell, folder: unitFolder(id, host), epoch: NO_EPOCH }), controlPlane);
    });
    const versionCommand = spec.kind === 'Cluster' ? spec.upgrade.versionCommand : undefined;
    const [servers] = await Promise.all([
      balancer?.refresh().catch(() => undefined),
      ...units.map((unit) => look(unit, versionCommand, signal)),
    ]);
    const now = Date.now();
    const instances = units.map((unit) => liveInstance({ unit, spec, servers: servers?.get(unit.host.name), now }));
    const live = { observedAt: now, complete: true, units: [], instances };
    const asked = { resource: id, spec, runnable, plan: plan(live), units, balancer, connections, signal };
    return { live, results: await precheckHosts(asked) };
  } finally {
    balancer?.close();
    connections.close();
  }
}

async function look(unit: HostUnit, versionCommand: string[] | undefined, signal: AbortSignal): Promise<void> {
  try {
    noteView(unit, await unit.place.look({ signal, ...(versionCommand && { versionCommand }) }));
  } catch (error) {
    noteTrouble(unit, error as Error);
  }
}
