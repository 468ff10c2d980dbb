import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { ReplicasResource } from '../../src/manifest/resource.ts';
import type { Target } from '../../src/manifest/target.ts';
import { createTargets } from '../../src/operator/targets.ts';
import {
  get,
  never,
  place,
  ready,
  runnable,
  start,
  stop,
  unitOf,
  unitWhere,
  until,
  WEB,
  workload,
} from '../target/local/fixtures.ts';

t.test('a resource is not taken over by another target while it runs on the one that it had before', async (t) => {
  const here = place(t);
  const runs = runnable();
  const targets = createTargets({
    dataDir: here.dataDir,
    images: { materialize: () => Promise.reject(new Error('no repository here')) },
    secrets: { read: async () => undefined },
    ...{ router: here.router, epoch: 1, log: () => {}, changed: () => {} },
  });
  t.teardown(() => targets.close());
  const target = (name: string): [string, Target] => [name, { name, local: { images: here.images } }];
  await targets.declare(new Map([target('one'), target('two')]), new Map());
  const on = (name: string) => {
    const spec = { ...workload(), target: name };
    const resource = { id: WEB, spec, runnable: runs } as unknown as ReplicasResource;
    const driver = targets.driverOf(WEB, resource);
    if (driver === undefined) throw new Error(`there is no target ${name}`);
    return { driver, spec };
  };
  const { driver, spec } = on('one');
  await driver.declare(WEB, spec);
  await start(driver, 'web-1', runs);
  const { address } = await unitWhere(driver, 'web-1', ready);
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);

  const other = on('two');
  await t.rejects(other.driver.declare(WEB, other.spec), {
    message: /1 of it still run on the target that it had before/,
  });
  t.equal(here.router.config.routes[WEB]?.versions['']?.length, 1, 'its traffic is let be');
  t.equal((await get(address)).status, 200);
  t.equal(on('one').driver, driver, 'declared there again, it goes on');

  await stop(driver, 'web-1');
  await until(async () => (await unitOf(driver, 'web-1')) === undefined);
  await driver.start(WEB, { kind: 'forget' }, undefined, never);
  const free = on('two');
  await free.driver.declare(WEB, free.spec);
  t.not(on('two').driver, driver);
  t.equal(here.router.config.routes[WEB]?.host, 'web.localhost');
});

t.test('a target that cannot be opened yet is opened when it can be, and who waited for it is told', async (t) => {
  const here = place(t);
  const blocked = join(here.dataDir, 'targets');
  mkdirSync(here.dataDir, { recursive: true });
  writeFileSync(blocked, 'in the way');
  const told: string[] = [];
  const targets = createTargets({
    dataDir: here.dataDir,
    images: { materialize: () => Promise.reject(new Error('no repository here')) },
    secrets: { read: async () => undefined },
    ...{ router: here.router, epoch: 1, log: () => {}, changed: (id: string) => void told.push(id) },
  });
  t.teardown(() => targets.close());
  await targets.declare(new Map([['one', { name: 'one', local: { images: here.images } }]]), new Map());
  const resource = { id: WEB, spec: { ...workload(), target: 'one' } } as unknown as ReplicasResource;
  t.equal(targets.driverOf(WEB, resource), undefined);
  rmSync(blocked);
  await until(() => told.includes(WEB));
  t.ok(targets.driverOf(WEB, resource));
});
