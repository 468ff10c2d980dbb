/** A script's sources: one of each, and files that stay in the repository. */
import type { WrittenScript } from '../written.ts';
import { badPath } from './paths.ts';
import type { Path, Report } from './report.ts';
import { checkDuration } from './windows.ts';

export function checkScript(script: WrittenScript | undefined, path: Path, report: Report): void {
  if (script === undefined) return;
  if (script.rollback !== undefined && script.rollbackFile !== undefined)
    report([...path, 'rollbackFile'], 'exactly-one', 'rollback is there too; remove one', 'key');
  for (const field of ['runFile', 'rollbackFile'] as const) checkFile(script[field], [...path, field], report);
  checkDuration(script.timeout, [...path, 'timeout'], report);
}

function checkFile(file: string | undefined, path: Path, report: Report): void {
  // What starts with `/` the schema has told already.
  if (file === undefined || file.startsWith('/')) return;
  const parts = file.split('/');
  const wrong =
    badPath(file) ??
    (parts.includes('') || parts.includes('.') ? 'must be a plain path such as scripts/upgrade.sh' : undefined) ??
    (parts.includes('.git') ? 'must not lie in .git; move the file into the repository' : undefined);
  if (wrong !== undefined) report(path, 'bad-path', wrong);
}
