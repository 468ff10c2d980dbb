/** What an attempt does to an instance: its image, then its script; or both taken back. Each step can be repeated. */
import { seconds } from '../../manifest/duration.ts';
import type { ClusterRunnable, FleetRunnable, Revision, Script } from '../../manifest/resource.ts';
import type { LiveAttempt } from '../../plan/live.ts';
import type { UnitChange } from '../../plan/plan.ts';
import { Failed, type Instance, insist, type Keeper, restartsOf, unitOf } from './instance.ts';
import type { AttemptRecord, InstanceRecord, PlacedImage, Undo, Work } from './record.ts';
import { type Ended, runOnce } from './scripts.ts';
import { bringUp, start } from './serving.ts';

/** So many revisions an instance can be taken back over. */
const REMEMBERED = 100;

/** Once for each attempt id: one that is there already goes on, or has ended. What undoes it is stored with it. */
export function acceptUpdate(
  keeper: Keeper,
  instance: Instance,
  { attempt, change }: { attempt: string; change: UnitChange },
  runnable: FleetRunnable | ClusterRunnable,
): void {
  const { record } = instance;
  if (record.attempt?.id !== attempt) {
    if (record.attempt?.state === 'running')
      throw new Error(`${record.attempt.id} is still under way on ${record.unit}`);
    keeper.remember(instance, (next) => {
      const work = change.undo.length > 0 ? undoing(next, change.undo) : running(next, change.to, runnable);
      next.attempt = begun(attempt, work);
      delete next.message;
    });
    keeper.changed(instance);
  }
  carryOut(keeper, instance);
}

export const begun = (id: string, work: Work): AttemptRecord => ({
  ...{ id, state: 'running', message: 'runs', work, starts: 0 },
});

/** From now on the revision counts as applied: what fails half way can be taken back. */
export function running(
  record: InstanceRecord,
  to: Revision,
  runnable: FleetRunnable | ClusterRunnable,
): Work & { kind: 'run' } {
  const { image, script } = runnable;
  const version = 'version' in runnable ? runnable.version : undefined;
  const rollbackImage = 'rollbackImage' in runnable ? runnable.rollbackImage : undefined;
  if (record.applied.at(-1) !== to) {
    const before = rollbackImage ?? record.image;
    record.undo[to] = {
      ...imageField(before),
      ...(script !== undefined && { rollback: script.rollback !== undefined }),
    };
    record.applied.push(to);
    for (const old of record.applied.splice(0, record.applied.length - REMEMBERED)) delete record.undo[old];
  }
  // An image that is not declared any more goes on running: nothing says what should take its place.
  if (image !== undefined) record.image = image;
  if (version !== undefined) record.version = version;
  return { kind: 'run', revision: to, ...(image && { image }), ...(script && { script }), ...(version && { version }) };
}

/** Only what is on top, in this order; what an earlier try took back already is passed over. */
function undoing(record: InstanceRecord, undo: Revision[]): Work {
  const left = [...record.applied];
  const revisions = undo.filter((revision) => {
    if (left.at(-1) !== revision) return false;
    left.pop();
    return true;
  });
  const deepest: Undo = record.undo[revisions.at(-1) ?? ''] ?? imageField(record.image);
  if (deepest.image === undefined) delete record.image;
  else record.image = deepest.image;
  return { kind: 'undo', revisions, ...imageField(deepest.image) };
}

const imageField = (image: PlacedImage | undefined) => (image === undefined ? {} : { image });

/** Goes on with the attempt, if it has not ended. */
export function carryOut(keeper: Keeper, instance: Instance): void {
  if (instance.working !== undefined || instance.record.attempt?.state !== 'running') return;
  instance.working = insist(keeper, instance, 'an attempt', async () => {
    const outcome = await carried(keeper, instance);
    end(keeper, instance, outcome);
  }).finally(() => {
    delete instance.working;
  });
}

type Outcome = Pick<LiveAttempt, 'state' | 'message'>;

async function carried(keeper: Keeper, instance: Instance): Promise<Outcome> {
  const { work } = attemptOf(instance);
  try {
    await keeper.ground.prepare(instance.record);
    return work.kind === 'run' ? await run(keeper, instance, work) : await takeBack(keeper, instance, work);
  } catch (error) {
    if (error instanceof Failed) return { state: 'failed', message: error.message };
    throw error;
  }
}

function end(keeper: Keeper, instance: Instance, { state, message }: Outcome): void {
  keeper.remember(instance, (next) => {
    const { attempt, creating } = next;
    if (attempt === undefined) return;
    next.attempt = { ...attempt, state, message, endedAt: Date.now() };
    if (creating !== attempt.id) return;
    if (state === 'succeeded') delete next.creating;
    next.failures = state === 'failed' ? next.failures + 1 : 0;
  });
  keeper.changed(instance);
}

/** A start is remembered before it is made, so that a second one has another name. */
function nextStart(keeper: Keeper, instance: Instance): () => string {
  return () => {
    keeper.remember(instance, ({ attempt }) => {
      if (attempt !== undefined) attempt.starts++;
    });
    const { id, starts } = attemptOf(instance);
    return starts === 1 ? id : `${id}.p${starts}`;
  };
}

function attemptOf({ record }: Instance): AttemptRecord {
  if (record.attempt === undefined) throw new Error(`${record.unit} has no attempt`);
  return record.attempt;
}

async function run(keeper: Keeper, instance: Instance, work: Work & { kind: 'run' }): Promise<Outcome> {
  const image = await settled(keeper, instance, work.image, work.revision);
  await keeper.peers.named(instance);
  if (image !== undefined) await bringUp(keeper, instance, image, nextStart(keeper, instance));
  if (work.script === undefined) return { state: 'succeeded', message: '' };
  return inWords('script', await runScript(keeper, instance, work.revision, work.script));
}

/** What is run from now on is remembered before it is. */
async function settled(
  keeper: Keeper,
  instance: Instance,
  image: PlacedImage | undefined,
  revision: Revision,
): Promise<PlacedImage | undefined> {
  if (image === undefined) return undefined;
  const progress = (text: string) => {
    if (instance.progress === text) return;
    instance.progress = text;
    keeper.changed(instance);
  };
  const found = await keeper.ground.settle(instance.record, { image, revision, progress }).finally(() => {
    delete instance.progress;
  });
  if (found === image) return image;
  keeper.remember(instance, (next) => {
    next.image = found;
    if (found.port !== undefined) next.port = found.port;
    if (next.attempt !== undefined) next.attempt.work.image = found;
  });
  return found;
}

function runScript(keeper: Keeper, instance: Instance, revision: Revision, script: Script): Promise<Ended> {
  const { id: attempt } = attemptOf(instance);
  const timeoutSeconds = seconds(script.timeout);
  return runOnce(keeper, instance, { kind: 'update', attempt, timeoutSeconds, task: { revision, script } });
}

const inWords = (what: string, { state, message }: LiveAttempt): Outcome => ({
  state,
  message: message === '' || state === 'succeeded' ? message : `${what}: ${message}`,
});

const UNDO_SECONDS = 600;

async function takeBack(keeper: Keeper, instance: Instance, work: Work & { kind: 'undo' }): Promise<Outcome> {
  const { record } = instance;
  const { id: attempt } = attemptOf(instance);
  const image = await settled(keeper, instance, work.image, work.revisions.at(-1) ?? '');
  await bringUp(keeper, instance, image, nextStart(keeper, instance));
  const scripted = work.revisions.filter((revision) => record.undo[revision]?.rollback !== undefined);
  if (scripted.length === 0) {
    keeper.remember(instance, (next) => pop(next, work.revisions));
    return { state: 'succeeded', message: '' };
  }
  const task = { undo: scripted };
  const ended = await runOnce(keeper, instance, { kind: 'update', attempt, timeoutSeconds: UNDO_SECONDS, task });
  // What failed stays on top, with all that lies below it.
  const kept = new Set(ended.view.applied);
  const stuck = work.revisions.findIndex((revision) => scripted.includes(revision) && kept.has(revision));
  const undone = ended.state === 'succeeded' || stuck < 0 ? work.revisions : work.revisions.slice(0, stuck);
  keeper.remember(instance, (next) => pop(next, undone));
  return inWords('rollback script', ended);
}

function pop(record: InstanceRecord, revisions: Revision[]): void {
  for (const revision of revisions) {
    if (record.applied.at(-1) !== revision) continue;
    record.applied.pop();
    delete record.undo[revision];
  }
}

/** The same once more, under another name: its process, or a creation that failed. */
export function acceptHeal(keeper: Keeper, instance: Instance, attempt: string): void {
  const { record } = instance;
  if (record.removing || record.attempt?.state === 'running') return;
  if (record.creating !== undefined) {
    const { attempt: before } = record;
    if (before?.state !== 'failed') return;
    keeper.remember(instance, (next) => {
      next.attempt = begun(attempt, before.work);
      next.creating = attempt;
    });
    keeper.changed(instance);
    carryOut(keeper, instance);
    return;
  }
  const unit = unitOf(keeper, instance);
  if (record.image === undefined || (unit !== undefined && unit.record.phase !== 'dead')) return;
  start(keeper, instance, record.image, attempt, unit === undefined ? 0 : restartsOf(unit) + 1);
}
