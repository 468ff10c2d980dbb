/** An operator that is killed at a chosen moment: `node killed-operator.js <data folder> <images folder> <moment>`. */
import { mkdirSync } from 'node:fs';
import writeFileAtomic from 'write-file-atomic';
import { openLocalTarget } from '../../../src/target/local/target.ts';
import { fakeRouter, ready, runnable, start, unitWhere } from './fixtures.ts';

const [dataDir = '', imagesFolder = '', moment = ''] = process.argv.slice(2);
/** What is in the record that must not be written any more. */
const last = { 'before the spawn': '"ports":{"8080":', 'before its record': '"process":{' }[moment];
const write = writeFileAtomic.sync;
writeFileAtomic.sync = (path, data, options) => {
  if (last !== undefined && String(data).includes(last)) process.kill(process.pid, 'SIGKILL');
  write(path, data, options);
};

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
await start(driver, 'web-1', runnable());
await unitWhere(driver, 'web-1', ready);
process.kill(process.pid, 'SIGKILL');
