/** The operator's controller on what a site declares, with a target in memory. */
import { systemClock } from '../../src/clock.ts';
import type { ResourceId } from '../../src/manifest/resource.ts';
import { type Controller, type ControllerPorts, createController } from '../../src/operator/controller.ts';
import type { Told } from '../../src/operator/declarations.ts';
import { createAnswerer } from '../../src/operator/questions.ts';
import { createRunnables } from '../../src/operator/runnables.ts';
import type { Site } from '../../src/operator/site.ts';
import { note } from '../harness.ts';
import { createMemoryDriver } from './driver.ts';

export interface Engine {
  controller: Controller;
  tell(told: Map<ResourceId, Told>): void;
}

export function createEngine(site: Site, ports: Pick<ControllerPorts, 'publish' | 'decided'>): Engine {
  const driver = createMemoryDriver();
  const now = new Map<ResourceId, Told>();
  const runnables = createRunnables(site.snapshots, (id) => now.get(id)?.declaration?.resource);
  const controller = createController({
    ...ports,
    clock: systemClock,
    conditions: (id) => ({ operatorPaused: false, highestId: site.remote.highestTag(id) }),
    driverOf: () => driver,
    runnable: (id, revision, state) => runnables.of(id, revision, state),
    answer: createAnswerer(({ id, resource, state }) => runnables.of(id, resource.revision, state)),
    failed: (id, what, error) => note(`${id}: ${what}: ${error}`),
    signal: new AbortController().signal,
  });
  return {
    controller,
    tell(told) {
      for (const [id, say] of told) now.set(id, say);
      controller.declare(told);
    },
  };
}
