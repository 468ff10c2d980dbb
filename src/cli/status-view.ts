/** How statuses look on a terminal and in a pipe. Text in, nothing read, nothing printed. */
import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import type { Health } from '../rollout/state.ts';
import type { StatusDocument, VersionDocument } from '../status/document.ts';
import { policyFromDocument } from '../status/goals.ts';
import { type InstanceDocument, type InstancesDocument, runsText } from '../status/instances.ts';
import type { RolloutDocument, StageDocument } from '../status/rollout.ts';
import { barText, durationText, oneLine, stageText, trafficText } from '../status/words.ts';
import type { Counts, Measured } from './counts.ts';
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

/** One line a resource; messages are cut off where a terminal of `columns` ends. */
export function overview(documents: StatusDocument[], now: number, columns = Number.POSITIVE_INFINITY): string {
  const heads = ['RESOURCE', 'HEALTH', 'ROLLOUT', 'PROGRESS'];
  const cells = documents.map((document) => [
    document.resource,
    healthText(document.health),
    rolloutCell(document.rollout),
    progressCell(document, now),
  ]);
  const before = heads.map((head, at) => Math.max(...[head, ...cells.map((row) => row[at] ?? '')].map(shownWidth)) + 2);
  const room = Math.max(20, columns - before.reduce((sum, width) => sum + width, 0));
  const rows = documents.map(({ message }, at) => [...(cells[at] ?? []), oneLine(message, room)]);
  return table([...heads, 'MESSAGE'].map(colours.bold), rows);
}

const shownWidth = (text: string): number => stripVTControlCharacters(text).length;

/** A line for each rollout under way; empty where there is none. */
export function moving(documents: StatusDocument[]): string {
  const rows = documents.flatMap(({ resource, rollout }) => {
    const index = rollout?.stages.findIndex((stage) => stage.phase !== 'Done') ?? -1;
    const stage = rollout?.stages[index];
    if (rollout === undefined || stage === undefined || rollout.finishedAt !== undefined) return [];
    return [[`  ${resource}`, barOf(stage), stageText(index, rollout.stages.length, stage.name), phaseText(rollout)]];
  });
  return rows.length === 0 ? '' : table([], rows);
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
export function detail(document: Measured, now: number): string {
  const { rollout, versions, instances, traffic, operations, scaled, repairs, router = [] } = document;
  const own = router.find(({ version }) => version === undefined);
  const head = [
    `${colours.bold(document.resource)}  ${healthText(document.health)}${document.message && `  ${document.message}`}`,
    `commit    ${document.commit.slice(0, 10)}`,
    `revision  ${document.revision ?? 'none observed'}`,
    ...(instances ? instancesLines(instances) : []),
    ...(traffic ? [`traffic   ${trafficText(policyFromDocument(traffic))}`] : []),
    ...(own ? [`requests  ${countsText(own)}`] : []),
    ...(scaled ? [`replicas  ${scaled.replicas}, by ${scaled.by}`] : []),
    ...(repairs.count > 0
      ? [`repairs   ${repairs.count}${repairs.last ? `, the last at ${clock(repairs.last)}` : ''}`]
      : []),
  ];
  const parts = [
    head.join('\n'),
    ...(rollout ? [rolloutText(rollout, now)] : []),
    ...(versions?.length ? [versionsText(versions, router)] : []),
    ...(instances && instances.listed.length > 0 ? [instancesText(instances)] : []),
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

/** Which run what; of a cluster, beside the version that is wanted. */
function instancesLines(instances: InstancesDocument): string[] {
  const { total, ready, inService, wanted } = instances;
  return [
    `instances ${total}: ${ready} ready, ${inService} in service`,
    ...(total > 0 ? [`runs      ${runsText(instances)}`] : []),
    ...(wanted === undefined ? [] : [`wanted    ${wanted}`]),
  ];
}

/** What is not as it should be stands first. */
function instancesText({ listed, total }: InstancesDocument): string {
  const hasVersions = listed.some(({ version }) => version !== undefined);
  const hasWeights = listed.some(({ weight }) => weight !== undefined);
  const rows = listed.map((instance) => [
    instance.name,
    instance.revision ?? 'nothing',
    ...(hasVersions ? [instance.version ?? '?'] : []),
    serviceText(instance),
    ...(hasWeights ? [instance.weight === undefined ? '-' : String(instance.weight)] : []),
    instance.ready ? 'ready' : colours.red('not ready'),
    [...(instance.outdated ? ['outdated'] : []), ...(instance.message ? [instance.message] : [])].join('; '),
  ]);
  const heads = ['INSTANCE', 'REVISION', ...(hasVersions ? ['VERSION'] : []), 'SERVICE'];
  const more = [...(hasWeights ? ['WEIGHT'] : []), 'READY', 'MESSAGE'];
  const shown = table([...heads, ...more].map(colours.bold), rows);
  return total > listed.length ? `${shown}\nand ${total - listed.length} more` : shown;
}

const serviceText = ({ service, cordoned }: InstanceDocument): string =>
  `${service === 'in' ? service : colours.yellow(service)}${cordoned ? ', cordoned' : ''}`;

function versionsText(versions: VersionDocument[], counts: Counts[]): string {
  const counted = new Map(counts.map((each) => [each.version, each]));
  const rows = versions.map(({ name, revision, ready, total, address }) => [
    name,
    revision,
    total === undefined ? 'not observed' : total > 0 ? `${ready ?? 0}/${total}` : 'not running',
    ...(counts.length > 0 ? countCells(counted.get(name)) : []),
    address ?? '',
  ]);
  const measures = counts.length > 0 ? ['REQUESTS', 'ERRORS', 'P50', 'P99'] : [];
  return table(['VERSION', 'REVISION', 'READY', ...measures, 'ADDRESS'].map(colours.bold), rows);
}

function countCells(counts: Counts | undefined): string[] {
  if (counts === undefined) return ['', '', '', ''];
  const { requests, errors, latency } = counts;
  const times = [latency.p50, latency.p99].map((ms) => (ms === 0 ? '-' : millisecondsText(ms)));
  return [String(requests), errors > 0 ? colours.red(String(errors)) : '0', ...times];
}

function countsText({ requests, errors, latency }: Counts): string {
  const wrong = errors > 0 ? colours.red(`${errors} errors`) : '0 errors';
  const times = latency.p50 === 0 ? '' : `, p50 ${millisecondsText(latency.p50)}, p99 ${millisecondsText(latency.p99)}`;
  return `${requests}, ${wrong}${times}`;
}

/** Three digits are more than a histogram can tell: `0.42 ms`, `12 ms`, `1300 ms`. */
const millisecondsText = (ms: number): string => `${Number(ms.toPrecision(2))} ms`;

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
