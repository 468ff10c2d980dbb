/** Containers on an engine: how they are started, asked, watched and ended. */
import { connect } from 'node:net';
import type Docker from 'dockerode';
import type { Container, ResourceId } from '../../manifest/resource.ts';
import type { DockerTarget } from '../../manifest/target.ts';
import { readSecrets } from '../local/describe.ts';
import { ask, askPort } from '../local/handler.ts';
import { wordsOf } from '../local/logs.ts';
import type { ContainerRecord } from '../local/record.ts';
import { redactor, type Surroundings, type Variables } from '../local/variables.ts';
import { containerEnded, forgetUnit } from '../replicas/end.ts';
import { type Core, graceMs, isOver, type RunningContainer, type Runtime, type Unit } from '../replicas/unit.ts';
import { containersOfUnit, type Found } from './containers.ts';
import { createOptions, innerPorts, variablesIn } from './describe.ts';
import { answered, found, saidBy, statusOf } from './engine.ts';
import { insuredAfter } from './epoch.ts';
import { execIn } from './exec.ts';
import { type Feed, isAlive } from './feed.ts';
import type { Images, PinnedImage } from './images.ts';
import { markOf, type Scope } from './labels.ts';
import { keepOutput, outputOf } from './logs.ts';
import { mountsOf, prepareVolumes, removeAttemptVolumes, removeSecrets, type VolumeWork } from './volumes.ts';

export interface DockerContainer extends RunningContainer {
  /** The engine's. */
  id: string;
  /** The engine has started it, and was not seen to have ended it. */
  alive: boolean;
  /** Takes secrets out of what it prints. */
  redact: (text: string) => string;
}

export interface DockerHost extends Core<DockerContainer> {
  docker: Docker;
  target: DockerTarget;
  scope: Scope;
  epoch: number;
  images: Images;
  feed: Feed;
  /** The network that a resource has its containers in. */
  networkOf(resource: ResourceId): string;
  /** Removals under way of what stopped units left, by resource and attempt. */
  removing: Map<string, Promise<void>>;
  /** Throws StaleEpoch when a later operator has taken over, on whatever machine. */
  insured(): Promise<void>;
}

type DockerUnit = Unit<DockerContainer>;

export const dockerRuntime = (host: DockerHost): Runtime<DockerContainer> => ({
  start: (unit) => start(host, unit),
  ask: (running, handler, timeoutMs) => {
    const { container, record, id, redact } = running;
    const run = (command: string[], ms: number) => execIn(host.docker, id, command, ms, redact);
    return ask(handler, { container, ports: record.ports, address: record.address ?? '', run }, timeoutMs);
  },
  holder: (_, { record }, port) => holderOf(host.target, record.address ?? '', port),
  watchEnd: (unit, running) => watchEnd(host, unit, running),
  runs: ({ alive, ended }) => alive && ended === undefined,
  terminate: (unit, hooks) => terminate(host, unit, hooks),
  obituary: (unit, running, how) => obituary(host, unit, running, how),
  discard: (unit) => discard(host, unit),
});

async function start(host: DockerHost, unit: DockerUnit): Promise<void> {
  const { record, runnable } = unit;
  const { containers } = runnable.template.spec;
  const { resource } = record;
  await clear(
    host,
    unit,
    (attempt) => attempt !== record.attempt && !host.removing.has(removalOf({ resource, attempt })),
  );
  const secrets = await readSecrets(host, unit);
  const images = await pinned(host, unit);
  if (isOver(unit)) return;
  await host.insured();
  const work = { docker: host.docker, scope: host.scope, record, runnable, secrets };
  await prepareVolumes(work, images[0]?.id ?? '');
  for (const [index, container] of containers.entries()) {
    if (isOver(unit)) return;
    unit.containers.push(await create(host, unit, { container, image: images[index] as PinnedImage, work }));
  }
  record.containers = unit.containers.map((running) => running.record);
  host.save(unit);
  for (const running of unit.containers) {
    if (isOver(unit)) return;
    await begin(host, unit, running);
  }
}

/** A tag is resolved once for all units of the revision. */
async function pinned(host: DockerHost, unit: DockerUnit): Promise<PinnedImage[]> {
  const { record, runnable } = unit;
  const progress = (text: string) => {
    if (record.message === text || isOver(unit)) return;
    record.message = text;
    host.changed(unit);
  };
  const images: PinnedImage[] = [];
  for (const { image } of runnable.template.spec.containers)
    images.push(await host.images.pin(record.resource, record.revision, image, progress));
  delete record.message;
  return images;
}

interface Creating {
  container: Container;
  image: PinnedImage;
  work: VolumeWork;
}

async function create(host: DockerHost, unit: DockerUnit, { container, image, work }: Creating) {
  const { docker, scope, target, epoch } = host;
  const { record, runnable } = unit;
  const [first] = unit.containers;
  const ports = innerPorts(container, first === undefined, image);
  const around = { runnable, secrets: work.secrets, hostname: host.hostname };
  const variables = variablesIn(record, container, image, ports, around);
  const { template } = runnable;
  const others = template.spec.containers.slice(1).flatMap((each) => Object.values(innerPorts(each, false, image)));
  const options = createOptions({
    ...{
      scope,
      docker: target,
      network: host.networkOf(record.resource),
      epoch,
      record,
      container,
      image,
      ports,
      variables,
      template,
    },
    mounts: mountsOf(work, container),
    inNetworkOf: first?.id,
    allPorts: [...new Set([...Object.values(ports), ...others])],
  });
  host.guard();
  const { id, isNew } = await createOnce(docker, options).catch((error) => {
    throw new Error(`container ${container.name}: ${saidBy(error)}`);
  });
  // One that is there when another takes over is seen by that one, which starts it no more than this operator does.
  if (isNew) await insuredAfter(host.insured, () => remove(docker, id));
  const made: ContainerRecord = { name: container.name, ports, groups: [], id };
  return newRunning(container, made, redactorOf(variables, work.secrets), false);
}

/** The name is that of the attempt: where it is taken, that container is the one. */
async function createOnce(
  docker: Docker,
  options: Docker.ContainerCreateOptions,
): Promise<{ id: string; isNew: boolean }> {
  try {
    return { id: (await answered(docker.createContainer(options))).id, isNew: true };
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
    const there = await answered(docker.getContainer(options.name ?? '').inspect());
    if (markOf(there.Config.Labels ?? {}).attempt !== markOf(options.Labels ?? {}).attempt) throw error;
    return { id: there.Id, isNew: false };
  }
}

export const redactorOf = (variables: Variables, secrets: Surroundings['secrets']) => redactor(variables, secrets);

export const newRunning = (
  container: Container,
  record: ContainerRecord,
  redact: DockerContainer['redact'],
  alive: boolean,
): DockerContainer => ({
  ...{ container, record, redact, alive, id: record.id ?? '', image: {} },
  ...{ listening: false, started: container.startupProbe === undefined, passing: false },
});

async function begin(host: DockerHost, unit: DockerUnit, running: DockerContainer): Promise<void> {
  const { record } = unit;
  host.guard();
  try {
    await host.docker.getContainer(running.id).start();
  } catch (error) {
    // It runs already.
    if (statusOf(error) !== 304) throw new Error(`container ${running.container.name}: ${saidBy(error)}`);
  }
  running.alive = true;
  if (running === unit.containers[0]) record.startedAt = Date.now();
  await locate(host, unit);
  host.save(unit);
  host.changed(unit);
}

/** Where the containers of a unit are reached now. True: elsewhere than before. */
export async function locate({ docker, target }: DockerHost, unit: DockerUnit): Promise<boolean> {
  const [first] = unit.containers;
  if (first === undefined) return false;
  const before = JSON.stringify(unit.record.containers);
  const { NetworkSettings } = await answered(docker.getContainer(first.id).inspect());
  const network = NetworkSettings.Networks[target.network] ?? Object.values(NetworkSettings.Networks)[0];
  const address = target.address ?? (network?.IPAddress || network?.GlobalIPv6Address);
  for (const { record } of unit.containers) {
    if (address !== undefined) record.address = address;
    if (target.address !== undefined) Object.assign(record.ports, publishedPorts(record, NetworkSettings.Ports));
  }
  return JSON.stringify(unit.record.containers) !== before;
}

/** `0` is the port of a container that declares none: the only one of its unit that is published. */
function publishedPorts({ ports }: ContainerRecord, bound: Docker.ContainerInspectInfo['NetworkSettings']['Ports']) {
  const [only] = Object.values(bound);
  return Object.fromEntries(
    Object.keys(ports).flatMap((port) => {
      const [binding] = (port === '0' ? only : bound[`${port}/tcp`]) ?? [];
      return binding === undefined ? [] : [[port, Number(binding.HostPort)]];
    }),
  );
}

/** At its own address only the container can listen. A published port is accepted for it by the engine, which closes at once where nobody does. */
async function holderOf(
  { address: published }: DockerTarget,
  address: string,
  port: number,
): Promise<'nobody' | 'own'> {
  if (address === '') return 'nobody';
  if (published === undefined) return (await askPort(port, 1000, address)).pass ? 'own' : 'nobody';
  return (await staysOpen(address, port)) ? 'own' : 'nobody';
}

const STAYS_MS = 50;

function staysOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    const done = (open: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(open);
    };
    let timer = setTimeout(() => done(false), 1000);
    socket.once('connect', () => {
      clearTimeout(timer);
      timer = setTimeout(() => done(true), STAYS_MS);
    });
    for (const event of ['end', 'close', 'error']) socket.once(event, () => done(false));
    socket.resume();
  });
}

async function watchEnd(host: DockerHost, unit: DockerUnit, running: DockerContainer): Promise<void> {
  const unwatch = host.feed.watch(running.id, (how) => {
    running.alive = false;
    containerEnded(host, unit, running, how);
  });
  unit.watching.signal.addEventListener('abort', unwatch, { once: true });
  // It may have ended before somebody listened.
  const there = await found(host.docker.getContainer(running.id).inspect()).catch(() => undefined);
  if (there === undefined || isAlive(there.State.Status) || unit.watching.signal.aborted) return;
  unwatch();
  running.alive = false;
  containerEnded(host, unit, running, `exited with code ${there.State.ExitCode}`);
}

const LAST_LINES = 50;

async function obituary(
  { docker }: DockerHost,
  unit: DockerUnit,
  running: DockerContainer,
  how: string,
): Promise<string> {
  const { container, id, redact } = running;
  const which = unit.containers.length > 1 ? `container ${container.name} ` : '';
  try {
    const there = await found(docker.getContainer(id).inspect());
    const memory = there?.State.OOMKilled ? `, out of memory (limit ${container.resources.limits?.memory})` : '';
    const words = redact(wordsOf(await outputOf(docker, id, LAST_LINES)));
    return `${which}${how}${memory}${words === '' ? '' : `: ${words}`}`;
  } catch {
    return `${which}${how}`;
  }
}

/** Ends every container of the unit's attempt; resolves when none of them runs. */
async function terminate(
  host: DockerHost,
  unit: DockerUnit,
  hooks: (deadline: number) => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + graceMs(unit);
  await hooks(deadline);
  host.guard();
  host.closing.throwIfAborted();
  await host.insured();
  const ids = await aliveOf(host, unit);
  await unlessClosed(host, Promise.all(ids.map((id) => stop(host.docker, id, deadline))));
  for (const running of unit.containers) running.alive = false;
}

/** Those that it holds, where all of them were started; else whatever the engine has of the attempt. */
async function aliveOf({ docker, scope }: DockerHost, { record, containers, runnable }: DockerUnit): Promise<string[]> {
  const running = containers.filter(({ alive }) => alive);
  if (running.length === runnable.template.spec.containers.length && running.length > 0)
    return running.map(({ id }) => id);
  const there = await containersOfUnit(docker, scope, record);
  const mine = there.filter(({ mark, alive }) => alive && (record.attempt === '' || mark.attempt === record.attempt));
  return mine.map(({ id }) => id);
}

/** An operator that lets go waits for no grace period: the engine goes on by itself, and the next operator looks again. */
async function unlessClosed<T>({ closing }: DockerHost, work: Promise<T>): Promise<T> {
  let closed = () => {};
  const letGo = new Promise<never>((_, reject) => {
    closed = () => reject(closing.reason);
  });
  closing.addEventListener('abort', closed, { once: true });
  try {
    return await Promise.race([work, letGo]);
  } finally {
    closing.removeEventListener('abort', closed);
  }
}

async function stop(docker: Docker, id: string, deadline: number): Promise<void> {
  const t = Math.max(0, Math.ceil((deadline - performance.now()) / 1000));
  try {
    await docker.getContainer(id).stop({ t });
  } catch (error) {
    if (statusOf(error) !== 304 && statusOf(error) !== 404) throw new Error(saidBy(error));
  }
}

/** Removes the containers of some attempts of a unit, with all that goes with these attempts; what they wrote is kept. */
async function clear(host: DockerHost, unit: DockerUnit, isOf: (attempt: string) => boolean): Promise<void> {
  const { docker, scope } = host;
  const there = (await containersOfUnit(docker, scope, unit.record)).filter(({ mark }) => isOf(mark.attempt));
  if (there.length > 0) await host.insured();
  for (const container of there) await removeContainer(host, unit.folder, container);
  if (unit.runnable.template.spec.volumes.length > 0) await removeAttemptVolumes(docker, scope, unit.record, isOf);
}

/** Somebody may be at it already: the engine does one removal at a time, and says so. */
async function remove(docker: Docker, id: string): Promise<void> {
  try {
    await found(docker.getContainer(id).remove({ force: true, v: true }));
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
  }
}

export async function removeContainer(
  { docker, scope, log }: DockerHost,
  folder: string,
  container: Found,
): Promise<void> {
  await keepOutput(docker, folder, container).catch((error) =>
    log('what a container wrote cannot be kept', { unit: container.mark.unit, message: saidBy(error) }),
  );
  await remove(docker, container.id);
  await removeSecrets(scope, container.mark);
}

/** What has ended needs no place any more, so nobody waits for its removal but who needs what it holds; a crash leaves it to the sweep. */
async function discard(host: DockerHost, unit: DockerUnit): Promise<void> {
  const { record, folder } = unit;
  const key = removalOf(record);
  await forgetUnit(host.hold, folder);
  const removing = clear(host, unit, (attempt) => record.attempt === '' || attempt === record.attempt)
    .then(() => removeSecrets(host.scope, record))
    .catch((error) => host.log('what a unit leaves cannot be removed', { unit: record.unit, message: saidBy(error) }))
    .finally(() => host.removing.delete(key));
  host.removing.set(key, removing);
  // Of a lost record it is not known which attempt it was: the next one must not be taken for it.
  if (record.attempt === '') await removing;
}

const removalOf = ({ resource, attempt }: Pick<DockerUnit['record'], 'resource' | 'attempt'>) =>
  `${resource} ${attempt}`;
