import type { WrittenTarget } from '../written.ts';
import { badPath } from './paths.ts';
import type { Report } from './report.ts';

export function checkTarget({ local }: WrittenTarget, report: Report): void {
  const { images, dataDir } = local ?? {};
  const wrong = images === undefined ? undefined : (badPath(images) ?? badFolder(images));
  if (wrong !== undefined) report(['spec', 'local', 'images'], 'bad-path', wrong);
  const badDataDir = dataDir === undefined ? undefined : badPath(dataDir);
  if (badDataDir !== undefined) report(['spec', 'local', 'dataDir'], 'bad-path', badDataDir);
}

/** A folder of the repository is taken out of what is searched for manifests: it cannot be the repository itself. */
const badFolder = (path: string) =>
  path.split('/').slice(1).includes('') || path.split('/').includes('.')
    ? 'must be a folder such as images, without "." and without "/" at the end'
    : undefined;
