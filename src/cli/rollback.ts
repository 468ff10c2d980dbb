import type { Command } from 'commander';
import { formatDiagnostic } from '../manifest/diagnostic.ts';
import type { Declared, Oid, Resource, ResourceId } from '../manifest/resource.ts';
import type { HistoryDocument, StatusDocument } from '../status/document.ts';
import { configTip, type PathChange, publishCommit, writeCommit } from './commit.ts';
import { withCommits } from './declared.ts';
import { Failure } from './failure.ts';
import { askGit, git } from './git.ts';
import { pathOption, type RepositoryOptions, repositoryOptions, resourceArgument } from './options.ts';
import { note, print } from './print.ts';
import { type ConfigRepository, openRepository } from './repository.ts';
import { readStatus, requireStatus } from './status-branch.ts';

interface RollbackOptions extends RepositoryOptions {
  path: string;
  reason?: string;
}

export function registerRollback(program: Command): void {
  repositoryOptions(program.command('rollback'))
    .argument('<resource>', 'Kind/name', resourceArgument)
    .description('commit what the resource was made from at the rollout before: its manifest, ConfigMaps and images')
    .addOption(pathOption())
    .option('--reason <text>', 'why, for whoever reads the history')
    .addHelpText(
      'after',
      `
Only this resource's paths are committed, whatever else was committed since; and the commit is pushed where the config
branch has a remote. To take back one whole commit instead: git revert.

Example:
  sluice rollback Service/shop --reason 'orders fail'`,
    )
    .action(rollback);
}

async function rollback(resource: ResourceId, options: RollbackOptions): Promise<void> {
  const repository = await openRepository(options);
  const document = await readStatus(repository, await requireStatus(repository), resource);
  const tip = await configTip(repository);
  await withCommits(repository.folder, options.path, async (commits) => {
    const now = await commits.load(tip);
    const declared = now.resources.get(resource);
    const earlier = rolloutBefore(document, declared?.revision);
    const was = await commits.resourceAt(earlier.commit, resource);
    if (was === undefined) {
      throw new Failure(`commit ${earlier.commit} of rollout ${earlier.id} does not declare ${resource}`);
    }
    const paths = new Set([...was.inputs.map(({ path }) => path), ...(declared ? [declared.place.file] : [])]);
    const changes = await restoring(repository.folder, tip, earlier.commit, [...paths]);
    if (changes.length === 0) throw new Failure(`${resource} is declared as at rollout ${earlier.id} already`);
    await refuseUncommitted(repository, changes);
    const subject = `${resource}: back to rollout ${earlier.id}`;
    const reason = options.reason === undefined ? '' : `${options.reason}\n\n`;
    const message = `${subject}\n\n${reason}Restores what commit ${earlier.commit} declared.\n`;
    const commit = await writeCommit(repository, tip, changes, message);
    const others = affectedBesides(was, now, await commits.load(commit));
    const { where, pullNeeded } = await publishCommit(repository, tip, commit, changes);
    print([`${commit.slice(0, 10)} ${subject}, on ${where}`, ...changes.map(({ path }) => `  ${path}`)].join('\n'));
    if (others.length > 0) note(`these files are also part of ${others.join(', ')}, which went back in part`);
    if (pullNeeded) note(`your branch ${repository.branch} does not have it yet: git pull`);
    note(`what comes of it: sluice status ${resource}`);
  });
}

/** Resources besides `was` that the commit changes. Throws where it would not do what was asked for, or do harm. */
function affectedBesides(was: Resource, before: Declared, after: Declared): ResourceId[] {
  const instead = 'nothing was changed; edit the manifest, or use git revert';
  if (after.resources.get(was.id)?.revision !== was.revision) {
    const errors = after.diagnostics.filter(({ resource }) => resource === was.id).map(formatDiagnostic);
    throw new Failure(
      `${was.id} cannot be restored by its files alone${errors.map((line) => `\n${line}`).join('')}\n${instead}`,
    );
  }
  const others = [...before.resources.values()].filter(({ id }) => id !== was.id);
  const lost = others.filter(({ id }) => !after.resources.has(id)).map(({ id }) => id);
  if (lost.length > 0) throw new Failure(`${lost.join(', ')} would be deleted or invalid with it; ${instead}`);
  return others.filter(({ id, digest }) => after.resources.get(id)?.digest !== digest).map(({ id }) => id);
}

/** The newest rollout that succeeded and left something else than what is declared now. */
function rolloutBefore({ resource, rollout, history }: StatusDocument, revision: string | undefined): HistoryDocument {
  const [earlier] = history
    .filter(
      ({ phase, revision: left, id }) => phase === 'Succeeded' && left !== revision && id < (rollout?.id ?? Infinity),
    )
    .sort((a, b) => b.id - a.id);
  if (earlier === undefined)
    throw new Failure(`${resource} has no earlier rollout that succeeded; nothing to go back to`);
  return earlier;
}

/** What differs below `paths`, as the changes that make `to` of `from`. */
async function restoring(folder: string, from: Oid, to: Oid, paths: string[]): Promise<PathChange[]> {
  const diff = await git(folder, [
    '--literal-pathspecs',
    'diff-tree',
    '-r',
    '-z',
    '--no-renames',
    from,
    to,
    '--',
    ...paths,
  ]);
  const changes: PathChange[] = [];
  const fields = diff.split('\0');
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [, mode = '', , oid = '', status] = (fields[index] ?? '').slice(1).split(' ');
    const path = fields[index + 1] ?? '';
    changes.push(status === 'D' ? { path } : { path, blob: { mode, oid } });
  }
  return changes;
}

/** Restoring would overwrite what nobody can bring back. */
async function refuseUncommitted({ folder, workingTree }: ConfigRepository, changes: PathChange[]): Promise<void> {
  if (!workingTree) return;
  const paths = changes.map(({ path }) => path);
  const args = ['--literal-pathspecs', 'status', '--porcelain', '-z', '--untracked-files=all', '--', ...paths];
  const dirty = ((await askGit(folder, args)) ?? '').split('\0').filter((line) => line !== '');
  if (dirty.length === 0) return;
  const names = dirty.map((line) => line.slice(3)).join(', ');
  throw new Failure(`changed here and not committed: ${names}; commit or stash that first`);
}
