/** The processes of one data folder, by resource and unit. */
import type { Runnable } from '../../manifest/resource.ts';
import type { ImageSource } from '../ports.ts';
import { openReplicas, type Replicas, type ReplicasOptions } from '../replicas/open.ts';
import { adoptUnit } from './adopt.ts';
import { findGroups } from './cgroup.ts';
import { openImages } from './image.ts';
import { bootId } from './processes.ts';
import { localRuntime } from './runtime.ts';
import { sweep } from './sweep.ts';
import type { Host, Running } from './unit.ts';
import { findUser } from './user.ts';

export interface UnitsOptions extends ReplicasOptions<Running> {
  images: ImageSource;
  /** An absolute folder of images on this machine, in place of the config repository's. */
  imagesFolder?: string;
  /** The user that units run as; absent: the operator's own. */
  runAs?: string;
}

export type Units = Replicas<Running, Host>;

/** Finds again what runs there, takes the folder over for `epoch`, and goes on with every stop that was begun. */
export async function openUnits(options: UnitsOptions): Promise<Units> {
  if (process.platform !== 'linux') {
    throw new Error(
      `target ${options.name}: local targets need Linux and its /proc, not ${process.platform}; run the operator in a container`,
    );
  }
  const boot = bootId();
  const ports = new Set<number>();
  const keptPorts = new Set<number>();
  const user = options.runAs === undefined ? undefined : await findUser(options.runAs);
  return openReplicas<Running, Host>(options, {
    boot,
    host(core) {
      const images = openImages(core.hold, options.images, options.imagesFolder);
      const host = { ...core, user, groups: findGroups(), images, ports, keptPorts } as Host;
      host.runtime = localRuntime(host);
      return host;
    },
    found: (recorded) => recorded,
    adopt: (host, found) => adoptUnit(host, found, boot),
    async sweep(host, units, found) {
      await sweep(host, units);
      await host.images.prune(new Set(found.flatMap(({ runnable }) => treesOf(runnable))));
    },
    release({ containers }) {
      for (const port of containers.flatMap((container) => Object.values(container.ports)))
        if (!keptPorts.has(port)) ports.delete(port);
    },
  });
}

const treesOf = (runnable: Runnable | undefined) =>
  Object.values(runnable?.images ?? {}).flatMap(({ tree }) => (tree === undefined ? [] : [tree]));
