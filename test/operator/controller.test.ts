import t from 'tap';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { Resource, ResourceId } from '../../src/manifest/resource.ts';
import { createController, type StateChange } from '../../src/operator/controller.ts';
import type { Told } from '../../src/operator/declarations.ts';
import { createAnswerer } from '../../src/operator/questions.ts';
import type { LiveUnit, TrafficPolicy } from '../../src/plan/live.ts';
import type { Action } from '../../src/rollout/decision.ts';
import type { UnitDriver } from '../../src/target/ports.ts';
import { workload } from '../support/resources.ts';

/** A target whose units are ready as soon as they are started. */
function driver() {
  const units = new Map<string, LiveUnit>();
  const acts: Action[] = [];
  let traffic: TrafficPolicy | undefined;
  const made: UnitDriver = {
    observe: async (ids) =>
      new Map(
        ids.map((id) => [
          id,
          { observedAt: 0, complete: true, units: [...units.values()], ...(traffic && { traffic }) },
        ]),
      ),
    async start(_id, action) {
      acts.push(action);
      if (action.kind === 'route') traffic = action.policy;
      if (action.kind === 'stop') units.delete(action.unit);
      if (action.kind === 'start') {
        const { unit: id, revision, version, attempt, restarts } = action;
        units.set(id, { id, revision, version, attempt, restarts, phase: 'running', ready: true, readySince: 0 });
      }
    },
    precheck: async () => [{ name: 'target', result: 'pass', message: 'answers', remedy: '' }],
    check: async () => ({ pass: true, message: '' }),
    verify: async () => ({ pass: true, message: '' }),
    declare: async () => {},
    subscribe: () => () => {},
    resources: async () => [],
    close: async () => {},
  };
  return { driver: made, units, acts };
}

function setUp(clock: Clock = systemClock) {
  const target = driver();
  const changes: StateChange[] = [];
  /** `gone`: waits until it is called, while it is being written that a resource is gone. */
  const remote: { down: boolean; gone?: () => void } = { down: false };
  const place = { there: true };
  const failures: string[] = [];
  const controller = createController({
    clock,
    conditions: () => ({ operatorPaused: false, highestId: 0 }),
    driverOf: () => (place.there ? target.driver : undefined),
    runnable: async (_id, revision) => workload(revision).runnable,
    answer: createAnswerer(async ({ resource }) => resource.runnable),
    async publish(change) {
      if (change.first && remote.down) throw new Error('the remote is down');
      if (change.next === undefined) await new Promise<void>((written) => Object.assign(remote, { gone: written }));
      changes.push(change);
    },
    decided() {},
    failed: (_id, what) => failures.push(what),
    signal: new AbortController().signal,
  });
  t.teardown(() => controller.stop());
  return { ...target, controller, changes, remote, place, failures };
}

const tell = (resource: Resource, commit = 'c1'): Map<ResourceId, Told> =>
  new Map([
    [
      resource.id,
      {
        commit,
        declaration: { resource, commit, deletionConfirmed: false },
        now: { valid: true, revision: resource.revision },
      },
    ],
  ]);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const id: ResourceId = 'Workload/tomcat';

t.test('it looks, decides, publishes and acts until all is as declared', async (t) => {
  const { controller, units, changes } = setUp();
  controller.declare(tell(workload('aaaaaaaaaa', { replicas: 3 })));
  await until(() => controller.state(id)?.rollout?.phase === 'Succeeded' && controller.idle());
  t.equal(units.size, 3);
  const first = changes.findIndex((change) => change.first);
  t.equal(changes[first]?.next?.rollout?.phase, 'Progressing', 'the plan is durable before anything is started');
});

t.test('nothing is started while its plan cannot be made durable; then it goes on by itself', async (t) => {
  const { controller, acts, remote, failures } = setUp();
  remote.down = true;
  controller.declare(tell(workload('aaaaaaaaaa', { replicas: 2 })));
  await until(() => failures.length > 0);
  t.same(acts, []);
  t.not(controller.state(id)?.rollout?.phase, 'Progressing', 'what was not durable was not decided');
  remote.down = false;
  await until(() => controller.state(id)?.rollout?.phase === 'Succeeded');
});

t.test('an operation is taken once, durably, however often it is told', async (t) => {
  const { controller, changes } = setUp();
  controller.declare(tell(workload('aaaaaaaaaa', { replicas: 1 })));
  await until(() => controller.state(id)?.rollout?.phase === 'Succeeded' && controller.idle());
  const before = changes.length;
  const operation = {
    name: 'p',
    digest: 'd',
    action: 'pause' as const,
    resource: id,
    rollout: 1,
    place: { file: 'p', line: 1, column: 1 },
  };
  controller.operate([operation]);
  controller.operate([operation]);
  await until(() => controller.state(id)?.operations.p !== undefined && controller.idle());
  t.match(controller.state(id)?.operations.p, { outcome: 'refused' });
  t.equal(changes.slice(before).filter((change) => change.first).length, 1);
});

t.test('what is declared again while its deletion is being written is begun anew', async (t) => {
  const { controller, remote, changes } = setUp();
  controller.declare(tell(workload('aaaaaaaaaa', { replicas: 0 })));
  await until(() => controller.state(id)?.rollout?.phase === 'Succeeded' && controller.idle());
  const gone: Told = { commit: 'c2', declaration: { commit: 'c2', deletionConfirmed: true }, now: { valid: true } };
  controller.declare(new Map([[id, gone]]));
  await until(() => remote.gone !== undefined);
  controller.declare(tell(workload('bbbbbbbbbb', { replicas: 1 }), 'c3'));
  remote.gone?.();
  await until(() => changes.at(-1)?.next?.commit === 'c3');
  await until(() => controller.state(id)?.rollout?.phase === 'Succeeded');
  t.equal(controller.state(id)?.rollout?.id, 1);
});

t.test('a target that does not answer is asked again, and nothing is removed meanwhile', async (t) => {
  const { controller, driver: target, units, failures } = setUp();
  controller.declare(tell(workload('aaaaaaaaaa', { replicas: 2 })));
  await until(() => controller.state(id)?.rollout?.phase === 'Succeeded' && controller.idle());
  const { observe } = target;
  target.observe = async () => {
    throw new Error('frozen');
  };
  controller.declare(tell(workload('bbbbbbbbbb', { replicas: 2 }), 'c2'));
  await until(() => failures.length > 0);
  t.equal(
    [...units.values()].every((unit) => unit.revision === 'aaaaaaaaaa'),
    true,
  );
  target.observe = observe;
  await until(() => controller.state(id)?.rollout?.id === 2 && controller.state(id)?.rollout?.phase === 'Succeeded');
});

t.test('a target that is not there is waited for, and costs nothing meanwhile', async (t) => {
  const { controller, units, place, changes } = setUp();
  controller.declare(tell(workload('aaaaaaaaaa', { replicas: 2 })));
  await until(() => controller.state(id)?.rollout?.phase === 'Succeeded' && controller.idle());
  const before = changes.length;
  place.there = false;
  controller.touchAll();
  await until(() => changes.length > before && controller.idle());
  t.ok(changes.length < before + 5, `${changes.length - before} decisions`);
  units.clear();
  place.there = true;
  controller.touchAll();
  await until(() => units.size === 2);
});

t.test('stopped while it acts, it waits for nothing any more', async (t) => {
  const waiting = new Set<symbol>();
  const world = setUp({
    ...systemClock,
    after(ms, call) {
      const name = Symbol(`${ms} ms`);
      waiting.add(name);
      const callOff = systemClock.after(ms, call);
      return () => {
        waiting.delete(name);
        callOff();
      };
    },
  });
  const stopped = new Promise<void>((resolve) => {
    world.driver.start = async () => {
      world.controller.stop();
      resolve();
      throw new Error('another operator has taken over');
    };
  });
  world.controller.declare(tell(workload('a')));
  await stopped;
  await new Promise((later) => setImmediate(later));
  t.equal(waiting.size, 0);
});
