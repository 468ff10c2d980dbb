/** The way of an instance out of service, back, and away. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Instance, insist, isNode, type Keeper, unitOf } from './instance.ts';
import { drain, letInAgain } from './node.ts';
import { removeInstance } from './record.ts';
import { bringDown } from './serving.ts';

/** What is under way by then is not waited for any longer. */
const LEAVING_MS = 60_000;

/** Repeated, nothing happens that has happened already. */
export function takeOut(keeper: Keeper, instance: Instance, attempt: string, cordon: boolean): void {
  const { record } = instance;
  const drains = cordon && record.drain?.id !== attempt;
  if (record.out === undefined || drains || (cordon && !record.cordoned)) {
    keeper.remember(instance, (next) => {
      next.out ??= { since: Date.now(), left: false };
      next.cordoned ||= cordon;
      if (drains) next.drain = { id: attempt, state: 'running', message: 'runs' };
    });
    keeper.changed(instance);
  }
  leave(keeper, instance);
  drain(keeper, instance);
}

/** Out of the router, then until nothing is under way there. Goes on where an earlier operator left it. */
export function leave(keeper: Keeper, instance: Instance): void {
  if (instance.leaving !== undefined || instance.record.out?.left !== false) return;
  instance.leaving = insist(keeper, instance, 'taking out', async () => {
    await rested(keeper, instance);
    if (instance.record.out === undefined) return;
    keeper.remember(instance, (next) => {
      if (next.out !== undefined) next.out.left = true;
    });
    keeper.changed(instance);
  }).finally(() => {
    delete instance.leaving;
  });
}

async function rested(keeper: Keeper, instance: Instance): Promise<void> {
  const { record } = instance;
  const { host, routes } = keeper.units;
  // Nobody sends to a node through the router.
  if (isNode(record)) return;
  await routes.insist(record.resource);
  const since = record.out?.since ?? 0;
  for (let wait = 10; Date.now() < since + LEAVING_MS; wait = Math.min(wait * 1.5, 250)) {
    const unit = unitOf(keeper, instance);
    if (unit === undefined || record.out === undefined || (await host.active(unit).catch(() => 1)) === 0) return;
    await sleep(wait, undefined, { signal: host.closing });
  }
}

/** In service again, with this weight, once the router knows and a node has been let in again. */
export async function putBack(
  keeper: Keeper,
  instance: Instance,
  { weight, cordoned }: { weight?: number; cordoned: boolean },
): Promise<void> {
  const { record } = instance;
  const isBack =
    record.out === undefined && record.cordoned === cordoned && (weight === undefined || record.weight === weight);
  if (isBack || record.removing || record.creating !== undefined) return;
  const drained = record.drain?.id;
  instance.returning ??= insist(keeper, instance, 'putting back', async () => {
    if (!cordoned && record.cordoned && !(await letInAgain(keeper, instance))) return;
    // Taken out anew meanwhile: that is the last word.
    if (record.drain?.id !== drained) return;
    keeper.remember(instance, (next) => {
      delete next.out;
      if (!cordoned) delete next.drain;
      if (weight !== undefined) next.weight = weight;
      next.cordoned = cordoned;
    });
    await keeper.units.routes.insist(record.resource);
  }).finally(() => {
    delete instance.returning;
    keeper.changed(instance);
  });
}

/** Out of the router, its process ended, its folder removed. */
export function remove(keeper: Keeper, instance: Instance): void {
  const { record } = instance;
  if (!record.removing) {
    keeper.remember(instance, (next) => {
      next.removing = true;
      next.out ??= { since: Date.now(), left: false };
    });
    keeper.peers.write(record.resource);
    keeper.changed(instance);
  }
  leave(keeper, instance);
  instance.removing ??= insist(keeper, instance, 'a removal', async () => {
    await Promise.all([instance.leaving, instance.working, instance.returning, instance.draining]);
    keeper.units.host.closing.throwIfAborted();
    await bringDown(keeper, instance);
    await keeper.ground.clear(record);
    keeper.units.host.guard();
    await removeInstance(keeper.units.host.hold, record);
    keeper.gone(instance);
  });
}
