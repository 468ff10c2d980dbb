import t from 'tap';
import { told, until } from '../../local/fixtures.ts';
import {
  clusterSpec,
  create,
  instancesOf,
  instanceWhere,
  never,
  node,
  PROD,
  putBack,
  script,
  takeOut,
  update,
} from '../../local/instances/fixtures.ts';
import { startEngine, whyNoEngine } from '../engine.ts';
import { dockerInstances, NODE } from './fixtures.ts';

const missing = whyNoEngine();
if (missing !== undefined) throw new Error(missing);
const engine = await startEngine();
t.teardown(() => engine.end());

for (const version of ['1.1.0', '1.2.0']) await engine.image(`node:${version}`, NODE, { NODE_IS: version });

t.test(
  'nodes are containers that reach each other by name; one is drained, replaced by another version and let in again',
  async (t) => {
    const here = dockerInstances(t, engine);
    const driver = await here.open();
    const drain = { timeout: '1m', command: ['sh', '-c', 'echo "drained $SLUICE_INSTANCE $NODE_IS" >>ran'] };
    const spec = clusterSpec('1.1.0', { drain: { ...drain, undo: ['sh', '-c', 'echo undrained >>ran'] } });
    await driver.declare(PROD, spec);
    await Promise.all([create(driver, 'prod-cp-1', node('1.1.0')), create(driver, 'prod-1', node('1.1.0'))]);
    const seen = await instancesOf(driver, PROD);
    t.match(seen, [
      { id: 'prod-cp-1', controlPlane: true, version: '1.1.0', ready: true },
      { id: 'prod-1', controlPlane: false, version: '1.1.0', ready: true },
    ]);
    const peers = 'prod-cp-1=prod-cp-1:8080\nprod-1=prod-1:8080\n';
    t.equal(await here.inside('prod-1', ['cat', '/run/sluice/peers'], PROD), peers);
    const through = async (from: string, to: string) => {
      const { address } = (await instancesOf(driver, PROD)).find(({ id }) => id === from) ?? {};
      return (await (await fetch(`http://${address}/peer/${to}`)).json()) as { env: Record<string, string> };
    };
    t.match(await through('prod-1', 'prod-cp-1'), { env: { SLUICE_INSTANCE: 'prod-cp-1' } });

    await takeOut(driver, 'prod-1', 'prod-1.2.1', PROD);
    t.match((await instancesOf(driver, PROD))[1], { cordoned: true, drain: { id: 'prod-1.2.1', state: 'succeeded' } });
    t.equal(await here.inside('prod-1', ['cat', '/instance/ran'], PROD), 'drained prod-1 1.1.0\n');
    const runnable = node('1.2.0', { script: script('echo "script $SLUICE_VERSION" >>ran') });
    const action = {
      kind: 'update',
      unit: 'prod-1',
      attempt: 'prod-1.2.1',
      change: { to: 'r1.2.0', undo: [] as string[] },
    } as const;
    await driver.start(PROD, action, runnable, never);
    const after = await instanceWhere(
      driver,
      'prod-1',
      ({ version, ready, attempt }) => ready && version === '1.2.0' && attempt?.state === 'succeeded',
      PROD,
    );
    t.equal((await told(after.address)).env.NODE_IS, '1.2.0');
    await putBack(driver, 'prod-1', undefined, PROD);
    t.equal(
      await here.inside('prod-1', ['cat', '/instance/ran'], PROD),
      'drained prod-1 1.1.0\nscript 1.2.0\nundrained\n',
    );
    t.match(
      await through('prod-cp-1', 'prod-1'),
      { env: { NODE_IS: '1.2.0' } },
      'the name leads to the container that is there now',
    );

    await driver.start(PROD, { kind: 'remove', unit: 'prod-1' }, undefined, never);
    await until(async () => (await instancesOf(driver, PROD)).length === 1);
    await until(
      async () => (await here.inside('prod-cp-1', ['cat', '/run/sluice/peers'], PROD)) === 'prod-cp-1=prod-cp-1:8080\n',
    );
    await driver.start(PROD, { kind: 'remove', unit: 'prod-cp-1' }, undefined, never);
    await until(async () => (await instancesOf(driver, PROD)).length === 0);
    await driver.start(PROD, { kind: 'forget' }, undefined, never);
    const networks = (await engine.docker.listNetworks()).filter(
      ({ Labels }) => Labels?.['sluice/project'] !== undefined,
    );
    t.strictSame([await here.volumes(), networks], [[], []], 'nothing is left');
  },
);

t.test('a node that is asked for its version says what a command in it says', async (t) => {
  const here = dockerInstances(t, engine);
  const driver = await here.open();
  await driver.declare(PROD, clusterSpec('1.1.0', { versionCommand: ['sh', '-c', 'echo "$NODE_IS"'] }));
  await create(driver, 'prod-cp-1', node('1.1.0'));
  await instanceWhere(driver, 'prod-cp-1', ({ version }) => version === '1.1.0', PROD);
  const updated = await update(driver, 'prod-cp-1', 'prod-cp-1.2.1', node('1.2.0'));
  t.match(updated, { service: 'in', attempt: { state: 'succeeded' } });
  await instanceWhere(driver, 'prod-cp-1', ({ version }) => version === '1.2.0', PROD);
});
