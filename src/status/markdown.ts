/** STATUS.md: for people who open the status branch in a browser. Pure. */
import type { Oid } from '../manifest/resource.ts';
import type { Instant } from '../plan/live.ts';
import type { Health } from '../rollout/state.ts';
import { TRANSITIONS } from '../rollout/transitions.ts';
import { statusPath } from './names.ts';
import type { Ranked } from './ranking.ts';
import type { RolloutSummary, Summary } from './summary.ts';
import { barText, oneLine, stagePlace } from './words.ts';

/** The commit of the config branch that the operator saw last, and when it saw it first. */
export interface Head {
  commit: Oid;
  at: Instant;
  held?: Held;
}

/** A newer commit than the one that was observed, which is not worked from. */
export interface Held {
  commit: Oid;
  /** And what to do. */
  why: string;
}

/** At most so many resources are in the table. */
export const LISTED_RESOURCES = 200;

/** `counts` are of all resources, `first` are those to show. */
export function overview(head: Head, counts: { health: Health; count: number }[], first: Ranked[]): string {
  const total = counts.reduce((sum, { count }) => sum + count, 0);
  const lines = [
    '# Status',
    '',
    `Observed commit \`${head.commit}\` at ${new Date(head.at).toISOString()}.`,
    '',
    ...(head.held === undefined ? [] : [`**Held:** ${cell(head.held.why, 1000)}.`, '']),
    countsText(counts, total),
    '',
  ];
  if (first.length > 0) {
    lines.push(
      '| Resource | Health | Revision | Rollout | Traffic | Message |',
      '| --- | --- | --- | --- | --- | --- |',
      ...first.map(row),
      '',
    );
  }
  const left = total - first.length;
  if (left > 0) lines.push(`${left} more: one file each under [status](status).`, '');
  return lines.join('\n');
}

function countsText(counts: { health: Health; count: number }[], total: number): string {
  const parts = counts.filter(({ count }) => count > 0).map(({ health, count }) => `${count} ${health}`);
  const of = `${total} ${total === 1 ? 'resource' : 'resources'}`;
  return parts.length === 0 ? `${of}.` : `${of}: ${parts.join(', ')}.`;
}

function row({ id, summary }: Ranked): string {
  const cells = [
    `[${id}](${statusPath(id)})`,
    summary.health,
    revisionCell(summary),
    summary.rollout === undefined ? '' : rolloutCell(summary.rollout),
    cell(summary.traffic, 120),
    cell(summary.message, 200),
  ];
  return `| ${cells.join(' | ')} |`;
}

function revisionCell({ revision, versions, runs }: Summary): string {
  const names = cell(runs ?? versions.join(', '), runs === undefined ? 60 : 200);
  if (revision === undefined) return names;
  if (names.startsWith(`${revision} on `)) return `\`${revision}\`${names.slice(revision.length)}`;
  return names === '' ? `\`${revision}\`` : `\`${revision}\` ${names}`;
}

/** `7 Paused, stage 2 of 3 ███░░ 3/5`; of one that ended, `7 Succeeded`. */
function rolloutCell({ id, phase, stage, stages, stageName, done, total }: RolloutSummary): string {
  if (stage >= stages || TRANSITIONS[phase].length === 0) return `${id} ${phase}`;
  const bar = done === undefined ? '' : ` ${barText(done, total)}`;
  return `${id} ${phase}, ${stagePlace(stage, stages, stageName)}${bar}`;
}

/** Text as itself: nothing in it is Markdown, HTML or a cell's end. */
function cell(text: string, limit: number): string {
  return oneLine(text, limit)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[\\`*_{}[\]|~#!]/g, '\\$&');
}
