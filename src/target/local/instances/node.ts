/** What a cluster's node has besides: it is drained, let in again, and asked which version it runs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { seconds } from '../../../manifest/duration.ts';
import type { ClusterSpec } from '../../../manifest/resource.ts';
import type { LiveAttempt } from '../../../plan/live.ts';
import { environment, run } from '../../../process.ts';
import type { Unit } from '../unit.ts';
import { identityOf } from '../user.ts';
import { homeFolder } from './folders.ts';
import { type Instance, insist, type Keeper, type Sight, unitOf } from './instance.ts';
import { runOnce, scriptVariables } from './scripts.ts';

function upgradeOf(keeper: Sight, { record }: Instance): ClusterSpec['upgrade'] | undefined {
  const spec = keeper.specOf(record.resource);
  return spec?.kind === 'Cluster' ? spec.upgrade : undefined;
}

const DRAIN_SECONDS = 600;

/**
 * The manifest's command, or the image's own; once for each taking out. Goes on where an earlier operator left it, as soon as
 * the manifest is known.
 */
export function drain(keeper: Keeper, instance: Instance): void {
  if (upgradeOf(keeper, instance) === undefined) return;
  if (instance.draining !== undefined || instance.record.drain?.state !== 'running') return;
  instance.draining = insist(keeper, instance, 'a drain', async () => {
    const { state, message } = await drained(keeper, instance);
    keeper.remember(instance, (next) => {
      if (next.drain !== undefined) next.drain = { ...next.drain, state, message };
    });
    keeper.changed(instance);
  }).finally(() => {
    delete instance.draining;
  });
}

async function drained(keeper: Keeper, instance: Instance): Promise<Pick<LiveAttempt, 'state' | 'message'>> {
  const { drain: declared } = upgradeOf(keeper, instance) ?? {};
  const running = runningUnit(keeper, instance);
  const own = running?.containers[0];
  const timeoutSeconds = declared === undefined ? DRAIN_SECONDS : seconds(declared.timeout);
  if (declared?.command !== undefined) {
    return runCommand(keeper, instance, 'drain', { command: declared.command, timeoutSeconds });
  }
  if (own?.image.drain === undefined) return { state: 'succeeded', message: '' };
  return runCommand(keeper, instance, 'drain', { command: own.image.drain, timeoutSeconds, cwd: own.beside.cwd });
}

/** `cwd` absent: the instance's folder. */
interface NodeCommand {
  command: string[];
  timeoutSeconds: number;
  cwd?: string;
}

function runCommand(
  keeper: Keeper,
  instance: Instance,
  kind: 'drain' | 'undrain',
  { command, timeoutSeconds, cwd }: NodeCommand,
) {
  const attempt = instance.record.drain?.id ?? '';
  const env = variablesOf(keeper, instance, attempt);
  return runOnce(keeper, instance, { kind, attempt, timeoutSeconds, task: { command } }, env, cwd);
}

/** What its process knows, but for what would make the command one of the unit's own processes. */
function variablesOf(keeper: Sight, instance: Instance, attempt: string): Record<string, string> {
  const known = runningUnit(keeper, instance)?.containers[0]?.beside.env ?? environment();
  const { SLUICE_FOLDER: _, SLUICE_ATTEMPT: __, ...env } = known;
  return { ...env, ...scriptVariables(keeper, instance, attempt) };
}

function runningUnit(keeper: Sight, instance: Instance): Unit | undefined {
  const unit = unitOf(keeper, instance);
  return unit === undefined || unit.record.phase === 'dead' ? undefined : unit;
}

/** What takes the drain back, once. False: it failed, and the node stays as it is. */
export async function letInAgain(keeper: Keeper, instance: Instance): Promise<boolean> {
  const { record } = instance;
  const { drain: declared } = upgradeOf(keeper, instance) ?? {};
  if (declared?.undo === undefined || record.drain === undefined) return true;
  const undo = { command: declared.undo, timeoutSeconds: seconds(declared.timeout) };
  const { state, message } = await runCommand(keeper, instance, 'undrain', undo);
  if (state === 'succeeded') return true;
  keeper.remember(instance, (next) => {
    next.message = `stays cordoned, since what takes the drain back failed: ${message}`;
  });
  return false;
}

const ASK_MS = 10_000;
const SOON_MS = 500;
const LATER_MS = 15_000;
const AT_ONCE = 8;

/** Asks every node for its version as long as this operator watches: soon while another is expected, seldom after. */
export async function watchVersions(keeper: Keeper, instances: () => Instance[]): Promise<void> {
  const { closing } = keeper.units.host;
  const dueAt = new WeakMap<Instance, number>();
  while (!closing.aborted) {
    const now = performance.now();
    const due = instances().filter((instance) => asks(keeper, instance) && (dueAt.get(instance) ?? 0) <= now);
    await Promise.all(
      due.slice(0, AT_ONCE).map(async (instance) => {
        await ask(keeper, instance).catch(() => {});
        const expected = instance.reported?.version === instance.record.version;
        dueAt.set(instance, performance.now() + (expected && isFresh(keeper, instance) ? LATER_MS : SOON_MS));
      }),
    );
    await sleep(SOON_MS, undefined, { signal: closing }).catch(() => {});
    for (const instance of instances()) if (!isFresh(keeper, instance)) dueAt.delete(instance);
  }
}

const asks = (keeper: Keeper, instance: Instance): boolean =>
  upgradeOf(keeper, instance)?.versionCommand !== undefined && runningUnit(keeper, instance) !== undefined;

const isFresh = (keeper: Keeper, instance: Instance): boolean =>
  instance.reported?.attempt === unitOf(keeper, instance)?.record.attempt;

async function ask(keeper: Keeper, instance: Instance): Promise<void> {
  const before = instance.reported;
  await askVersion(keeper, instance);
  const now = instance.reported;
  if (before?.attempt !== now?.attempt || before?.version !== now?.version) keeper.changed(instance);
}

/** Has it say which version it runs, where there is a command for that; `reported` tells. */
export async function askVersion(keeper: Sight, instance: Instance): Promise<void> {
  const { host } = keeper.units;
  const { record } = instance;
  const unit = runningUnit(keeper, instance);
  const command = upgradeOf(keeper, instance)?.versionCommand;
  if (unit === undefined || command === undefined) return;
  const { attempt } = unit.record;
  const env = variablesOf(keeper, instance, '');
  const cwd = homeFolder(keeper.root, record.resource, record.unit);
  const result = await run(command, {
    ...{ env, cwd, timeoutMs: ASK_MS, maxOutput: 64 * 1024, signal: host.closing },
    ...identityOf(host.user),
  });
  const said = result.stdout.toString().trim().split('\n')[0]?.trim() ?? '';
  const why = result.failure ?? `ended with ${result.code}`;
  instance.reported =
    result.code === 0 && said !== ''
      ? { attempt, version: said }
      : { attempt, message: `does not tell its version: ${command[0]} ${result.code === 0 ? 'printed nothing' : why}` };
}
