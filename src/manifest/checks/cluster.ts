/** What a Cluster must mean besides having the right form. */
import type { WrittenCluster } from '../written.ts';
import type { Path, Report } from './report.ts';
import { checkScript } from './script.ts';
import { checkDuration, checkWindows } from './windows.ts';

export function checkCluster(cluster: WrittenCluster, report: Report): void {
  const path = ['spec'];
  const { windows = [], upgrade } = cluster;
  checkWindows(windows, [...path, 'windows'], report);
  checkCreated(cluster, path, report);
  const at = [...path, 'upgrade'];
  checkDuration(upgrade?.drain?.timeout, [...at, 'drain', 'timeout'], report);
  checkDuration(upgrade?.expireAfter, [...at, 'expireAfter'], report);
  checkScript(upgrade?.script, [...at, 'script'], report);
  if (upgrade?.drain?.undo !== undefined && upgrade.drain.command === undefined)
    report([...at, 'drain', 'undo'], 'bad-value', 'undo takes back what command did; add command, or remove it', 'key');
}

function checkCreated({ image, ...rest }: WrittenCluster, path: Path, report: Report): void {
  if (image !== undefined) return;
  for (const field of ['controlPlane', 'nodes'] as const)
    if (rest[field] !== undefined)
      report(
        [...path, field],
        'bad-value',
        `${field} is for a target that creates nodes; add image, what they run, or remove it`,
        'key',
      );
}
