/** Prechecks that need nothing but what is declared and remembered. The drivers' own come beside them. */
import type { Resource } from '../manifest/resource.ts';
import type { Settled } from '../plan/plan.ts';
import { versionName } from '../plan/versions.ts';
import type { PrecheckResult } from './state.ts';

export function builtinPrechecks(resource: Resource, settled: Settled, id: number): PrecheckResult[] {
  const { spec, revision } = resource;
  const results: PrecheckResult[] = [
    { name: 'references', result: 'pass', message: 'every reference of the manifest resolves', remedy: '' },
  ];
  if (spec.kind === 'Service') results.push(versionNameCheck(versionName(spec, settled, revision, id)));
  return results;
}

function versionNameCheck({ name, conflict }: { name: string; conflict?: string }): PrecheckResult {
  if (conflict === undefined) {
    return { name: 'version name', result: 'pass', message: `deployed as ${name}`, remedy: '' };
  }
  return {
    name: 'version name',
    result: 'fail',
    message: `${name} is the name of revision ${conflict} for good`,
    remedy: 'choose another spec.version, or leave it out',
  };
}
