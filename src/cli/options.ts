/** Arguments and options that several commands share, so that they are spelt and explained alike everywhere. */
import { posix } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Kind, ResourceId } from '../manifest/resource.ts';

export interface RepositoryOptions {
  repo: string;
  branch?: string;
  stateDir?: string;
}

export function repositoryOptions(command: Command): Command {
  return command
    .addOption(repositoryOption())
    .option('--branch <name>', 'its branch that says what should run (default: the one checked out)')
    .addOption(stateDirOption());
}

export const repositoryOption = (): Option => new Option('--repo <folder|url>', 'the config repository').default('.');

export const pathOption = (): Option =>
  new Option('--path <folder>', 'where in the repository the manifests are')
    .argParser(folderInRepository)
    .default('', 'all of it');

/** `apps/shop/` → `apps/shop`; `.` → `''`. */
function folderInRepository(text: string): string {
  const path = posix.normalize(text).replace(/\/$/, '');
  if (path.startsWith('/') || path.split('/').includes('..')) {
    throw new InvalidArgumentError('Expected a folder of the repository, such as apps/shop.');
  }
  return path === '.' ? '' : path;
}

const stateDirOption = (): Option =>
  new Option(
    '--state-dir <folder>',
    "where clones and caches are kept (default: $SLUICE_STATE_DIR, or the user's state folder)",
  );

export const dataDirOption = (): Option =>
  new Option(
    '--data-dir <folder>',
    "where local targets keep their units (default: $SLUICE_DATA_DIR, or the user's data folder)",
  );

const KINDS: Kind[] = ['Workload', 'Service', 'Fleet', 'Cluster'];

/** `Service/shop`; the kind in any case. */
export function resourceArgument(text: string): ResourceId {
  const [kindText = '', name = '', ...more] = text.split('/');
  const kind = KINDS.find((known) => known.toLowerCase() === kindText.toLowerCase());
  if (kind === undefined || more.length > 0 || !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
    throw new InvalidArgumentError(`Expected Kind/name, such as Service/shop; kinds: ${KINDS.join(', ')}.`);
  }
  return `${kind}/${name}`;
}
