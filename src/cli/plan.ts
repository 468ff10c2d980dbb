import { type Command, Option } from 'commander';
import { formatDiagnostic } from '../manifest/diagnostic.ts';
import type { Declared, Diagnostic, Oid, Resource, ResourceId } from '../manifest/resource.ts';
import { assumeSettled, type Change, changeOf, type Known } from '../plan/change.ts';
import { describeMarkdown, describeText } from '../plan/describe.ts';
import { settledRevision } from '../plan/plan.ts';
import { fromDocument, type StatusDocument } from '../status/document.ts';
import { withCommits } from './declared.ts';
import { usage } from './failure.ts';
import { pathOption, type RepositoryOptions, repositoryOptions } from './options.ts';
import { versionNotes, withInstances } from './plan-instances.ts';
import { note, print } from './print.ts';
import { findCommit, openAnyBranch, type Repository, resolveCommit } from './repository.ts';
import { ageText, knownStatus, readStatuses, type StatusBranch } from './status-branch.ts';
import { unhonouredNotes } from './unhonoured.ts';

type Format = 'text' | 'json' | 'markdown';

interface PlanOptions extends RepositoryOptions {
  path: string;
  from?: string;
  to?: string;
  format: Format;
}

export function registerPlan(program: Command): void {
  repositoryOptions(program.command('plan'))
    .description('say what a commit would do, stage by stage; change nothing')
    .option('--from <commit>', 'a branch, tag or commit: what is declared before (default: what the operator saw last)')
    .option('--to <commit>', 'a branch, tag or commit: what would be declared (default: what is checked out)')
    .addOption(pathOption())
    .addOption(new Option('--format <format>', 'how').choices(['text', 'json', 'markdown']).default('text'))
    .addHelpText(
      'after',
      `
What runs now is taken from the branch sluice/status as it was last fetched, where it shows what --from declares;
else what --from declares is assumed to be settled. Without --from and without that branch, nothing runs yet. Durations are those of the same resource's earlier rollouts.
Exit status: 1 when a manifest of --to is invalid.

Examples:
  sluice plan
  sluice plan --from main --to my-branch
  sluice plan --from main --to my-branch --format markdown`,
    )
    .action(async (options: PlanOptions) => {
      const repository = await openAnyBranch(options);
      const branch = await knownStatus(repository);
      const from = await startOf(repository, options.from, branch);
      const to = await resolveCommit(repository, options.to ?? 'HEAD');
      const [before, after] = await withCommits(repository.folder, options.path, async (commits) => [
        from === undefined ? NOTHING : await commits.load(from),
        await commits.load(to),
      ]);
      const documents = branch ? await readStatuses(repository, branch) : [];
      const { changes, assumed } = changesBetween(before, after, documents);
      render(changes, options.format, basis(branch, from, assumed), after);
    });
}

const NOTHING: Declared = {
  commit: '',
  resources: new Map(),
  operations: new Map(),
  targets: new Map(),
  hostTargets: new Map(),
  targetNames: new Set(),
  diagnostics: [],
  invalid: new Set(),
  unreadable: new Set(),
};

/** Undefined: no operator has ever looked at this repository. */
async function startOf(
  repository: Repository,
  from: string | undefined,
  branch: StatusBranch | undefined,
): Promise<Oid | undefined> {
  if (from !== undefined) return resolveCommit(repository, from);
  if (branch === undefined) return undefined;
  const seen = branch.head === undefined ? undefined : await findCommit(repository, branch.head);
  if (seen !== undefined) return seen;
  throw usage(
    branch.head === undefined
      ? 'the tip of sluice/status does not say what the operator saw last; name what to start from with --from'
      : `the operator saw commit ${branch.head.slice(0, 10)}, which is not here; git fetch, or name what to start from with --from`,
  );
}

/** Also those that `--from` declares, so that what is deleted is seen; in the order of names. */
function changesBetween(
  before: Declared,
  after: Declared,
  documents: StatusDocument[],
): { changes: Change[]; assumed: ResourceId[] } {
  const byId = new Map(documents.map((document) => [document.resource, document]));
  const changes: Change[] = [];
  const assumed: ResourceId[] = [];
  for (const id of [...new Set([...before.resources.keys(), ...after.resources.keys()])].sort()) {
    const was = before.resources.get(id);
    const will = after.resources.get(id);
    if (after.invalid.has(id) || isUnreadable(after, was) || was?.digest === will?.digest) continue;
    const document = byId.get(id);
    const { covers, known } = knownOf(document, was, before.commit);
    const seen = covers ? document?.instances : undefined;
    const change = changeOf(was, will, withInstances(known, was, will, seen, after.hostTargets));
    if (change === undefined) continue;
    const more = will === undefined ? [] : [...unhonouredNotes(will, after), ...versionNotes(change, will, seen)];
    changes.push({ ...change, notes: [...change.notes, ...more] });
    if (!covers) assumed.push(id);
  }
  return { changes, assumed };
}

/** What a file that cannot be read declared before is not deleted by it. */
const isUnreadable = (after: Declared, before: Resource | undefined): boolean =>
  before !== undefined && after.unreadable.has(before.place.file) && !after.resources.has(before.id);

/** `covers`: the status shows what `--from` declares as settled, or as tried in vain, so the plan starts from what is really there. */
function knownOf(
  document: StatusDocument | undefined,
  before: Resource | undefined,
  from: Oid,
): { covers: boolean; known: Known } {
  if (document === undefined) {
    return { covers: before === undefined, known: { settled: assumeSettled(before, from), history: [] } };
  }
  const state = fromDocument(document);
  const { attempted } = state;
  const covers = before === undefined || [settledRevision(state.settled), attempted].includes(before.revision);
  const known = {
    settled: covers ? state.settled : assumeSettled(before, from),
    ...(covers && attempted !== undefined && { attempted }),
    history: state.history.filter(({ phase }) => phase === 'Succeeded'),
    nextId: 1 + Math.max(0, state.rollout?.id ?? 0, ...state.history.map(({ id }) => id)),
  };
  return { covers, known };
}

function basis(branch: StatusBranch | undefined, from: Oid | undefined, assumed: ResourceId[]): string {
  if (from === undefined)
    return 'there is no branch sluice/status here, so nothing runs yet: every rollout is a first one';
  const status = branch
    ? `what runs: sluice/status ${branch.tip.slice(0, 10)}, written ${ageText(branch.at, Date.now())}`
    : 'there is no branch sluice/status here; what --from declares is assumed to be settled';
  if (!branch || assumed.length === 0) return status;
  return `${status}; it shows otherwise than --from declares for ${assumed.join(', ')}, so --from is assumed to be settled there`;
}

function render(changes: Change[], format: Format, basedOn: string, after: Declared): void {
  const errors = after.diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) process.exitCode = 1;
  if (format === 'json') print(JSON.stringify({ changes, errors, basis: basedOn }, null, 2));
  else if (format === 'markdown') print(markdown(changes, errors, basedOn));
  else {
    print(describeText(changes));
    for (const error of errors) note(formatDiagnostic(error));
    note(basedOn);
  }
}

function markdown(changes: Change[], errors: Diagnostic[], basedOn: string): string {
  const invalid = errors.map((error) => `    ${formatDiagnostic(error)}`).join('\n');
  const warning = invalid && `\n**Invalid; what was valid before goes on:**\n\n${invalid}\n`;
  return `${describeMarkdown(changes)}${warning}\n<sub>${basedOn}</sub>`;
}
