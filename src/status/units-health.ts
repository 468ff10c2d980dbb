/** The health of fleets and clusters in one line: where a rollout of units is, what it waits for, and how all are at rest. Pure. */
import type { ResourceId, ScalingProcess } from '../manifest/resource.ts';
import type { Live, LiveInstance } from '../plan/live.ts';
import { anyUnderWay, countText, unitsOf } from '../rollout/instances.ts';
import type { Health, Rollout, State, UnitState } from '../rollout/state.ts';
import { recordOf } from '../rollout/unit-list.ts';
import { namesText } from './fold.ts';
import { isOutdated, type Wanted } from './instances.ts';
import { STARTS_IN_VAIN, seenOf } from './observed.ts';
import { oneLine, stageText } from './words.ts';

/** Commands must stay to be read, so what is said before them is cut off. */
const SAID = 140;

/** `wanted`: the version that is declared for a cluster. */
export function unitsMoving(rollout: Rollout, live: Live | undefined, wanted: string | undefined): string {
  const { id, phase, message, closing } = rollout;
  if (closing !== undefined) return endingText(rollout, closing.message);
  if (phase === 'RollingBack') return backText(rollout);
  const stage = rollout.plan.stages[rollout.stage];
  if (phase !== 'Progressing' || stage === undefined) return `rollout ${id}: ${message}`;
  const versions = wanted === undefined ? '' : `${versionsText(live, wanted)}, `;
  return `${versions}${placeText(rollout)}: ${progressText(rollout, live)}`;
}

function endingText(rollout: Rollout, message: string): string {
  const left = anyUnderWay(rollout) ? `; units under way finish: ${countText(rollout)}` : '';
  return `rollout ${rollout.id} ends: ${message}${left}`;
}

function backText(rollout: Rollout): string {
  const why = rollout.message.startsWith('rolls back') ? rollout.message : 'rolls back';
  if (!rollout.back) {
    return anyUnderWay(rollout) ? `${why}; units under way finish first: ${countText(rollout)}` : why;
  }
  if (rollout.plan.stages[rollout.stage] === undefined) return `${why}; ${countText(rollout)}`;
  return `${why}; ${placeText(rollout)}: ${countText(rollout)}${recordTrouble(rollout)}`;
}

const placeText = ({ plan, stage }: Rollout): string =>
  stageText(stage, plan.stages.length, plan.stages[stage]?.name ?? '');

/** `3 of 10 done, 1 under way; web-4: GET /health: 503`; while instances are created, `2 of 3 instances ready`. */
function progressText(rollout: Rollout, live: Live | undefined): string {
  const goal = rollout.plan.stages[rollout.stage]?.goal;
  if (goal?.kind !== 'members') return `${countText(rollout)}${recordTrouble(rollout)}`;
  const size = goal.size ?? 'all';
  return live === undefined ? rollout.message : `${seenOf(goal, live)} of ${size} instances ready${liveTrouble(live)}`;
}

/** `1.35.2 → 1.36.3`: what nodes are seen to run, the most first; `1.36.3` once all do. */
function versionsText(live: Live | undefined, wanted: string): string {
  const others = versionsOf(live?.instances ?? []).filter((version) => version !== wanted);
  return others.length === 0 ? wanted : `${others.slice(0, 3).join(', ')}${others.length > 3 ? ' …' : ''} → ${wanted}`;
}

function versionsOf(instances: LiveInstance[]): string[] {
  const counts = new Map<string, number>();
  for (const { version } of instances) if (version !== undefined) counts.set(version, (counts.get(version) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([version]) => version);
}

/** The unit that most needs a look: what failed, then what is under way and says something of a check. */
function recordTrouble(rollout: Rollout): string {
  const told = unitsOf(rollout).filter(([, { message }]) => message !== '');
  const found =
    told.find(([, { state }]) => state === 'Failed' || state === 'Unknown') ??
    told.find(([, { state }]) => state === 'Verifying');
  return found === undefined ? '' : `; ${found[0]}: ${oneLine(found[1].message, SAID)}`;
}

function liveTrouble({ instances = [] }: Live): string {
  const found = instances.find(({ ready, message }) => !ready && message !== undefined);
  return found === undefined ? '' : `; ${found.id}: ${oneLine(found.message ?? '', SAID)}`;
}

export function unitsPaused(id: ResourceId, rollout: Rollout, live: Live | undefined): string {
  const { reason, message, held, closing } = rollout;
  const goOn = `sluice continue ${id}`;
  if (closing !== undefined) return endingText(rollout, closing.message);
  switch (reason) {
    case 'Step':
    case 'Batch':
      return `${placeText(rollout)}: ${countText(rollout)}; to go on: ${goOn}`;
    case 'Failure':
    case 'Unknown':
      return troubleText(id, rollout, live, goOn);
    case 'Operator': {
      const left = anyUnderWay(rollout) ? `; units under way finish: ${countText(rollout)}` : '';
      return held ? `${message}${left}; to go on: ${goOn}` : `${message}${left}`;
    }
    default:
      return message;
  }
}

function troubleText(id: ResourceId, rollout: Rollout, live: Live | undefined, goOn: string): string {
  const { tampered, successor } = rollout;
  const said = `paused: ${oneLine(countedNow(rollout), SAID)}`;
  const settle = settleText(id, rollout);
  if (tampered) return `${said}; look at what runs${settle}; then: ${goOn}`;
  if (settle !== '') return `${said}${settle}`;
  if (successor?.prechecks.some(({ result }) => result === 'fail')) {
    return `${said}; put that right and: ${goOn}, or commit what should run`;
  }
  const unit = live === undefined ? '' : liveTrouble(live);
  return `${said}${unit}; put that right and: ${goOn}`;
}

/** The message is of the moment at which it paused; units that were under way then may have failed since. */
function countedNow(rollout: Rollout): string {
  const failed = namedAs(rollout, 'Failed').length;
  return failed === 0 ? rollout.message : rollout.message.replace(/^\d+ failed/, `${failed} failed`);
}

/** What to type for each unit that keeps the rollout from going on; empty: there is none. */
function settleText(id: ResourceId, rollout: Rollout): string {
  const unknown = namedAs(rollout, 'Unknown');
  const names = unknown.length > 0 ? unknown : namedAs(rollout, 'Failed');
  const [first, ...others] = names;
  if (first === undefined) return '';
  const look = unknown.length > 0 ? `look at ${first}, then` : `see sluice logs ${id} ${first}, then`;
  const rest = others.length === 0 ? '' : `; likewise ${namesText(others)}`;
  return `; ${look} sluice retry ${id} ${first} (or skip, cancel)${rest}`;
}

const namedAs = (rollout: Rollout, state: UnitState): string[] =>
  unitsOf(rollout).flatMap(([id, record]) => (record.state === state ? [id] : []));

/** Everything could be observed. `wanted.revision` is settled. */
export function unitsAtRest(
  id: ResourceId,
  state: State,
  live: Live,
  wanted: Wanted,
): { health: Health; message: string } {
  const instances = live.instances ?? [];
  const isCluster = id.startsWith('Cluster/');
  const counted = isCluster ? clusterText(instances, wanted) : fleetText(instances, wanted);
  const mending = mendingText(id, state, live);
  if (mending !== undefined) return { ...mending, message: `${mending.message}; ${counted}` };
  const wrong = [
    ...instances.filter(({ ready }) => !ready).map((instance) => notReadyText(instance)),
    ...leftOut(state.rollout, instances),
  ];
  const notes = [...notesOf(state.rollout, instances, wanted, isCluster), ...heldNotes(state, live)];
  const shown = wrong.length > SHOWN ? [...wrong.slice(0, SHOWN), `and ${wrong.length - SHOWN} more`] : wrong;
  // What a node runs is seen a moment after it is ready; until then nobody has observed that it is what was declared.
  const isSeen = !isCluster || instances.every(({ version }) => version !== undefined);
  return {
    health: wrong.length > 0 ? 'Degraded' : isSeen ? 'Healthy' : 'Progressing',
    message: [...shown, counted, ...notes].join('; '),
  };
}
const SHOWN = 3;

const notReadyText = ({ id, message }: LiveInstance): string =>
  `${id} is not ready${message === undefined ? '' : `: ${oneLine(message, 80)}`}`;

/** What the target created and is not right is repaired; that takes its time, or is in vain. Hosts nobody repairs. */
function mendingText(id: ResourceId, state: State, live: Live): { health: Health; message: string } | undefined {
  const instances = live.instances ?? [];
  const size = sizeOf(state);
  const staysDead = live.suspended?.includes('healthCheck') ?? false;
  const down = instances.filter(({ created, ready, service, diedAt }) => {
    if (!created || (staysDead && diedAt !== undefined)) return false;
    return !ready || service === 'out';
  });
  const vain = down.find(({ ready, restarts }) => !ready && restarts >= STARTS_IN_VAIN);
  if (vain !== undefined) {
    const said = vain.message === undefined ? 'does not get ready' : oneLine(vain.message, SAID);
    const message = `${vain.id} ${said}, started again ${vain.restarts} times; see sluice logs ${id} ${vain.id}`;
    return { health: 'Degraded', message };
  }
  const right = size === undefined || instances.length === size || heldBy(size, live) !== undefined;
  if (right && down.length === 0) return undefined;
  const what = state.settled.observed ? 'is being repaired' : 'is being brought to what was settled';
  const of = size === undefined ? '' : `: ${instances.length} of ${size} instances are there`;
  return { health: 'Progressing', message: `${what}${of}${liveTrouble(live)}` };
}

const sizeOf = ({ settled }: State): number | undefined => settled.goals.find((goal) => goal.kind === 'members')?.size;

/** What keeps there more or fewer instances than are declared, as the manifest asks for. */
function heldBy(size: number, { instances = [], suspended = [] }: Live): ScalingProcess | undefined {
  const process = instances.length > size ? 'scaleIn' : 'scaleOut';
  return instances.length !== size && suspended.includes(process) ? process : undefined;
}

function heldNotes(state: State, live: Live): string[] {
  const { instances = [], suspended = [] } = live;
  const size = sizeOf(state);
  const held = size === undefined ? undefined : heldBy(size, live);
  const died = instances.some(({ created, diedAt }) => created && diedAt !== undefined);
  return [
    ...(held === undefined ? [] : [`${instances.length} of ${size} instances are there, as ${held} is suspended`]),
    ...(died && suspended.includes('healthCheck') ? ['what died stays so, as healthCheck is suspended'] : []),
  ];
}

/** A host that a rollout took out and could not put back; nobody but a person will. */
function leftOut(rollout: Rollout | undefined, instances: LiveInstance[]): string[] {
  const left = instances.filter(
    ({ id, created, ready, service }) =>
      !created && ready && service !== 'in' && recordOf(rollout?.units, id)?.before.inService,
  );
  if (left.length === 0) return [];
  const names = namesText(left.map(({ id }) => id));
  return [`${names} ${left.length === 1 ? 'is' : 'are'} out of service since rollout ${rollout?.id}: put back by hand`];
}

function fleetText(instances: LiveInstance[], { revision }: Wanted): string {
  const inService = instances.filter(({ ready, service }) => ready && service === 'in').length;
  return `revision ${revision}: ${inService} of ${instances.length} instances in service`;
}

/** `3 control plane nodes and 40 nodes run 1.36.3`; `1.36.3 is wanted: 42 of 43 nodes run it, others 1.35.2`. */
function clusterText(instances: LiveInstance[], { version }: Wanted): string {
  const ready = instances.filter((instance) => instance.ready).length;
  const versions = versionsOf(instances);
  const [only] = versions;
  const unsaid = instances.filter((instance) => instance.version === undefined).map(({ id }) => id);
  const silent = unsaid.length === 0 ? '' : `; what ${namesText(unsaid)} runs is not known`;
  const count = `${ready} of ${instances.length} nodes ready`;
  if (only !== undefined && versions.length === 1 && (version === undefined || only === version)) {
    return unsaid.length === 0 ? `${count}, all run ${only}` : `${count}, the others run ${only}${silent}`;
  }
  const right = instances.filter((instance) => instance.version === version).length;
  const others = versions.filter((other) => other !== version).slice(0, 3);
  const what = version === undefined ? '' : `${version} is wanted, ${right} run it; `;
  return `${count}; ${what}others run ${others.join(', ') || 'nothing that is known'}${silent}`;
}

/** What a person should know although nothing is wrong. */
function notesOf(
  rollout: Rollout | undefined,
  instances: LiveInstance[],
  wanted: Wanted,
  isCluster: boolean,
): string[] {
  const named = (text: string, found: string[]): string[] =>
    found.length === 0 ? [] : [`${namesText(found)} ${found.length === 1 ? 'is' : 'are'} ${text}`];
  const ids = (test: (instance: LiveInstance) => boolean) => instances.filter(test).map(({ id }) => id);
  const wasOut = (id: string) => recordOf(rollout?.units, id)?.before.inService !== true;
  const skipped = rollout === undefined ? [] : namedAs(rollout, 'Skipped');
  return [
    ...named(
      'outdated until the next rollout',
      ids((instance) => isOutdated(instance, wanted)),
    ),
    ...named(
      'out of service',
      ids(({ id, ready, service }) => ready && service !== 'in' && wasOut(id)),
    ),
    ...(isCluster
      ? named(
          'cordoned',
          ids(({ cordoned }) => cordoned),
        )
      : []),
    ...(skipped.length === 0 ? [] : [`rollout ${rollout?.id} skipped ${namesText(skipped)}`]),
  ];
}
