import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { ResourceId } from '../manifest/resource.ts';
import { readLogs, type UnitLog } from '../target/local/logs.ts';
import { withCommits } from './declared.ts';
import { Failure } from './failure.ts';
import { repositoryFolders } from './folders.ts';
import { dataDirOption, pathOption, type RepositoryOptions, repositoryOptions, resourceArgument } from './options.ts';
import { colours, print } from './print.ts';
import { openRepository, resolveCommit } from './repository.ts';

interface LogsOptions extends RepositoryOptions {
  path: string;
  dataDir?: string;
}

export function registerLogs(program: Command): void {
  repositoryOptions(program.command('logs'))
    .argument('<resource>', 'Kind/name', resourceArgument)
    .argument('[unit]', 'one unit of it, as sluice status names it; without it, all')
    .description('print what the units of a resource wrote, on the machine that they run on')
    .addOption(pathOption())
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Each line follows the name of its unit. A line "--- time attempt id ---" begins what one start of the unit wrote.

Examples:
  sluice logs Service/shop
  sluice logs Workload/tomcat tomcat-2`,
    )
    .action(async (resource: ResourceId, unit: string | undefined, options: LogsOptions) => {
      const folders = await dataFolders(options);
      const logs = (await Promise.all(folders.map((folder) => readLogs(folder, resource, unit)))).flat();
      if (logs.length === 0) {
        throw new Failure(
          `${resource}${unit === undefined ? '' : ` ${unit}`} has no logs in ${folders.join(' or ')}; is this the machine it runs on?`,
        );
      }
      for (const log of logs) printLog(log);
    });
}

function printLog({ unit, container, source, text }: UnitLog): void {
  const origin = colours.dim(`${[unit, container, ...(source === 'stdout' ? [] : [source])].join(' ')} | `);
  const lines = text.replace(/\n$/, '').split('\n');
  if (text !== '') print(lines.map((line) => `${origin}${line}`).join('\n'));
}

/** Every folder that a target of this repository keeps its units in: those declared, and those that are there. */
async function dataFolders(options: LogsOptions): Promise<string[]> {
  const repository = await openRepository(options);
  const { data } = repositoryFolders(repository.key, options);
  const usual = join(data, 'targets');
  const names = existsSync(usual) ? await readdir(usual) : ['local'];
  const folders = new Set(names.map((name) => join(usual, name)));
  const commit = await resolveCommit(repository, `refs/heads/${repository.branch}`);
  const { targets } = await withCommits(repository.folder, options.path, (commits) => commits.load(commit));
  for (const { local } of targets.values()) if (local.dataDir !== undefined) folders.add(local.dataDir);
  return [...folders];
}
