/** Whether a resource is well, and in one line why it is not or why it does not move, and what to do. Pure. */
import type { ResourceId, Revision } from '../manifest/resource.ts';
import type { Live, LiveUnit } from '../plan/live.ts';
import { settledRevision } from '../plan/plan.ts';
import { overdueAt, reached } from '../plan/reached.ts';
import { goalText, trafficText } from '../plan/words.ts';
import type { Health, Phase, Rollout, State } from '../rollout/state.ts';
import { active } from '../rollout/transitions.ts';
import { byName, STARTS_IN_VAIN, seenOf, totalOf, wantedCount } from './observed.ts';
import { unitsAtRest, unitsMoving, unitsPaused } from './units-health.ts';
import { oneLine, stageText } from './words.ts';

/** What the newest commit says of the resource. */
export interface DeclaredNow {
  valid: boolean;
  revision?: Revision;
  /** Of a cluster. */
  version?: string;
  progressDeadlineSeconds?: number;
  /** What is wrong with it: `shop.yaml:12:7 spec.replicas: …`. */
  errors?: string;
  /** Not valid, and no earlier declaration of it is known: nothing is done to it. */
  stands?: true;
}

export interface HealthAndMessage {
  health: Health;
  message: string;
}

/** `live` absent: nothing was observed yet. */
export function health(id: ResourceId, state: State, live: Live | undefined, declared: DeclaredNow): HealthAndMessage {
  const { health, message } = judge(id, state, live, declared);
  return { health, message: oneLine(message) };
}

function judge(id: ResourceId, state: State, live: Live | undefined, declared: DeclaredNow): HealthAndMessage {
  const { rollout, deletion } = state;
  if (!declared.valid) return invalid(state, declared);
  if (deletion !== undefined) return deleted(id, deletion);
  if (active(rollout)) return underWay(id, rollout, state, live, declared);
  if (state.attempted !== undefined) return endedOtherwise(id, rollout, state);
  return atRest(id, state, live, declared);
}

function invalid({ rollout }: State, { errors, stands }: DeclaredNow): HealthAndMessage {
  const valid = active(rollout) ? `rollout ${rollout.id} goes on` : 'the last valid one goes on';
  const goesOn = stands ? 'nothing is done to it, for no valid manifest of it is known' : valid;
  return {
    health: 'Invalid',
    message: `${goesOn}; the manifest is invalid, commit a fix: ${errors ?? 'no reason given'}`,
  };
}

function deleted(id: ResourceId, { commit, confirmed }: NonNullable<State['deletion']>): HealthAndMessage {
  const by = `deleted by commit ${commit.slice(0, 10)}`;
  const hosts = hasInstances(id) ? '; hosts are let go as they are' : '';
  if (confirmed) return { health: 'Progressing', message: `${by}: what was created for it is being removed${hosts}` };
  return {
    health: 'Paused',
    message: `${by}, with so much else that it waits: commit an Operation with action confirmDeletion and this commit, or revert`,
  };
}

function underWay(
  id: ResourceId,
  rollout: Rollout,
  state: State,
  live: Live | undefined,
  { version }: DeclaredNow,
): HealthAndMessage {
  const ofUnits = hasInstances(id);
  if (rollout.phase === 'Paused') {
    const message = ofUnits ? unitsPaused(id, rollout, live) : pausedBecause(id, rollout, live);
    return { health: 'Paused', message };
  }
  const moving = ofUnits ? unitsMoving(rollout, live, version) : movingText(rollout, state, live);
  const held = rollout.phase === 'Pending' && rollout.held ? `; to go on: sluice continue ${id}` : '';
  const message = `${moving}${held}`;
  return { health: 'Progressing', message };
}

const hasInstances = (id: ResourceId): boolean => id.startsWith('Fleet/') || id.startsWith('Cluster/');

function movingText(rollout: Rollout, state: State, live: Live | undefined): string {
  const { phase, message, plan, stage } = rollout;
  if (phase === 'RollingBack') return `${message}${backText(state, live)}`;
  const current = plan.stages[stage];
  if (phase !== 'Progressing' || current === undefined) return `rollout ${rollout.id}: ${message}`;
  const where = stageText(stage, plan.stages.length, current.name);
  if (live !== undefined && !live.complete) return `${where}: ${goalText(current.goal)}; ${unseenText(live)}`;
  if (rollout.reachedAt !== undefined || live === undefined) return `${where}: ${withoutName(message, current.name)}`;
  const count = current.goal.kind === 'traffic' ? '' : ` (${seenOf(current.goal, live)} of ${totalOf(current.goal)})`;
  return `${where}: ${goalText(current.goal)}${count}${troubleText(live)}`;
}

/** Nothing is claimed of what was not seen. */
const unseenText = ({ unseen }: Live): string =>
  `${unseen === undefined ? 'the target could not be observed whole' : oneLine(unseen, 200)}; nothing is removed until it can be; see the operator's log`;

/** The engine begins some messages with the stage's name, which stands here already. */
const withoutName = (message: string, name: string): string =>
  message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message;

function backText({ settled }: State, live: Live | undefined): string {
  if (live === undefined) return '';
  if (!live.complete) return `; ${unseenText(live)}`;
  const goals = settled.goals.filter((goal) => reached(goal, live)).length;
  return `; ${goals} of ${settled.goals.length} goals are back${troubleText(live)}`;
}

function troubleText(live: Live): string {
  const unit = troubled(live);
  return unit?.message === undefined ? '' : `; ${unit.id}: ${unit.message}`;
}

/** The unit that most needs a look: the dead first, then what is not ready and says why. */
function troubled(live: Live | undefined): LiveUnit | undefined {
  const units = [...(live?.units ?? [])].sort((a, b) => byName(a.id, b.id));
  const says = (unit: LiveUnit) => !unit.ready && unit.phase !== 'stopping' && unit.message !== undefined;
  return units.find((unit) => unit.phase === 'dead' && says(unit)) ?? units.find(says);
}

function pausedBecause(id: ResourceId, rollout: Rollout, live: Live | undefined): string {
  const { reason, message, plan, stage } = rollout;
  const goOn = `sluice continue ${id}`;
  switch (reason) {
    case 'Step':
    case 'Batch':
      return `${stageText(stage, plan.stages.length, plan.stages[stage]?.name ?? '')} waits for: ${goOn}`;
    case 'Failure':
      return failedText(id, message, live);
    case 'Unknown':
      return `paused: ${message}; look at what runs, then: ${goOn}`;
    case 'Operator':
      return rollout.held ? `${message}; to go on: ${goOn}` : message;
    default:
      return message;
  }
}

function failedText(id: ResourceId, message: string, live: Live | undefined): string {
  const unit = troubled(live);
  const said = unit?.message === undefined || message.includes(unit.message) ? '' : `; ${unit.id} ${unit.message}`;
  const look = unit === undefined ? '' : `; see sluice logs ${id} ${unit.id}`;
  return `paused: ${oneLine(message, 160)}${said}${look}; then sluice retry ${id} or commit a fix`;
}

/** How an end reads; `begins`: the engine's own message says it already. */
const ENDED: Partial<Record<Phase, { text: string; begins?: string }>> = {
  Failed: { text: 'failed' },
  RolledBack: { text: 'was rolled back', begins: 'rolls back' },
  Canceled: { text: 'was canceled', begins: 'canceled' },
  Expired: { text: 'expired' },
};

function endText({ id, phase, message }: Rollout, limit = 180): string {
  const { text, begins } = ENDED[phase] ?? { text: phase };
  const said = begins !== undefined && message.startsWith(begins) ? message.slice(begins.length) : `: ${message}`;
  return oneLine(`rollout ${id} ${text}${said}`, limit);
}

function endedOtherwise(id: ResourceId, rollout: Rollout | undefined, state: State): HealthAndMessage {
  const runs = settledRevision(state.settled) ?? 'nothing';
  const ahead = runs === state.attempted ? '' : `; Git declares ${state.attempted}, settled is ${runs}`;
  const remedy = rollout?.phase === 'Failed' ? failedPrecheck(rollout)?.remedy : undefined;
  if (rollout !== undefined && remedy) {
    const doIt = `${oneLine(remedy, 60)}; commit a fix, or once it holds: sluice retry ${id}`;
    return { health: 'Degraded', message: `${endText(rollout, 120)}${ahead}; ${doIt}` };
  }
  const what = rollout === undefined ? 'the last rollout did not succeed' : endText(rollout);
  // A cluster is never downgraded: a revert would only fail its precheck.
  const revert = id.startsWith('Cluster/') ? '' : ' revert,';
  return { health: 'Degraded', message: `${what}${ahead}; commit a fix,${revert} or: sluice retry ${id}` };
}

const failedPrecheck = ({ prechecks }: Rollout) => prechecks.find(({ result }) => result === 'fail');

function atRest(
  id: ResourceId,
  state: State,
  live: Live | undefined,
  { revision, version, progressDeadlineSeconds = Number.POSITIVE_INFINITY }: DeclaredNow,
): HealthAndMessage {
  const { settled } = state;
  const runs = settledRevision(settled);
  if (runs === undefined || (revision !== undefined && revision !== runs)) {
    return { health: 'Progressing', message: `the rollout of ${revision ?? 'the declared revision'} has not begun` };
  }
  if (live === undefined) return { health: 'Progressing', message: `${runs} is settled; not observed yet` };
  if (hasInstances(id) && live.complete) return unitsAtRest(id, state, live, { revision: runs, version });
  if (settled.goals.every((goal) => reached(goal, live))) {
    return { health: 'Healthy', message: restText(id, state, live) };
  }
  if (!live.complete) {
    return { health: 'Degraded', message: unseenText(live) };
  }
  const vain = live.units.find((unit) => !unit.ready && unit.restarts >= STARTS_IN_VAIN);
  if (vain !== undefined) {
    const said = vain.message === undefined ? 'does not get ready' : vain.message;
    const message = `${vain.id} ${said}, started again ${vain.restarts} times; see sluice logs ${id} ${vain.id}`;
    return { health: 'Degraded', message };
  }
  const late = live.units.find((unit) => overdueAt(unit, progressDeadlineSeconds) <= live.observedAt);
  if (late !== undefined) {
    const said = late.message === undefined ? '' : `: ${late.message}`;
    const message = `${late.id} does not get ready${said}; see sluice logs ${id} ${late.id}`;
    return { health: 'Degraded', message };
  }
  const what = settled.observed ? 'is being repaired' : 'is being brought to what was settled';
  return { health: 'Progressing', message: `${what}: ${countText(state, live)}${troubleText(live)}` };
}

/** `5 of 5 replicas ready`; `v7 2 of 2 ready, v8 1 of 2 ready`; `scaled to 0`. */
function countText({ settled }: State, live: Live): string {
  const goals = settled.goals.filter((goal) => goal.kind === 'replicas');
  const ready = goals.map((goal) => {
    const count = wantedCount(goal) === 0 ? 'scaled to 0' : `${seenOf(goal, live)} of ${totalOf(goal)} ready`;
    return goal.version === '' ? count.replace('ready', 'replicas ready') : `${goal.version} ${count}`;
  });
  return ready.join(', ');
}

function restText(id: ResourceId, state: State, live: Live): string {
  const traffic =
    id.startsWith('Service/') && live.traffic !== undefined ? `; traffic ${trafficText(live.traffic)}` : '';
  return `revision ${settledRevision(state.settled)}: ${countText(state, live)}${traffic}`;
}
