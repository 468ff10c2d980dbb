import t from 'tap';
import type { SshTarget } from '../../src/manifest/target.ts';
import { assumeInstances } from '../../src/plan/assumed.ts';
import type { LiveInstance } from '../../src/plan/live.ts';
import { cluster, fleet, machine } from '../support/fleet-world.ts';

const target = (...hosts: [name: string, role: string][]): SshTarget => ({
  key: { agent: true },
  knownHostsFile: '~/.ssh/known_hosts',
  hosts: hosts.map(([name, role]) => ({ name, address: '10.0.0.1', port: 22, user: 'deploy', labels: { role } })),
});
const told = (instances: LiveInstance[]) =>
  instances.map(({ id, applied, controlPlane }) => `${id} ${applied.join(',')}${controlPlane ? ' control plane' : ''}`);
const web = { id: 'Fleet/web' as const, spec: fleet('r2').spec, before: fleet('r1').spec };

t.test('hosts: those that are selected, as they were seen, in the order of drivers', async (t) => {
  const hosts = target(['web-10', 'web'], ['db-1', 'db'], ['web-2', 'web'], ['web-1', 'web']);
  const seen = [machine('web-1', { applied: ['r0', 'r1'] }), machine('web-2', { applied: ['r1'] }), machine('web-9')];
  const { instances, note } = assumeInstances({ ...web, target: hosts, seen, applied: ['r1'] });
  t.strictSame(told(instances), ['web-1 r0,r1', 'web-2 r1', 'web-10 ']);
  t.equal(note, 'not observed: web-10; assumed to be in service with nothing on it', 'it joins');
});

t.test('hosts that nobody looked at are assumed to be as they should', async (t) => {
  const hosts = target(['web-2', 'web'], ['web-1', 'web']);
  const { instances, note } = assumeInstances({ ...web, target: hosts, applied: ['r0', 'r1'] });
  t.strictSame(told(instances), ['web-1 r0,r1', 'web-2 r0,r1']);
  t.equal(note, 'not observed: web-1, web-2; assumed to be in service with r1 on them');
});

t.test('a cluster of hosts has its control plane first', async (t) => {
  const hosts = target(['a', 'node'], ['z', 'control-plane']);
  const { instances } = assumeInstances({
    ...{ id: 'Cluster/prod', spec: cluster('r2', '1.36.0').spec, before: cluster('r1', '1.35.0').spec },
    ...{ target: hosts, applied: ['r1'] },
  });
  t.strictSame(told(instances), ['z r1 control plane', 'a r1']);
  t.equal(instances[0]?.version, '1.35.0');
});

t.test('what a target creates: as seen, else as many as were declared', async (t) => {
  const sized = { ...web, spec: fleet('r2', { members: { size: 3 } }).spec };
  const before = fleet('r1', { members: { size: 2 } }).spec;
  t.strictSame(told(assumeInstances({ ...sized, before, applied: ['r1'] }).instances), ['web-1 r1', 'web-2 r1']);
  const seen = [machine('web-1', { applied: ['r1'] })];
  t.strictSame(assumeInstances({ ...sized, before, seen, applied: ['r1'] }), { instances: seen });
  t.strictSame(assumeInstances({ ...sized, before: undefined, applied: [] }), {
    instances: [],
    note: 'nothing was observed yet: all instances are created',
  });
  const create = { image: 'node', controlPlane: 1, nodes: 2 };
  const nodes = assumeInstances({
    ...{ id: 'Cluster/prod', spec: cluster('r2', '1.36.0', { create }).spec },
    ...{ before: cluster('r1', '1.35.0', { create }).spec, applied: ['r1'] },
  });
  t.strictSame(told(nodes.instances), ['prod-cp-1 r1 control plane', 'prod-node-1 r1', 'prod-node-2 r1']);
});

t.test('nodes that no manifest names are not guessed', async (t) => {
  const prod = { id: 'Cluster/prod' as const, spec: cluster('r2', '1.36.0').spec, applied: [] };
  t.match(assumeInstances(prod), { instances: [], note: /which nodes there are, the cluster tells/ });
  const seen = [machine('n-1')];
  t.strictSame(assumeInstances({ ...prod, seen }), { instances: seen });
});
