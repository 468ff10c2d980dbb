/** A driver of a namespace of the test's own, and the operator's controller that moves resources on it. */
import type { Test } from 'tap';
import { systemClock } from '../../../src/clock.ts';
import { toJsonText } from '../../../src/manifest/json-text.ts';
import type { ReplicasResource, ResourceId, Runnable } from '../../../src/manifest/resource.ts';
import { runnableOf } from '../../../src/manifest/runnable.ts';
import type { KubernetesTarget } from '../../../src/manifest/target.ts';
import { type Controller, createController } from '../../../src/operator/controller.ts';
import type { State } from '../../../src/rollout/state.ts';
import { type KubernetesTargetOptions, openKubernetesTarget } from '../../../src/target/kubernetes/target.ts';
import type { UnitDriver } from '../../../src/target/ports.ts';
import { until } from '../../support/until.ts';
import { container } from '../local/fixtures.ts';
import { type FakeApi, startApi } from './api.ts';
import { type Cluster, runControllers } from './controllers.ts';

const template = (image: string) => ({
  metadata: { labels: {} },
  spec: { containers: [container({ image })], volumes: [], terminationGracePeriodSeconds: 5 },
});
/** The same, with one container of this image. */
export const running = (made: ReplicasResource, image: string): ReplicasResource => ({
  ...made,
  runnable: { ...made.runnable, template: toJsonText(template(image)) },
});

export interface KubernetesPlace {
  api: FakeApi;
  cluster: ReturnType<typeof runControllers>;
  kubeconfig: string;
  secrets: Record<string, Record<string, Buffer>>;
  logged: string[];
  /** What the controller could not do. */
  failed: string[];
  open(epoch?: number, more?: Partial<KubernetesTargetOptions>): Promise<UnitDriver>;
}

export const at = (plural: string) => `/api/v1/namespaces/shop/${plural}`;
export const SETS = '/apis/apps/v1/namespaces/shop/replicasets';
export const ROUTES = '/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes';

export async function kubernetesPlace(
  t: Test,
  over: Partial<Cluster> = {},
  target: Partial<KubernetesTarget> = {},
): Promise<KubernetesPlace> {
  const api = await startApi();
  api.answer('/version', { gitVersion: 'v1.36.2', major: '1', minor: '36' });
  const kubeconfig = api.kubeconfig(t.testdir());
  const cluster = runControllers(api, 'shop', over);
  const drivers: UnitDriver[] = [];
  let last = 0;
  const here: KubernetesPlace = {
    ...{ api, cluster, kubeconfig, secrets: {}, logged: [], failed: [] },
    async open(epoch = ++last, more = {}) {
      const driver = await openKubernetesTarget({
        name: 'prod',
        kubernetes: { context: 'test', kubeconfig, namespace: 'shop', drainSeconds: 0, project: 'test', ...target },
        secrets: { read: async (name) => here.secrets[name] },
        epoch,
        digestAt: async () => {
          throw new Error('no registry here');
        },
        ...more,
        log: (message) => here.logged.push(message),
      });
      drivers.push(driver);
      failuresOf.set(driver, here.failed);
      return driver;
    },
  };
  t.teardown(async () => {
    for (const driver of drivers) await driver.close();
    cluster.stop();
    await api.close();
  });
  return here;
}

/** Ten times as fast: what is waited for in seconds is waited for in tenths. */
const began = Date.now();
const fast = {
  ...systemClock,
  now: () => began + (Date.now() - began) * 10,
  after: (ms: number, call: () => void) => systemClock.after(ms / 10, call),
};

const failuresOf = new WeakMap<UnitDriver, string[]>();

export interface Rolling {
  controller: Controller;
  state(): State | undefined;
  commit(resource: ReplicasResource | undefined): void;
  /** The rollout of this number has succeeded, and is observed. */
  settled(rollout: number): Promise<void>;
  phase(rollout: number, phase: string): Promise<State>;
  stop(): void;
}

/** `before`: what an operator before it remembered. */
export function roll(
  driver: UnitDriver,
  id: ResourceId,
  before?: { state: State | undefined; runnables: Map<string, Runnable> },
): Rolling & { runnables: Map<string, Runnable> } {
  const failures = failuresOf.get(driver) ?? [];
  const runnables = before?.runnables ?? new Map<string, Runnable>();
  const stopping = new AbortController();
  let commits = 0;
  const controller: Controller = createController({
    clock: fast,
    conditions: () => ({ operatorPaused: false, highestId: 0 }),
    driverOf: () => driver,
    runnable: async (_, revision) => runnables.get(revision) as Runnable,
    answer: async ({ rollout, question }) => {
      if (question.kind === 'check') {
        const answers = await Promise.all(
          question.checks.map(({ check, version }) => driver.check(id, version, check, stopping.signal)),
        );
        const message = answers.map((each) => each.message).join('; ');
        return {
          kind: 'checked',
          rollout: rollout.id,
          stage: question.stage,
          pass: answers.every(({ pass }) => pass),
          message,
        };
      }
      return { kind: 'prechecked', rollout: rollout.id, revision: rollout.plan.to, results: PASSED } as never;
    },
    publish: async () => {},
    decided() {},
    failed: (_, what, error) => void failures.push(`${what}: ${(error as Error).message}`),
    signal: stopping.signal,
  });
  if (before?.state !== undefined) controller.restore(id, before.state);
  const unsubscribe = driver.subscribe((resource) => controller.touch(resource));
  const state = () => controller.state(id);
  const waited = (what: string, holds: (now: State) => boolean) =>
    until(
      what,
      () => {
        const now = state();
        return now !== undefined && holds(now) ? now : undefined;
      },
      90,
      5,
    ).catch((error: Error) => {
      const live = controller.live(id);
      throw new Error(`${error.message}; ${JSON.stringify(state()?.rollout)} ${JSON.stringify(live)}`);
    });
  return {
    ...{ controller, runnables, state },
    commit(resource) {
      const commit = `c${++commits}`;
      if (resource !== undefined) runnables.set(resource.revision, runnableOf(resource));
      const declaration = { commit, deletionConfirmed: true, ...(resource !== undefined && { resource }) };
      controller.declare(new Map([[id, { commit, now: { valid: true }, declaration }]]));
      controller.touch(id);
    },
    async settled(rollout) {
      await waited(
        `rollout ${rollout} is settled`,
        (now) => now.rollout?.id === rollout && now.rollout.phase === 'Succeeded' && now.settled.observed,
      );
    },
    phase: (rollout, phase) =>
      waited(`rollout ${rollout} is ${phase}`, (now) => now.rollout?.id === rollout && now.rollout.phase === phase),
    stop() {
      unsubscribe();
      controller.stop();
      stopping.abort();
    },
  };
}

const PASSED = [{ name: 'target', result: 'pass', message: 'answers', remedy: '' }];
