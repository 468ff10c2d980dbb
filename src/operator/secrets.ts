/** Secrets as files: `<secrets-dir>/<name>/<key>`, as Kubernetes and Docker mount them. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecretSource } from '../target/ports.ts';

const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const KEY = /^[-._a-zA-Z0-9]+$/;

/** Read anew each time, so that a secret that was changed is what the next unit gets. No folder: no secrets. */
export function secretsFrom(folder: string | undefined): SecretSource {
  return {
    async read(name) {
      if (folder === undefined || !NAME.test(name)) return undefined;
      const directory = join(folder, name);
      const names = await readdir(directory).catch(() => undefined);
      if (names === undefined) return undefined;
      const secret: Record<string, Buffer> = {};
      for (const key of names) {
        if (!KEY.test(key) || key.startsWith('..')) continue;
        const file = join(directory, key);
        if ((await stat(file)).isFile()) secret[key] = await readFile(file);
      }
      return secret;
    },
  };
}
