/** Which upgrades of a cluster are legal: one minor at a time, never down, nodes never newer than the control plane. */
import type { LiveInstance } from '../plan/live.ts';
import type { PrecheckResult } from './state.ts';

/** A node may be so many minors behind its control plane. */
const MOST_BEHIND = 3;

type Version = [major: number, minor: number, patch: number];

/** `1.36.3` or `v1.36.3`; undefined: it is no version. */
function parseVersion(text: string | undefined): Version | undefined {
  const found = /^v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?(?:[-+].*)?$/.exec(text ?? '');
  return found ? [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)] : undefined;
}

const compare = (a: Version, b: Version): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

/** 1.34 to 1.36 is 2; another major is no number of minors. */
const minorsBetween = (from: Version, to: Version): number =>
  from[0] === to[0] ? to[1] - from[1] : Number.POSITIVE_INFINITY;

/**
 * All that is wrong is told. A node that runs the wanted version already (a rollout that goes on) is right.
 *
 *   control plane 1.35.2, wanted 1.36.0 → legal;  wanted 1.37.0 → one minor at a time;  wanted 1.34.9 → never down
 */
export function versionChecks(wanted: string, instances: LiveInstance[]): PrecheckResult[] {
  const to = parseVersion(wanted);
  if (to === undefined) return [fail(`${wanted} is no version`, 'write it as 1.36.3')];
  const unknown = instances.filter(({ version }) => parseVersion(version) === undefined).map(({ id }) => id);
  if (unknown.length > 0) {
    return [fail(`the version of ${named(unknown)} is not known`, 'see that these nodes answer, then retry')];
  }
  const results = [...newerThan(to, wanted, instances), ...tooFar(to, wanted, instances), ...skewed(instances)];
  if (results.length > 0) return results;
  return [{ name: 'version', result: 'pass', message: `${wanted} may follow what the nodes run`, remedy: '' }];
}

const fail = (message: string, remedy: string): PrecheckResult => ({
  name: 'version',
  result: 'fail',
  message,
  remedy,
});

const versionOf = ({ version }: LiveInstance): Version => parseVersion(version) ?? [0, 0, 0];

function newerThan(to: Version, wanted: string, instances: LiveInstance[]): PrecheckResult[] {
  const newer = instances.filter((instance) => compare(versionOf(instance), to) > 0);
  if (newer.length === 0) return [];
  const which = named(newer.map(({ id, version }) => `${id} (${version})`));
  return [
    fail(`a cluster is never downgraded: ${wanted} is below what runs on ${which}`, 'go forward to a later version'),
  ];
}

function tooFar(to: Version, wanted: string, instances: LiveInstance[]): PrecheckResult[] {
  const masters = instances.filter(({ controlPlane }) => controlPlane);
  const jump = masters.filter((instance) => minorsBetween(versionOf(instance), to) > 1);
  const behind = instances.filter(
    (instance) => !instance.controlPlane && minorsBetween(versionOf(instance), to) > MOST_BEHIND,
  );
  const told = (those: LiveInstance[]) => named(those.map(({ id, version }) => `${id} (${version})`));
  return [
    ...(jump.length === 0
      ? []
      : [fail(`from ${told(jump)} to ${wanted} is more than one minor`, 'upgrade one minor version at a time')]),
    ...(behind.length === 0
      ? []
      : [fail(`${told(behind)} would be more than ${MOST_BEHIND} minors behind`, 'upgrade these nodes first')]),
  ];
}

/** What is so now, whatever is wanted. */
function skewed(instances: LiveInstance[]): PrecheckResult[] {
  const masters = instances.filter(({ controlPlane }) => controlPlane).map(versionOf);
  const lowest = masters.sort(compare)[0];
  if (lowest === undefined) return [];
  const newer = instances.filter(
    (instance) => !instance.controlPlane && minorsBetween(lowest, versionOf(instance)) > 0,
  );
  if (newer.length === 0) return [];
  const which = named(newer.map(({ id, version }) => `${id} (${version})`));
  return [
    fail(`${which} is newer than the control plane (${lowest.join('.')})`, 'bring the control plane up to it first'),
  ];
}

const NAMED = 5;
const named = (ids: string[]): string =>
  ids.length > NAMED ? `${ids.slice(0, NAMED).join(', ')} and ${ids.length - NAMED} more` : ids.join(', ');
