/** Tells that a local repository's branches may have moved: a hint, never the truth. */
import { join } from 'node:path';
import { watch } from 'chokidar';
import type { LocalRepository } from './local-repository.ts';

/** In bursts the last change can go unseen: whoever is told looks at once, and again after this long. */
export const SETTLE_MS = 100;

/** Resolves once it watches; the result ends it. */
export async function watchRefs({ commondir }: LocalRepository, changed: () => void): Promise<() => Promise<void>> {
  const watcher = watch([join(commondir, 'refs', 'heads'), join(commondir, 'packed-refs')], {
    ignoreInitial: true,
    ignored: (path) => path.endsWith('.lock'),
  });
  // Without hints (no more watches to be had) the poll goes on alone.
  watcher.on('error', () => {});
  watcher.on('all', changed);
  await new Promise<void>((ready) => {
    watcher.once('ready', ready);
  });
  return () => watcher.close();
}
