/** What was declared, so that what was deleted meanwhile can be let go as well. A cache: nothing is lost with it but that. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import type { InstanceSpec, ResourceId } from '../../manifest/resource.ts';

export interface Declared {
  specs: Map<ResourceId, InstanceSpec>;
  save(): Promise<void>;
}

export async function readDeclared(dataDir: string): Promise<Declared> {
  const file = join(dataDir, 'declared.json');
  const specs = new Map<ResourceId, InstanceSpec>(await entries(file));
  let saving = Promise.resolve();
  return {
    specs,
    save() {
      saving = saving.then(() => writeFileAtomic(file, `${JSON.stringify([...specs])}\n`)).catch(() => {});
      return saving;
    },
  };
}

async function entries(file: string): Promise<[ResourceId, InstanceSpec][]> {
  try {
    const read: unknown = JSON.parse(await readFile(file, 'utf8'));
    return Array.isArray(read) ? (read as [ResourceId, InstanceSpec][]).filter(isEntry) : [];
  } catch {
    return [];
  }
}

const isEntry = (entry: unknown): boolean =>
  Array.isArray(entry) && typeof entry[0] === 'string' && ['Fleet', 'Cluster'].includes(entry[1]?.kind);
