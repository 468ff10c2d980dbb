import type { Command } from 'commander';
import type { ResourceId } from '../manifest/resource.ts';
import type { StatusDocument } from '../status/document.ts';
import { durationText } from '../status/words.ts';
import { type RepositoryOptions, repositoryOptions, resourceArgument } from './options.ts';
import { colours, print } from './print.ts';
import { openAnyBranch } from './repository.ts';
import { readStatus, requireStatus } from './status-branch.ts';
import { clock, table } from './status-view.ts';

export function registerHistory(program: Command): void {
  repositoryOptions(program.command('history'))
    .argument('<resource>', 'Kind/name', resourceArgument)
    .description('list the rollouts of one resource, the newest first')
    .addHelpText(
      'after',
      `
How many are kept is the manifest's revisionHistoryLimit; all of them are in git log sluice/status.

Example:
  sluice history Workload/tomcat`,
    )
    .action(async (resource: ResourceId, options: RepositoryOptions) => {
      const repository = await openAnyBranch(options);
      const document = await readStatus(repository, await requireStatus(repository), resource);
      print(historyTable(document));
    });
}

function historyTable({ rollout, history }: StatusDocument): string {
  const active = rollout && !rollout.finishedAt ? [{ ...rollout, revision: rollout.to }] : [];
  const rows = [...active, ...history.toSorted((a, b) => b.id - a.id)].map(
    ({ id, cause, phase, commit, revision, startedAt, finishedAt, message }) => [
      String(id),
      cause,
      phase,
      commit.slice(0, 10),
      revision,
      clock(startedAt),
      finishedAt ? durationText(Date.parse(finishedAt) - Date.parse(startedAt)) : '',
      message,
    ],
  );
  return table(['ID', 'CAUSE', 'PHASE', 'COMMIT', 'REVISION', 'STARTED', 'TOOK', 'MESSAGE'].map(colours.bold), rows);
}
