/** The process of an instance: a unit whose one container is the image. */
import type { Runnable } from '../../manifest/resource.ts';
import { stopUnit } from '../replicas/end.ts';
import type { Unit } from '../replicas/unit.ts';
import type { Ground } from './ground.ts';
import { deadlineMs, Failed, type Instance, imageOf, isNode, type Keeper, sameImage, unitOf } from './instance.ts';
import type { InstanceRecord, PlacedImage } from './record.ts';

const GRACE_SECONDS = 30;

/** The instance's own folder is the volume `instance`: `$SLUICE_MOUNT_INSTANCE`. */
function runnableOf(ground: Ground, record: InstanceRecord, image: PlacedImage): Runnable {
  const { resource, unit, applied, serves } = record;
  const env = [{ name: 'SLUICE_INSTANCE', value: unit }];
  if (isNode(record)) env.push({ name: 'SLUICE_PEERS', value: ground.peersFile(resource) });
  return {
    resource,
    revision: applied.at(-1) ?? '',
    template: {
      metadata: { labels: {} },
      spec: {
        containers: [
          {
            ...{ name: 'main', env, envFrom: [] },
            ...{ ports: serves ? [{ containerPort: 0 }] : [], resources: {}, logs: [] },
            ...ground.container(record, image),
          },
        ],
        volumes: ground.volumesOf(record),
        terminationGracePeriodSeconds: GRACE_SECONDS,
      },
    },
    configMaps: {},
    images: { [image.name]: image },
  };
}

/**
 * Sees to it that a process of `image` runs, and none of another; resolves when it is ready. `starting` names a start, just
 * before it is made. Throws `Failed` when it dies or does not get ready.
 */
export async function bringUp(
  keeper: Keeper,
  instance: Instance,
  image: PlacedImage | undefined,
  starting: () => string,
): Promise<void> {
  for (;;) {
    const interrupted = keeper.ground.watchRuns?.();
    await changeOver(keeper, instance, image, starting);
    if (image === undefined || (await ready(keeper, instance, image, interrupted))) return;
  }
}

/** Ends what else runs, and starts what is to run. */
async function changeOver(
  keeper: Keeper,
  instance: Instance,
  image: PlacedImage | undefined,
  starting: () => string,
): Promise<void> {
  const before = unitOf(keeper, instance);
  const alive = before !== undefined && before.record.phase !== 'dead' && before.record.phase !== 'stopping';
  if (alive && image !== undefined && sameImage(imageOf(before), image)) return;
  if (before !== undefined && (image === undefined || before.record.phase !== 'dead'))
    await stop(keeper, instance, before);
  if (image !== undefined) start(keeper, instance, image, starting(), 0);
}

export function start(
  keeper: Keeper,
  { record }: Instance,
  image: PlacedImage,
  attempt: string,
  restarts: number,
): void {
  const runnable = runnableOf(keeper.ground, record, image);
  const { revision } = runnable;
  const version = record.version ?? '';
  const action = { kind: 'start', unit: record.unit, revision, version, attempt, restarts } as const;
  keeper.units.begin(record.resource, action, runnable, record.port);
}

/** What a node's drain has done already is not done once more. */
async function stop(keeper: Keeper, { record }: Instance, unit: Unit): Promise<void> {
  const { host } = keeper.units;
  if (record.drain?.state === 'succeeded') unit.record.preStopAt ??= Date.now();
  await stopUnit(host, unit);
  host.closing.throwIfAborted();
}

/** False: it died with all that ran there, and can be started once more. */
async function ready(
  keeper: Keeper,
  instance: Instance,
  image: PlacedImage,
  interrupted?: () => Promise<boolean>,
): Promise<boolean> {
  const state = () => unitOf(keeper, instance)?.record;
  const limit = deadlineMs(keeper, instance);
  await keeper.until(() => state()?.ready === true || state()?.phase === 'dead' || state() === undefined, limit);
  if (state()?.ready) return true;
  const message = state()?.message ?? 'nothing tells why';
  if (state()?.phase !== 'running' && (await interrupted?.())) return false;
  if (state()?.phase === 'dead') throw new Failed(`${image.name}: ${message}`);
  throw new Failed(`${image.name}: not ready within ${limit / 1000} s: ${message}`);
}

/** Ends its process and forgets it. */
export async function bringDown(keeper: Keeper, instance: Instance): Promise<void> {
  const unit = unitOf(keeper, instance);
  if (unit !== undefined) await stop(keeper, instance, unit);
}

/** What is seen of its process and has to outlive it: the port, and that it serves there. What cannot be written now is seen again. */
export function learn(keeper: Keeper, instance: Instance): void {
  const [first] = unitOf(keeper, instance)?.containers ?? [];
  const port = first?.record.ports[0];
  const { record } = instance;
  const keeps = keeper.ground.ports !== undefined;
  if (!first?.listening || port === undefined || (record.serves && (!keeps || record.port === port))) return;
  try {
    keeper.remember(instance, (next) => {
      next.serves = true;
      if (keeps) next.port = port;
    });
  } catch {}
}
