/** The router's configuration on its disk. */
import { readFile, rename } from 'node:fs/promises';
import writeFileAtomic from 'write-file-atomic';
import type { Route, RouterConfig } from './config.ts';

const FILE = 'config.json';

/** `boot`: backends are processes of that boot of the machine; after another their ports may be anybody's. */
interface Stored extends RouterConfig {
  boot: string;
}

/** Below the working directory. What cannot be read is put aside, told through `warn`, and counts as empty. */
export async function load(warn: (message: string) => void): Promise<RouterConfig> {
  const text = await readFile(FILE, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return { routes: {} };
  try {
    const { boot, routes } = JSON.parse(text) as Stored;
    if (typeof routes !== 'object' || routes === null) throw new SyntaxError('it holds no routes');
    return boot === (await currentBoot()) ? { routes } : withoutBackends(routes);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    await rename(FILE, `${FILE}.unreadable`);
    warn(`${FILE} cannot be read (${error.message}) and was put aside as ${FILE}.unreadable; starting without routes`);
    return { routes: {} };
  }
}

/** Whole or not at all, whenever this process is killed. Not forced to the disk's surface: after a power cut no backend is left to route to. */
export async function save({ routes }: RouterConfig): Promise<void> {
  const stored: Stored = { boot: await currentBoot(), routes };
  await writeFileAtomic(FILE, JSON.stringify(stored), { fsync: false, mode: 0o600 });
}

function withoutBackends(routes: RouterConfig['routes']): RouterConfig {
  const emptied = Object.entries(routes).map(([resource, route]): [string, Route] => [
    resource,
    { ...route, versions: Object.fromEntries(Object.keys(route.versions).map((version) => [version, []])) },
  ]);
  return { routes: Object.fromEntries(emptied) };
}

let boot: Promise<string> | undefined;
/** Empty on a system that has no such number. */
function currentBoot(): Promise<string> {
  boot ??= readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => '',
  );
  return boot;
}
