import t from 'tap';
import type { ReplicasResource, ServiceSpec } from '../../../src/manifest/resource.ts';
import { service, workload } from '../../support/resources.ts';
import { until } from '../../support/until.ts';
import { at, kubernetesPlace, ROUTES, roll, running, SETS } from './place.ts';

const SHOP = 'Service/shop';
const GATEWAY = { gateway: { name: 'public', namespace: 'gateways' } };
const shop = (revision: string, over: Partial<ServiceSpec> = {}): ReplicasResource =>
  running(service(revision, { keepVersions: 0, ...over }), `shop:${revision}`);

t.test(
  'traffic goes by weights, and a version is only scaled down when the Gateway has taken it out and it had its time',
  async (t) => {
    const here = await kubernetesPlace(t, {}, { ...GATEWAY, drainSeconds: 1 });
    const it = roll(await here.open(), SHOP);
    it.commit(shop('aaaaaaaaaa'));
    await it.settled(1);
    const route = () => here.api.find(`${ROUTES}/shop`);
    const weights = () =>
      route().spec.rules[0].backendRefs.map(
        ({ name, weight }: { name: string; weight: number }) => `${name} ${weight}`,
      );
    t.match(route().spec, { hostnames: ['shop.localhost'], parentRefs: [GATEWAY.gateway] });
    t.strictSame(weights(), ['shop-v1 100']);
    await until(
      'each version has a name',
      () => here.api.find(`${ROUTES}/shop-v1`)?.spec.hostnames[0] === 'v1.shop.localhost',
    );

    const proceed = (name: string) =>
      it.controller.operate([
        {
          name,
          digest: name,
          action: 'continue',
          resource: SHOP,
          rollout: 2,
          place: { file: 'o.yaml', line: 1, column: 1 },
        },
      ]);
    const steps = { steps: [{ percent: 20, pause: true }, { percent: 100 }] };
    it.commit(shop('bbbbbbbbbb', { traffic: steps }));
    await it.phase(2, 'Paused');
    t.strictSame(weights(), ['shop-v1 80', 'shop-v2 20']);
    here.cluster.cluster.gateway = false;
    proceed('go');
    await until('the route is changed', () => weights().join() === 'shop-v2 100');
    await new Promise((resolve) => setTimeout(resolve, 300));
    const old = () => here.api.find(`${SETS}/shop-v1-aaaaaaaaaa`)?.spec.replicas;
    t.equal(old(), 2, 'nobody has accepted it');
    here.cluster.cluster.gateway = true;
    const accepted = Date.now();
    here.cluster.accept(`${ROUTES}/shop`);
    await until('the old version is scaled down', () => old() === 0);
    t.ok(Date.now() - accepted >= 990, 'what was under way had its second');
    await it.settled(2);
    await until(
      'nothing is left of its name',
      () =>
        here.api.find(`${at('services')}/shop-v1`) === undefined && here.api.find(`${ROUTES}/shop-v1`) === undefined,
    );
    await until('it is settled for whoever looks', () => route().metadata.annotations['sluice/before'] == null);

    here.api.put(`${ROUTES}/shop`, (object) => {
      object.spec.rules[0].backendRefs.push({ name: 'shop-v9', port: 80, weight: 50 });
    });
    await until('what somebody changed is put back', () => weights().join() === 'shop-v2 100');
    it.commit(undefined);
    await until('all is gone', () =>
      [SETS, ROUTES, at('services'), at('pods')].every((path) => here.api.list(path).length === 0),
    );
    it.stop();
  },
);

t.test(
  'a workload is served by one Service, at its host where there is a Gateway, and what is not of Sluice is left alone',
  async (t) => {
    const here = await kubernetesPlace(t, {}, GATEWAY);
    here.api.put(`${at('services')}/tomcat`, (object) => {
      object.kind = 'Service';
      object.spec = { ports: [{ port: 1 }] };
    });
    const it = roll(await here.open(), 'Workload/tomcat');
    it.commit(running(workload('aaaaaaaaaa'), 'tomcat:9'));
    await until('it says so', () =>
      here.failed.some((line) => /has a Service tomcat that is not of Workload\/tomcat/.test(line)),
    );
    t.strictSame(here.api.find(`${at('services')}/tomcat`).spec.ports, [{ port: 1 }]);
    here.api.remove(`${at('services')}/tomcat`);
    await it.settled(1);
    t.match(here.api.find(`${at('services')}/tomcat`).spec.selector, { 'sluice/resource': 'Workload.tomcat' });
    t.match(here.api.find(`${ROUTES}/tomcat`).spec, { hostnames: ['tomcat.localhost'] });
    it.commit(running(workload('aaaaaaaaaa', { host: 'cat.example.org' }), 'tomcat:9'));
    await until(
      'it moves with its host',
      () => here.api.find(`${ROUTES}/tomcat`).spec.hostnames[0] === 'cat.example.org',
    );

    it.commit(running(workload('aaaaaaaaaa', { host: 'cat.example.org', replicas: 0 }), 'tomcat:9'));
    await until(
      'scaled to nothing it serves nothing',
      () => here.api.list(ROUTES).length === 0 && here.api.list(at('pods')).length === 0,
    );
    it.stop();
  },
);
