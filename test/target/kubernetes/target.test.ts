import t, { type Test } from 'tap';
import { toJsonText } from '../../../src/manifest/json-text.ts';
import type { ReplicasResource, Runnable, WorkloadSpec } from '../../../src/manifest/resource.ts';
import { readPodLogs } from '../../../src/target/kubernetes/logs.ts';
import { workload } from '../../support/resources.ts';
import { until } from '../../support/until.ts';
import { container } from '../local/fixtures.ts';
import { at, type KubernetesPlace, kubernetesPlace, roll, SETS } from './place.ts';

// Each target asks who it is by a process of its own.

const TOMCAT = 'Workload/tomcat';

const tomcat = (
  revision: string,
  over: Partial<WorkloadSpec> = {},
  { template: own, ...more }: Partial<Runnable> = {},
): ReplicasResource => {
  const spec = {
    containers: [container({ image: `tomcat:${revision}` })],
    volumes: [],
    terminationGracePeriodSeconds: 5,
  };
  const template = { metadata: { labels: {} }, spec };
  const made = workload(revision, over);
  return { ...made, runnable: { ...made.runnable, template: toJsonText(own ?? template), ...more } };
};

const isReady = ({
  metadata,
  status,
}: {
  metadata: { deletionTimestamp?: string };
  status: { conditions?: { type: string; status: string }[] };
}) =>
  metadata.deletionTimestamp === undefined &&
  status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');

/** The fewest ready pods from now on. */
function fewest(t: Test, { api }: KubernetesPlace): () => number {
  let least = Number.POSITIVE_INFINITY;
  const timer = setInterval(() => {
    least = Math.min(least, api.list(at('pods')).filter(isReady).length);
  }, 1);
  t.teardown(() => clearInterval(timer));
  return () => least;
}

const replicas = ({ api }: KubernetesPlace) =>
  Object.fromEntries(api.list(SETS).map(({ metadata, spec }) => [metadata.name, spec.replicas]));

t.test('a revision is a ReplicaSet, and the rollout moves their replicas within its bounds', async (t) => {
  const here = await kubernetesPlace(t);
  const it = roll(await here.open(), TOMCAT);
  it.commit(tomcat('aaaaaaaaaa'));
  await it.settled(1);
  t.strictSame(replicas(here), { 'tomcat-aaaaaaaaaa': 5 });
  t.match(here.api.find(`${at('services')}/tomcat`)?.spec, { ports: [{ port: 8080 }] });

  const project = { context: 'test', kubeconfig: here.kubeconfig, namespace: 'shop', drainSeconds: 0, project: 'test' };
  const [first] = here.api.list(at('pods')).map(({ metadata }) => metadata.name);
  t.equal((await readPodLogs('prod', project, TOMCAT, undefined)).length, 5);
  const one = { unit: first, container: 'main', source: 'stdout', text: `main of ${first} wrote this\n` };
  t.strictSame(await readPodLogs('prod', project, TOMCAT, first), [one]);

  const ready = fewest(t, here);
  it.commit(tomcat('bbbbbbbbbb'));
  await it.settled(2);
  t.strictSame(replicas(here), { 'tomcat-aaaaaaaaaa': 0, 'tomcat-bbbbbbbbbb': 5 });
  t.equal(here.cluster.most(), 6, 'never more than replicas and surge, those that leave counted');
  t.ok(ready() >= 5, `never fewer than 5 ready: ${ready()}`);
  const { uid } = here.api.find(`${SETS}/tomcat-aaaaaaaaaa`).metadata;

  it.commit(tomcat('aaaaaaaaaa'));
  await it.settled(3);
  t.equal(here.api.find(`${SETS}/tomcat-aaaaaaaaaa`).metadata.uid, uid, 'the same ReplicaSet serves again');

  it.commit(undefined);
  await until('all is gone', () => here.api.list(SETS).length === 0 && here.api.list(at('services')).length === 0);
  t.equal(here.api.list(at('pods')).length, 0);
  it.stop();
});

t.test('what dies is put back by the cluster, and is no business of the rollout', async (t) => {
  const here = await kubernetesPlace(t);
  const driver = await here.open();
  const it = roll(driver, TOMCAT);
  it.commit(tomcat('aaaaaaaaaa'));
  await it.settled(1);
  const [victim] = here.api.list(at('pods'));
  here.cluster.kill(victim.metadata.name);
  await until('five again', () => here.api.list(at('pods')).filter(isReady).length === 5);
  await until('it is seen', () => it.controller.live(TOMCAT)?.units.filter(({ ready }) => ready).length === 5);
  t.strictSame([it.state()?.rollout?.id, it.state()?.repairs.count], [1, 0]);
  it.stop();
});

t.test('many replicas are moved by few writes', async (t) => {
  const here = await kubernetesPlace(t);
  const it = roll(await here.open(), TOMCAT);
  const wide = { replicas: 80, strategy: { maxSurge: '25%', maxUnavailable: '25%' } };
  it.commit(tomcat('aaaaaaaaaa', wide));
  await it.settled(1);
  const first = here.api.writes.filter((write) => write.includes('replicasets')).length;
  t.equal(first, 3, 'one makes the ReplicaSet, one gives it to apply, one asks for all of its pods');
  it.commit(tomcat('bbbbbbbbbb', wide));
  await it.settled(2);
  t.equal(here.cluster.most(), 100);
  t.strictSame(replicas(here), { 'tomcat-aaaaaaaaaa': 0, 'tomcat-bbbbbbbbbb': 80 });
  it.stop();
});

t.test('what a revision mounts is its own, cannot change, and goes with it', async (t) => {
  const here = await kubernetesPlace(t);
  here.secrets.db = { password: Buffer.from('one') };
  const it = roll(await here.open(), TOMCAT);
  const configured = (revision: string, colour: string) => {
    const env = [{ name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'look', key: 'colour' } } }];
    const spec = {
      containers: [container({ env })],
      volumes: [
        { name: 'db', secret: { secretName: 'db' } },
        { name: 'outside', secret: { secretName: 'outside' } },
      ],
      terminationGracePeriodSeconds: 5,
    };
    const template = { metadata: { labels: {} }, spec };
    return tomcat(
      revision,
      { revisionHistoryLimit: 1 },
      { template, configMaps: { look: { data: { colour }, binaryData: {} } } },
    );
  };
  it.commit(configured('aaaaaaaaaa', 'blue'));
  await it.settled(1);
  t.match(here.api.find(`${at('configmaps')}/tomcat-aaaaaaaaaa-look`), { immutable: true, data: { colour: 'blue' } });
  t.match(here.api.find(`${at('secrets')}/tomcat-aaaaaaaaaa-db`), { immutable: true, data: { password: 'b25l' } });
  t.match(
    here.api.find(`${SETS}/tomcat-aaaaaaaaaa`).spec.template.spec.volumes,
    [{ secret: { secretName: 'tomcat-aaaaaaaaaa-db' } }, { secret: { secretName: 'outside' } }],
    'one that --secrets-dir does not have is that of the namespace',
  );

  here.secrets.db = { password: Buffer.from('two') };
  it.commit(configured('bbbbbbbbbb', 'green'));
  await it.settled(2);
  it.commit(configured('aaaaaaaaaa', 'blue'));
  await it.settled(3);
  t.match(
    here.api.find(`${at('secrets')}/tomcat-aaaaaaaaaa-db`).data,
    { password: 'dHdv' },
    'a secret that changed is taken anew',
  );
  it.commit(configured('cccccccccc', 'red'));
  await it.settled(4);
  await until('one earlier revision is kept', () => here.api.list(SETS).length === 2);
  t.equal(here.api.find(`${at('configmaps')}/tomcat-bbbbbbbbbb-look`), undefined, 'it went with its revision');
  t.ok(here.api.find(`${at('configmaps')}/tomcat-aaaaaaaaaa-look`));
  it.stop();
});

t.test('an operator goes on where another was killed, and that one acts no more', async (t) => {
  const here = await kubernetesPlace(t, { readyMs: () => 60 });
  const driver = await here.open();
  const first = roll(driver, TOMCAT);
  first.commit(tomcat('aaaaaaaaaa'));
  await first.settled(1);
  first.commit(tomcat('bbbbbbbbbb'));
  await until('it rolls', () => here.api.list(SETS).length === 2);
  first.stop();

  const second = roll(await here.open(), TOMCAT, { state: first.state(), runnables: first.runnables });
  second.commit(tomcat('bbbbbbbbbb'));
  await second.settled(2);
  t.equal(here.cluster.most(), 6);
  const action = {
    kind: 'start' as const,
    unit: 'tomcat-1',
    revision: 'aaaaaaaaaa',
    version: '',
    attempt: 'late.1',
    restarts: 0,
  };
  const runnable = first.runnables.get('aaaaaaaaaa');
  const signal = AbortSignal.timeout(10_000);
  await driver.start(TOMCAT, action, runnable, signal);
  await until('it knows', () => here.logged.some((line) => line.includes('a later operator has taken over')));
  await t.rejects(driver.start(TOMCAT, { ...action, attempt: 'late.2' }, runnable, signal), {
    code: 'stale-epoch',
  } as never);
  t.strictSame(replicas(here), { 'tomcat-aaaaaaaaaa': 0, 'tomcat-bbbbbbbbbb': 5 });
  await t.rejects(here.open(1), { message: /holds epoch 1, but namespace shop has seen epoch 2/ });
  second.stop();
});

t.test('a write whose answer is lost is looked up, and one that is refused is made again', async (t) => {
  const here = await kubernetesPlace(t);
  const it = roll(await here.open(), TOMCAT);
  here.api.lose('PATCH', /replicasets/);
  it.commit(tomcat('aaaaaaaaaa'));
  await it.settled(1);
  t.equal(here.cluster.most(), 5, 'nothing was started twice');
  here.api.refuse('POST', /replicasets/, 500, 'etcd is away');
  it.commit(tomcat('bbbbbbbbbb'));
  await it.settled(2);
  const failed = here.logged.filter((line) => line.startsWith('ReplicaSet'));
  t.strictSame(failed, ['ReplicaSet tomcat-bbbbbbbbbb cannot be changed: etcd is away']);
  it.stop();
});

t.test('pods that are stuck fail the rollout early, in the words of the cluster', async (t) => {
  const waiting = (reason: string, message: string) => ({
    containerStatuses: [{ name: 'main', restartCount: 0, state: { waiting: { reason, message } } }],
  });
  const here = await kubernetesPlace(t);
  here.cluster.cluster.readyMs = (image) => (image === 'tomcat:aaaaaaaaaa' ? 20 : undefined);
  here.cluster.cluster.trouble = (image) =>
    image === 'tomcat:bbbbbbbbbb' ? waiting('ImagePullBackOff', 'no such manifest: tomcat:bbbbbbbbbb') : undefined;
  const it = roll(await here.open(), TOMCAT);
  it.commit(tomcat('aaaaaaaaaa'));
  await it.settled(1);
  const began = Date.now();
  it.commit(tomcat('bbbbbbbbbb'));
  const { rollout } = await it.phase(2, 'Paused');
  t.equal(rollout?.reason, 'Failure');
  t.match(
    rollout?.message,
    /tomcat-bbbbbbbbbb-.*: container main: ImagePullBackOff: no such manifest: tomcat:bbbbbbbbbb/,
  );
  t.ok(Date.now() - began < 100_000, 'long before its deadline of ten minutes');
  t.equal(here.api.list(at('pods')).filter(isReady).length, 5);

  here.cluster.cluster.quota = 5;
  it.commit(tomcat('cccccccccc'));
  const later = await it.phase(3, 'Paused');
  t.match(later.rollout?.message, /FailedCreate: .*exceeded quota/);
  it.stop();
});
