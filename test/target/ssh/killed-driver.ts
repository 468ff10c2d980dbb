/** A driver that begins an update and is then killed by who started it. */
import type { SshTarget } from '../../../src/manifest/target.ts';
import { openSshTarget } from '../../../src/target/ssh/target.ts';
import { fleetSpec, runnableOf } from './driver.ts';

const { ssh, dataDir, run } = JSON.parse(process.argv[2] ?? '{}') as { ssh: SshTarget; dataDir: string; run: string };
const { signal } = new AbortController();
const driver = await openSshTarget({ name: 'hosts', ssh, epoch: 1, dataDir });
await driver.declare('Fleet/web', fleetSpec());
const update = { kind: 'update' as const, unit: 'web-1', attempt: 'web-1.7.1', change: { to: 'r1', undo: [] } };
await driver.start('Fleet/web', update, runnableOf('Fleet/web', 'r1', { run }), signal);
