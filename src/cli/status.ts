import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import logUpdate from 'log-update';
import { stringify } from 'yaml';
import type { ResourceId } from '../manifest/resource.ts';
import type { StatusDocument } from '../status/document.ts';
import { type Measured, measured } from './counts.ts';
import { repositoryFolders } from './folders.ts';
import { newsOf } from './news.ts';
import { dataDirOption, type RepositoryOptions, repositoryOptions, resourceArgument } from './options.ts';
import { colours, note, onTerminal, print } from './print.ts';
import { openAnyBranch, type Repository } from './repository.ts';
import { ageText, freshStatus, readStatus, readStatuses, requireStatus, type StatusBranch } from './status-branch.ts';
import { clock, detail, needsAttention, overview } from './status-view.ts';

interface StatusOptions extends RepositoryOptions {
  watch?: boolean;
  dataDir?: string;
  output: 'text' | 'json' | 'yaml';
}

export function registerStatus(program: Command): void {
  repositoryOptions(program.command('status'))
    .argument('[resource]', 'Kind/name; without it, all', resourceArgument)
    .description('say what runs and what moves, as the branch sluice/status has it')
    .option('--watch', 'go on, and show what changes')
    .addOption(dataDirOption())
    .addOption(new Option('--output <format>', 'how').choices(['text', 'json', 'yaml']).default('text'))
    .addHelpText(
      'after',
      `
Where the router of --data-dir runs on this machine, what it has counted since it was started stands beside (requests,
errors, latency); in JSON and YAML under the key "router", which is no part of the status branch.
Exit status: 1 when a resource is Paused, Degraded or Invalid, or a newer commit is held.

Examples:
  sluice status
  sluice status Service/shop
  sluice status --watch
  sluice status --output json | jq '.[].health'`,
    )
    .action(async (resource: ResourceId | undefined, options: StatusOptions) => {
      const repository = await openAnyBranch(options);
      const { data } = repositoryFolders(repository.key, options);
      if (options.watch) return watch(repository, resource, data, options);
      const branch = await requireStatus(repository);
      const documents = await measured(await read(repository, branch, resource), data);
      print(rendered(documents, resource, options.output, branch, Date.now()));
      for (const { name, text } of await newsOf(repository, branch, Date.now()))
        note(`${colours.yellow(name)}  ${text}`);
      if (documents.some(needsAttention) || branch.held !== undefined) process.exitCode = 1;
    });
}

const read = async (repository: Repository, branch: StatusBranch, resource?: ResourceId) =>
  resource === undefined ? readStatuses(repository, branch) : [await readStatus(repository, branch, resource)];

function rendered(
  documents: Measured[],
  resource: ResourceId | undefined,
  output: StatusOptions['output'],
  { tip, at }: StatusBranch,
  now: number,
): string {
  const value = resource === undefined ? documents : documents[0];
  if (output === 'json') return JSON.stringify(value, null, 2);
  if (output === 'yaml') return stringify(value);
  const columns = onTerminal() ? process.stdout.columns : undefined;
  const text =
    resource === undefined ? overview(documents, now, columns) : documents.map((each) => detail(each, now)).join('');
  return `${text}\n\n${colours.dim(`sluice/status ${tip.slice(0, 10)}, written ${ageText(at, now)}`)}`;
}

/** A remote is asked less often than a file is read. */
const LOOK_EVERY_MS = 500;
const ASK_EVERY_MS = 5000;

/** Until interrupted. On a terminal the view is redrawn; elsewhere each change is a line, or a document. */
async function watch(
  repository: Repository,
  resource: ResourceId | undefined,
  data: string,
  { output }: StatusOptions,
): Promise<void> {
  const redraw = onTerminal() && output === 'text';
  let seen: StatusBranch | undefined;
  let documents: StatusDocument[] = [];
  for (;;) {
    const branch = await freshStatus(repository);
    if (branch === undefined && seen === undefined && !redraw) note('waiting for the branch sluice/status');
    if (branch !== undefined && branch.tip !== seen?.tip) {
      const before = documents;
      documents = await read(repository, branch, resource);
      if (!redraw) reportChanges(before, await measured(documents, data), output);
    }
    seen = branch ?? seen;
    if (redraw && seen === undefined) logUpdate('waiting for sluice/status …');
    else if (redraw && seen !== undefined)
      logUpdate(rendered(await measured(documents, data), resource, output, seen, Date.now()));
    await sleep(repository.statusRemote ? ASK_EVERY_MS : LOOK_EVERY_MS);
  }
}

function reportChanges(before: StatusDocument[], after: Measured[], output: StatusOptions['output']): void {
  const known = new Map(before.map((document) => [document.resource, line(document)]));
  for (const document of after) {
    const now = line(document);
    if (known.get(document.resource) === now) continue;
    if (output === 'json') print(JSON.stringify(document));
    else if (output === 'yaml') print(`---\n${stringify(document)}`);
    else print(`${clock(new Date().toISOString())} ${now}`);
  }
}

function line({ resource, health, message, rollout }: StatusDocument): string {
  const stage = rollout?.stages.find(({ phase }) => phase !== 'Done');
  const progress = rollout?.finishedAt || !stage ? '' : `, ${stage.name} ${stage.done ?? '?'}/${stage.total}`;
  const journey = rollout ? ` rollout ${rollout.id} ${rollout.phase}${progress}` : '';
  return `${resource} ${health}${journey}${message && `: ${message}`}`;
}
