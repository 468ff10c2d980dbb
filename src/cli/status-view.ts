/** How statuses look on a terminal and in a pipe. Text in, nothing read, nothing printed. */
import Table from 'cli-table3';
import type { Health } from '../rollout/state.ts';
import type { RolloutDocument, StageDocument, StatusDocument, VersionDocument } from '../status/document.ts';
import { policyFromDocument } from '../status/goals.ts';
import { barText, durationText, stageText, trafficText } from '../status/words.ts';
import { colours } from './print.ts';

type Paint = (text: string) => string;

const HEALTH_COLOUR: Record<Health, Paint> = {
  Healthy: colours.green,
  Progressing: colours.cyan,
  Paused: colours.yellow,
  Degraded: colours.red,
  Invalid: colours.red,
};

/** What asks for somebody: the exit status of `status` is 1 when a resource is so. */
export const needsAttention = ({ health }: StatusDocument): boolean => health !== 'Healthy' && health !== 'Progressing';

export const healthText = (health: Health): string => HEALTH_COLOUR[health](health);

/** Columns that line up, and nothing else: as good for `grep` as for people. */
export function table(head: string[], rows: string[][]): string {
  const none = Object.fromEntries(
    ['top', 'bottom', 'left', 'right', 'mid'].flatMap((side) =>
      [side, `${side}-mid`, `${side}-left`, `${side}-right`, `mid-mid`, 'middle'].map((name) => [name, '']),
    ),
  );
  const made = new Table({
    head,
    chars: { ...none, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  made.push(...rows);
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** One line a resource. */
export function overview(documents: StatusDocument[], now: number): string {
  const rows = documents.map((document) => [
    document.resource,
    healthText(document.health),
    rolloutCell(document.rollout),
    progressCell(document, now),
    document.message,
  ]);
  return table(['RESOURCE', 'HEALTH', 'ROLLOUT', 'PROGRESS', 'MESSAGE'].map(colours.bold), rows);
}

const rolloutCell = (rollout?: RolloutDocument): string =>
  rollout ? `${rollout.id} ${rollout.cause === 'rollback' ? 'rollback ' : ''}${phaseText(rollout)}` : '-';

const phaseText = ({ phase, reason }: RolloutDocument): string => (reason ? `${phase} (${reason})` : phase);

function progressCell({ rollout }: StatusDocument, now: number): string {
  if (!rollout) return '-';
  if (rollout.finishedAt) return `${durationText(Math.max(0, now - Date.parse(rollout.finishedAt)))} ago`;
  const index = rollout.stages.findIndex((stage) => stage.phase !== 'Done');
  const stage = rollout.stages[index];
  if (!stage) return '-';
  const where = rollout.stages.length === 1 ? '' : ` ${stageText(index, rollout.stages.length, stage.name)}`;
  return `${barOf(stage)}${where}`;
}

const barOf = ({ done, total }: StageDocument): string => (done === undefined ? '?' : barText(done, total, 10));

/** All about one resource. */
export function detail(document: StatusDocument, now: number): string {
  const { rollout, versions, traffic, operations, repairs } = document;
  const head = [
    `${colours.bold(document.resource)}  ${healthText(document.health)}${document.message && `  ${document.message}`}`,
    `commit    ${document.commit.slice(0, 10)}`,
    `revision  ${document.revision ?? 'none observed'}`,
    ...(traffic ? [`traffic   ${trafficText(policyFromDocument(traffic))}`] : []),
    ...(repairs.count > 0
      ? [`repairs   ${repairs.count}${repairs.last ? `, the last at ${clock(repairs.last)}` : ''}`]
      : []),
  ];
  const parts = [
    head.join('\n'),
    ...(rollout ? [rolloutText(rollout, now)] : []),
    ...(versions?.length ? [versionsText(versions)] : []),
    ...(operations.length > 0 ? [operationsText(document)] : []),
  ];
  return parts.join('\n\n');
}

function rolloutText(rollout: RolloutDocument, now: number): string {
  const end = rollout.finishedAt ? Date.parse(rollout.finishedAt) : now;
  const took = durationText(Math.max(0, end - Date.parse(rollout.startedAt)));
  const title = `rollout ${rollout.id}: ${rollout.cause} to ${rollout.to}, ${phaseText(rollout)}, ${took}`;
  const prechecks = rollout.prechecks
    .filter(({ result }) => result !== 'pass')
    .map(({ name, result, message, remedy }) => `  ${result} ${name}: ${message}${remedy && `; ${remedy}`}`);
  return [title, ...prechecks, ...rollout.stages.flatMap((stage) => stageLines(stage, now))].join('\n');
}

const STAGE_COLOUR: Record<StageDocument['phase'], Paint> = {
  Pending: colours.dim,
  Progressing: colours.cyan,
  Waiting: colours.cyan,
  Stopped: colours.yellow,
  Done: colours.green,
};

function stageLines(stage: StageDocument, now: number): string[] {
  const began = stage.begunAt ? Date.parse(stage.begunAt) : undefined;
  const end = stage.doneAt ? Date.parse(stage.doneAt) : now;
  const took = began === undefined || stage.phase === 'Stopped' ? '' : durationText(Math.max(0, end - began));
  const line = `  ${STAGE_COLOUR[stage.phase](stage.phase.padEnd(11))} ${barOf(stage).padEnd(14)} ${stage.name}: ${stage.goal}`;
  const units = (stage.units ?? []).map(
    ({ name, state, message }) => `    ${name}  ${state}${message ? `  ${message}` : ''}`,
  );
  return [took ? `${line}  ${colours.dim(took)}` : line, ...units];
}

function versionsText(versions: VersionDocument[]): string {
  const rows = versions.map(({ name, revision, ready, total, address }) => [
    name,
    revision,
    total ? `${ready ?? 0}/${total}` : 'not running',
    address ?? '',
  ]);
  return table(['VERSION', 'REVISION', 'READY', 'ADDRESS'].map(colours.bold), rows);
}

function operationsText({ operations }: StatusDocument): string {
  const rows = operations.map(({ name, outcome, message, at }) => [
    name,
    outcome === 'refused' ? colours.red(outcome) : outcome,
    clock(at),
    message,
  ]);
  return table(['OPERATION', 'OUTCOME', 'AT', 'MESSAGE'].map(colours.bold), rows);
}

/** `2026-11-20 22:22:03`, in this machine's time zone. */
export function clock(time: string): string {
  const date = new Date(time);
  const two = (number: number) => String(number).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
