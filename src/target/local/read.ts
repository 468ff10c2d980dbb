/** Reading what is remembered on disk, where absence and damage are answers. */
import { readdirSync, readFileSync } from 'node:fs';

/** Names of the folders in one; of one that is not there, none. */
export function subfolders(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Undefined: there is none, or it is not JSON. The caller checks the shape. */
export function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}
