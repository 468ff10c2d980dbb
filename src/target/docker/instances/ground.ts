/** Instances that are containers of an engine, each with two volumes: its folder, and what its scripts leave. */
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import type { ResourceId } from '../../../manifest/resource.ts';
import { openUnitPlace } from '../../hosts/attempts.ts';
import { INSTANCE_VOLUME } from '../../instances/folders.ts';
import type { Ground, Looking } from '../../instances/ground.ts';
import { Failed, isNode } from '../../instances/instance.ts';
import type { InstanceRecord, PlacedImage } from '../../instances/record.ts';
import type { Replicas } from '../../replicas/open.ts';
import type { Unit } from '../../replicas/unit.ts';
import { usualPort } from '../describe.ts';
import { answered, environmentIn, found, saidBy } from '../engine.ts';
import { answerOf, execute } from '../exec.ts';
import { diskName, recordIn, scopeLabels, unitLabels } from '../labels.ts';
import { acceptsOf, type Engine } from '../open.ts';
import type { DockerContainer, DockerHost } from '../runtime.ts';
import { volumesOfUnit } from '../volumes.ts';
import { makeNetwork, PEERS_FILE, PEERS_FOLDER, PEERS_VOLUME, writePeersFile } from './network.ts';
import { containerShell, ROOT } from './shell.ts';
import { type Store, stamp } from './store.ts';

const HOME = `/${INSTANCE_VOLUME}`;
const MARKERS_VOLUME = 'markers';
export const MARKERS_FOLDER = '/var/lib/sluice';
const PRIVATE = [
  { name: INSTANCE_VOLUME, mountPath: HOME },
  { name: MARKERS_VOLUME, mountPath: MARKERS_FOLDER },
];

/** What programs that install something need of root, and no more: an instance is a small machine. */
const CAPABILITIES = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'NET_BIND_SERVICE', 'SETGID', 'SETUID'];

/** `running` gives the container of an instance as it runs now, and throws where it does not. */
export function lookingInto(docker: Docker, running: (record: InstanceRecord) => string): Looking {
  const inside = { user: ROOT, cwd: HOME };
  return {
    homeOf: () => HOME,
    peersFile: () => PEERS_FILE,
    // It is in the environment of the process.
    scriptPort: () => undefined,
    processEnvironment: (unit) => environmentOf(docker, unit),
    async run(record, command, { env, timeoutMs, signal }) {
      try {
        const { code, stdout } = await execute(docker, running(record), { command, env, timeoutMs, signal, ...inside });
        return code === undefined ? { failure: 'timeout', stdout } : { code, stdout };
      } catch (error) {
        signal.throwIfAborted();
        return { failure: saidBy(error), stdout: '' };
      }
    },
    async check(record, command, env, timeoutMs) {
      const ended = await execute(docker, running(record), { command, env, timeoutMs, ...inside });
      return answerOf(command, timeoutMs, ended, (text) => text);
    },
  };
}

async function environmentOf(docker: Docker, unit: Unit | undefined): Promise<Record<string, string>> {
  const { id } = unit?.record.containers[0] ?? {};
  const { SLUICE_ATTEMPT: _, ...env } = id === undefined ? {} : await environmentIn(docker, id);
  return env;
}

/** What stands for the image whatever becomes of its name. */
export const referenceOf = ({ digest, name }: PlacedImage): string => digest ?? name;

const AWAY_MS = 200;
const GOING_DOWN_MS = 1000;

export function openGround(engine: Engine, units: Replicas<DockerContainer, DockerHost>, store: Store): Ground {
  const { docker, scope, epoch, images, insured } = engine;
  const { feed, closing, removing } = units.host;

  function running({ resource, unit }: InstanceRecord): string {
    const [first] = units.find(resource, unit)?.containers ?? [];
    if (first?.alive) return first.id;
    throw new Error('its container does not run');
  }
  const looking = lookingInto(docker, running);
  const networks = new Map<ResourceId, Promise<void>>();
  /** One after the other: an engine makes two of a name, if it is asked twice at once. */
  function networkOf(resource: ResourceId): Promise<void> {
    const before = networks.get(resource) ?? Promise.resolve();
    const made = before.catch(() => {}).then(() => makeNetwork(docker, scope, resource));
    networks.set(resource, made);
    return made;
  }

  const answers = async () => (await engine.answers()) && feed.up();

  return {
    ...looking,
    placeOf(record) {
      const shell = containerShell(docker, async () => {
        await insured();
        return running(record);
      });
      return openUnitPlace({ shell, folder: MARKERS_FOLDER, epoch });
    },
    accept: () => acceptsOf(engine, units),
    async claim(instances) {
      // Where nothing runs nothing can be begun, and what is started there later asks first.
      for (const { place } of instances) await place.look({ signal: closing }).catch(() => {});
    },
    stamp: (record) => stamp(record, epoch),
    kept: (record) => store.keep(record),
    async prepare(record) {
      await store.settled(record);
      for (const { name } of PRIVATE) {
        const Labels = { ...scopeLabels(scope), ...unitLabels(record) };
        await answered(docker.createVolume({ Name: diskName(scope, record.resource, name, record.unit), Labels }));
      }
      if (isNode(record)) await networkOf(record.resource);
    },
    async settle(record, { image, revision, progress }) {
      if (image.digest !== undefined) return image;
      try {
        const { digest, exposed } = await images.pin(record.resource, revision, image.name, progress);
        return { ...image, digest, ...(isNode(record) && { port: usualPort(exposed) }) };
      } catch (error) {
        // What the engine would not say now it may say later; what it refused it will refuse again.
        if (!(await answers())) throw error;
        throw new Failed(saidBy(error));
      }
    },
    container: (record, image) => ({
      image: referenceOf(image),
      volumeMounts: isNode(record) ? [...PRIVATE, { name: PEERS_VOLUME, mountPath: PEERS_FOLDER }] : PRIVATE,
      securityContext: { readOnlyRootFilesystem: false, capabilities: { add: CAPABILITIES } },
    }),
    volumesOf: (record) => [
      ...PRIVATE.map(({ name }) => ({ name, disk: { size: '0' } })),
      ...(isNode(record) ? [{ name: PEERS_VOLUME, file: { size: '0' } }] : []),
    ],
    watchRuns() {
      const before = feed.losses();
      return async () => {
        // An engine that goes down ends its containers first, and answers meanwhile.
        await sleep(GOING_DOWN_MS, undefined, { signal: closing });
        if (feed.losses() === before && (await answers())) return false;
        while (!(await answers())) await sleep(AWAY_MS, undefined, { signal: closing });
        return true;
      };
    },
    scriptEnvironment: (unit) => environmentOf(docker, unit),
    ownDrain: () => undefined,
    peerHost: ({ unit }) => unit,
    async writePeers(resource, text) {
      // Nobody is left to read it, and its volume is about to go.
      if (text === '') return;
      await insured();
      await writePeersFile(docker, scope, resource, text);
    },
    async clear(record) {
      await Promise.all(removing.values());
      await insured();
      for (const { Name, Labels } of await volumesOfUnit(docker, scope, record))
        if (recordIn(Labels ?? {}) === undefined) await found(docker.getVolume(Name).remove());
      await store.drop(record);
    },
  };
}
