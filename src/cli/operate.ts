/** `pause`, `continue`, `retry`, `skip`, `cancel`: each makes and commits one manifest of kind Operation. */
import { randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { parseFile } from '../manifest/parse.ts';
import type { OperationAction, ResourceId } from '../manifest/resource.ts';
import { namesText } from '../status/fold.ts';
import type { RolloutDocument } from '../status/rollout.ts';
import { unitsFromDocument } from '../status/units.ts';
import { configTip, publishCommit, writeBlob, writeCommit } from './commit.ts';
import { Failure, usage } from './failure.ts';
import { pathOption, type RepositoryOptions, repositoryOptions, resourceArgument } from './options.ts';
import { note, print } from './print.ts';
import { openRepository } from './repository.ts';
import { readStatus, requireStatus } from './status-branch.ts';

interface Verb {
  action: OperationAction;
  /** Whether it can be about one unit. */
  unit: boolean;
  description: string;
  example: string;
}

const VERBS: Verb[] = [
  {
    action: 'pause',
    unit: false,
    description: 'hold the rollout: units under way finish, no others start',
    example: "sluice pause Service/shop --reason 'the error rate rises'",
  },
  {
    action: 'continue',
    unit: false,
    description: 'let a paused rollout go on',
    example: 'sluice continue Service/shop',
  },
  {
    action: 'retry',
    unit: true,
    description:
      'run what failed again, of a fleet or a cluster one unit; on a rollout that has ended, start the next one to what is declared',
    example: "sluice retry Workload/tomcat --reason 'the disk was full'\n  sluice retry Fleet/web web-3",
  },
  {
    action: 'skip',
    unit: true,
    description:
      'go on without a unit that failed, as if it had succeeded; replicas of workloads and services are replaced, never skipped',
    example: "sluice skip Fleet/web web-3 --reason 'was mended by hand'",
  },
  {
    action: 'cancel',
    unit: true,
    description:
      'end the rollout where it is: units under way finish, those that are done stay; with a unit of a fleet or a cluster, go on without it, as failed',
    example: 'sluice cancel Service/shop\n  sluice cancel Fleet/web web-3',
  },
];

interface OperateOptions extends RepositoryOptions {
  path: string;
  reason?: string;
}

export function registerOperations(program: Command): void {
  for (const verb of VERBS) {
    const command = repositoryOptions(program.command(verb.action))
      .argument('<resource>', 'Kind/name', resourceArgument)
      .description(verb.description)
      .addOption(pathOption())
      .option('--reason <text>', 'why, for whoever reads the history')
      .addHelpText(
        'after',
        `
Commits one file, operations/<name>.yaml, to the config branch, and pushes it where that branch has a remote.
What else is changed or staged stays as it is.

Example:
  ${verb.example}`,
      );
    if (verb.unit)
      command.argument('[unit]', 'one unit of it, as sluice status names it; without it, the whole rollout');
    command.action((resource: ResourceId, ...rest: unknown[]) => {
      const unit = verb.unit ? (rest[0] as string | undefined) : undefined;
      return operate(verb.action, resource, unit, command.opts<OperateOptions>());
    });
  }
}

async function operate(
  action: OperationAction,
  resource: ResourceId,
  unit: string | undefined,
  options: OperateOptions,
): Promise<void> {
  const ofUnits = resource.startsWith('Fleet/') || resource.startsWith('Cluster/');
  if (unit !== undefined && action !== 'skip' && !ofUnits) {
    throw usage(`the replicas of ${resource} are interchangeable: leave ${unit} out to ${action} the whole rollout`);
  }
  const repository = await openRepository(options);
  const { rollout } = await readStatus(repository, await requireStatus(repository), resource);
  if (!rollout) throw new Failure(`${resource} has had no rollout yet, so there is nothing to ${action}`);
  if (ofUnits) refuseUnit(resource, rollout, action, unit);
  if (rollout.finishedAt && action !== 'retry') {
    note(`rollout ${rollout.id} of ${resource} has ended (${rollout.phase}); the operator may refuse to ${action} it`);
  }
  const name = operationName(resource, rollout.id, action, unit);
  const manifest = {
    apiVersion: 'sluice/v1',
    kind: 'Operation',
    metadata: { name },
    spec: {
      resource,
      rollout: rollout.id,
      action,
      ...(unit !== undefined && { unit }),
      ...(options.reason !== undefined && { reason: options.reason }),
    },
  };
  const text = stringify(manifest);
  refuseInvalid(text);
  const path = posix.join(options.path, 'operations', `${name}.yaml`);
  const tip = await configTip(repository);
  const changes = [{ path, blob: { mode: '100644', oid: await writeBlob(repository, text) } }];
  const subject = `${resource}: ${action} rollout ${rollout.id}`;
  const reason = options.reason === undefined ? '' : `\n\n${options.reason}`;
  const commit = await writeCommit(repository, tip, changes, `${subject}${reason}\n`);
  const { where, pullNeeded } = await publishCommit(repository, tip, commit, changes);
  print(`${commit.slice(0, 10)} ${subject}: ${path}, on ${where}`);
  if (pullNeeded) note(`your branch ${repository.branch} does not have it yet: git pull`);
  note(`what comes of it: sluice status ${resource}`);
}

/** A unit that there is, where one is needed; as the operator would refuse it, only sooner. */
function refuseUnit(
  resource: ResourceId,
  rollout: RolloutDocument,
  action: OperationAction,
  unit: string | undefined,
): void {
  const units = rollout.units && unitsFromDocument(rollout.units);
  const names = units?.ids ?? [];
  if (unit !== undefined && !names.includes(unit)) {
    const known = names.length === 0 ? 'none yet' : namesText(names);
    throw usage(`rollout ${rollout.id} of ${resource} has no unit ${unit}; it has ${known}`);
  }
  const needsUnit = action === 'skip' || (action === 'retry' && rollout.finishedAt === undefined);
  if (unit !== undefined || !needsUnit) return;
  const failed = names.filter((_, index) => ['Failed', 'Unknown'].includes(units?.records[index]?.state ?? ''));
  const which = failed.length === 0 ? 'none of its units has failed' : `failed: ${namesText(failed)}`;
  throw usage(`name the unit to ${action}: sluice ${action} ${resource} ${failed[0] ?? '<unit>'}; ${which}`);
}

/** Better told now than by the operator later. */
function refuseInvalid(manifest: string): void {
  const [wrong] = parseFile(manifest).diagnostics;
  if (wrong) throw usage(wrong.message);
}

/** `web-7-retry-web-3-k2f9`: readable, unique, and no longer than a name may be. */
function operationName(resource: ResourceId, rollout: number, action: string, unit?: string): string {
  const random = (randomBytes(4).readUInt32BE() % 36 ** 4).toString(36).padStart(4, '0');
  const tail = [rollout, action, ...(unit === undefined ? [] : [unit])]
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-');
  const name = resource.slice(resource.indexOf('/') + 1);
  const room = 63 - random.length - 1;
  const head = `${name.slice(0, Math.max(8, room - tail.length - 1))}-${tail}`.slice(0, room).replace(/-+$/, '');
  return `${head}-${random}`;
}
