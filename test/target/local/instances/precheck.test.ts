import t from 'tap';
import type { FleetRunnable } from '../../../../src/manifest/resource.ts';
import type { Plan } from '../../../../src/plan/plan.ts';
import type { UnitDriver } from '../../../../src/target/ports.ts';
import {
  clusterSpec,
  create,
  fleetSpec,
  image,
  imageYaml,
  instancesPlace,
  instanceWhere,
  never,
  node,
  PROD,
  runs,
  script,
  update,
  WEB,
} from './fixtures.ts';

const plan = (undo: string[] = []): Plan => ({
  ...{ generation: 1, to: 'r1', version: '' },
  stages: [
    { name: 'batch 1 of 1', goal: { kind: 'units', want: { 'web-1': { to: 'r1', undo } }, maxInFlight: 1 }, gates: [] },
  ],
});

async function results(driver: UnitDriver, runnable: FleetRunnable, undo: string[] = []) {
  const found = await driver.precheck(WEB, fleetSpec(), runnable, plan(undo), never);
  return Object.fromEntries(found.map(({ name, result, message }) => [name, `${result}: ${message}`]));
}

t.test('what a fleet needs is asked, and nothing is changed', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  const what = { image: image('base:1'), rollbackImage: image('base:2'), script: script('true') };
  t.match(await results(driver, runs('r1', what)), {
    images: 'pass: base:1, base:2',
    'data folder': /^pass: /,
    ports: /^pass: /,
    scripts: 'pass: sh is there',
    router: /^pass: answers/,
  });
  t.match(await results(driver, runs('r1', { image: image('base:9') })), {
    images: /^fail: image base:9 has no file image.yaml/,
  });
  const bat = { ...script('echo'), interpreter: 'bat' as const };
  t.match(await results(driver, runs('r1', { script: bat })), {
    scripts: /^fail: this machine cannot run a bat script/,
  });
});

t.test('a way back over a revision without a rollback script is warned of', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  await create(driver, 'web-1', runs('r1', { script: script('true') }));
  await update(driver, 'web-1', 'web-1.2.1', runs('r2', { script: script('true', 'true') }));
  t.match(await results(driver, runs('r1'), ['r2']), { rollback: /^pass: / });
  await update(driver, 'web-1', 'web-1.3.1', runs('r3', { script: script('true') }));
  t.match(await results(driver, runs('r1'), ['r3', 'r2']), {
    rollback: 'warn: revision r3 has no rollback script on web-1: nothing is run for it',
  });
});

t.test('nodes of a cluster are ready, and pass what the manifest asks of them', async (t) => {
  const here = instancesPlace(t);
  here.image('node:1.35.0', { 'server.js': 'setInterval(() => {}, 1000)' }, imageYaml('node'));
  const driver = await here.openInstances();
  const spec = { ...clusterSpec('1.35.0'), prechecks: [{ command: ['test', '-e', 'well'] }] };
  await driver.declare(PROD, spec);
  const asked = async () => {
    const found = await driver.precheck(PROD, spec, node('1.35.0'), plan(), never);
    return Object.fromEntries(found.map(({ name, result, message }) => [name, `${result}: ${message}`]));
  };
  t.match(await asked(), { nodes: 'pass: they will be created' });
  // It serves nothing, and so is ready when it has lived for a while.
  await create(driver, 'prod-cp-1', node('1.35.0', { script: script('touch well') }));
  t.match(await asked(), { nodes: 'pass: 1 ready', 'prechecks[0]': 'pass: passes' });
  await driver.verify(PROD, 'prod-cp-1', [{ command: ['rm', 'well'] }], never);
  t.match(await asked(), { 'prechecks[0]': /^fail: prod-cp-1: test: ended with 1/ });
  const { attempt } = await instanceWhere(driver, 'prod-cp-1', () => true, PROD);
  t.equal(attempt?.state, 'succeeded');
});
