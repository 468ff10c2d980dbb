/** Fleets and clusters on a Docker Engine: an instance is a container, which an image replaces and in which scripts run. */
import type { DockerTarget } from '../../../manifest/target.ts';
import { instancesFolder } from '../../instances/folders.ts';
import type { PlacedImage } from '../../instances/record.ts';
import { openInstances } from '../../instances/target.ts';
import type { FoundUnit } from '../../local/record.ts';
import type { RouterClient } from '../../local/router/client.ts';
import type { SecretSource, UnitDriver } from '../../ports.ts';
import { isOfInstances, networkName } from '../labels.ts';
import { openContainers, takeEngine } from '../open.ts';
import { withPruning } from '../prune.ts';
import { openGround, referenceOf } from './ground.ts';
import { removeNetwork } from './network.ts';
import { precheckContainers } from './precheck.ts';
import { latest, openStore, readKept } from './store.ts';

export interface DockerInstancesOptions {
  /** The target's, as manifests name it. */
  name: string;
  dataDir: string;
  docker: DockerTarget & { project: string };
  /** Of registries. */
  secrets: SecretSource;
  router: RouterClient;
  epoch: number;
  log?(message: string, details: Record<string, unknown>): void;
}

const LOOK_MS = 10_000;

/** Finds again what runs there, takes it over for `epoch`, and goes on with everything that was begun. */
export async function openDockerInstances({ log = () => {}, ...options }: DockerInstancesOptions): Promise<UnitDriver> {
  const engine = await takeEngine({ ...options, log });
  const { docker, scope, target, images } = engine;
  const { name, epoch, router } = options;
  try {
    const kept = (await readKept(docker, scope)).filter(({ record }) => isOfInstances(record.resource));
    const imagesOf = new Map<string, PlacedImage>();
    const driver = await openInstances({
      ...{ root: instancesFolder(options.dataDir), log },
      found(recorded) {
        const records = latest(recorded, kept);
        for (const { image } of records) if (image !== undefined) imagesOf.set(referenceOf(image), image);
        return records;
      },
      openUnits: (those) =>
        openContainers(
          engine,
          { ...those, name, router, epoch },
          {
            isOurs: isOfInstances,
            found: (units) => units.map((unit) => withImage(unit, imagesOf)),
            networkOf: (resource) => (resource.startsWith('Cluster/') ? networkName(scope, resource) : target.network),
            async forgotten(resource) {
              if (resource.startsWith('Cluster/')) await removeNetwork(docker, scope, resource);
            },
          },
        ),
      ground(units) {
        const { closing } = units.host;
        return openGround(engine, units, openStore({ docker, scope, kept, insured: engine.insured, closing, log }));
      },
      complete: ({ host }) => host.feed.up(),
      precheck: (asked) => precheckContainers({ ...asked, docker, target, images, router }),
      async close() {
        engine.close();
      },
    });
    return withPruning(driver, engine, {
      after: 'putBack',
      async needed(resource, limit) {
        const live = (await driver.observe([resource], AbortSignal.timeout(LOOK_MS))).get(resource);
        return new Set((live?.instances ?? []).flatMap(({ applied }) => applied.slice(-1 - limit)));
      },
    });
  } catch (error) {
    engine.close();
    throw error;
  }
}

/** What was put together of the labels of a container names no image as a manifest does. */
function withImage(unit: FoundUnit, images: Map<string, PlacedImage>): FoundUnit {
  const { runnable } = unit;
  const reference = runnable?.template.spec.containers[0]?.image;
  if (runnable === undefined || reference === undefined || Object.keys(runnable.images).length > 0) return unit;
  const image = images.get(reference) ?? { name: reference, digest: reference, command: [], env: {} };
  return { ...unit, runnable: { ...runnable, images: { [image.name]: image } } };
}
