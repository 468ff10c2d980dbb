import { once } from 'node:events';
import t from 'tap';
import type { Runnable } from '../../../src/manifest/resource.ts';
import { openKube } from '../../../src/target/kubernetes/client.ts';
import { openFence } from '../../../src/target/kubernetes/fence.ts';
import { makeSet } from '../../../src/target/kubernetes/make.ts';
import { service } from '../../support/resources.ts';
import { until } from '../../support/until.ts';
import { container } from '../local/fixtures.ts';
import { at, kubernetesPlace, ROUTES, roll, running, SETS } from './place.ts';

const SHOP = 'Service/shop';

t.test('what an operator was about to write when another took over is refused by the API', async (t) => {
  const here = await kubernetesPlace(t, {}, { gateway: { name: 'public' } });
  const first = roll(await here.open(), SHOP);
  first.commit(running(service('aaaaaaaaaa'), 'shop:a'));
  await first.settled(1);
  const paths = [`${ROUTES}/shop`, `${at('services')}/shop-v1`, `${SETS}/shop-v1-aaaaaaaaaa`];
  await until('it has a route of its own', () => here.api.find(`${ROUTES}/shop-v1`));
  const epochs = () => paths.map((path) => here.api.find(path).metadata.annotations['sluice/epoch']);
  t.strictSame(epochs(), ['1', '1', '1']);
  first.stop();

  const kube = await openKube({ context: 'test', kubeconfig: here.kubeconfig });
  t.teardown(() => kube.close());
  const scope = { namespace: 'shop', project: 'test', target: 'prod' };
  for (const [index, path] of paths.entries()) {
    const told: string[] = [];
    const fence = openFence({ kube, scope, epoch: 2 * index + 1, stale: ({ message }) => told.push(message) });
    const writes = {
      apply: () => fence.apply(path, () => ({ metadata: { labels: { late: 'yes' } } })),
      change: () => fence.change(path, () => ({ metadata: { labels: { late: 'yes' } } })),
      remove: () => fence.remove(path),
    };
    const [name, write] = Object.entries(writes)[index] as [string, () => Promise<unknown>];
    // It has looked, and is woken when the next operator has begun.
    const answered = here.api.hold('GET', new RegExp(`${path}$`));
    const late = write();
    await answered.seen;
    const next = await here.open(2 * index + 3);
    answered.go();
    await t.rejects(late, { code: 'stale-epoch' } as never, name);
    t.match(told, [/a later operator has taken over/]);
    const found = here.api.find(path);
    t.strictSame(
      [found.metadata.labels.late, found.metadata.annotations['sluice/epoch']],
      [undefined, `${2 * index + 3}`],
    );
    await next.close();
  }
  t.strictSame(epochs(), ['7', '7', '7'], 'whoever opens a target has all that is there');
});

t.test('what an operator makes that was replaced before it did is taken away again', async (t) => {
  const here = await kubernetesPlace(t);
  await here.open();
  const kube = await openKube({ context: 'test', kubeconfig: here.kubeconfig });
  t.teardown(() => kube.close());
  const scope = { namespace: 'shop', project: 'test', target: 'prod' };
  const fence = openFence({ kube, scope, epoch: 1, stale() {} });
  const answered = here.api.hold('GET', /configmaps\/sluice-prod-test$/);
  const late = fence.apply(`${at('services')}/cat`, () => ({ metadata: { name: 'cat' } }));
  await answered.seen;
  await here.open();
  answered.go();
  await t.rejects(late, { code: 'stale-epoch' } as never);
  t.ok(here.api.writes.includes(`POST ${at('services')}`), 'it was made');
  t.equal(here.api.find(`${at('services')}/cat`), undefined);
});

t.test('a secret that the next operator has put there is not taken away by the one before', async (t) => {
  const here = await kubernetesPlace(t);
  await here.open();
  const kube = await openKube({ context: 'test', kubeconfig: here.kubeconfig });
  t.teardown(() => kube.close());
  const scope = { namespace: 'shop', project: 'test', target: 'prod' };
  const template = {
    metadata: { labels: {} },
    spec: {
      containers: [container({ envFrom: [{ secretRef: { name: 'keys' } }] })],
      volumes: [],
      terminationGracePeriodSeconds: 5,
    },
  };
  const runnable = { resource: SHOP, revision: 'aaaaaaaaaa', template, configMaps: {}, images: {} } as const;
  const by = (epoch: number, token: string, through = kube) => {
    const making = {
      ...{ kube: through, scope, epoch, drainSeconds: 0, log() {}, images: { pin: async (it: Runnable) => it } },
      fence: openFence({ kube, scope, epoch, stale() {} }),
      secrets: { read: async () => ({ token: Buffer.from(token) }) },
    };
    return makeSet(making, { resource: SHOP, version: 'v1', revision: 'aaaaaaaaaa' }, runnable);
  };
  await by(1, 'old');
  const answered = here.api.hold('GET', /secrets\/shop-v1-aaaaaaaaaa-keys$/);
  const late = by(1, 'other');
  await answered.seen;
  await by(2, 'new');
  answered.go();
  await t.rejects(late, { status: 409 } as never);
  const { data } = here.api.find(`${at('secrets')}/shop-v1-aaaaaaaaaa-keys`);
  t.equal(Buffer.from(data.token, 'base64').toString(), 'new');

  // Stopped before it looks, it sees what the next one has made.
  let stopped = () => {};
  const isStopped = new Promise<void>((resolve) => {
    stopped = resolve;
  });
  const woken = new AbortController();
  const find: typeof kube.find = async (path) => {
    if (path.includes('/secrets/') && !woken.signal.aborted) {
      stopped();
      await once(woken.signal, 'abort');
    }
    return kube.find(path);
  };
  const later = by(2, 'later', { ...kube, find });
  await isStopped;
  await here.open(3);
  await by(3, 'newest');
  woken.abort();
  await t.rejects(later, { code: 'stale-epoch' } as never);
  const now = here.api.find(`${at('secrets')}/shop-v1-aaaaaaaaaa-keys`);
  t.equal(Buffer.from(now.data.token, 'base64').toString(), 'newest');
});

t.test('storage that was made anew is not taken away with what it was made in place of', async (t) => {
  const here = await kubernetesPlace(t);
  const driver = await here.open();
  const claim = `${at('persistentvolumeclaims')}/shop-data`;
  const labels = { 'sluice/project': 'test', 'sluice/target': 'prod', 'sluice/resource': 'Service.shop' };
  const make = () =>
    here.api.put(claim, ({ metadata }) => {
      metadata.labels = { 'app.kubernetes.io/managed-by': 'sluice', ...labels };
    });
  make();
  const answered = here.api.hold('GET', /persistentvolumeclaims$/);
  const late = driver.start(SHOP, { kind: 'forget' }, undefined, new AbortController().signal);
  await answered.seen;
  here.api.remove(claim);
  const { uid } = make().metadata;
  answered.go();
  await late.catch(() => {});
  t.equal(here.api.find(claim)?.metadata.uid, uid);
});

t.test(
  'what somebody makes at the same moment is not made again, and what others write to is written after all',
  async (t) => {
    const here = await kubernetesPlace(t);
    await here.open();
    const kube = await openKube({ context: 'test', kubeconfig: here.kubeconfig });
    t.teardown(() => kube.close());
    const fence = openFence({
      kube,
      scope: { namespace: 'shop', project: 'test', target: 'prod' },
      epoch: 1,
      stale() {},
    });
    const path = `${at('services')}/cat`;
    const answered = here.api.hold('GET', new RegExp(`${path}$`));
    const made = fence.apply(path, (found) =>
      found === undefined ? { metadata: { name: 'cat' }, spec: { by: 'me' } } : undefined,
    );
    await answered.seen;
    here.api.put(path, (object) => {
      object.spec = { by: 'somebody' };
    });
    answered.go();
    t.match(await made, { spec: { by: 'somebody' } });

    const again = here.api.hold('GET', new RegExp(`${path}$`));
    const changed = fence.change(path, () => ({ spec: { by: 'me' } }));
    await again.seen;
    here.api.put(path, (object) => {
      object.status = { seen: true };
    });
    again.go();
    t.match(await changed, {
      spec: { by: 'me' },
      status: { seen: true },
      metadata: { annotations: { 'sluice/epoch': '1' } },
    });
  },
);
