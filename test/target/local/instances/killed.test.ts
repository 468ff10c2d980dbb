import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { hostFolder, instancesFolder } from '../../../../src/target/instances/folders.ts';
import { processesWith, told } from '../fixtures.ts';
import {
  create,
  ended,
  fleetSpec,
  type InstancesPlace,
  image,
  instancesOf,
  instancesPlace,
  instanceWhere,
  never,
  putBack,
  runs,
  script,
  takeOut,
  WEB,
} from './fixtures.ts';

const update = (revision: string, attempt: string) => ({
  kind: 'update' as const,
  unit: 'web-1',
  attempt,
  change: { to: revision, undo: [] },
});

async function killed(here: InstancesPlace, moment: string) {
  const program = join(import.meta.dirname, 'killed-operator.js');
  const child = spawn(process.execPath, [program, here.dataDir, here.images, moment], { stdio: 'inherit' });
  const [, signal] = await once(child, 'exit');
  const driver = await here.openInstances({ epoch: 2 });
  await driver.declare(WEB, fleetSpec());
  return { driver, signal };
}

t.test('an operator that is killed during an update: the next goes on with it, and no script runs twice', async (t) => {
  const moments = [
    'while it is taken out',
    'before the update is recorded',
    'as soon as it is accepted',
    'before the new process is started',
    'before the new process is recorded',
    'while the script runs',
    'before its outcome is recorded',
  ];
  for (const moment of moments) {
    await t.test(moment, async (t) => {
      const here = instancesPlace(t);
      const { driver, signal } = await killed(here, moment);
      t.equal(signal, 'SIGKILL');
      const [found] = await instancesOf(driver);
      t.equal(found?.service, 'out', 'it stays out of service');
      const begun = ['while it is taken out', 'before the update is recorded'].includes(moment);
      t.strictSame(found?.applied, begun ? ['r1'] : ['r1', 'r2']);
      writeFileSync(join(here.home('web-1'), 'go'), '');
      // The engine repeats what it does not see the outcome of.
      const what = { image: image('base:2'), script: script('echo begun >> ran; echo ended >> ran') };
      for (const _ of [1, 2]) await driver.start(WEB, update('r2', 'web-1.2.1'), runs('r2', what), never);
      const seen = await instanceWhere(driver, 'web-1', ended('web-1.2.1'));
      t.match(seen, { attempt: { state: 'succeeded' }, applied: ['r1', 'r2'] });
      t.equal(here.read('web-1', 'ran'), 'begun\nended\n', 'once');
      const { address } = await instanceWhere(driver, 'web-1', ({ ready }) => ready);
      t.equal((await told(address)).env.NAME, 'base2');
      t.equal(processesWith(`SLUICE_FOLDER=${instancesFolder(here.dataDir)}/`).length, 1, 'one process, not two');
      await putBack(driver, 'web-1', 100);
    });
  }
});

t.test('a script whose process is gone without an outcome is unknown, and never run again', async (t) => {
  const here = instancesPlace(t);
  const driver = await here.openInstances();
  await driver.declare(WEB, fleetSpec());
  await create(driver, 'web-1', runs('r1', { script: script('true') }));
  await takeOut(driver, 'web-1', 'web-1.2.1');
  const lasting = runs('r2', { script: script('echo $PPID > parent; echo begun >> ran; sleep 600') });
  await driver.start(WEB, update('r2', 'web-1.2.1'), lasting, never);
  await instanceWhere(driver, 'web-1', () => here.read('web-1', 'ran') !== '');
  const own = join(hostFolder(instancesFolder(here.dataDir), WEB, 'web-1'), 'attempts/update-web-1.2.1');
  const [runner = ''] = readFileSync(join(own, 'process'), 'utf8').split(' ');
  // The whole session of the script: what a reboot or an impatient person does.
  for (const pid of membersOfSession(Number(runner))) process.kill(pid, 'SIGKILL');
  const seen = await instanceWhere(driver, 'web-1', ended('web-1.2.1'));
  t.match(seen.attempt, { state: 'unknown', message: /left no outcome/ });
  t.strictSame(seen.applied, ['r1', 'r2'], 'a rollback goes over it');
  const next = await here.openInstances();
  await next.declare(WEB, fleetSpec());
  await next.start(WEB, update('r2', 'web-1.2.1'), lasting, never);
  t.match((await instancesOf(next))[0]?.attempt, { id: 'web-1.2.1', state: 'unknown' });
  t.equal(here.read('web-1', 'ran'), 'begun\n');
});

function membersOfSession(session: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
        return Number(fields[3]) === session;
      } catch {
        return false;
      }
    })
    .map(Number);
}

t.test('a creation, a removal and a way out go on where the operator was killed', async (t) => {
  const here = instancesPlace(t);
  const first = await here.openInstances();
  await first.declare(WEB, fleetSpec());
  const lasting = runs('r1', {
    image: image('base:1'),
    script: script('echo x >> ran; while ! test -e go; do sleep 0.05; done'),
  });
  const creation = { kind: 'create', unit: 'web-1', revision: 'r1', attempt: 'web-1.a' } as const;
  await first.start(WEB, creation, lasting, never);
  await instanceWhere(first, 'web-1', () => here.read('web-1', 'ran') !== '');
  await first.close();
  const second = await here.openInstances();
  await second.declare(WEB, fleetSpec());
  t.match((await instancesOf(second))[0], { ready: false, service: 'out' });
  writeFileSync(join(here.home('web-1'), 'go'), '');
  await instanceWhere(second, 'web-1', ({ service, ready }) => service === 'in' && ready);
  t.equal(here.read('web-1', 'ran'), 'x\n');
  here.router.active['Fleet/web/web-1'] = 1;
  await second.start(WEB, { kind: 'remove', unit: 'web-1' }, undefined, never);
  await second.close();
  const third = await here.openInstances();
  t.match((await instancesOf(third))[0], { service: 'leaving', message: 'is being removed' });
  here.router.active = {};
  await instancesGone(third);
  t.strictSame(processesWith(`SLUICE_FOLDER=${instancesFolder(here.dataDir)}/`), []);
});

async function instancesGone(driver: Parameters<typeof instancesOf>[0]): Promise<void> {
  while ((await instancesOf(driver)).length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
}
