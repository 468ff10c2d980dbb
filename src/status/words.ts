/** Words for people, shared by status files, STATUS.md and the terminal. Pure. */
export { trafficText } from '../plan/words.ts';

const UNITS = [
  { letter: 'd', ms: 86_400_000 },
  { letter: 'h', ms: 3_600_000 },
  { letter: 'm', ms: 60_000 },
  { letter: 's', ms: 1000 },
];

/** The two largest parts, cut off: `2d 3h`, `1h`, `4m 12s`, `38s`; below ten seconds with a tenth: `0.4s`. */
export function durationText(ms: number): string {
  const whole = Math.max(0, ms);
  if (whole < 10_000) return `${Math.floor(whole / 100) / 10}s`;
  const first = UNITS.findIndex((unit) => whole >= unit.ms);
  const parts: string[] = [];
  let left = whole;
  for (const { letter, ms: size } of UNITS.slice(first, first + 2)) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) parts.push(`${count}${letter}`);
  }
  return parts.join(' ');
}

/** `███░░ 3/5`. A bar is full only when all is done, and empty only when nothing is. */
export function barText(done: number, total: number, width = 5): string {
  const share = total === 0 ? 1 : Math.min(1, Math.max(0, done / total));
  const exact = Math.round(share * width);
  const filled = share === 1 ? width : share === 0 ? 0 : Math.min(width - 1, Math.max(1, exact));
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${done}/${total}`;
}

/** A batch says by itself which of how many it is. */
const BATCH = /^(?:batch|control plane) \d+ of \d+/;

/** `stage 2 of 3`, or `batch 2 of 4`; `stage` counts from 0. Never a number beyond the last. */
export const stagePlace = (stage: number, count: number, name: string): string =>
  BATCH.exec(name)?.[0] ?? `stage ${Math.min(stage + 1, count)} of ${count}`;

/** `stage 2 of 3 (10 %)`, `control plane 1 of 3: cp-1`. */
export function stageText(stage: number, count: number, name: string): string {
  if (BATCH.test(name)) return name;
  return `${stagePlace(stage, count, name)}${name === '' ? '' : ` (${name})`}`;
}

/** One line, at most `limit` characters; control characters become spaces. */
export function oneLine(text: string, limit = 300): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const line = text.replace(/[\s\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim();
  return line.length <= limit ? line : `${line.slice(0, limit - 1).trimEnd()}…`;
}
