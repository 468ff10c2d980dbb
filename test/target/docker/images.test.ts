import t from 'tap';
import { nothingLive } from '../../../src/plan/live.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import type { UnitDriver } from '../../../src/target/ports.ts';
import { dead, get, never, ready, start, stop, unitOf, unitWhere, until, WEB, workload } from '../local/fixtures.ts';
import { startEngine, whyNoEngine } from './engine.ts';
import { dockerPlace, pod } from './fixtures.ts';
import { startRegistry } from './registry.ts';

const missing = whyNoEngine();
if (missing !== undefined) throw new Error(missing);
const engine = await startEngine();
t.teardown(() => engine.end());
const registry = await startRegistry();
t.teardown(() => registry.end());

const says = (text: string) =>
  `require('node:http').createServer((_, a) => a.end('${text}')).listen(process.env.PORT); process.on('SIGTERM', () => process.exit());`;
for (const text of ['one', 'two', 'here']) await engine.image(`${text}:1`, says(text));
const shop = `${registry.address}/team/shop:8`;
const registries = [{ registry: registry.address, secret: 'registry' }];

async function told(driver: UnitDriver, unit: string): Promise<string> {
  return (await get((await unitWhere(driver, unit, ready)).address)).text();
}
async function ended(driver: UnitDriver, unit: string): Promise<void> {
  await stop(driver, unit);
  await until(async () => (await unitOf(driver, unit)) === undefined);
}
const precheck = (driver: UnitDriver, runs: ReturnType<typeof pod>) =>
  driver.precheck(WEB, workload(), runs, nothingLive(0) as unknown as Plan, never);
const about = (results: Awaited<ReturnType<typeof precheck>>, name: string) =>
  results.filter((each) => each.name === name);

t.test('a tag is resolved once for a revision, and what it was is run again on a revert', async (t) => {
  const here = dockerPlace(t, engine, { registries });
  here.secrets.registry = registry.user;
  await registry.push(engine.docker, 'one:1', shop);
  const driver = await here.open();
  const first = pod({ containers: [{ image: shop }], revision: 'aaaaaaaaaa' });
  t.match(about(await precheck(driver, first), 'images'), [{ result: 'pass' }]);
  const messages = new Set<string>();
  driver.subscribe(async () => messages.add((await unitOf(driver, 'web-1'))?.message ?? ''));
  await start(driver, 'web-1', first);
  t.equal(await told(driver, 'web-1'), 'one');
  t.match([...messages].join('; '), /pulling \S+team\/shop@sha256:/, 'progress is shown');
  t.equal((await unitOf(driver, 'web-1'))?.message, undefined, 'and not any more');

  await registry.push(engine.docker, 'two:1', shop);
  await start(driver, 'web-2', first);
  t.equal(await told(driver, 'web-2'), 'one', 'another unit of the revision');
  const second = pod({ containers: [{ image: shop }], revision: 'bbbbbbbbbb' });
  t.match(about(await precheck(driver, second), 'images'), [{ result: 'pass' }]);
  await start(driver, 'web-3', second);
  t.equal(await told(driver, 'web-3'), 'two', 'another revision');
  const [moved] = about(await precheck(driver, first), 'images');
  t.match(moved, { result: 'warn', message: /the tag .*team\/shop:8 has moved to .*@sha256:.* it runs .*@sha256:/ });

  for (const unit of ['web-1', 'web-2', 'web-3']) await ended(driver, unit);
  await driver.close();
  const later = await here.open();
  await start(later, 'web-1', first);
  t.equal(await told(later, 'web-1'), 'one', 'a revert, by another operator');
  await ended(later, 'web-1');
  await later.start(WEB, { kind: 'forget' }, undefined, never);
  const left = await engine.docker.listImages({ filters: { reference: ['sluice/*/*/*/*'] } });
  t.strictSame(left, [], 'what is forgotten keeps no image');
});

t.test('what cannot be pulled says why; what was never in a registry is taken as it is', async (t) => {
  const here = dockerPlace(t, engine, { registries });
  const driver = await here.open();
  const closed = pod({ containers: [{ image: shop }] });
  t.match(about(await precheck(driver, closed), 'images'), [
    { result: 'fail', message: /Secret registry has no username and password/ },
  ]);
  here.secrets.registry = { ...registry.user, password: Buffer.from('wrong') };
  await start(driver, 'web-1', closed);
  t.match((await unitWhere(driver, 'web-1', dead)).message, /image .*team\/shop:8 cannot be pulled: .*auth/);
  here.secrets.registry = registry.user;
  const unknown = pod({ containers: [{ image: `${registry.address}/team/shop:99` }] });
  t.match(about(await precheck(driver, unknown), 'images'), [{ result: 'fail', message: /manifest unknown/ }]);
  await start(driver, 'web-2', pod({ containers: [{ image: 'here:1' }] }));
  t.equal(await told(driver, 'web-2'), 'here');
});

t.test('prechecks look and change nothing', async (t) => {
  const here = dockerPlace(t, engine, { network: 'shop' });
  const driver = await here.open();
  const images = async () => (await engine.docker.listImages()).flatMap(({ RepoTags }) => RepoTags ?? []).sort();
  const before = await images();
  const runs = pod({
    containers: [
      {
        image: 'here:1',
        resources: { requests: { memory: '500Ti' } },
        env: [{ name: 'T', valueFrom: { secretKeyRef: { name: 'keys', key: 'token' } } }],
        volumeMounts: [{ name: 'own', mountPath: '/own', subPath: 'a' }],
      },
    ],
    volumes: [{ name: 'own', disk: { size: '1Gi' } }],
  });
  const results = await precheck(driver, runs);
  const fails = results.filter(({ result }) => result === 'fail').map(({ name, message }) => `${name}: ${message}`);
  t.match(fails.sort(), [
    /^capacity: 1 replicas ask for/,
    /^fields: template.spec.containers\[0\].volumeMounts\[0\].subPath: docker: only a whole volume/,
    /^network: the engine has no network shop/,
    /^secrets: Secret keys does not exist/,
  ]);
  t.match(results, [{ name: 'engine', result: 'pass', message: /^Docker 2/ }]);
  t.strictSame(await images(), before);
  await driver.close();
  await t.rejects(here.open({ docker: { ...here.target, host: 'unix:///nowhere/docker.sock' } }), {
    message: /the Docker engine at unix:\/\/\/nowhere\/docker.sock does not answer: .*; start it/,
  });
});
