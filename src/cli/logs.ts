import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { isReplicasSpec } from '../manifest/kinds.ts';
import { membersOn } from '../manifest/members.ts';
import type { Declared, ResourceId } from '../manifest/resource.ts';
import { readLogs, type UnitLog } from '../target/local/logs.ts';
import { withProject } from '../target/project.ts';
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
  sluice logs Workload/tomcat tomcat-2
  sluice logs Fleet/web web-3`,
    )
    .action(async (resource: ResourceId, unit: string | undefined, options: LogsOptions) => {
      const declared = await declaredNow(options);
      if (await printedFromHosts(declared, resource, unit)) return;
      const folders = await dataFolders(declared, options);
      const kept = (await Promise.all(folders.map((folder) => readLogs(folder, resource, unit)))).flat();
      const others = [fromContainers(declared, options, resource, unit), fromNodes(declared, resource, unit)];
      const logs = [...kept, ...(await Promise.all(others)).flat()];
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

/** What the scripts of hosts printed, where the resource is on such. A host that does not answer hides no other. */
async function printedFromHosts(
  { resources, hostTargets }: Declared,
  resource: ResourceId,
  unit: string | undefined,
): Promise<boolean> {
  const spec = resources.get(resource)?.spec;
  const ssh = spec && hostTargets.get(spec.target)?.ssh;
  if (spec === undefined || isReplicasSpec(spec) || ssh === undefined) return false;
  const names = membersOn(ssh, spec).map(({ name }) => name);
  if (unit !== undefined && !names.includes(unit))
    throw new Failure(`${resource} has no host ${unit} on target ${spec.target}; it has ${names.join(', ') || 'none'}`);
  const { readSshLogs } = await import('../target/ssh/target.ts');
  const silent: string[] = [];
  for (const name of unit === undefined ? names : [unit]) {
    try {
      printLog({ unit: name, container: spec.target, source: 'stdout', text: await readSshLogs(ssh, resource, name) });
    } catch (error) {
      silent.push(`${name}: ${(error as Error).message}`);
    }
  }
  if (silent.length > 0) throw new Failure(`not every host told its logs: ${silent.join('; ')}`);
  return true;
}

async function declaredNow(options: LogsOptions): Promise<Declared> {
  const repository = await openRepository(options);
  const commit = await resolveCommit(repository, `refs/heads/${repository.branch}`);
  return withCommits(repository.folder, options.path, (commits) => commits.load(commit));
}

/** What containers wrote that are there now, where the resource is on an engine or in a cluster. */
async function fromContainers(
  { resources, targets }: Declared,
  options: LogsOptions,
  resource: ResourceId,
  unit: string | undefined,
): Promise<UnitLog[]> {
  const name = resources.get(resource)?.spec.target ?? '';
  const { docker, kubernetes } = targets.get(name) ?? {};
  if (docker === undefined && kubernetes === undefined) return [];
  const { data } = repositoryFolders((await openRepository(options)).key, options);
  if (kubernetes !== undefined) {
    const { readPodLogs } = await import('../target/kubernetes/logs.ts');
    return readPodLogs(name, withProject(kubernetes, data), resource, unit);
  }
  if (docker === undefined) return [];
  const { readTargetLogs } = await import('../target/docker/target.ts');
  return readTargetLogs(name, withProject(docker, data), resource, unit);
}

/** What upgrades of the nodes of a Kubernetes cluster wrote, as far as their Jobs are kept. */
async function fromNodes(
  { resources, targets }: Declared,
  resource: ResourceId,
  unit: string | undefined,
): Promise<UnitLog[]> {
  const { kind, target } = resources.get(resource)?.spec ?? {};
  const kubernetes = targets.get(target ?? '')?.kubernetes;
  if (kind !== 'Cluster' || kubernetes === undefined) return [];
  const { readNodeLogs } = await import('../target/kubernetes/nodes/inspect.ts');
  return readNodeLogs(kubernetes, unit);
}

/** Every folder that a target of this repository keeps its units in: those declared, and those that are there. */
async function dataFolders({ targets }: Declared, options: LogsOptions): Promise<string[]> {
  const { data } = repositoryFolders((await openRepository(options)).key, options);
  const usual = join(data, 'targets');
  const names = existsSync(usual) ? await readdir(usual) : ['local'];
  const folders = new Set(names.map((name) => join(usual, name)));
  for (const { local } of targets.values()) if (local?.dataDir !== undefined) folders.add(local.dataDir);
  return [...folders];
}
