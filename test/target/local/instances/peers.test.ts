import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import t from 'tap';
import type { UnitDriver } from '../../../../src/target/ports.ts';
import { until } from '../fixtures.ts';
import {
  clusterSpec,
  create,
  ended,
  imageYaml,
  inService,
  instancesOf,
  instancesPlace,
  instanceWhere,
  never,
  node,
  PROD,
  runs,
  update,
} from './fixtures.ts';

/** Answers with its environment, and the peers that it saw when it started and sees now. */
const SERVER = `
const { readFileSync } = require('node:fs');
const peers = () => readFileSync(process.env.SLUICE_PEERS, 'utf8');
const first = peers();
require('node:http').createServer((_, response) => {
  response.end(JSON.stringify({ env: process.env, pid: process.pid, first, now: peers() }));
}).listen(process.env.PORT, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
`;

function place(test: Parameters<typeof instancesPlace>[0]) {
  const here = instancesPlace(test);
  for (const version of ['1.35.0', '1.36.0'])
    here.image(`node:${version}`, { 'server.js': SERVER }, imageYaml(version));
  return here;
}

const sized = (controlPlane: number, nodes: number, version = '1.35.0') => ({
  ...clusterSpec(version),
  create: { image: 'node', controlPlane, nodes },
});

/** As the engine does: all at once, then each in service. */
async function createAll(driver: UnitDriver, units: string[]) {
  for (const unit of units) {
    const action = { kind: 'create', unit, revision: 'r1.35.0', attempt: `${unit}.created` } as const;
    await driver.start(PROD, action, node('1.35.0'), never);
  }
  for (const unit of units) await instanceWhere(driver, unit, inService, PROD);
}

async function addresses(driver: UnitDriver): Promise<string> {
  return (await instancesOf(driver, PROD)).map(({ id, address }) => `${id}=${address}\n`).join('');
}

interface Seen {
  env: { SLUICE_PEERS: string };
  pid: number;
  first: string;
  now: string;
}

async function askOne(driver: UnitDriver, unit: string): Promise<Seen> {
  const { address } = (await instancesOf(driver, PROD)).find(({ id }) => id === unit) ?? {};
  return (await (await fetch(`http://${address}`)).json()) as Seen;
}

t.test(
  'nodes that are created together know each other from their first start on, the control plane first',
  async (t) => {
    const driver = await place(t).openInstances();
    await driver.declare(PROD, sized(3, 2));
    const masters = ['prod-cp-1', 'prod-cp-2', 'prod-cp-3'];
    await createAll(driver, masters);
    const first = await addresses(driver);
    t.equal(first.split('\n').length - 1, 3);
    for (const unit of masters) t.equal((await askOne(driver, unit)).first, first, unit);
    await createAll(driver, ['prod-node-1', 'prod-node-2']);
    const all = await addresses(driver);
    t.ok(all.startsWith(first), 'nobody moved');
    t.equal((await askOne(driver, 'prod-node-1')).first, all);
    t.equal((await askOne(driver, 'prod-cp-1')).now, all, 'those that were there learn of the new ones');
  },
);

t.test('one that goes is no peer any more', async (t) => {
  const driver = await place(t).openInstances();
  await driver.declare(PROD, sized(2, 0));
  await createAll(driver, ['prod-cp-1', 'prod-cp-2']);
  t.equal((await askOne(driver, 'prod-cp-1')).now, await addresses(driver));
  await driver.start(PROD, { kind: 'remove', unit: 'prod-cp-2' }, undefined, never);
  await until(async () => (await instancesOf(driver, PROD)).length === 1);
  t.equal((await askOne(driver, 'prod-cp-1')).now, await addresses(driver));
});

t.test('a node keeps its port through an upgrade, a death and a new operator', async (t) => {
  const here = place(t);
  const driver = await here.openInstances();
  await driver.declare(PROD, sized(1, 2));
  await createAll(driver, ['prod-cp-1', 'prod-node-1', 'prod-node-2']);
  const before = await addresses(driver);
  await driver.declare(PROD, sized(1, 2, '1.36.0'));
  t.match(await update(driver, 'prod-node-1', 'prod-node-1.2.1', node('1.36.0')), { version: '1.36.0' });
  t.equal(await addresses(driver), before);

  const { pid, env } = await askOne(driver, 'prod-node-2');
  process.kill(pid, 'SIGKILL');
  await instanceWhere(driver, 'prod-node-2', ({ ready }) => !ready, PROD);
  const next = await here.openInstances();
  await next.declare(PROD, sized(1, 2, '1.36.0'));
  t.equal(readFileSync(env.SLUICE_PEERS, 'utf8'), before, 'what is dead is still a peer');
  await next.start(PROD, { kind: 'heal', unit: 'prod-node-2', attempt: 'prod-node-2.h1' }, undefined, never);
  await instanceWhere(next, 'prod-node-2', inService, PROD);
  t.equal(await addresses(next), before);
});

t.test('where another program has taken a dead node’s port, the node says so and takes no other', async (t) => {
  const driver = await place(t).openInstances();
  await driver.declare(PROD, sized(1, 0));
  await createAll(driver, ['prod-cp-1']);
  const before = await addresses(driver);
  const port = Number(/:(\d+)/.exec(before)?.[1]);
  process.kill((await askOne(driver, 'prod-cp-1')).pid, 'SIGKILL');
  await instanceWhere(driver, 'prod-cp-1', ({ ready }) => !ready, PROD);
  const other = createServer().listen(port, '127.0.0.1');
  t.teardown(() => other.close());
  await once(other, 'listening');
  await driver.start(PROD, { kind: 'heal', unit: 'prod-cp-1', attempt: 'prod-cp-1.h1' }, undefined, never);
  const said = new RegExp(`port ${port}, which it keeps for its life, is taken by another program; see which with`);
  await instanceWhere(driver, 'prod-cp-1', ({ message = '' }) => said.test(message), PROD);
  other.close();
  await once(other, 'close');
  await driver.start(PROD, { kind: 'heal', unit: 'prod-cp-1', attempt: 'prod-cp-1.h2' }, undefined, never);
  await instanceWhere(driver, 'prod-cp-1', inService, PROD);
  t.equal(await addresses(driver), before);
});

t.test('scripts and commands of a node are given the peers; an instance of a fleet has none', async (t) => {
  const here = place(t);
  const driver = await here.openInstances();
  await driver.declare(PROD, sized(1, 0));
  await createAll(driver, ['prod-cp-1']);
  const command = ['sh', '-c', 'cp "$SLUICE_PEERS" seen'];
  t.match(await driver.verify(PROD, 'prod-cp-1', [{ command }], never), { pass: true });
  t.equal(here.read('prod-cp-1', 'seen', PROD), await addresses(driver));
  const one = { interpreter: 'sh', run: 'env | grep -c SLUICE_PEERS > seen; true', timeout: '1m' } as const;
  await create(driver, 'web-1', runs('r1', { script: one }));
  await instanceWhere(driver, 'web-1', ended('web-1.created'));
  t.equal(here.read('web-1', 'seen'), '0\n');
});
