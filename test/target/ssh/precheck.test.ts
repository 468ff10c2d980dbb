import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { Script } from '../../../src/manifest/resource.ts';
import type { Plan, UnitChange } from '../../../src/plan/plan.ts';
import type { PrecheckResult } from '../../../src/rollout/state.ts';
import { openUnitPlace, type UnitPlace } from '../../../src/target/hosts/attempts.ts';
import type { HostDetails, UnitView } from '../../../src/target/hosts/view.ts';
import { openConnections } from '../../../src/target/ssh/connections.ts';
import { precheckHosts } from '../../../src/target/ssh/precheck.ts';
import { newUnit } from '../../../src/target/ssh/watch.ts';
import { noHaproxy, startHaproxy } from '../haproxy/haproxy.ts';
import { all, clusterSpec, type Driven, drive, ended, fleetSpec, runnableOf } from './driver.ts';
import { noSshd, startHosts, type TestHosts } from './hosts.ts';

const { signal } = new AbortController();
const real = { skip: noSshd, timeout: 400_000 };
const web = () => ({ role: 'web' });

const planOf = (want: Record<string, UnitChange>): Plan => ({
  ...{ generation: 1, to: 'r2', version: '' },
  stages: [{ name: 'batch 1 of 1', goal: { kind: 'units', want, maxInFlight: 1 }, gates: [] }],
});

async function ask(
  { driver, id }: Driven,
  spec: ReturnType<typeof fleetSpec> | ReturnType<typeof clusterSpec>,
  script: Partial<Script> = {},
  want: Record<string, UnitChange> = { 'web-1': { to: 'r2', undo: [] } },
): Promise<PrecheckResult[]> {
  const version = spec.kind === 'Cluster' ? spec.version : undefined;
  return driver.precheck(id, spec, runnableOf(id, 'r2', script, version), planOf(want), signal);
}
const brief = (results: PrecheckResult[]) => results.map(({ name, result }) => `${name}: ${result}`);
const named = (results: PrecheckResult[], name: string) => results.find((result) => result.name === name);
const troubled = (results: PrecheckResult[]) => results.filter(({ result }) => result !== 'pass');

test('a fleet on hosts that are well passes, and nothing is left there', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1', 'web-2'], labels: web });
  const it = await drive(t, hosts, fleetSpec());
  const results = await ask(it, fleetSpec());
  t.same(brief(results), ['hosts: pass', 'programs: pass', 'disk: pass', 'earlier upgrades: pass']);
  for (const { home } of hosts.hosts) t.same(await readdir(home), []);
});

test('a host that does not answer fails what would upgrade it, and is told of otherwise', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1', 'web-2'], labels: web });
  await hosts.hosts[1]?.stop();
  const it = await drive(t, hosts, fleetSpec());
  const spec = fleetSpec();
  t.match(named(await ask(it, spec), 'hosts'), { result: 'warn', message: /no answer from web-2 \(/ });
  const results = await ask(it, spec, {}, { 'web-2': { to: 'r2', undo: [] } });
  t.match(named(results, 'hosts'), { result: 'fail', remedy: /retry/ });
});

test('an interpreter that a host does not have is refused', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const it = await drive(t, hosts, fleetSpec());
  for (const interpreter of ['powershell', 'bat'] as const)
    t.match(named(await ask(it, fleetSpec(), { interpreter }), 'interpreter'), {
      result: 'fail',
      message: /^web-1 \(no /,
      remedy: /write the script for sh/,
    });
  const bin = join(hosts.root, 'bin');
  await mkdir(bin);
  writeFileSync(join(bin, 'pwsh'), '#!/bin/sh\n');
  await chmod(join(bin, 'pwsh'), 0o755);
  const can = await startHosts(t, { names: ['web-1'], labels: web, env: [`PATH=${bin}:/usr/bin:/bin`] });
  const results = await ask(await drive(t, can, fleetSpec()), fleetSpec(), { interpreter: 'powershell' });
  t.match(named(results, 'interpreter') ?? results, { result: 'pass' });
});

test('a plan that goes back warns of what has no rollback script', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const it = await drive(t, hosts, fleetSpec());
  for (const [revision, script] of [
    ['r1', { run: 'true' }],
    ['r2', { run: 'true', rollback: 'true' }],
  ] as const) {
    await it.update('web-1', `web-1.${revision}.1`, revision, script);
    await it.until('it is updated', ended('web-1', `web-1.${revision}.1`));
  }
  const back = (...undo: string[]) => ask(it, fleetSpec(), {}, { 'web-1': { to: 'r0', undo } });
  t.match(named(await back('r2'), 'rollback scripts'), { result: 'pass' });
  t.match(named(await back('r2', 'r1'), 'rollback scripts'), { result: 'warn', message: 'web-1 (none for r1)' });
});

test('an earlier upgrade that still runs fails, one that was left is told of', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const it = await drive(t, hosts, fleetSpec());
  await it.update('web-1', 'web-1.7.1', 'r1', { run: 'until [ -f go ]; do sleep 0.05; done' });
  await it.until(
    'it runs',
    all(({ applied }) => applied.includes('r1')),
  );
  t.match(named(await ask(it, fleetSpec()), 'earlier upgrades'), { result: 'fail', message: /web-1\.7\.1 still runs/ });
  writeFileSync(join(hosts.hosts[0]?.home ?? '', 'go'), '');
  await it.until('it has ended', ended('web-1', 'web-1.7.1'));
  t.match(named(await ask(it, fleetSpec()), 'earlier upgrades'), { result: 'pass' });
});

test('the load balancer must answer and know the hosts', { ...real, skip: noSshd || noHaproxy }, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1', 'web-2'], labels: web });
  const haproxy = await startHaproxy({ backends: { web: { 'web-1': { port: 1, weight: 1 } } } });
  t.teardown(() => haproxy.close());
  const asked = async (socket: string, backend: string) => {
    const ssh = { ...hosts.ssh, loadBalancer: { socket, backends: [backend] } };
    return named(await ask(await drive(t, { ...hosts, ssh }, fleetSpec()), fleetSpec()), 'load balancer');
  };
  t.match(await asked(haproxy.socket, 'web'), { result: 'fail', message: 'it has no server of the name web-2' });
  t.match(await asked(haproxy.socket, 'shop'), { result: 'fail', message: /no backend shop/ });
  t.match(await asked('/nonexistent', 'web'), { result: 'fail', message: /does not answer/, remedy: /start it/ });
});

test('the nodes of a cluster are looked at, and the checks of the manifest run on them', real, async (t) => {
  const hosts = await startHosts(t, {
    names: ['cp-1', 'node-1'],
    labels: (name) => (name === 'cp-1' ? { role: 'control-plane' } : ({} as Record<string, string>)),
  });
  const prechecks = [
    { command: ['sh', '-c', 'test "$SLUICE_INSTANCE" = cp-1 || { echo no quorum >&2; exit 1; }'] },
    { http: { url: 'http://127.0.0.1:1/' } },
  ];
  const spec = clusterSpec({ versionCommand: ['cat', 'version'] }, { prechecks });
  writeFileSync(join(hosts.hosts[0]?.home ?? '', 'version'), '1.35.1\n');
  const it = await drive(t, hosts, spec);
  const results = await ask(it, spec, {}, {});
  const names = new Set(results.map(({ name }) => name));
  for (const name of ['hosts', 'nodes', 'disk', 'swap', 'memory', 'clocks', 'load', 'earlier upgrades'])
    t.ok(names.has(name), name);
  t.match(named(results, 'nodes'), { result: 'fail', message: /^node-1 \(its version command says: cat: version/ });
  t.match(named(results, 'precheck 1'), { result: 'fail', message: 'node-1 (sh ended with 1: no quorum)' });
  t.match(named(results, 'precheck 2'), { result: 'fail', message: /ECONNREFUSED/ });
  for (const result of troubled(results)) t.not(result.remedy, '', `${result.name} says what to do`);
});

/** A node of its own sort among others, reached with the same key. */
async function beside(t: Test, hosts: TestHosts, name: string, env: string[]): Promise<TestHosts> {
  const other = await startHosts(t, { names: [name], env });
  await copyFile(join(hosts.root, 'authorized'), join(other.root, 'authorized'));
  await hosts.known([...hosts.hosts, ...other.hosts].map((host) => `[127.0.0.1]:${host.port} ${host.keys()[0]}`));
  return { ...hosts, ssh: { ...hosts.ssh, hosts: [...hosts.ssh.hosts, ...other.ssh.hosts] } };
}

async function programs(root: string, scripts: Record<string, string>): Promise<string> {
  const bin = join(root, 'programs');
  await mkdir(bin);
  for (const [name, text] of Object.entries(scripts))
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return bin;
}

test('a node whose clock is wrong is named, with how much', real, async (t) => {
  const hosts = await startHosts(t, { names: ['node-1'] });
  const late = await programs(hosts.root, { date: 'exec /bin/date -d "300 seconds ago" "$@"' });
  const all = await beside(t, hosts, 'node-2', [`PATH=${late}:/usr/bin:/bin`]);
  const spec = clusterSpec({ versionCommand: ['echo', '1.36.2'] });
  const clocks = named(await ask(await drive(t, all, spec), spec, {}, {}), 'clocks');
  t.match(clocks, { result: 'fail', message: /^node-1 is (29\d|30\d) s ahead of node-2$/, remedy: /chrony/ });
});

const noOpenssl = !['/usr/bin/openssl', '/bin/openssl'].some((path) => existsSync(path)) && 'there is no openssl here';

test('certificates that have ended, or are about to, are read where they lie', {
  ...real,
  skip: noSshd || noOpenssl,
}, async (t) => {
  const { ssh, root, hosts } = await startHosts(t, { names: ['node-1', 'node-2'] });
  const certify = (home: string, days: number) => {
    const [key, request] = [join(home, 'node.key'), join(home, 'node.csr')];
    const asked = ['-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-subj', '/CN=node', '-out', request];
    execFileSync('openssl', ['req', '-new', ...asked], { stdio: 'ignore' });
    const made = ['-in', request, '-signkey', key, '-days', String(days), '-out', join(home, 'apiserver.crt')];
    execFileSync('openssl', ['x509', '-req', ...made], { stdio: 'ignore' });
  };
  const connections = openConnections({ ssh });
  t.teardown(() => connections.close());
  const units = ssh.hosts.map((host, index) => {
    const home = hosts[index]?.home ?? '';
    const place = openUnitPlace({ shell: connections.shell(host.name), folder: '.sluice/Cluster-prod/node', epoch: 0 });
    // As it is asked, but for where certificates lie on a node.
    const look: UnitPlace['look'] = ({ details, ...options }) =>
      place.look({ ...options, ...(details && { details: { certificates: [join(home, '*.crt')] } }) });
    return newUnit(host, { ...place, look }, false);
  });
  const asked = async () => {
    const spec = clusterSpec({ versionCommand: ['echo', '1.36.2'] });
    const runnable = { resource: 'Cluster/prod' as const, revision: 'r2', version: '1.36.3' };
    const given = { resource: 'Cluster/prod' as const, spec, runnable, plan: planOf({}), units, balancer: undefined };
    return named(await precheckHosts({ ...given, connections, signal }), 'certificates');
  };
  t.equal(await asked(), undefined, 'where there are none, nothing is said');
  certify(hosts[0]?.home ?? '', 365);
  t.match(await asked(), { result: 'pass' });
  certify(hosts[1]?.home ?? '', 10);
  t.match(await asked(), {
    result: 'warn',
    message: new RegExp(`^node-2 \\(${root}/node-2/home/apiserver.crt ends on \\d{4}-\\d\\d-\\d\\d\\)$`),
    remedy: /renew them/,
  });
  certify(hosts[0]?.home ?? '', -1);
  t.match(await asked(), { result: 'fail', message: /^node-1 \(.*apiserver.crt ended on \d{4}-\d\d-\d\d\)/ });
});

const GIB = 2 ** 30;
const well: HostDetails = {
  ...{ lacks: [], has: [], swaps: [], certificates: [] },
  disk: { totalBytes: 100 * GIB, freeBytes: 50 * GIB },
  memory: { totalBytes: 8 * GIB, availableBytes: 4 * GIB },
  load: { one: 0.5, cpus: 4 },
};

/** Prechecks of a cluster whose nodes tell this of themselves. */
async function told(nodes: Record<string, { details?: Partial<HostDetails>; view?: Partial<UnitView> }>) {
  const units = Object.entries(nodes).map(([name, { details, view }]) => {
    const clock = Math.floor(Date.now() / 1000);
    const look = async (): Promise<UnitView> => ({
      ...{ boot: 'b', epoch: 0, applied: [], undoable: [], attempts: {}, version: { ok: true, text: '1.36.2' } },
      details: { ...well, clock, ...details },
      ...view,
    });
    return {
      host: { name, address: '10.0.0.1', port: 22, user: 'deploy', labels: {} },
      ...{ place: { look } as unknown as UnitPlace, controlPlane: false, view: undefined, seenAt: 0, out: undefined },
      ...{ trouble: undefined, accepted: undefined, failed: undefined, acting: Promise.resolve(), acts: 0 },
      hurry: () => {},
    };
  });
  const spec = clusterSpec({ versionCommand: ['true'] });
  const runnable = { resource: 'Cluster/prod' as const, revision: 'r2', version: '1.36.3' };
  const none = { balancer: undefined, connections: undefined as never };
  return troubled(
    await precheckHosts({ resource: 'Cluster/prod', spec, runnable, plan: planOf({}), units, ...none, signal }),
  ).map(({ name, result, message, remedy }) => `${result} ${name}: ${message}${remedy === '' ? ' NO REMEDY' : ''}`);
}

test('what nodes tell of themselves is judged', async (t) => {
  const now = Math.floor(Date.now() / 1000);
  const inDays = (days: number) => Date.now() + days * 86_400_000;
  t.same(await told({ a: {}, b: { details: { certificates: [{ file: '/x.crt', endsAt: inDays(31) }] } } }), []);
  t.same(await told({ a: {}, b: { details: { clock: now + 3 } } }), []);
  t.match(await told({ a: {}, b: { details: { clock: now + 61 } }, c: { details: { clock: now - 60 } } }), [
    /^fail clocks: b is 1(19|20|21) s ahead of c$/,
  ]);
  t.match(await told({ a: { details: { certificates: [{ file: '/x.crt', endsAt: inDays(-1) }] } } }), [
    /^fail certificates: a \(\/x\.crt ended on \d{4}-/,
  ]);
  t.match(await told({ a: { details: { certificates: [{ file: '/x.crt', endsAt: inDays(5) }] } } }), [
    /^warn certificates: a \(\/x\.crt ends on/,
  ]);
  t.same(await told({ a: { details: { disk: { totalBytes: 100 * GIB, freeBytes: GIB / 2 } } }, b: {} }), [
    'fail disk: a (512 MiB free, 1024 MiB needed)',
  ]);
  t.same(await told({ a: { details: { swaps: ['/dev/sda2'] } } }), ['warn swap: a (/dev/sda2)']);
  t.same(await told({ a: { details: { memory: { totalBytes: 8 * GIB, availableBytes: 32 * 2 ** 20 } } } }), [
    'fail memory: a (32 MiB available)',
  ]);
  t.same(await told({ a: { details: { load: { one: 20, cpus: 4 } } } }), ['warn load: a (load 20 on 4 processors)']);
  t.same(await told({ a: { details: { lacks: ['flock', 'timeout'] } } }), ['fail programs: a (no flock, timeout)']);
  t.same(await told({ a: { view: { version: { ok: true, text: '' } } } }), [
    'fail nodes: a (its version command prints nothing)',
  ]);
  const update = { id: 'a.3.1', state: 'unknown' as const, message: 'gone', seconds: 1, limitSeconds: 1 };
  t.same(await told({ a: { view: { attempts: { update } } }, b: { view: { cordoned: 'b.3.1' } } }), [
    'warn earlier upgrades: a (a.3.1: gone), b (cordoned by b.3.1)',
  ]);
});
