import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { LiveInstance } from '../../../../src/plan/live.ts';
import { told, until } from '../fixtures.ts';
import {
  clusterSpec,
  create,
  imageYaml,
  inService,
  instancesOf,
  instancesPlace,
  instanceWhere,
  never,
  node,
  PROD,
  putBack,
  script,
  takeOut,
  update,
} from './fixtures.ts';

type Test = Parameters<typeof instancesPlace>[0];

/** With images `node:1.35.0` and `node:1.36.0`. `more`: what their image.yaml says besides. */
function place(t: Test, more = '', files: Record<string, string> = {}) {
  const here = instancesPlace(t);
  const server = `require('node:http').createServer((_, response) => response.end(JSON.stringify({ env: process.env, pid: process.pid }))).listen(process.env.PORT, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));`;
  for (const version of ['1.35.0', '1.36.0'])
    here.image(`node:${version}`, { 'server.js': server, ...files }, imageYaml(version, more));
  return here;
}

const createNode = (driver: Parameters<typeof create>[0], unit: string, version: string) =>
  create(driver, unit, node(version));

t.test('nodes are processes of the image at the version; the control plane stands first', async (t) => {
  const here = place(t);
  const driver = await here.openInstances();
  await driver.declare(PROD, clusterSpec('1.35.0'));
  for (const unit of ['prod-node-2', 'prod-node-10', 'prod-cp-1']) await createNode(driver, unit, '1.35.0');
  const seen = await instancesOf(driver, PROD);
  t.strictSame(
    seen.map(({ id, controlPlane, version, weight }) => [id, controlPlane, version, weight]),
    [
      ['prod-cp-1', true, '1.35.0', undefined],
      ['prod-node-2', false, '1.35.0', undefined],
      ['prod-node-10', false, '1.35.0', undefined],
    ],
  );
  t.match((await told(seen[0]?.address)).env, { SLUICE_VERSION: '1.35.0', SLUICE_INSTANCE: 'prod-cp-1' });
  t.equal((await driver.observe([PROD], never)).get(PROD)?.suspended, undefined);
  t.strictSame(here.router.config.routes, {}, 'nobody is sent to a node through the router');
});

t.test('a node is cordoned, drained by its image, updated to another version, and let in again', async (t) => {
  const drain = 'echo "drain $SLUICE_INSTANCE $SLUICE_VERSION $NAME" >> "$SLUICE_MOUNT_INSTANCE/log"';
  const here = place(t, 'drain: [sh, drain.sh]\n', { 'drain.sh': drain });
  const driver = await here.openInstances();
  const undo = ['sh', '-c', 'echo "undrain $SLUICE_INSTANCE" >> log'];
  await driver.declare(PROD, clusterSpec('1.35.0', { drain: { timeout: '1m', undo } }));
  const before = await createNode(driver, 'prod-node-1', '1.35.0');
  await driver.declare(PROD, clusterSpec('1.36.0', { drain: { timeout: '1m', undo } }));
  const out = await takeOut(driver, 'prod-node-1', 'prod-node-1.2.1', PROD);
  t.match(out, {
    cordoned: true,
    service: 'out',
    drain: { id: 'prod-node-1.2.1', state: 'succeeded' },
    version: '1.35.0',
  });
  await takeOut(driver, 'prod-node-1', 'prod-node-1.2.1', PROD);
  const next = await here.openInstances();
  await next.declare(PROD, clusterSpec('1.36.0', { drain: { timeout: '1m', undo } }));
  t.match((await instancesOf(next, PROD))[0], { cordoned: true, service: 'out' }, 'a cordon outlives the operator');
  const with36 = node('1.36.0', { script: script('echo "script $SLUICE_VERSION" >> log') });
  const after = await update(next, 'prod-node-1', 'prod-node-1.2.1', with36);
  t.match(after, { version: '1.36.0', cordoned: false, service: 'in', address: before.address });
  t.equal(
    here.read('prod-node-1', 'log', PROD),
    'drain prod-node-1 1.35.0 1.35.0\nscript 1.36.0\nundrain prod-node-1\n',
    'each of them once, also over the stop of the process',
  );
});

t.test('a drain that an operator left behind is waited for by the next', async (t) => {
  const here = place(t);
  const driver = await here.openInstances();
  const command = ['sh', '-c', 'until [ -e empty ]; do sleep 0.02; done; echo drained >> log'];
  const spec = clusterSpec('1.35.0', { drain: { timeout: '1m', command } });
  await driver.declare(PROD, spec);
  await createNode(driver, 'prod-node-1', '1.35.0');
  const action = { kind: 'takeOut', unit: 'prod-node-1', attempt: 'prod-node-1.2.1', cordon: true } as const;
  await driver.start(PROD, action, undefined, never);
  await instanceWhere(driver, 'prod-node-1', ({ drain }) => drain?.state === 'running', PROD);
  const next = await here.openInstances();
  await next.declare(PROD, spec);
  writeFileSync(join(here.home('prod-node-1', PROD), 'empty'), '');
  const out = await instanceWhere(next, 'prod-node-1', ({ drain }) => drain?.state !== 'running', PROD);
  t.match(out.drain, { state: 'succeeded' });
  t.equal(here.read('prod-node-1', 'log', PROD), 'drained\n');
});

t.test('a drain that fails or takes too long says so, and nothing is updated', async (t) => {
  const here = place(t);
  const driver = await here.openInstances();
  const command = ['sh', '-c', 'echo it holds the last copy; exit 6'];
  await driver.declare(PROD, clusterSpec('1.35.0', { drain: { timeout: '1m', command } }));
  await createNode(driver, 'prod-node-1', '1.35.0');
  const failed = await takeOut(driver, 'prod-node-1', 'prod-node-1.2.1', PROD);
  t.match(failed.drain, { state: 'failed', message: 'exited with code 6: it holds the last copy' });
  await driver.declare(PROD, clusterSpec('1.35.0', { drain: { timeout: '1s', command: ['sleep', '60'] } }));
  const late = await takeOut(driver, 'prod-node-1', 'prod-node-1.2.2', PROD);
  t.match(late.drain, { id: 'prod-node-1.2.2', state: 'failed', message: /timeout of 1 s/ });
  t.match(await putBack(driver, 'prod-node-1', undefined, PROD), { cordoned: false, ready: true });
});

t.test('what takes a drain back may fail: then the node stays cordoned', async (t) => {
  const here = place(t);
  const driver = await here.openInstances();
  const undo = ['sh', '-c', 'echo nobody answers; exit 2'];
  await driver.declare(PROD, clusterSpec('1.35.0', { drain: { timeout: '1m', undo } }));
  await createNode(driver, 'prod-node-1', '1.35.0');
  await takeOut(driver, 'prod-node-1', 'prod-node-1.2.1', PROD);
  await driver.start(PROD, { kind: 'putBack', unit: 'prod-node-1', cordoned: false }, undefined, never);
  const stays = await instanceWhere(driver, 'prod-node-1', ({ message }) => message !== undefined, PROD);
  t.match(stays, {
    cordoned: true,
    service: 'out',
    message: /takes the drain back failed: exited with code 2: nobody answers/,
  });
});

t.test(
  'a node that is taken out while it is let in again stays out, drained after its drain was taken back',
  async (t) => {
    const here = place(t);
    const driver = await here.openInstances();
    const command = ['sh', '-c', 'echo drained >> log'];
    const undo = ['sh', '-c', 'echo letting in >> log; until [ -e go ]; do sleep 0.02; done; echo let in >> log'];
    await driver.declare(PROD, clusterSpec('1.35.0', { drain: { timeout: '1m', command, undo } }));
    await createNode(driver, 'prod-node-1', '1.35.0');
    await takeOut(driver, 'prod-node-1', 'prod-node-1.2.1', PROD);
    await driver.start(PROD, { kind: 'putBack', unit: 'prod-node-1', cordoned: false }, undefined, never);
    await until(() => here.read('prod-node-1', 'log', PROD).endsWith('letting in\n'));
    const again = { kind: 'takeOut', unit: 'prod-node-1', attempt: 'prod-node-1.3.1', cordon: true } as const;
    await driver.start(PROD, again, undefined, never);
    writeFileSync(join(here.home('prod-node-1', PROD), 'go'), '');
    const isDrained = ({ drain }: LiveInstance) => drain?.id === again.attempt && drain.state === 'succeeded';
    const out = await instanceWhere(driver, 'prod-node-1', isDrained, PROD);
    t.match(out, { service: 'out', cordoned: true });
    t.equal(here.read('prod-node-1', 'log', PROD), 'drained\nletting in\nlet in\ndrained\n');
  },
);

t.test('a node that is asked for its version reports what it says, and nothing while it is dead', async (t) => {
  const here = place(t);
  const driver = await here.openInstances();
  await driver.declare(PROD, clusterSpec('1.35.0', { versionCommand: ['sh', '-c', 'cat said && test -e said'] }));
  await createNode(driver, 'prod-cp-1', '1.35.0');
  const version = async () => (await instancesOf(driver, PROD))[0]?.version;
  const unit = 'prod-cp-1';
  await instanceWhere(driver, unit, ({ message }) => message?.startsWith('does not tell its version') === true, PROD);
  t.equal(await version(), undefined, 'not what it was started from');
  await driver.verify(PROD, unit, [{ command: ['sh', '-c', 'echo 1.35.0 > said'] }], never);
  await until(async () => (await version()) === '1.35.0');
  const { address } = (await instancesOf(driver, PROD))[0] ?? {};
  process.kill((await told(address)).pid, 'SIGKILL');
  await instanceWhere(driver, unit, ({ ready }) => !ready, PROD);
  t.equal(await version(), undefined);
  await driver.start(PROD, { kind: 'heal', unit, attempt: 'prod-cp-1.h' }, undefined, never);
  await instanceWhere(driver, unit, inService, PROD);
  await until(async () => (await version()) === '1.35.0');
});
