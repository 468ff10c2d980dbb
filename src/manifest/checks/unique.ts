import { quote } from '../diagnostic.ts';
import type { Path, Report } from './report.ts';

/** Two entries of a list must not have the same value of `field`. */
export function unique<T extends object>(
  entries: (T | undefined)[],
  field: keyof T & string,
  path: Path,
  report: Report,
): void {
  const first = new Map<unknown, number>();
  for (const [index, entry] of entries.entries()) {
    const value = entry?.[field];
    if (value === undefined) continue;
    const before = first.get(value);
    if (before === undefined) first.set(value, index);
    else
      report(
        [...path, index, field],
        'duplicate',
        `${quote(value)} is there already, at index ${before}; each needs a ${field} of its own`,
      );
  }
}
