import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { dial, SOCKET } from '../../../../src/target/local/router/wire.ts';
import { dataDir } from './fixtures.ts';

t.test('a router that is killed before it took the connection is none', async (t) => {
  const directory = await dataDir(t);
  // It listens and never accepts: what connects waits in the system's queue.
  const program = `
    require('node:net').createServer().listen(${JSON.stringify(join(directory, SOCKET))}, () => {
      console.log('listening');
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
    });`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');

  const dialling = dial(directory);
  child.kill('SIGKILL');
  // Before this process learns how its connection went.
  while (existsSync(`/proc/${child.pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8')));
  t.equal(await dialling, undefined);
});
