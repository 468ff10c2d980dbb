/**
 * What stands between an operator and HAProxy: `main.js FOLDER HOST:PORT`, a process as the embedded router is, with the same control
 * socket. It alone tells HAProxy what to do, so that an operator that was replaced has nobody who listens to it; and it starts
 * HAProxy again where that has ended. When this process itself ends, HAProxy goes on, and the next one takes it over.
 */
import { realpathSync } from 'node:fs';
import { serveControl } from '../../local/router/control.ts';
import { EXIT, parseAddress } from '../../local/router/launch.ts';
import { load } from '../../local/router/store.ts';
import { dial } from '../../local/router/wire.ts';
import { endMaster, findMaster, HaproxyFailed } from './process.ts';
import { openHaproxyTable } from './table.ts';

/** How long HAProxy, when it is told to end, goes on with what it serves. */
const LINGER_MS = 5000;
const TEND_MS = 1000;
const STDOUT = 1;

const log = (message: string) => process.stdout.write(`${new Date().toISOString()} ${process.pid} ${message}\n`);

async function main([directory = '.', address = '']: string[]): Promise<void> {
  process.chdir(directory);
  process.on('SIGHUP', () => {});
  const folder = realpathSync('.');
  const listen = parseAddress(address);
  const twin = await dial('.');
  if (twin !== undefined) process.exit(EXIT.twin);
  const { routes } = await load(log);
  const table = await openHaproxyTable({ folder, listen, routes, log, output: STDOUT });
  let stopping = false;
  /** Where another one has taken its place, HAProxy is that one's. */
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    const other = await dial('.').catch(() => undefined);
    const master = findMaster(folder);
    if (master !== undefined && (other === undefined || other.health.pid === process.pid)) {
      log('ending');
      const busy = () =>
        table.stats().then(
          ({ active }) => Object.keys(active).length > 0,
          () => false,
        );
      await endMaster(master, busy, LINGER_MS);
    }
    process.exit(0);
  };
  const health = { pid: process.pid, ...listen };
  if (!(await serveControl({ table, health, log, stop: () => void stop() }))) process.exit(EXIT.twin);
  log(`HAProxy serves on ${listen.host}:${listen.port}`);
  keepTending(() => table.tend(), fail);
}

/** Each look begins when the one before has ended. */
function keepTending(tend: () => Promise<void>, failed: (error: Error) => void): void {
  setTimeout(() => tend().then(() => keepTending(tend, failed), failed), TEND_MS);
}

const CODES = { absent: EXIT.absent, refused: EXIT.refused, 'in-use': EXIT.EADDRINUSE };

function fail(error: Error): never {
  log(error.message);
  process.exit(error instanceof HaproxyFailed ? CODES[error.code] : 1);
}

main(process.argv.slice(2)).catch(fail);
