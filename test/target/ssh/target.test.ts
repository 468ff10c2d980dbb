import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { readSshLogs } from '../../../src/target/ssh/target.ts';
import { until } from '../../support/until.ts';
import { HOSTILE } from '../hosts/hostile.ts';
import { all, clusterSpec, drive, ended, fleetSpec, inLive } from './driver.ts';
import { killSession, noSshd, startHosts, type TestHost } from './hosts.ts';

const { signal } = new AbortController();
const real = { skip: noSshd, timeout: 400_000 };
const web = () => ({ role: 'web' });

const file = (host: TestHost | undefined, name: string): string => {
  const path = join(host?.home ?? '', name);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
};

test('a host is taken out, updated, put back and undone; each step may be asked for again', real, async (t) => {
  const hosts = await startHosts(t, {
    names: ['web-10', 'web-2', 'db-1'],
    labels: (name) => ({ role: name.slice(0, -2).replace('-', '') === 'db' ? 'db' : 'web' }),
  });
  const it = await drive(t, hosts, fleetSpec());
  const live = await it.until(
    'all are seen',
    all(({ ready }) => ready),
  );
  t.same(
    live.instances?.map(({ id }) => id),
    ['web-2', 'web-10'],
  );
  t.match(live.instances?.[0], { created: false, applied: [], service: 'in', cordoned: false, restarts: 0 });
  t.equal(live.suspended, undefined);
  t.notOk(existsSync(join(hosts.hosts[0]?.home ?? '', '.sluice')), 'to look leaves nothing');

  await it.takeOut('web-2', 'web-2.7.1');
  t.equal((await it.unit('web-2')).service, 'out', 'it is shown as accepted at once');
  await it.until(
    'it is out',
    inLive('web-2', ({ service }) => service === 'out'),
  );
  const script = { run: 'echo run >> acts; env > env; echo did it', rollback: 'echo undo >> acts' };
  await it.update('web-2', 'web-2.7.1', 'r1', script);
  t.match((await it.unit('web-2')).attempt, { id: 'web-2.7.1', state: 'running' });
  for (let n = 0; n < 3; n++) await it.update('web-2', 'web-2.7.1', 'r1', script);
  await it.until('it has ended', ended('web-2', 'web-2.7.1'));
  t.match(await it.unit('web-2'), { attempt: { state: 'succeeded' }, applied: ['r1'], service: 'out' });
  await it.update('web-2', 'web-2.7.1', 'r1', script);
  await it.putBack('web-2');
  await it.until(
    'it is back',
    inLive('web-2', ({ service }) => service === 'in'),
  );
  const host = hosts.hosts[1];
  t.equal(file(host, 'acts'), 'run\n');
  for (const told of ['SLUICE_RESOURCE=Fleet/web', 'SLUICE_ROLLOUT=7', 'SLUICE_INSTANCE=web-2'])
    t.match(file(host, 'env'), told);
  t.notMatch(file(host, 'env'), /SSH_|npm_|SLUICE_VERSION/);

  await it.update('web-2', 'web-2.8.1', 'r0', undefined, ['r1']);
  await it.until('it is undone', ended('web-2', 'web-2.8.1'));
  t.equal(file(host, 'acts'), 'run\nundo\n');
  t.same((await it.unit('web-2')).applied, []);
  t.match(await readSshLogs(hosts.ssh, 'Fleet/web', 'web-2'), /==> update-web-2\.7\.1 <==\ndid it\n/);
  t.same((await it.unit('web-10')).applied, [], 'the others are not touched');
});

test('a script that fails says how; no value is read by a shell', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const it = await drive(t, hosts, fleetSpec());
  for (const [index, value] of HOSTILE.entries()) {
    const attempt = `web-1.${index}.1`;
    const run = `cat > got <<'THE END'\n${value}\nTHE END\necho "$(cat got)" >&2; exit 3`;
    await it.update('web-1', attempt, `r${index}`, { run, rollback: value });
    await it.until('it has ended', ended('web-1', attempt));
    t.match((await it.unit('web-1')).attempt, { state: 'failed', message: /^exited with code 3/ });
    t.equal(file(hosts.hosts[0], 'got'), `${value}\n`);
  }
  t.notOk(existsSync(join(hosts.hosts[0]?.home ?? '', 'pwned')));
});

test('the connection may be cut at any moment of a script: the outcome is there, and it ran once', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const [host] = hosts.hosts;
  const it = await drive(t, hosts, fleetSpec());
  await it.until(
    'it is seen',
    all(({ ready }) => ready),
  );
  const run = 'echo begun >> acts; until [ -f go ]; do sleep 0.05; done; echo ended >> acts';
  const asked = () => it.update('web-1', 'web-1.7.1', 'r1', { run });
  const cuts = setInterval(() => host?.line.cut(), 150);
  await it.until('it runs', () => file(host, 'acts') !== '', asked);
  clearInterval(cuts);
  host?.line.cut();
  writeFileSync(join(host?.home ?? '', 'go'), '');
  await it.until('it has ended', ended('web-1', 'web-1.7.1'), asked);
  t.match((await it.unit('web-1')).attempt, { state: 'succeeded' });
  t.equal(file(host, 'acts'), 'begun\nended\n');
});

test('a driver that comes after one that was let go of in the middle looks the outcome up', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const [host] = hosts.hosts;
  const first = await drive(t, hosts, fleetSpec());
  await first.takeOut('web-1', 'web-1.7.1');
  await first.until(
    'it is out',
    inLive('web-1', ({ service }) => service === 'out'),
  );
  const run = 'echo run >> acts; until [ -f go ]; do sleep 0.05; done';
  await first.update('web-1', 'web-1.7.1', 'r1', { run });
  await until('it runs', () => file(host, 'acts') !== '');
  await first.driver.close();
  const second = await drive(t, hosts, fleetSpec(), { epoch: 2 });
  const seen = await second.until(
    'it is seen',
    all(({ ready }) => ready),
  );
  t.match(seen.instances?.[0], { service: 'out', applied: ['r1'], attempt: { id: 'web-1.7.1', state: 'running' } });
  await second.update('web-1', 'web-1.7.1', 'r1', { run });
  writeFileSync(join(host?.home ?? '', 'go'), '');
  await second.until('it has ended', ended('web-1', 'web-1.7.1'));
  t.match((await second.unit('web-1')).attempt, { state: 'succeeded' });
  t.equal(file(host, 'acts'), 'run\n');
});

test(
  'a driver whose process is killed in the middle leaves the script running; it is not run again',
  real,
  async (t) => {
    const hosts = await startHosts(t, { names: ['web-1'], labels: web });
    const [host] = hosts.hosts;
    const run = 'echo run >> acts; until [ -f go ]; do sleep 0.05; done';
    const options = JSON.stringify({ ssh: hosts.ssh, dataDir: join(hosts.root, 'cache'), run });
    const child = spawn(process.execPath, [join(import.meta.dirname, 'killed-driver.js'), options], {
      stdio: 'inherit',
    });
    await until('it runs', () => file(host, 'acts') !== '');
    child.kill('SIGKILL');
    await until('it is dead', () => child.signalCode !== null);
    const it = await drive(t, hosts, fleetSpec(), { epoch: 2 });
    await it.update('web-1', 'web-1.7.1', 'r1', { run });
    writeFileSync(join(host?.home ?? '', 'go'), '');
    await it.until('it has ended', ended('web-1', 'web-1.7.1'));
    t.match(await it.unit('web-1'), { attempt: { state: 'succeeded' }, applied: ['r1'] });
    t.equal(file(host, 'acts'), 'run\n');
  },
);

test('a host that was started anew in the middle reads unknown, and nothing runs again', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const [host] = hosts.hosts;
  const bootIdFile = join(hosts.root, 'boot');
  writeFileSync(bootIdFile, 'one\n');
  const it = await drive(t, hosts, fleetSpec(), { bootIdFile });
  await it.update('web-1', 'web-1.7.1', 'r1', { run: 'echo $$ >> acts; exec sleep 600' });
  await it.until(
    'it runs',
    all(({ applied }) => applied.includes('r1')),
  );
  await until('it has begun', () => file(host, 'acts') !== '');
  await host?.stop();
  await it.until(
    'it is missed',
    inLive('web-1', ({ ready, message }) => !ready && message !== undefined),
  );
  t.match((await it.unit('web-1')).attempt, { state: 'running' }, 'nothing tells otherwise yet');
  killSession(Number(file(host, 'acts')));
  writeFileSync(bootIdFile, 'two\n');
  await host?.start();
  await it.until('it has ended', ended('web-1', 'web-1.7.1'));
  t.match((await it.unit('web-1')).attempt, { state: 'unknown', message: /machine was started anew while it ran/ });
  await it.update('web-1', 'web-1.7.1', 'r1', { run: 'echo again >> acts' });
  await it.until(
    'it is well',
    all(({ ready }) => ready),
  );
  t.notMatch(file(host, 'acts'), 'again');
});

test('a host that does not answer is one that is not ready; nobody waits for it', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1', 'web-2'], labels: web });
  const [one, two] = hosts.hosts;
  await two?.stop();
  const it = await drive(t, hosts, fleetSpec());
  const live = await it.until('both are known of', ({ complete }) => complete);
  t.match(live.instances, [
    { id: 'web-1', ready: true },
    { id: 'web-2', ready: false, message: /does not answer/ },
  ]);
  one?.line.freeze();
  const asked = Date.now();
  await it.look();
  t.ok(Date.now() - asked < 1000, 'to observe waits for nothing');
  await it.until(
    'the frozen one is noticed',
    inLive('web-1', ({ ready }) => !ready),
  );
  one?.line.thaw();
  await two?.start();
  await it.until(
    'both are back',
    all(({ ready }) => ready),
  );
});

test('a later operator takes over: the earlier one is refused', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const earlier = await drive(t, hosts, fleetSpec(), { epoch: 3 });
  await earlier.takeOut('web-1', 'web-1.7.1');
  await earlier.until(
    'it is out',
    inLive('web-1', ({ service }) => service === 'out'),
  );
  const later = await drive(t, hosts, fleetSpec(), { epoch: 4 });
  await later.until(
    'it is seen',
    all(({ ready }) => ready),
  );
  await later.update('web-1', 'web-1.7.1', 'r1', { run: 'echo later >> acts' });
  await later.until('it has ended', ended('web-1', 'web-1.7.1'));
  await until('the earlier one knows', () =>
    earlier.update('web-1', 'web-1.7.2', 'r1', { run: 'echo earlier >> acts' }).then(
      () => false,
      (error: Error) => /later operator has taken over/.test(error.message),
    ),
  );
  t.equal(file(hosts.hosts[0], 'acts'), 'later\n');
});

test('an unknown host key is told of at the instance and in the precheck', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  await hosts.known(['# nobody']);
  const it = await drive(t, hosts, fleetSpec());
  const live = await it.until('it is known of', ({ complete }) => complete);
  t.match(live.instances?.[0], { ready: false, message: /SHA256:\S+.*ssh-keyscan/ });
});

test('checks ask the host over HTTP, and run on it', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const it = await drive(t, hosts, fleetSpec());
  const verify = (...checks: Parameters<typeof it.driver.verify>[2]) =>
    it.driver.verify(it.id, 'web-1', checks, signal);
  t.match(await verify({ command: ['sh', '-c', 'echo "$SLUICE_INSTANCE" > checked'] }), { pass: true });
  t.equal(file(hosts.hosts[0], 'checked'), 'web-1\n');
  t.match(await verify({ command: ['sh', '-c', 'echo not well >&2; exit 5'] }), {
    pass: false,
    message: 'sh ended with 5: not well',
  });
  const hostile = HOSTILE[2] ?? '';
  t.match(await verify({ command: ['test', hostile, '=', hostile] }), { pass: true });
  t.match(await verify({ http: { path: '/health', port: 1 } }), { pass: false, message: /ECONNREFUSED/ });
  t.match(await verify({ http: { path: '/', port: 'web' } }), { pass: false, message: /write the number/ });
});

const CLUSTER_LABELS = (name: string): Record<string, string> =>
  name.startsWith('cp') ? { role: 'control-plane' } : {};

test('nodes are cordoned and drained, report their version, and are let in again', real, async (t) => {
  const hosts = await startHosts(t, { names: ['a-node', 'cp-1'], labels: CLUSTER_LABELS });
  const node = hosts.hosts[0];
  for (const { home } of hosts.hosts) writeFileSync(join(home, 'version'), '1.35.0\n');
  const drain = {
    timeout: '1m',
    command: ['sh', '-c', 'echo "drain $SLUICE_INSTANCE" >> acts'],
    undo: ['sh', '-c', 'echo undo >> acts; [ -f mended ]'],
  };
  const spec = clusterSpec({ drain, versionCommand: ['cat', 'version'] });
  const it = await drive(t, hosts, spec);
  const live = await it.until(
    'they tell their version',
    all(({ version }) => version === '1.35.0'),
  );
  t.match(live.instances, [
    { id: 'cp-1', controlPlane: true },
    { id: 'a-node', controlPlane: false },
  ]);
  const out = (at: string) =>
    inLive(
      'a-node',
      ({ service, cordoned, drain }) =>
        service === 'out' && cordoned && drain?.id === at && drain.state === 'succeeded',
    );
  await it.until('it is drained', out('a-node.7.1'), () => it.takeOut('a-node', 'a-node.7.1', true));
  t.equal(file(node, 'acts'), 'drain a-node\n');
  await it.update('a-node', 'a-node.7.1', 'r1', { run: 'echo "$SLUICE_VERSION" > version' });
  await it.until(
    'it tells the new one',
    inLive('a-node', ({ version }) => version === '1.36.3'),
  );
  const back = inLive('a-node', ({ service, cordoned }) => service === 'in' && !cordoned);
  const asked = () => it.putBack('a-node');
  await it.until(
    'what is wrong is told',
    inLive('a-node', ({ message = '' }) => /drain.*exited with code 1/.test(message)),
    asked,
  );
  writeFileSync(join(node?.home ?? '', 'mended'), '');
  await it.until('it is back', back, asked);
  t.match(file(node, 'acts'), /^drain a-node\n(undo\n){2,}$/);
  const acts = file(node, 'acts');
  await it.takeOut('a-node', 'a-node.8.1', true);
  await it.until('it is drained', out('a-node.8.1'), () => it.takeOut('a-node', 'a-node.8.1', true));
  await it.putBack('a-node', undefined, true);
  await it.until(
    'it is back',
    inLive('a-node', ({ service, cordoned }) => service === 'in' && cordoned),
  );
  t.equal(file(node, 'acts'), `${acts}drain a-node\n`, 'what was cordoned before stays so');
});

test('without a drain command a node is only cordoned; one that fails fails', real, async (t) => {
  const hosts = await startHosts(t, { names: ['cp-1', 'node-1'], labels: CLUSTER_LABELS });
  const it = await drive(t, hosts, clusterSpec({ versionCommand: ['echo', '1.36.3'] }));
  const drained = (state: string) => inLive('node-1', ({ drain }) => drain?.state === state);
  await it.takeOut('node-1', 'node-1.7.1', true);
  await it.until('it is drained', drained('succeeded'));
  const drain = { timeout: '1m', command: ['sh', '-c', 'echo evicting; exit 9'] };
  await it.driver.declare(it.id, clusterSpec({ drain, versionCommand: ['echo', '1.36.3'] }));
  await it.until('it fails', drained('failed'), () => it.takeOut('node-1', 'node-1.7.2', true));
  t.match((await it.unit('node-1')).drain, { id: 'node-1.7.2', message: 'exited with code 9: evicting' });
});

test('a host that is selected no more stays while a rollout has it, for the next driver too', real, async (t) => {
  const labels = (name: string) => ({ role: name === 'web-1' ? 'web' : 'db' });
  const hosts = await startHosts(t, { names: ['web-1', 'db-1', 'db-2'], labels });
  const it = await drive(t, hosts, fleetSpec({ members: { selector: { role: 'db' } } }));
  await it.until(
    'all are seen',
    all(({ ready }) => ready),
  );
  await it.takeOut('db-1', 'db-1.2.1');
  await it.update('db-1', 'db-1.2.1', 'r1', { run: 'true' });
  await it.driver.declare(it.id, fleetSpec(), ['db-1', 'gone-1']);
  t.match((await it.look()).instances, [
    { id: 'db-1', former: true, service: 'out' },
    { id: 'web-1', former: undefined },
  ]);
  await it.driver.close();

  const next = await drive(t, hosts, fleetSpec(), { epoch: 2 });
  await next.driver.declare(next.id, fleetSpec(), ['db-1']);
  await next.until('its script is looked up', ended('db-1', 'db-1.2.1'));
  await next.putBack('db-1');
  await next.until(
    'it is back',
    inLive('db-1', ({ service }) => service === 'in'),
  );
  await next.driver.declare(next.id, fleetSpec(), []);
  t.match((await next.look()).instances, [{ id: 'web-1' }]);
  t.equal((await next.look()).instances?.length, 1);
});

test('what is not declared any more is known of until it is forgotten, by the next driver too', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const first = await drive(t, hosts, fleetSpec());
  await first.until(
    'it is seen',
    all(({ ready }) => ready),
  );
  await first.driver.close();
  const { openSshTarget } = await import('../../../src/target/ssh/target.ts');
  const options = { name: 'hosts', ssh: hosts.ssh, epoch: 2, dataDir: join(hosts.root, 'cache') };
  const second = await openSshTarget(options);
  t.same(await second.resources(), ['Fleet/web']);
  await until(
    'it is seen',
    async () => (await second.observe(['Fleet/web'], signal)).get('Fleet/web')?.instances?.[0]?.ready,
  );
  await second.start('Fleet/web', { kind: 'forget' }, undefined, signal);
  t.same(await second.resources(), []);
  t.match((await second.observe(['Fleet/web'], signal)).get('Fleet/web'), { complete: true, units: [], instances: [] });
  await second.close();
  const third = await openSshTarget(options);
  t.same(await third.resources(), []);
  await third.close();
});
