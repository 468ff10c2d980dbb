/** An operator that is killed at a chosen moment of an update: `node killed-operator.js <data folder> <images folder> <moment>`. */
import fs, { existsSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import type { Action } from '../../../../src/rollout/decision.ts';
import { homeFolder, instancesFolder } from '../../../../src/target/instances/folders.ts';
import { openLocalInstances } from '../../../../src/target/local/instances/target.ts';
import { fakeRouter, until } from '../fixtures.ts';
import { create, fleetSpec, image, never, runs, script, takeOut, WEB } from './fixtures.ts';

const [dataDir = '', imagesFolder = '', moment = ''] = process.argv.slice(2);
const kill = () => process.kill(process.pid, 'SIGKILL');
/** What is in the record that must not be written any more. */
const last = {
  'before the update is recorded': '"id":"web-1.2.1","state":"running"',
  'before the new process is started': '"starts":1',
  'before the new process is recorded': '"process":{',
  'before its outcome is recorded': '"id":"web-1.2.1","state":"succeeded"',
}[moment];
const write = fs.writeFileSync;
fs.writeFileSync = (path, data, options) => {
  if (last !== undefined && String(data).includes(last) && String(data).includes('web-1.2.1')) kill();
  write(path, data, options);
};
syncBuiltinESMExports();

const driver = await openLocalInstances({
  ...{ name: 'local', dataDir, imagesFolder, epoch: 1, router: fakeRouter() },
  images: { materialize: () => Promise.reject(new Error('no repository here')) },
});
await driver.declare(WEB, fleetSpec());
await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
await takeOut(driver, 'web-1', 'web-1.2.1');
if (moment === 'while it is taken out') kill();
const update: Action = { kind: 'update', unit: 'web-1', attempt: 'web-1.2.1', change: { to: 'r2', undo: [] } };
const lasting = script('echo begun >> ran; while ! test -e go; do sleep 0.05; done; echo ended >> ran');
const quick = script('echo begun >> ran; echo ended >> ran');
const what = { image: image('base:2'), script: moment === 'while the script runs' ? lasting : quick };
await driver.start(WEB, update, runs('r2', what), never);
if (moment === 'as soon as it is accepted') kill();
if (moment === 'while the script runs') {
  const ran = join(homeFolder(instancesFolder(dataDir), WEB, 'web-1'), 'ran');
  await until(() => existsSync(ran));
  kill();
}
await until(() => false);
