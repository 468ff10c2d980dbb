/** Subjects and trailers of status commits, and the text of tags. Pure. */
import type { Oid, ResourceId } from '../manifest/resource.ts';
import { goalText } from '../plan/words.ts';
import type { Phase, Rollout } from '../rollout/state.ts';
import type { Held } from './markdown.ts';
import type { RolloutSummary, Summary } from './summary.ts';
import { durationText, oneLine, stagePlace, stageText } from './words.ts';

/** `before` absent: first seen; `after` absent: gone. */
export interface Change {
  id: ResourceId;
  before?: Summary | undefined;
  after?: Summary | undefined;
}

type EventKind =
  | 'started'
  | 'succeeded'
  | 'paused'
  | 'failed'
  | 'canceled'
  | 'superseded'
  | 'expired'
  | 'turned'
  | 'rolledBack'
  | 'moved'
  | 'operation'
  | 'repaired'
  | 'health'
  | 'removed'
  | 'updated';

/** In the order in which a subject about many counts them; what people must know first comes first. */
const COUNTED: Record<EventKind, { one: string; many: string }> = {
  failed: { one: 'rollout failed', many: 'rollouts failed' },
  turned: { one: 'rollout rolls back', many: 'rollouts roll back' },
  rolledBack: { one: 'rollout rolled back', many: 'rollouts rolled back' },
  paused: { one: 'rollout paused', many: 'rollouts paused' },
  started: { one: 'rollout started', many: 'rollouts started' },
  succeeded: { one: 'rollout succeeded', many: 'rollouts succeeded' },
  canceled: { one: 'rollout canceled', many: 'rollouts canceled' },
  superseded: { one: 'rollout superseded', many: 'rollouts superseded' },
  expired: { one: 'rollout expired', many: 'rollouts expired' },
  moved: { one: 'rollout moved on', many: 'rollouts moved on' },
  operation: { one: 'operation answered', many: 'operations answered' },
  repaired: { one: 'repaired', many: 'repaired' },
  health: { one: 'with another health', many: 'with another health' },
  removed: { one: 'removed', many: 'removed' },
  updated: { one: 'updated', many: 'updated' },
};

interface StatusEvent {
  kind: EventKind;
  /** Follows the resource's name in a subject. */
  text: string;
}

const ENDS: Partial<Record<Phase, { kind: EventKind; text: string }>> = {
  Succeeded: { kind: 'succeeded', text: 'succeeded' },
  Failed: { kind: 'failed', text: 'failed' },
  Canceled: { kind: 'canceled', text: 'canceled' },
  Superseded: { kind: 'superseded', text: 'superseded' },
  Expired: { kind: 'expired', text: 'expired' },
  RolledBack: { kind: 'rolledBack', text: 'rolled back' },
};

/** The most important thing that happened between two states of one resource. */
function eventOf({ before, after }: Change): StatusEvent {
  if (after === undefined) return { kind: 'removed', text: 'removed' };
  if (after.rollout !== undefined) {
    const event = rolloutEvent(before?.rollout, after.rollout);
    if (event !== undefined) return event;
  }
  const known = new Set(before?.operations);
  const operation = after.operations.find((outcome) => !known.has(outcome));
  if (operation !== undefined) return { kind: 'operation', text: `operation ${operation}` };
  if (after.deletion && !before?.deletion) return { kind: 'health', text: 'deleted' };
  const repairs = after.repairs - (before?.repairs ?? 0);
  if (repairs > 0) return { kind: 'repaired', text: `repaired (${after.repairs} so far)` };
  if (before?.health !== after.health) return { kind: 'health', text: after.health };
  return { kind: 'updated', text: progressText(after.rollout) ?? 'updated' };
}

function rolloutEvent(before: RolloutSummary | undefined, after: RolloutSummary): StatusEvent | undefined {
  const name = `rollout ${after.id}`;
  const same = before?.id === after.id ? before : undefined;
  if (same?.phase !== after.phase || same.reason !== after.reason) return phaseEvent(name, same, after);
  if (same.generation !== after.generation) {
    return { kind: 'moved', text: `${name} planned anew (generation ${after.generation})` };
  }
  if (same.stage !== after.stage) return { kind: 'moved', text: `${name} at ${stageOf(after)}` };
  return undefined;
}

function phaseEvent(name: string, before: RolloutSummary | undefined, after: RolloutSummary): StatusEvent {
  const end = ENDS[after.phase];
  if (end !== undefined) return { kind: end.kind, text: `${name} ${end.text}${rolledBackText(after)}` };
  if (after.phase === 'Paused') return { kind: 'paused', text: `${name} ${pausedText(after)}` };
  if (after.phase === 'RollingBack') return { kind: 'turned', text: `${name} rolls back in ${stageOf(after)}` };
  if (before === undefined) return { kind: 'started', text: `${name} started${towards(after)}` };
  if (before.phase === 'Paused') return { kind: 'moved', text: `${name} goes on with ${stageOf(after)}` };
  return {
    kind: 'moved',
    text: after.phase === 'Progressing' ? `${name} begins ${stageOf(after)}` : `${name} ${after.phase}`,
  };
}

const towards = ({ cause, to }: RolloutSummary): string => `, ${cause} to ${to}`;
const rolledBackText = ({ phase, cause }: RolloutSummary): string =>
  phase === 'Succeeded' && cause === 'rollback' ? ' (a rollback)' : '';

const stageOf = ({ stage, stages, stageName }: RolloutSummary): string => stageText(stage, stages, stageName);

function pausedText(rollout: RolloutSummary): string {
  const { stage, stages, stageName, stagePhase, reason } = rollout;
  const place = `${stagePhase === 'Waiting' ? 'after' : 'in'} ${stagePlace(stage, stages, stageName)}`;
  switch (reason) {
    case 'Failure':
      return `failed and paused ${place}`;
    case 'Window':
      return `waits for a window ${place}`;
    case 'Unknown':
      return `paused ${place}: what happened is unknown`;
    default:
      return `paused ${place}`;
  }
}

function progressText(rollout: RolloutSummary | undefined): string | undefined {
  if (rollout?.done === undefined || ENDS[rollout.phase] !== undefined) return undefined;
  if (rollout.stagePhase === 'Waiting') return `rollout ${rollout.id} waits after ${stageOf(rollout)}`;
  return `rollout ${rollout.id} ${stageOf(rollout)}: ${rollout.done} of ${rollout.total}`;
}

/** So many resources are listed in a body, and so many have trailers. */
const LISTED = 100;
const SUBJECT = 100;

/** `changes` empty: only the observed head moved. */
export function commitMessage(changes: Change[], head: Oid, held?: Held): string {
  const events = changes.map((change) => ({ change, event: eventOf(change) }));
  const paragraphs = [subjectOf(events, head)];
  const body = bodyOf(events);
  if (body !== '') paragraphs.push(body);
  paragraphs.push([...changes.slice(0, LISTED).flatMap(trailersOf), ...headTrailers(head, held)].join('\n'));
  return `${paragraphs.join('\n\n')}\n`;
}

const headTrailers = (head: Oid, held: Held | undefined): string[] => [
  ...(held === undefined ? [] : [`Sluice-Held: ${held.commit} ${oneLine(held.why, HELD)}`]),
  `Sluice-Head: ${head}`,
];
/** It ends with what to do. */
const HELD = 1000;

/** Of the commit with which an operator that starts takes the branch over: it changes no file. */
export const takeoverMessage = (epoch: number, head: Oid): string =>
  `sluice: an operator with epoch ${epoch} takes over\n\nSluice-Head: ${head}\n`;

interface ChangeEvent {
  change: Change;
  event: StatusEvent;
}

function subjectOf(events: ChangeEvent[], head: Oid): string {
  const [first, second] = events;
  if (first === undefined) return `Observed ${head.slice(0, 10)}`;
  if (second === undefined) return oneLine(`${first.change.id}: ${first.event.text}`, SUBJECT);
  const counts = new Map<EventKind, number>();
  for (const { event } of events) counts.set(event.kind, (counts.get(event.kind) ?? 0) + 1);
  const parts = (Object.keys(COUNTED) as EventKind[]).flatMap((kind) => {
    const count = counts.get(kind);
    return count === undefined ? [] : [`${count} ${count === 1 ? COUNTED[kind].one : COUNTED[kind].many}`];
  });
  return oneLine(`${events.length} resources: ${parts.join(', ')}`, SUBJECT);
}

function bodyOf(events: ChangeEvent[]): string {
  const [first, second] = events;
  if (first === undefined) return '';
  if (second === undefined) return first.change.after?.message ?? '';
  const lines = events.slice(0, LISTED).map(({ change, event }) => `- ${change.id}: ${oneLine(event.text, SUBJECT)}`);
  if (events.length > LISTED) lines.push(`- and ${events.length - LISTED} more`);
  return lines.join('\n');
}

function trailersOf({ id, after }: Change): string[] {
  const trailers = [`Sluice-Resource: ${id}`];
  if (after === undefined) return trailers;
  const { rollout, revision, commit } = after;
  if (rollout !== undefined) trailers.push(`Sluice-Rollout: ${rollout.id}`, `Sluice-Phase: ${rollout.phase}`);
  const shown = rollout?.to ?? revision;
  if (shown !== undefined) trailers.push(`Sluice-Revision: ${shown}`);
  trailers.push(`Sluice-Commit: ${rollout?.commit ?? commit}`);
  return trailers;
}

const HEAD_TRAILER = /\nSluice-Head: ([0-9a-f]{40})\n*$/;

/** The head of the config branch that a status commit speaks of: always its last line. Undefined: it has none. */
export const headOfMessage = (message: string): Oid | undefined => HEAD_TRAILER.exec(message)?.[1];

const HELD_TRAILER = /\nSluice-Held: ([0-9a-f]{40}) (.*)\nSluice-Head: [0-9a-f]{40}\n*$/;

/** What is not worked from although it is newer than that head. */
export function heldOfMessage(message: string): Held | undefined {
  const [, commit, why] = HELD_TRAILER.exec(message) ?? [];
  return commit === undefined || why === undefined ? undefined : { commit, why };
}

/** The annotation of `sluice/<kind>/<name>/<id>`. `description`: the manifest's, for whoever reads the history. */
export function tagMessage(id: ResourceId, rollout: Rollout, description?: string): string {
  const { plan, cause, startedAt, finishedAt, times } = rollout;
  const version = plan.version === '' ? '' : ` as ${plan.version}`;
  const took = finishedAt === undefined ? '' : ` in ${durationText(finishedAt - startedAt)}`;
  const stages = plan.stages.map(({ name, goal }, index) => {
    const time = times[index];
    const spent = time?.done === undefined ? '' : `, ${durationText(time.done - time.begun)}`;
    return `- ${oneLine(name, SUBJECT)}: ${goalText(goal)}${spent}`;
  });
  if (stages.length > LISTED) stages.splice(LISTED, stages.length, `- and ${stages.length - LISTED} more`);
  const paragraphs = [
    `${id}: rollout ${rollout.id} succeeded`,
    ...(description === undefined ? [] : [oneLine(description)]),
    `${cause === 'rollback' ? 'Rollback' : 'Upgrade'} from ${plan.from ?? 'nothing'} to ${plan.to}${version}${took}.`,
    ...(stages.length === 0 ? [] : [stages.join('\n')]),
    [
      `Sluice-Resource: ${id}`,
      `Sluice-Rollout: ${rollout.id}`,
      `Sluice-Phase: ${rollout.phase}`,
      `Sluice-Revision: ${plan.to}`,
      `Sluice-Commit: ${rollout.commit}`,
    ].join('\n'),
  ];
  return `${paragraphs.join('\n\n')}\n`;
}
