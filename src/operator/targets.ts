/** The drivers of the targets that are declared, each opened when it is first needed. */
import { join } from 'node:path';
import { messageOf } from '../error-text.ts';
import type { Resource, ResourceId } from '../manifest/resource.ts';
import type { DockerTarget, HostTarget, KubernetesTarget, LocalTarget, Target } from '../manifest/target.ts';
import { openLocalInstances } from '../target/local/instances/target.ts';
import { type RouterClient, stopRouter } from '../target/local/router/client.ts';
import { openLocalTarget } from '../target/local/target.ts';
import { type ImageSource, type SecretSource, StaleEpoch, type UnitDriver } from '../target/ports.ts';
import { withProject } from '../target/project.ts';
import type { Log } from './options.ts';
import { retireRouters } from './retire.ts';

export interface TargetsOptions {
  dataDir: string;
  images: ImageSource;
  secrets: SecretSource;
  router: RouterClient;
  epoch: number;
  runAs?: string;
  log: Log;
  changed(resource: ResourceId): void;
}

export interface Targets {
  /**
   * Opens drivers of new targets; a target whose definition changed keeps its drivers until the next start. `isNamed`: whether a manifest,
   * valid or not, names a target; absent where that cannot be told, and then none counts as gone.
   */
  declare(
    targets: ReadonlyMap<string, Target>,
    hostTargets: ReadonlyMap<string, HostTarget>,
    isNamed?: (name: string) => boolean,
  ): Promise<void>;
  /** Where a resource runs, or, when it is not declared any more, where something of it was found. */
  driverOf(id: ResourceId, resource: Resource | undefined): UnitDriver | undefined;
  /** The targets that were declared and have no driver, and why. */
  unopened?(): ReadonlyMap<string, string>;
  /** Every resource of which something exists on any target. */
  found(): ResourceId[];
  close(): Promise<void>;
}

const LOOK_MS = 10_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;

/** What drives one target: replicas of templates, and instances; one driver each, where it has both. */
interface Drivers {
  replicas?: UnitDriver;
  instances?: UnitDriver;
}

const driversOf = (drivers: Drivers): UnitDriver[] => Object.values(drivers);

const driverFor = (id: ResourceId, { replicas, instances }: Drivers): UnitDriver | undefined =>
  id.startsWith('Workload/') || id.startsWith('Service/') ? replicas : instances;

export function createTargets(options: TargetsOptions): Targets {
  const drivers = new Map<string, Drivers>();
  const homes = new Map<ResourceId, UnitDriver>();
  const definitions = new Map<string, string>();
  const retries = new Map<string, NodeJS.Timeout>();
  const problems = new Map<string, string>();
  /** Resources whose target was not open when somebody asked for its driver. */
  const waiting = new Set<ResourceId>();
  let isGone = (_: string): boolean => false;
  const kept = new Set<string>();
  let closed = false;
  /** One is opened at a time. */
  let last: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  };

  const folderOf = (name: string) => join(options.dataDir, 'targets', name);
  const logOf = (name: string) => (message: string, details: Record<string, unknown>) =>
    options.log('warn', message, { target: name, ...details });

  async function openDocker(name: string, docker: DockerTarget): Promise<Drivers> {
    const { secrets, epoch } = options;
    // Loaded by those alone that have an engine, as below.
    const { openDockerTarget } = await import('../target/docker/target.ts');
    const { openDockerInstances } = await import('../target/docker/instances/target.ts');
    const { haproxyAddress, openHaproxyRouter } = await import('../target/haproxy/router/client.ts');
    const dataDir = folderOf(name);
    const listen = haproxyAddress(docker);
    if (listen === undefined) await stopRouter(dataDir);
    const router = listen === undefined ? options.router : await openHaproxyRouter({ dataDir, listen, epoch });
    const letGo = async () => (listen === undefined ? undefined : router.close());
    const common = {
      name,
      dataDir,
      router,
      secrets,
      epoch,
      log: logOf(name),
      docker: withProject(docker, options.dataDir),
    };
    let replicas: UnitDriver | undefined;
    try {
      replicas = await openDockerTarget(common);
      const instances = await openDockerInstances(common);
      // What the target was served by before it had a router of its own.
      const found = [...(await replicas.resources()), ...(await instances.resources())];
      if (listen !== undefined) for (const id of found) await options.router.set(id, undefined);
      return { replicas: closingAlso(replicas, letGo), instances };
    } catch (error) {
      await replicas?.close();
      await letGo();
      throw error;
    }
  }

  async function openKubernetes(name: string, kubernetes: KubernetesTarget): Promise<Drivers> {
    const { secrets, epoch, dataDir } = options;
    // Loaded by those alone that have a cluster.
    const { openKubernetesTarget } = await import('../target/kubernetes/target.ts');
    const log = logOf(name);
    const { openKubernetesNodes } = await import('../target/kubernetes/nodes/target.ts');
    const instances = await openKubernetesNodes({ name, kubernetes, epoch, dataDir: folderOf(name), log });
    try {
      const project = withProject(kubernetes, dataDir);
      return { replicas: await openKubernetesTarget({ name, kubernetes: project, secrets, epoch, log }), instances };
    } catch (error) {
      await instances.close();
      throw error;
    }
  }

  async function openLocal(name: string, { images, dataDir }: LocalTarget): Promise<Drivers> {
    const common = {
      name,
      dataDir: dataDir ?? folderOf(name),
      images: options.images,
      ...(images.startsWith('/') && { imagesFolder: images }),
      router: options.router,
      epoch: options.epoch,
      ...(options.runAs !== undefined && { runAs: options.runAs }),
      log: logOf(name),
    };
    await options.router.keepLogsAfterwards(common.dataDir);
    const replicas = await openLocalTarget({ ...common, secrets: options.secrets });
    try {
      return { replicas, instances: await openLocalInstances(common) };
    } catch (error) {
      await replicas.close();
      throw error;
    }
  }

  async function openHosts({ name, ssh }: HostTarget): Promise<Drivers> {
    const { epoch } = options;
    // Loaded by those alone that have hosts: it takes as long as all else that an operator loads.
    const { openSshTarget } = await import('../target/ssh/target.ts');
    return { instances: await openSshTarget({ name, ssh, epoch, dataDir: folderOf(name), log: logOf(name) }) };
  }

  /** One that cannot be opened now is tried again, since what it needs may only be on its way: an engine that is started after the operator. */
  async function open(name: string, opened: () => Promise<Drivers>, wait = FIRST_WAIT_MS): Promise<void> {
    clearTimeout(retries.get(name));
    if (drivers.has(name) || closed) return;
    try {
      const those = retiringAfterwards(await opened());
      drivers.set(name, those);
      problems.delete(name);
      for (const driver of driversOf(those)) {
        driver.subscribe(options.changed);
        for (const id of await driver.resources()) homes.set(id, driver);
      }
      for (const id of waiting) options.changed(id);
      waiting.clear();
    } catch (error) {
      problems.set(name, messageOf(error));
      options.log('error', `target ${name} cannot be opened: ${messageOf(error)}`);
      if (error instanceof StaleEpoch) return;
      const again = () => inTurn(() => open(name, opened, Math.min(wait * 2, LONGEST_WAIT_MS)));
      retries.set(name, setTimeout(again, wait).unref());
    }
  }

  /** With the last resource of a target that is gone its router may go. */
  const retiringAfterwards = (those: Drivers): Drivers =>
    Object.fromEntries(
      Object.entries(those).map(([kind, driver]: [string, UnitDriver]) => [
        kind,
        {
          ...driver,
          async start(resource, action, runnable, signal) {
            await driver.start(resource, action, runnable, signal);
            if (action.kind === 'forget') void inTurn(retire);
          },
        } satisfies UnitDriver,
      ]),
    );

  async function retire(): Promise<void> {
    if (closed) return;
    const { epoch, log } = options;
    const found = async (name: string) => {
      const those = driversOf(drivers.get(name) ?? {}).map((driver) => driver.resources());
      return (await Promise.all(those)).flat();
    };
    await retireRouters({ targetsFolder: folderOf(''), epoch, log, isGone, found, release }, kept);
  }

  async function release(name: string): Promise<void> {
    const those = driversOf(drivers.get(name) ?? {});
    drivers.delete(name);
    for (const [id, home] of homes) if (those.includes(home)) homes.delete(id);
    await Promise.all(those.map((driver) => driver.close()));
  }

  /** Hosts were added, taken away or moved: nothing of them is kept here, so a driver for what is declared now takes over. */
  async function reopen(target: HostTarget): Promise<void> {
    const definition = JSON.stringify(target);
    if (definitions.get(target.name) === definition) return;
    const before = driversOf(drivers.get(target.name) ?? {});
    drivers.delete(target.name);
    await open(target.name, () => openHosts(target));
    if (drivers.has(target.name)) definitions.set(target.name, definition);
    const [now] = driversOf(drivers.get(target.name) ?? {});
    for (const [id, home] of homes) if (now !== undefined && before.includes(home)) homes.set(id, now);
    await Promise.all(before.map((driver) => driver.close()));
  }

  /** The driver of another target than the one on which the resource still is: two of them would take each other's traffic. */
  function newcomer(id: ResourceId, home: UnitDriver, driver: UnitDriver): UnitDriver {
    return {
      ...driver,
      async declare(resource, spec, frozen) {
        const live = (await home.observe([id], AbortSignal.timeout(LOOK_MS))).get(id);
        const left = (live?.units.length ?? 0) + (live?.instances ?? []).filter(({ created }) => created).length;
        if (left > 0)
          throw new Error(
            `${left} of it still run on the target that it had before, and it cannot be moved while they do; declare it there again, or delete it first`,
          );
        homes.set(id, driver);
        await driver.declare(resource, spec, frozen);
      },
    };
  }

  return {
    declare: (targets, hostTargets, isNamed) =>
      inTurn(async () => {
        isGone = (name) => isNamed !== undefined && !isNamed(name) && !targets.has(name);
        for (const { name, local, docker, kubernetes } of targets.values()) {
          if (docker !== undefined) await open(name, () => openDocker(name, docker));
          else if (kubernetes !== undefined) await open(name, () => openKubernetes(name, kubernetes));
          else if (local !== undefined) await open(name, () => openLocal(name, local));
        }
        for (const target of hostTargets.values()) await reopen(target);
        await retire();
      }),
    driverOf(id, resource) {
      if (resource === undefined && !homes.has(id) && problems.size > 0) waiting.add(id);
      if (resource === undefined) return homes.get(id);
      const driver = driverFor(id, drivers.get(resource.spec.target) ?? {});
      if (driver === undefined) waiting.add(id);
      const home = homes.get(id) ?? driver;
      if (driver === undefined || home === undefined) return driver;
      if (home !== driver) return newcomer(id, home, driver);
      homes.set(id, driver);
      return driver;
    },
    unopened: () => problems,
    found: () => [...homes.keys()],
    async close() {
      closed = true;
      for (const timer of retries.values()) clearTimeout(timer);
      await last;
      await Promise.all([...drivers.values()].flatMap(driversOf).map((driver) => driver.close()));
    },
  };
}

const closingAlso = (driver: UnitDriver, letGo: () => Promise<void>): UnitDriver => ({
  ...driver,
  async close() {
    await driver.close();
    await letGo();
  },
});
