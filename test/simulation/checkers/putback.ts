/** Weights, suspended processes and cordons are remembered and put back on every way out. */
import type { ResourceId } from '../../../src/manifest/resource.ts';
import { choice, fieldsOf } from '../drafts.ts';
import { hostMachines, type Machine } from '../machines.ts';
import type { World } from '../world.ts';
import { type Checker, createSights, ENDED } from './checker.ts';

const nameOf = (id: ResourceId) => id.slice(id.indexOf('/') + 1);

/** How a host was before Sluice came; what the target creates is in service, uncordoned, with all of its weight. */
function wrong(id: ResourceId, machine: Machine): string | undefined {
  const kind = id.startsWith('Fleet/') ? 'Fleet' : 'Cluster';
  const host = hostMachines(kind, nameOf(id)).find((one) => one.id === machine.id);
  const weight = host === undefined ? (kind === 'Fleet' ? 100 : undefined) : host.weight;
  const cordoned = host?.cordoned ?? false;
  if (machine.service !== 'in') return `is ${machine.service}`;
  if (machine.weight !== weight) return `has weight ${machine.weight}, had ${weight}`;
  return machine.cordoned === cordoned ? undefined : `is ${machine.cordoned ? '' : 'not '}cordoned`;
}

/**
 * Whether anybody turned a cluster of hosts into one whose nodes are created, or back: nobody looks at hosts then that are of no cluster any
 * more. docs/operating.md says to end the rollout first.
 */
function changedNodes({ history, config }: World, id: ResourceId): boolean {
  const fields = fieldsOf('Cluster');
  const isOf = (event: { resource: number; all?: boolean }) =>
    event.all === true || config.resources[event.resource % config.resources.length]?.id === id;
  return history.events.some(
    (event) =>
      (event.do === 'set' && isOf(event) && event.draft.members !== undefined) ||
      (event.do === 'edit' && isOf(event) && fields[event.field % fields.length] === 'members'),
  );
}

export const putBack: Checker = (report) => {
  const sights = createSights();
  return {
    observed: sights.note,
    begins(world) {
      world.published.watch(({ by, changed, before }) => {
        for (const [id, told] of by === undefined ? [] : changed) {
          const { rollout } = told ?? {};
          const was = before.get(id)?.rollout;
          if (rollout === undefined || told?.deletion !== undefined || !ENDED.includes(rollout.phase)) continue;
          if (was?.id !== rollout.id || ENDED.includes(was.phase) || by === undefined) continue;
          const seen = sights.of(by, id);
          for (const unit of was.units?.ids ?? []) {
            const machine = world.target.machines.get(id)?.all.get(unit);
            const ready = seen?.instances?.find((instance) => instance.id === unit)?.ready;
            if (machine === undefined || ready !== true || machine.removing) continue;
            const what = wrong(id, machine);
            if (what !== undefined && !rollout.message.includes(unit))
              report(`${id}: rollout ${rollout.id} is ${rollout.phase}, and ${unit} ${what}`);
          }
        }
      });
    },
    atRest(world) {
      for (const { id, kind } of world.config.resources) {
        const told = world.published.get(id);
        const rollout = told?.rollout;
        const machines = world.target.machines.get(id);
        if (machines === undefined || (rollout !== undefined && !ENDED.includes(rollout.phase))) continue;
        // Of a host that was out when the status branch was lost nobody knows who took it out.
        const lost = world.history.events.some(
          (event) => event.do === 'status' && (event.how === 0 || event.how === 2),
        );
        const draft = world.config.drafts().get(id);
        const isMoved = kind === 'Cluster' && changedNodes(world, id);
        for (const machine of machines.all.values()) {
          if (isMoved && !machine.created) continue;
          // Without a valid manifest as well nobody knows what it is to be; the status says so.
          if (lost && (!machine.created || draft === undefined)) continue;
          if (!machine.reachable || machine.left || !machine.up || machine.attempt?.state === 'running') continue;
          const what = wrong(id, machine);
          const said = [told?.message ?? '', ...(told?.history ?? []).map(({ message }) => message)];
          const named = said.some((message) => message.includes(machine.id));
          if (what !== undefined && !named) report(`${id}: nothing is under way, and ${machine.id} ${what}`);
        }
        if (kind !== 'Fleet' || draft === undefined) continue;
        const held = `[${machines.suspended.join(', ')}]`;
        const wanted = choice(kind, draft, 'suspended');
        if (held !== wanted) report(`${id}: nothing is under way, and ${held} is suspended, not ${wanted}`);
      }
    },
  };
};
