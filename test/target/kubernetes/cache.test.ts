import t, { type Test } from 'tap';
import { type CacheOptions, isNewer, openCache } from '../../../src/target/kubernetes/cache.ts';
import { type KubeObject, openKube } from '../../../src/target/kubernetes/client.ts';
import { until } from '../../support/until.ts';
import { type FakeApi, startApi } from './api.ts';

const PODS = '/api/v1/namespaces/shop/pods';

async function opened(t: Test, more: Partial<CacheOptions<string>> = {}) {
  const api = await startApi();
  const kube = await openKube({ context: 'test', kubeconfig: api.kubeconfig(t.testdir()) });
  const told: string[] = [];
  const cache = openCache<string>({
    ...{ kube, path: PODS, selector: 'app=web' },
    keep: ({ metadata: { name, labels } }) => `${name} ${labels?.colour ?? ''}`,
    changed: (now, before) => told.push(`${before ?? '-'} > ${now ?? '-'}`),
    turned: (up) => told.push(up ? 'up' : 'down'),
    ...more,
  });
  t.teardown(async () => {
    cache.close();
    kube.close();
    await api.close();
  });
  return { api, kube, cache, told };
}

const pod = (api: FakeApi, name: string, colour: string): KubeObject =>
  api.put(`${PODS}/${name}`, (object) => {
    object.metadata.labels = { app: 'web', colour };
  });
const seen = (cache: { all(): Iterable<string> }) => [...cache.all()].sort();

t.test('what is there is known, in pages, and what changes, as it changes', async (t) => {
  const { api, cache, told } = await opened(t);
  await cache.ready;
  for (let n = 0; n < 3; n++) pod(api, `web-${n}`, 'blue');
  api.put(`${PODS}/other`, (object) => {
    object.metadata.labels = { app: 'other' };
  });
  pod(api, 'web-1', 'green');
  api.remove(`${PODS}/web-2`);
  await until('all of it is seen', () => told.length === 6);
  t.strictSame(seen(cache), ['web-0 blue', 'web-1 green'], 'of these labels alone');
  t.ok(told.includes('web-2 blue > -'));

  for (let n = 3; n < 1203; n++) pod(api, `web-${n}`, 'blue');
  api.dropWatches(true);
  api.remove(`${PODS}/web-0`);
  await until('all is listed again', () => seen(cache).length === 1201);
  t.equal(cache.get('web-0'), undefined, 'what went meanwhile is gone');
  t.equal(cache.get('web-1202'), 'web-1202 blue');
});

t.test('what was written is there at once, and nothing older comes after it', async (t) => {
  const { api, cache } = await opened(t);
  await cache.ready;
  await until('it watches', () => api.watches() === 1);
  const old = structuredClone(pod(api, 'web-1', 'old'));
  const written = structuredClone(pod(api, 'web-1', 'new'));
  cache.put(written);
  t.equal(cache.get('web-1'), 'web-1 new');
  cache.put(old);
  t.equal(cache.get('web-1'), 'web-1 new');
  t.notOk(isNewer('99', '100'), 'versions are compared as numbers');
  t.ok(isNewer('100', '99'));
});

t.test('an API that is away is told, and what it did meanwhile is seen when it is back', async (t) => {
  const { api, cache, told } = await opened(t);
  await cache.ready;
  pod(api, 'web-1', 'blue');
  await until('it is seen', () => cache.get('web-1') !== undefined);
  api.refuse('GET', /pods$/, 503, 'etcd is away', 2);
  api.dropWatches();
  await until('it is away', () => told.includes('down'));
  t.notOk(cache.up());
  pod(api, 'web-1', 'green');
  await until('it is back', () => cache.up() && cache.get('web-1') === 'web-1 green');
});

t.test('a context that is not there is told with those that are', async (t) => {
  const api = await startApi();
  t.teardown(() => api.close());
  const kubeconfig = api.kubeconfig(t.testdir());
  await t.rejects(openKube({ context: 'prod', kubeconfig }), { message: /has no context prod; it has test/ });
  await t.rejects(openKube({}), { message: /kubernetes.context is missing/ });
  const kube = await openKube({ context: 'test', kubeconfig });
  t.equal(await kube.find(`${PODS}/none`), undefined);
  await t.rejects(kube.ask('GET', `${PODS}/none`), { message: /not found/ });
  await api.close();
  await t.rejects(kube.find(`${PODS}/none`), { message: /does not answer: connect ECONNREFUSED/ });
  kube.close();
});
