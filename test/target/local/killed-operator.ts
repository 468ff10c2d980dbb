/** An operator that is killed at a chosen moment: `node killed-operator.js <data folder> <images folder> <moment>`. */
import fs, { mkdirSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { openLocalTarget } from '../../../src/target/local/target.ts';
import { container, fakeRouter, processesWith, ready, runnable, start, unitWhere, until } from './fixtures.ts';

const [dataDir = '', imagesFolder = '', moment = ''] = process.argv.slice(2);
/** What is in the record that must not be written any more. */
const last = { 'before the spawn': '"ports":{"8080":', 'before its record': '"process":{' }[moment];
const write = fs.writeFileSync;
fs.writeFileSync = (path, data, options) => {
  if (last !== undefined && String(data).includes(last)) process.kill(process.pid, 'SIGKILL');
  write(path, data, options);
};
syncBuiltinESMExports();

mkdirSync(dataDir, { recursive: true });
const driver = await openLocalTarget({
  name: 'local',
  dataDir,
  imagesFolder,
  epoch: 1,
  router: fakeRouter(),
  images: { materialize: () => Promise.reject(new Error('no repository here')) },
  secrets: { read: async () => undefined },
});
const sleeps = { postStart: { exec: { command: ['sleep', '600'] } } };
await start(
  driver,
  'web-1',
  runnable(moment === 'during postStart' ? { containers: [container({ lifecycle: sleeps })] } : {}),
);
if (moment === 'during postStart') {
  // Two processes: the server and the hook beside it.
  await until(() => processesWith(`SLUICE_FOLDER=${dataDir}/`).length === 2);
} else await unitWhere(driver, 'web-1', ready);
process.kill(process.pid, 'SIGKILL');
