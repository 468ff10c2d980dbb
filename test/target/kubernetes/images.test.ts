import t from 'tap';
import type { ReplicasResource } from '../../../src/manifest/resource.ts';
import { runnableOf } from '../../../src/manifest/runnable.ts';
import { nothingLive } from '../../../src/plan/live.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import { digestAt } from '../../../src/target/registry/digest.ts';
import { workload } from '../../support/resources.ts';
import { until } from '../../support/until.ts';
import { startRegistry } from '../docker/registry.ts';
import { at, kubernetesPlace, roll, running, SETS } from './place.ts';

const TOMCAT = 'Workload/tomcat';
const registry = await startRegistry();
t.teardown(() => registry.end());
const shop = `${registry.address}/team/shop:8`;
const revision = (name: string) => running(workload(name, { replicas: 2 }), shop);
const never = new AbortController().signal;

t.test('a tag is resolved once for a revision, and what it was is run again on a revert', async (t) => {
  const here = await kubernetesPlace(t, {}, { registries: [{ registry: registry.address, secret: 'registry' }] });
  here.secrets.registry = registry.user;
  const images = (name: string) => here.api.find(`${SETS}/tomcat-${name}`)?.spec.template.spec.containers[0].image;
  const runs = () => [...new Set(here.api.list(at('pods')).map(({ spec }) => spec.containers[0].image))].join(' ');
  const first = await registry.put('team/shop', '8', 'one');
  const driver = await here.open(1, { digestAt });
  const look = async (made: ReplicasResource) =>
    (await driver.precheck(TOMCAT, made.spec, runnableOf(made), nothingLive(0) as unknown as Plan, never)).filter(
      ({ name }) => name === 'images',
    );
  const it = roll(driver, TOMCAT);
  t.match(await look(revision('aaaaaaaaaa')), [{ result: 'pass', message: '1 is known by digest' }]);
  it.commit(revision('aaaaaaaaaa'));
  await it.settled(1);
  t.equal(runs(), `${shop}@${first}`);

  const second = await registry.put('team/shop', '8', 'two');
  it.commit(revision('bbbbbbbbbb'));
  await it.settled(2);
  t.equal(images('bbbbbbbbbb'), `${shop}@${second}`, 'another revision');
  t.match(await look(revision('aaaaaaaaaa')), [
    {
      result: 'warn',
      message: `the tag ${shop} has moved to ${second} since this revision first ran; it runs ${shop}@${first} again`,
    },
  ]);
  it.stop();

  const later = roll(await here.open(2, { digestAt: () => Promise.reject(new Error('away')) }), TOMCAT, {
    ...{ state: it.state(), runnables: it.runnables },
  });
  later.commit(revision('aaaaaaaaaa'));
  await later.settled(3);
  t.equal(images('aaaaaaaaaa'), `${shop}@${first}`, 'a revert, by another operator, which need not ask');
  await until('only those run', () => runs() === `${shop}@${first}`);
  t.strictSame(here.logged, []);
  later.stop();
});

t.test('what its registry does not say goes as it is, and is warned of', async (t) => {
  const here = await kubernetesPlace(t);
  const driver = await here.open(1, { digestAt });
  const it = roll(driver, TOMCAT);
  const made = revision('aaaaaaaaaa');
  const results = await driver.precheck(TOMCAT, made.spec, runnableOf(made), nothingLive(0) as unknown as Plan, never);
  t.match(
    results.filter(({ name }) => name === 'images'),
    [
      {
        result: 'warn',
        message: new RegExp(
          `what ${shop} stands for is not known: registry \\S+: it asks for a password; .*each node resolves it`,
        ),
        remedy: /kubernetes\.registries/,
      },
    ],
  );
  it.commit(made);
  await it.settled(1);
  t.equal(here.api.find(`${SETS}/tomcat-aaaaaaaaaa`).spec.template.spec.containers[0].image, shop);
  t.match(
    here.logged.join('\n'),
    /it asks for a password; .*: the nodes resolve the tag of \S+team\/shop:8 themselves/,
  );
  it.stop();
});
