/** The operator's handle on HAProxy as a router: the same as on the embedded one. */
import { fileURLToPath } from 'node:url';
import type { DockerTarget } from '../../../manifest/target.ts';
import { openRouter, type RouterClient, type RouterOptions, stopRouter } from '../../local/router/client.ts';
import { type Address, parseAddress } from '../../local/router/launch.ts';
import { RouterError } from '../../local/router/wire.ts';
import { DEFAULT_LISTEN } from './shared.ts';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

/** Where HAProxy serves for a target; undefined: the embedded router serves for it. */
export const haproxyAddress = ({ router, listen = DEFAULT_LISTEN }: DockerTarget): Address | undefined =>
  router === 'haproxy' ? parseAddress(listen) : undefined;

/** HAProxy of `dataDir`, which is started where it does not run. One that serves elsewhere is ended: another address is declared now. */
export async function openHaproxyRouter(options: Omit<RouterOptions, 'main'>): Promise<RouterClient> {
  const open = () => openRouter({ ...options, main: MAIN });
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof RouterError) || error.code !== 'router-elsewhere') throw error;
    await stopRouter(options.dataDir);
    return open();
  }
}
