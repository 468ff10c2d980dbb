import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Declared, Resource, ResourceId } from '../manifest/resource.ts';
import { secretsFrom } from '../operator/secrets.ts';
import { nothingSettled } from '../plan/plan.ts';
import { builtinPrechecks } from '../rollout/prechecks.ts';
import type { PrecheckResult } from '../rollout/state.ts';
import { fromDocument } from '../status/document.ts';
import { findGroups } from '../target/local/cgroup.ts';
import { openImages } from '../target/local/image.ts';
import { precheckLocal } from '../target/local/precheck.ts';
import { routerDirectory } from '../target/local/router/launch.ts';
import { dial } from '../target/local/router/wire.ts';
import { findUser } from '../target/local/user.ts';
import { withCommits } from './declared.ts';
import { Failure, usage } from './failure.ts';
import { repositoryFolders } from './folders.ts';
import { dataDirOption, pathOption, type RepositoryOptions, repositoryOptions, resourceArgument } from './options.ts';
import { colours, print } from './print.ts';
import { openRepository, resolveCommit } from './repository.ts';
import { knownStatus, readStatuses } from './status-branch.ts';
import { table } from './status-view.ts';

interface CheckOptions extends RepositoryOptions {
  path: string;
  dataDir?: string;
  secretsDir?: string;
  runAs?: string;
}

export function registerCheck(program: Command): void {
  repositoryOptions(program.command('check'))
    .argument('<resource>', 'Kind/name', resourceArgument)
    .description('ask what must hold before a rollout of what is declared; change nothing')
    .addOption(pathOption())
    .addOption(dataDirOption())
    .option('--secrets-dir <folder>', 'secrets, as files <name>/<key>')
    .option('--run-as <user>', 'the user that the operator runs units as')
    .addHelpText(
      'after',
      `
Run it on the machine of the operator, as its user and with its options. Exit status: 1 when a check fails.

Example:
  sluice check Service/shop`,
    )
    .action(async (id: ResourceId, options: CheckOptions) => {
      const repository = await openRepository(options);
      const { data } = repositoryFolders(repository.key, options);
      const commit = await resolveCommit(repository, `refs/heads/${repository.branch}`);
      const declared = await withCommits(repository.folder, options.path, (commits) => commits.load(commit));
      const resource = declared.resources.get(id);
      if (resource === undefined) throw notDeclared(id, declared);
      const status = await knownStatus(repository);
      const document = (status ? await readStatuses(repository, status) : []).find((each) => each.resource === id);
      const state = document && fromDocument(document);
      const results = [
        ...builtinPrechecks(resource, state?.settled ?? nothingSettled, 1 + (state?.rollout?.id ?? 0)),
        ...(await precheckTarget(resource, declared, data, options)),
      ];
      print(table([], results.map(row)));
      if (results.some(({ result }) => result === 'fail')) process.exitCode = 1;
    });
}

function notDeclared(id: ResourceId, declared: Declared): Failure {
  if (declared.invalid.has(id)) return new Failure(`the declared manifest of ${id} is invalid: sluice validate`);
  return usage(`${id} is not declared; declared: ${[...declared.resources.keys()].join(', ') || 'nothing'}`);
}

/** What the driver itself asks before a rollout, of a target that another process holds: nothing is opened for acting. */
async function precheckTarget(
  { spec, runnable }: Resource,
  { targets }: Declared,
  data: string,
  { secretsDir, runAs }: CheckOptions,
): Promise<PrecheckResult[]> {
  const target = targets.get(spec.target);
  if (target === undefined) throw new Failure(`target ${spec.target} is not declared`);
  const { images, dataDir = join(data, 'targets', target.name) } = target.local;
  if (!existsSync(dataDir)) throw new Failure(`target ${target.name} is not on this machine: there is no ${dataDir}`);
  const router = await dial(routerDirectory(data));
  if (router === undefined) throw new Failure(`no router runs for ${data}; the operator starts it: sluice run`);
  const writesNothing = () => Promise.reject(new Error('a check writes no image'));
  try {
    return await precheckLocal({
      host: {
        dataDir,
        user: runAs === undefined ? undefined : await findUser(runAs),
        groups: findGroups(),
        images: openImages(dataDir, { materialize: writesNothing }, images.startsWith('/') ? images : undefined),
        secrets: secretsFrom(secretsDir),
      },
      router: { answers: async () => void (await router.call('health', null)), address: () => router.health },
      spec,
      runnable,
    });
  } finally {
    router.close();
  }
}

const PAINT: Record<PrecheckResult['result'], (text: string) => string> = {
  pass: colours.green,
  warn: colours.yellow,
  fail: colours.red,
};

const row = ({ name, result, message, remedy }: PrecheckResult): string[] => [
  PAINT[result](result),
  name,
  result === 'pass' || remedy === '' ? message : `${message}; ${remedy}`,
];
