/** What an earlier operator left on the engine: known by its records, and where these are lost by the labels of its containers. */
import type { Runnable } from '../../manifest/resource.ts';
import { readSecrets } from '../local/describe.ts';
import { unitFolder } from '../local/folders.ts';
import { wantedPorts } from '../local/ports.ts';
import { beginRecord, type FoundUnit, type UnitRecord } from '../local/record.ts';
import { damagedUnit, halfBegun, recheckReady } from '../replicas/adopt.ts';
import { endUnit } from '../replicas/end.ts';
import { createUnit, type Unit } from '../replicas/unit.ts';
import { watchUnit } from '../replicas/watch.ts';
import type { Found } from './containers.ts';
import { variablesIn } from './describe.ts';
import { environmentIn, found } from './engine.ts';
import type { Mark } from './labels.ts';
import { type DockerContainer, type DockerHost, locate, newRunning, redactorOf, removeContainer } from './runtime.ts';

type DockerUnit = Unit<DockerContainer>;

const FROM_LABELS = 'labels';

/** In place of records that cannot be read, or are not on this machine, what the labels of containers say. */
export function completed(recorded: FoundUnit[], there: Found[]): FoundUnit[] {
  const keyOf = ({ resource, unit }: Pick<Mark, 'resource' | 'unit'>) => `${resource} ${unit}`;
  const units = new Map(recorded.map((entry) => [keyOf(entry), entry]));
  const marks = new Map<string, Mark>();
  for (const { mark, alive } of there) {
    // One that has ended, and of which there is no record, was stopped: its removal was under way.
    if (!alive) continue;
    const key = keyOf(mark);
    // Of several attempts the one that was begun last.
    const isOlder = (marks.get(key)?.attempt ?? '') > mark.attempt;
    if (units.get(key)?.record === undefined && mark.template !== undefined && !isOlder) marks.set(key, mark);
  }
  for (const [key, mark] of marks) {
    const { resource, unit } = mark;
    units.set(key, { resource, unit, record: recordOf(mark, there), runnable: runnableOf(mark) });
  }
  return [...units.values()];
}

/** Whether it was ready is not known: that is found out anew. */
function recordOf({ resource, unit, attempt, revision, version, restarts }: Mark, there: Found[]): UnitRecord {
  const mine = there.filter(({ mark }) => mark.resource === resource && mark.attempt === attempt);
  return {
    ...{ resource, unit, attempt, revision, version, restarts, boot: FROM_LABELS },
    ...{ phase: 'starting', ready: false, startedAt: Date.now() },
    containers: mine.map(({ id, mark }) => ({
      ...{ name: mark.container, ports: {}, groups: [], id },
      postStart: 'done',
    })),
  };
}

function runnableOf({ resource, revision, template }: Mark): Runnable {
  if (template === undefined) throw new Error(`${resource}: its labels cannot be read`);
  return { resource, revision, template, configMaps: {}, images: {} };
}

export async function adoptUnit(host: DockerHost, entry: FoundUnit, there: Found[]): Promise<DockerUnit> {
  const folder = unitFolder(host.dataDir, entry.resource, entry.unit);
  if (entry.record === undefined || entry.runnable === undefined) {
    const unit = damagedUnit<DockerContainer>(entry, folder, '');
    void endUnit(host, unit, { message: `its record ${folder}/unit.json cannot be read`, crashed: true });
    return unit;
  }
  const { record, runnable } = entry;
  // One that was made of labels has no file yet, or one that cannot be read.
  if (record.boot === FROM_LABELS) beginRecord(host.hold, record, runnable);
  record.boot = '';
  const unit = createUnit<DockerContainer>(record, runnable, folder);
  if (record.phase === 'dead') return unit;
  const mine = there.filter(({ mark }) => mark.resource === record.resource && mark.attempt === record.attempt);
  await describeFound(host, unit, mine);
  if (record.phase === 'stopping') return unit;
  const why = await whyDead(host, unit, mine);
  if (why !== undefined) {
    void endUnit(host, unit, { message: why, crashed: true });
    return unit;
  }
  await recheckReady(host, unit);
  watchUnit(host, unit);
  return unit;
}

/** Where a secret is not there any more, nothing that a command prints is told: the secret could be in it. */
async function describeFound(host: DockerHost, unit: DockerUnit, mine: Found[]): Promise<void> {
  const { record, runnable } = unit;
  const secrets = await readSecrets(host, unit).catch(() => undefined);
  for (const container of runnable.template.spec.containers) {
    const there = mine.find(({ mark }) => mark.container === container.name);
    if (there === undefined) continue;
    let own = record.containers.find(({ name }) => name === container.name);
    if (own === undefined) {
      own = { name: container.name, ports: {}, groups: [] };
      record.containers.push(own);
    }
    own.id = there.id;
    for (const port of wantedPorts(container, unit.containers.length === 0))
      own.ports[port] ??= port === 0 ? await portTold(host, there.id) : port;
    unit.containers.push(newRunning(container, own, redactorFor(host, unit, container, secrets), there.alive));
  }
}

/** Its image had a say in it when it was made. */
async function portTold({ docker }: DockerHost, id: string): Promise<number> {
  return Number((await environmentIn(docker, id)).PORT) || 0;
}

function redactorFor(
  { hostname }: DockerHost,
  { record, runnable }: DockerUnit,
  container: DockerContainer['container'],
  secrets: Awaited<ReturnType<typeof readSecrets>> | undefined,
): DockerContainer['redact'] {
  if (secrets === undefined) return () => '';
  try {
    const image = { env: {}, workingDir: '/', exposed: [] };
    return redactorOf(variablesIn(record, container, image, {}, { runnable, secrets, hostname }), secrets);
  } catch {
    return () => '';
  }
}

async function whyDead(host: DockerHost, unit: DockerUnit, mine: Found[]): Promise<string | undefined> {
  const { containers } = unit.runnable.template.spec;
  if (mine.some(({ fresh }) => fresh) || unit.containers.length < containers.length)
    return unit.containers.length === 0 && unit.record.ready
      ? 'its containers were removed by somebody else'
      : 'the operator was stopped before it had started this';
  const ended = unit.containers.find(({ alive }) => !alive);
  if (ended !== undefined) return host.runtime.obituary(unit, ended, 'ended while no operator was watching');
  await locate(host, unit);
  return halfBegun(unit);
}

/** Containers of attempts that no unit is any more. */
export async function sweep(host: DockerHost, units: DockerUnit[], there: Found[]): Promise<void> {
  const known = new Set(units.map(({ record }) => `${record.resource} ${record.attempt}`));
  const lost = new Set(
    units.flatMap(({ record }) => (record.attempt === '' ? [`${record.resource} ${record.unit}`] : [])),
  );
  for (const container of there) {
    const { resource, unit, attempt } = container.mark;
    if (known.has(`${resource} ${attempt}`) || lost.has(`${resource} ${unit}`)) continue;
    host.log('a container that belongs to no unit is removed', { resource, attempt });
    removeStray(host, unitFolder(host.dataDir, resource, unit), container).catch((error: Error) =>
      host.log('it could not be removed', { attempt, message: error.message }),
    );
  }
}

const GRACE_SECONDS = 10;

async function removeStray(host: DockerHost, folder: string, container: Found): Promise<void> {
  await host.insured();
  if (container.alive) await found(host.docker.getContainer(container.id).stop({ t: GRACE_SECONDS }));
  await removeContainer(host, folder, container);
}
