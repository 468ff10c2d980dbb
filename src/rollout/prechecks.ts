/** Prechecks that need nothing but what is declared and remembered. The drivers' own come beside them. */
import type { Resource } from '../manifest/resource.ts';
import { isTaken } from '../plan/instances.ts';
import { type Live, type LiveInstance, membersOf } from '../plan/live.ts';
import type { Settled } from '../plan/plan.ts';
import { versionName } from '../plan/versions.ts';
import type { PrecheckResult } from './state.ts';
import { versionChecks } from './version-skew.ts';

/** `live` absent or incomplete: not all was observed, so nothing is said of it. */
export function builtinPrechecks(
  resource: Resource,
  settled: Settled,
  id: number,
  live: Live | undefined,
): PrecheckResult[] {
  const { spec, revision } = resource;
  const results: PrecheckResult[] = [
    { name: 'references', result: 'pass', message: 'every reference of the manifest resolves', remedy: '' },
  ];
  if (spec.kind === 'Service') results.push(versionNameCheck(versionName(spec, settled, revision, id)));
  const instances = live?.complete ? membersOf(live) : [];
  if (spec.kind === 'Fleet' && live?.complete) results.push(...membersChecks(instances, 'size' in spec.members));
  if (spec.kind === 'Cluster' && instances.length > 0) results.push(...versionChecks(spec.version, instances));
  return results;
}

/** One that a rollout passes over is no reason to wait, but to know. */
function membersChecks(instances: LiveInstance[], created: boolean): PrecheckResult[] {
  const name = 'instances';
  if (instances.length === 0) {
    if (created) return [{ name, result: 'pass', message: 'they will be created', remedy: '' }];
    const remedy = 'correct spec.selector, or the labels of the hosts';
    return [{ name, result: 'fail', message: 'no host has the labels of the selector', remedy }];
  }
  const out = instances
    .filter((instance) => !isTaken(instance))
    .map(({ id, message }) => `${id}${message ? ` (${message})` : ''}`);
  const ready = instances.filter((instance) => instance.ready).length;
  if (out.length === 0) return [{ name, result: 'pass', message: `${ready} in service`, remedy: '' }];
  const message = `not in service, so not upgraded: ${out.slice(0, 5).join(', ')}${out.length > 5 ? ' …' : ''}`;
  if (out.length < instances.length) return [{ name, result: 'warn', message, remedy: 'bring them up, then retry' }];
  return [{ name, result: 'fail', message: 'none is in service', remedy: 'bring them up, then retry' }];
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
