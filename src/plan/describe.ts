/** Changes for people: plain text for a terminal, Markdown for a pull request. */
import type { Change, PlannedStage } from './change.ts';

const VERB: Record<Change['change'], string> = {
  create: 'is rolled out for the first time',
  upgrade: 'is upgraded',
  rollback: 'goes back',
  adjust: 'is adjusted at once',
  delete: 'is removed',
};

/** One block a resource:
 *
 *   Service/shop is upgraded: 1a2b3c4d5e → 9f8e7d6c5b as v8 (rollout 8, about 12 min)
 *     1. deploy v8   2 of revision 9f8e7d6c5b as v8, at most 3, at least 2 available
 *     2. 10 %        10 % to v8, 90 % to v7; then soak 600 s, check GET /health
 */
export function describeText(changes: Change[]): string {
  if (changes.length === 0) return 'nothing changes\n';
  return `${changes.map(block).join('\n\n')}\n`;
}

function block(change: Change): string {
  const width = Math.max(0, ...change.stages.map((stage) => stage.name.length));
  const stages = change.stages.map(
    (stage, index) =>
      `  ${index + 1}. ${stage.name.padEnd(width)}  ${stageText(stage)}${predicted(stage.predictedSeconds)}`,
  );
  return [headline(change), ...stages, ...change.notes.map((note) => `  note: ${note}`)].join('\n');
}

function headline(change: Change): string {
  return `${change.resource} ${VERB[change.change]}${revisions(change, (text) => text)}${facts(change)}`;
}

function revisions({ from, to, version, versions }: Change, code: (text: string) => string): string {
  const name = version === undefined ? versionsText(versions, code) : ` as ${code(version)}`;
  if (to === undefined || from === to) return to === undefined || name === '' ? '' : `:${name}`;
  return `: ${from === undefined ? '' : `${code(from)} → `}${code(to)}${name}`;
}

/** `, version 1.35.2 → 1.36.0` */
function versionsText(versions: Change['versions'], code: (text: string) => string): string {
  if (versions === undefined) return '';
  const { from, to } = versions;
  return `, version ${from === undefined || from === to ? '' : `${code(from)} → `}${code(to)}`;
}

function facts({ rollout, predictedSeconds }: Change): string {
  const known = [
    ...(rollout === undefined ? [] : [`rollout ${rollout}`]),
    ...(predictedSeconds === undefined ? [] : [about(predictedSeconds)]),
  ];
  return known.length === 0 ? '' : ` (${known.join(', ')})`;
}

function stageText({ goal, bounds, gates }: PlannedStage): string {
  const limits = bounds === undefined ? '' : `, at most ${bounds.maxTotal}, at least ${bounds.minAvailable} available`;
  return `${goal}${limits}${gates.length === 0 ? '' : `; then ${gates.join(', ')}`}`;
}

const predicted = (seconds: number | undefined) => (seconds === undefined ? '' : ` (${about(seconds)})`);

/** `about 0.4 s`, `about 38 s`, `about 12 min`, `about 3 h`. */
function about(seconds: number): string {
  if (seconds < 10) return `about ${Math.round(seconds * 10) / 10} s`;
  if (seconds < 120) return `about ${Math.round(seconds)} s`;
  if (seconds < 7200) return `about ${Math.round(seconds / 60)} min`;
  return `about ${Math.round(seconds / 3600)} h`;
}

/** A section a resource, each with a table of its stages. */
export function describeMarkdown(changes: Change[]): string {
  if (changes.length === 0) return '### Sluice: nothing changes\n';
  const count = `${changes.length} resource${changes.length === 1 ? '' : 's'}`;
  return `### Sluice: ${count} would change\n\n${changes.map(section).join('\n')}`;
}

function section(change: Change): string {
  const head = `#### ${cell(change.resource)} ${VERB[change.change]}${revisions(change, code)}${facts(change)}\n`;
  const rows = change.stages.map(
    (stage, index) => `| ${index + 1} | ${cell(stage.name)} | ${cell(stageText(stage))} | ${seconds(stage)} |`,
  );
  const table =
    rows.length === 0 ? [] : ['| # | stage | goal and gates | predicted |', '| --- | --- | --- | --- |', ...rows, ''];
  return [head, ...table, ...change.notes.map((note) => `- ${cell(note)}`), ''].join('\n');
}

const code = (text: string) => `\`${text}\``;
const seconds = ({ predictedSeconds }: PlannedStage) => (predictedSeconds === undefined ? '' : about(predictedSeconds));

/** Text in a table cell stays text: no new columns, no HTML. */
const cell = (text: string) => text.replace(/[|\\`*_<>[\]]/g, '\\$&').replace(/\s+/g, ' ');
