/** What a Fleet must mean besides having the right form. */
import { quote } from '../diagnostic.ts';
import type { WrittenFleet } from '../written.ts';
import type { Path, Report } from './report.ts';
import { checkScript } from './script.ts';
import { checkCron, checkTimezone, checkWindows } from './windows.ts';

export function checkFleet(fleet: WrittenFleet, report: Report): void {
  const path = ['spec'];
  checkWindows(fleet.windows ?? [], [...path, 'windows'], report);
  checkScript(fleet.script, [...path, 'script'], report);
  checkTask(fleet, path, report);
  checkSchedules(fleet, [...path, 'scaling', 'schedules'], report);
  for (const [index, check] of (fleet.check ?? []).entries())
    if (check?.http?.url !== undefined && check.http.port !== undefined)
      report(
        [...path, 'check', index, 'http', 'port'],
        'bad-value',
        'port goes with path; write the port of a url in the url',
      );
  for (const field of ['suspend', 'suspended'] as const) checkProcesses(fleet[field] ?? [], [...path, field], report);
}

function checkTask({ image, rollbackImage, script }: WrittenFleet, path: Path, report: Report): void {
  if (image === undefined && script === undefined)
    report([...path, 'image'], 'missing-field', 'there is nothing to upgrade to; add image, script or both');
  if (rollbackImage !== undefined && image === undefined)
    report([...path, 'rollbackImage'], 'bad-value', 'rollbackImage goes with image; add image, or remove it', 'key');
}

function checkSchedules({ size, scaling }: WrittenFleet, path: Path, report: Report): void {
  const schedules = scaling?.schedules ?? [];
  if (schedules.length > 0 && size === undefined)
    report(path, 'bad-value', 'schedules change size; hosts that a selector finds cannot be created or removed', 'key');
  for (const [index, schedule] of schedules.entries()) {
    checkCron(schedule?.cron, [...path, index, 'cron'], report);
    checkTimezone(schedule?.timezone, [...path, index, 'timezone'], report);
  }
}

function checkProcesses(processes: (string | undefined)[], path: Path, report: Report): void {
  for (const [index, process] of processes.entries())
    if (process !== undefined && processes.indexOf(process) < index)
      report([...path, index], 'duplicate', `${quote(process)} is there already; remove it`);
}
