/** When faults stop, everything settles on what is declared, or is paused or degraded for a reason that is true. */
import type { ResourceId } from '../../../src/manifest/resource.ts';
import { choice, type Draft } from '../drafts.ts';
import type { Machine } from '../machines.ts';
import type { Told } from '../published.ts';
import type { World } from '../world.ts';
import type { Checker } from './checker.ts';

/** Whether anything ever happened that explains a pause for this reason. */
function explained(
  { history, config, target }: World,
  id: ResourceId,
  { reason, message }: NonNullable<Told['rollout']>,
): boolean {
  const draft = config.drafts().get(id);
  const events = history.events;
  // A script that hangs is waited for, longer than it takes to come to rest.
  const hangs = [...(target.machines.get(id)?.all.values() ?? [])].some(({ attempt }) => attempt?.state === 'running');
  switch (reason) {
    case 'Operator':
      return (
        hangs ||
        events.some((event) => event.do === 'operate' && event.action === 'pause') ||
        draft === undefined ||
        choice(kindOf(id), draft, 'paused') === 'true'
      );
    case 'Unknown':
      return (
        events.some(
          ({ do: what }) => what === 'status' || what === 'second' || what === 'freeze' || what === 'crash',
        ) || /nothing tells how it ended|begin its update|did not write/.test(message)
      );
    case 'Window':
      return false;
    default:
      return message !== '';
  }
}

const kindOf = (id: ResourceId) => id.slice(0, id.indexOf('/')) as 'Workload';

/** Healthy: as many as declared are there, ready, and run what is declared. */
function unlike({ target, published }: World, id: ResourceId, draft: Draft): string | undefined {
  const image = `${choice(kindOf(id), draft, 'number')}`;
  const units = [...(target.replicas.get(id)?.units.values() ?? [])];
  if (id.startsWith('Workload/')) {
    const wanted = Number(choice('Workload', draft, 'replicas'));
    const ready = units.filter((unit) => unit.ready).length;
    if (units.length !== wanted || ready !== wanted) return `${ready} of ${units.length} are ready, ${wanted} declared`;
    const declared = `app:${image}-${choice('Workload', draft, 'release')}`;
    const other = units.find((unit) => unit.image !== declared);
    if (other !== undefined) return `${other.id} runs ${other.image}, not ${declared}`;
  }
  if (id.startsWith('Cluster/')) {
    const nodes = [...(target.machines.get(id)?.all.values() ?? [])];
    const { message = '', instances } = published.get(id) ?? {};
    const outdated = new Set(instances?.listed.filter((one) => one.outdated).map(({ name }) => name));
    // A node that somebody skipped counts as done, and is named; one that joined later is told to be outdated.
    const isTold = (node: Machine) => outdated.has(node.id) || message.includes(node.id);
    const isOther = (node: Machine) => node.reachable && node.up && node.version !== image && !isTold(node);
    const other = nodes.find(isOther);
    if (other !== undefined) return `${other.id} runs ${other.version}, ${image} is declared`;
  }
  return undefined;
}

export const settles: Checker = (report) => ({
  atRest(world) {
    const { config, published } = world;
    for (const { id } of config.resources) {
      const told = published.get(id);
      const draft = config.drafts().get(id);
      if (told === undefined) {
        if (draft !== undefined) report(`${id}: is declared, and the status says nothing of it`);
        continue;
      }
      if (told.health === 'Healthy' && draft !== undefined) {
        const what = unlike(world, id, draft);
        if (what !== undefined) report(`${id}: is told to be healthy, and ${what}`);
      }
      if (told.health === 'Invalid' && draft !== undefined) report(`${id}: is told to be invalid, and is not`);
      // While its deletion waits nothing moves, whatever it waited for before.
      if (told.deletion === undefined && told.rollout?.phase === 'Paused' && !explained(world, id, told.rollout))
        report(`${id}: is paused (${told.rollout.reason}: ${told.rollout.message}), and nothing explains it`);
      if (told.health === 'Degraded' && told.message === '') report(`${id}: is degraded, and does not say why`);
    }
  },
});
