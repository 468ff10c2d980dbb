/** What a cluster's node has besides: it is drained, let in again, and asked which version it runs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { seconds } from '../../manifest/duration.ts';
import type { ClusterSpec } from '../../manifest/resource.ts';
import type { LiveAttempt } from '../../plan/live.ts';
import type { Unit } from '../replicas/unit.ts';
import { type Instance, insist, type Keeper, type Seen, type Sight, unitOf } from './instance.ts';
import { runOnce, scriptVariables } from './scripts.ts';

function upgradeOf(keeper: Sight, { record }: Seen): ClusterSpec['upgrade'] | undefined {
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
    // What takes an earlier drain back would take this one back, too.
    await instance.returning;
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
  const own = keeper.ground.ownDrain(runningUnit(keeper, instance));
  const timeoutSeconds = declared === undefined ? DRAIN_SECONDS : seconds(declared.timeout);
  if (declared?.command !== undefined) {
    return runCommand(keeper, instance, 'drain', { command: declared.command, timeoutSeconds });
  }
  if (own === undefined) return { state: 'succeeded', message: '' };
  return runCommand(keeper, instance, 'drain', { ...own, timeoutSeconds });
}

/** `cwd` absent: the instance's folder. */
interface NodeCommand {
  command: string[];
  timeoutSeconds: number;
  cwd?: string;
}

async function runCommand(
  keeper: Keeper,
  instance: Instance,
  kind: 'drain' | 'undrain',
  { command, timeoutSeconds, cwd }: NodeCommand,
) {
  const attempt = instance.record.drain?.id ?? '';
  const env = await variablesOf(keeper, instance, attempt);
  return runOnce(keeper, instance, { kind, attempt, timeoutSeconds, task: { command } }, env, cwd);
}

/** What its process knows, and what a script is told. */
async function variablesOf(sight: Sight, instance: Seen, attempt: string): Promise<Record<string, string>> {
  const known = await sight.ground.processEnvironment(runningUnit(sight, instance));
  return { ...known, ...scriptVariables(sight, instance, attempt) };
}

function runningUnit(keeper: Sight, instance: Seen): Unit | undefined {
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
export async function askVersion(keeper: Sight, instance: Seen): Promise<void> {
  const { host } = keeper.units;
  const { record } = instance;
  const unit = runningUnit(keeper, instance);
  const command = upgradeOf(keeper, instance)?.versionCommand;
  if (unit === undefined || command === undefined) return;
  const { attempt } = unit.record;
  const env = await variablesOf(keeper, instance, '');
  const result = await keeper.ground.run(record, command, { env, timeoutMs: ASK_MS, signal: host.closing });
  const said = result.stdout.trim().split('\n')[0]?.trim() ?? '';
  const why = result.failure ?? `ended with ${result.code}`;
  instance.reported =
    result.code === 0 && said !== ''
      ? { attempt, version: said }
      : { attempt, message: `does not tell its version: ${command[0]} ${result.code === 0 ? 'printed nothing' : why}` };
}
