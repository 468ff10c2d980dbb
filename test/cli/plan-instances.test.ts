import t from 'tap';
import { versionNotes, withInstances } from '../../src/cli/plan-instances.ts';
import type { HostTarget } from '../../src/manifest/target.ts';
import { assumeSettled, changeOf } from '../../src/plan/change.ts';
import { describeText } from '../../src/plan/describe.ts';
import { toDocument } from '../../src/status/document.ts';
import { NEW, OLD, web, webLive } from '../status/examples.ts';
import { cluster, fleet, machine } from '../support/fleet-world.ts';
import { workload } from '../support/resources.ts';

const targets = (...names: string[]): Map<string, HostTarget> => {
  const hosts = names.map((name) => ({ name, address: '10.0.0.1', port: 22, user: 'deploy', labels: { role: 'web' } }));
  const ssh = { key: { agent: true as const }, knownHostsFile: '~/.ssh/known_hosts', hosts };
  return new Map([['web-hosts', { name: 'web-hosts', ssh }]]);
};
const known = () => ({ settled: assumeSettled(fleet(OLD), 'c1'), history: [] });
const seen = () =>
  toDocument({ id: 'Fleet/web', state: web(), live: webLive(), health: 'Healthy', message: '' }).instances;

t.test('a plan is made over what a status shows of the declared hosts', async (t) => {
  const will = fleet('cccccccccc');
  const over = withInstances(known(), fleet(OLD), will, seen(), targets('web-1', 'web-3', 'web-5', 'web-9'));
  const change = changeOf(fleet(OLD), will, over);
  t.equal(
    describeText(change ? [change] : []),
    [
      `Fleet/web is upgraded: ${OLD} → cccccccccc`,
      '  1. batch 1 of 2  2 to cccccccccc: web-1, web-5',
      '  2. batch 2 of 2  1 to cccccccccc: web-9',
      '  note: not in service, so not upgraded: web-3',
      '  note: not observed: web-9; assumed to be in service with nothing on it',
      '',
    ].join('\n'),
  );
});

t.test('back to what is below: by what is on each instance', async (t) => {
  const settled = known().settled;
  settled.lineage.push({ revision: NEW, commit: 'c2' });
  const over = withInstances(
    { settled, history: [] },
    fleet(NEW),
    fleet(OLD),
    seen(),
    targets('web-1', 'web-2', 'web-5'),
  );
  const change = changeOf(fleet(NEW), fleet(OLD), over);
  t.strictSame(
    change?.stages.map(({ goal }) => goal),
    [`1 back to ${OLD}, undoing ${NEW}: web-1`, `1 back to ${OLD}, undoing ${NEW}: web-2`],
    'web-5 is there already',
  );
});

t.test('replicas and what is deleted have no instances', async (t) => {
  const before = known();
  t.equal(withInstances(before, undefined, workload(OLD), undefined, new Map()), before);
  t.equal(withInstances(before, fleet(OLD), undefined, seen(), new Map()), before);
});

t.test('a version that may not follow what nodes run is told before', async (t) => {
  const live = {
    ...webLive(),
    instances: [machine('cp-1', { controlPlane: true, applied: [OLD], version: '1.34.1' })],
  };
  const { instances } = toDocument({ id: 'Cluster/prod', state: web(), live, health: 'Healthy', message: '' });
  const notes = (version: string) => {
    const will = cluster(NEW, version);
    const change = changeOf(cluster(OLD, '1.34.1'), will, { ...known(), instances: live.instances });
    return change === undefined ? [] : versionNotes(change, will, instances);
  };
  t.strictSame(notes('1.35.0'), []);
  t.match(notes('1.36.0'), [/^its precheck will fail: .*more than one minor; upgrade one minor version at a time$/]);
});
