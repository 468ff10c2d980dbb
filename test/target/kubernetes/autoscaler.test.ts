/** Beside a HorizontalPodAutoscaler, on the server of the tests' own, and on a real one where `KUBECONFIG` names it. Nobody measures anything: the test scales. */
import t, { type Test } from 'tap';
import type { ReplicasResource } from '../../../src/manifest/resource.ts';
import { runnableOf } from '../../../src/manifest/runnable.ts';
import { type Kube, openKube, statusOf } from '../../../src/target/kubernetes/client.ts';
import { openKubernetesTarget } from '../../../src/target/kubernetes/target.ts';
import type { UnitDriver } from '../../../src/target/ports.ts';
import { service, workload } from '../../support/resources.ts';
import { until } from '../../support/until.ts';
import type { Json } from './api.ts';
import { hollowCluster } from './nodes/hollow.ts';
import { kubernetesPlace, roll, running } from './place.ts';

// Each target asks who it is by a process of its own.

const TOMCAT = 'Workload/tomcat';
const tomcat = (revision: string) => running(workload(revision), `tomcat:${revision}`);
const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'tomcat' };
const MERGE = 'application/merge-patch+json';

interface Where {
  kube: Kube;
  namespace: string;
  open(): Promise<UnitDriver>;
}

async function scalerPrecheck(driver: UnitDriver, resource: ReplicasResource): Promise<string[]> {
  const signal = AbortSignal.timeout(10_000);
  const results = await driver.precheck(resource.id, resource.spec, runnableOf(resource), {} as never, signal);
  return results.filter(({ name }) => name === 'scaler').map(({ result, message }) => `${result} ${message}`);
}

async function worksBeside(t: Test, { kube, namespace, open }: Where): Promise<void> {
  const scalers = `/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers`;
  const sets = `/apis/apps/v1/namespaces/${namespace}/replicasets`;
  const scaler = () => kube.ask<Json>('GET', `${scalers}/cat`);
  const to = async () => (await scaler()).spec.scaleTargetRef.name;
  const held = async () => (await scaler()).metadata.annotations?.['sluice/replicas'];
  const replicas = async () => {
    const { items } = await kube.ask<{ items: Json[] }>('GET', sets);
    return Object.fromEntries(items.map(({ metadata, spec }) => [metadata.name, spec.replicas]));
  };
  /** As its controller does it; false: it scales nothing now. */
  async function autoscale(count: number): Promise<boolean> {
    const path = `${sets}/${await to()}/scale`;
    const scale = await kube.ask<Json>('GET', path).catch((error) => {
      if (statusOf(error) !== 404) throw error;
    });
    if (scale === undefined || scale.spec.replicas === 0) return false;
    await kube.ask('PATCH', path, { body: { spec: { replicas: count } }, type: MERGE });
    return true;
  }
  const points = (name: string) => until(`it scales ${name}`, async () => (await to()) === name && !(await held()));

  const spec = { scaleTargetRef, minReplicas: 2, maxReplicas: 20 };
  await kube.ask('POST', scalers, { body: { metadata: { name: 'cat' }, spec } });
  const driver = await open();
  const said = await scalerPrecheck(driver, tomcat('aaaaaaaaaa'));
  t.strictSame(said, [
    'pass HorizontalPodAutoscaler cat says how many replicas there are, and is held while a rollout lasts',
  ]);
  let it = roll(driver, TOMCAT);
  it.commit(tomcat('aaaaaaaaaa'));
  await it.settled(1);
  await points('tomcat-aaaaaaaaaa');
  t.strictSame(await replicas(), { 'tomcat-aaaaaaaaaa': 5 }, 'before it says anything there are as many as declared');

  t.ok(await autoscale(8));
  const isRunning = (count: number) => () => {
    const ready = it.controller.live(TOMCAT)?.units.filter((unit) => unit.ready).length;
    return ready === count && it.state()?.settled.observed;
  };
  await until('there are 8', isRunning(8));
  t.strictSame(await replicas(), { 'tomcat-aaaaaaaaaa': 8 });
  t.match(it.state(), { scaled: { replicas: 8, by: 'HorizontalPodAutoscaler cat' }, repairs: { count: 0 } });

  it.commit(tomcat('bbbbbbbbbb'));
  await until('it rolls', async () => (await replicas())['tomcat-bbbbbbbbbb'] > 0);
  t.strictSame([await to(), await held(), await autoscale(15)], ['tomcat', '8', false], 'it is held meanwhile');
  await it.settled(2);
  t.strictSame(await replicas(), { 'tomcat-aaaaaaaaaa': 0, 'tomcat-bbbbbbbbbb': 8 });
  await points('tomcat-bbbbbbbbbb');
  t.equal((await scaler()).spec.maxReplicas, 20);

  await kube.ask('PATCH', `${scalers}/cat`, { body: { spec }, type: MERGE });
  await points('tomcat-bbbbbbbbbb');
  t.ok(await autoscale(6), 'its manifest may be applied again');
  await until('there are 6', isRunning(6));

  it.commit(tomcat('cccccccccc'));
  await until('it rolls', async () => (await replicas())['tomcat-cccccccccc'] > 0);
  it.stop();
  it = roll(await open(), TOMCAT, { state: it.state(), runnables: it.runnables });
  it.commit(tomcat('cccccccccc'));
  await it.settled(3);
  t.equal((await replicas())['tomcat-cccccccccc'], 6, 'an operator that goes on finds what it was held at');
  await points('tomcat-cccccccccc');

  await kube.ask('DELETE', `${scalers}/cat`);
  await until('what is declared counts again', async () => (await replicas())['tomcat-cccccccccc'] === 5);
  await until('and is there', isRunning(5));
  t.equal(it.state()?.scaled, undefined);
  it.stop();
}

t.test('a workload is left to whoever scales it, and rolled at that count', async (t) => {
  const here = await kubernetesPlace(t, { readyMs: () => 100 });
  const kube = await openKube({ context: 'test', kubeconfig: here.kubeconfig });
  t.teardown(() => kube.close());
  await worksBeside(t, { kube, namespace: 'shop', open: () => here.open() });
  t.equal(here.cluster.most(), 9, 'never more than replicas and surge');
});

t.test('prechecks say who scales what, and what is not served', async (t) => {
  const here = await kubernetesPlace(t, {}, { gateway: { name: 'public' } });
  const driver = await here.open();
  const put = (name: string, to: string) =>
    here.api.put(`/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/${name}`, (object) => {
      object.spec = { scaleTargetRef: { ...scaleTargetRef, name: to } };
    });
  put('others', 'tomcat-extra');
  t.strictSame(await scalerPrecheck(driver, tomcat('aaaaaaaaaa')), []);
  put('one', 'tomcat');
  put('two', 'tomcat-aaaaaaaaaa');
  t.match(await scalerPrecheck(driver, tomcat('aaaaaaaaaa')), [
    /^warn .* one and two scale tomcat: only the first counts/,
  ]);
  put('three', 'shop-v1-aaaaaaaaaa');
  const shop = running(service('aaaaaaaaaa'), 'shop:a');
  t.match(await scalerPrecheck(driver, shop), [/^warn .* three scales a version of shop: Sluice puts `replicas` back/]);
});

const { kube, context, skip } = await hollowCluster();
t.test('the same on a real API server', { timeout: 300_000, ...(skip !== undefined && { skip }) }, async (t) => {
  const namespace = `sluice-scaled-${process.pid}`;
  await kube.ask('POST', '/api/v1/namespaces', { body: { metadata: { name: namespace } } });
  const drivers: UnitDriver[] = [];
  t.teardown(async () => {
    for (const driver of drivers) await driver.close();
    await kube.ask('DELETE', `/api/v1/namespaces/${namespace}`);
    kube.close();
  });
  const secrets = { read: async () => undefined };
  const kubernetes = { context, namespace, drainSeconds: 0, project: 'test' };
  const open = async () => {
    const driver = await openKubernetesTarget({ name: 'prod', kubernetes, secrets, epoch: drivers.length + 1 });
    drivers.push(driver);
    return driver;
  };
  await worksBeside(t, { kube, namespace, open });
});
