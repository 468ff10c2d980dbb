import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { freePort } from '../../support/ports.ts';
import { get, ready, start, stop, told, unitOf, unitWhere, until } from '../local/fixtures.ts';
import {
  clusterSpec,
  create,
  fleetSpec,
  image,
  inService,
  instancesOf,
  instanceWhere,
  never,
  node,
  PROD,
  runs,
  script,
  takeOut,
  update,
  WEB,
} from '../local/instances/fixtures.ts';
import { startHosts } from '../ssh/hosts.ts';
import { startEngine, whyNoEngine } from './engine.ts';
import { type DockerPlace, dockerPlace, pod, SERVER } from './fixtures.ts';
import { baseImages, type DockerInstancesPlace, dockerInstances, NODE } from './instances/fixtures.ts';

const missing = whyNoEngine();
if (missing !== undefined) throw new Error(missing);
const certificates = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
t.teardown(() => rmSync(certificates, { recursive: true }));
const at = (name: string) => join(certificates, name);
const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: certificates, stdio: 'pipe' });
openssl(
  'req',
  '-x509',
  '-newkey',
  'rsa:2048',
  '-nodes',
  '-subj',
  '/CN=ca',
  '-keyout',
  'ca-key.pem',
  '-out',
  'ca.pem',
  '-days',
  '2',
);
writeFileSync(at('names'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
for (const name of ['server', 'cert']) {
  openssl(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    `/CN=${name}`,
    '-keyout',
    `${name}-key.pem`,
    '-out',
    `${name}.csr`,
  );
  const by = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial'];
  openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.pem`, '-days', '2', '-extfile', 'names');
}
const port = await freePort();
const verified = [
  '--tlsverify',
  `--tlscacert=${at('ca.pem')}`,
  `--tlscert=${at('server.pem')}`,
  `--tlskey=${at('server-key.pem')}`,
];
const engine = await startEngine(['-H', `tcp://127.0.0.1:${port}`, ...verified]);
t.teardown(() => engine.end());
await engine.image('web:1', SERVER);
await baseImages(engine);
for (const version of ['1.1.0', '1.2.0']) await engine.image(`node:${version}`, NODE, { NODE_IS: version });

/** Asked inside the container: what publishes a port takes connections also while nobody listens behind it. */
const LISTENS = ['node', '-e', "require('net').connect(process.env.PORT, () => process.exit(0))"];

async function serves(t: Test, here: DockerPlace): Promise<void> {
  const driver = await here.open();
  const units = ['web-1', 'web-2', 'web-3', 'web-4'];
  const readinessProbe = { exec: { command: LISTENS }, initialDelaySeconds: 0, periodSeconds: 1, timeoutSeconds: 5 };
  const probe = { ...readinessProbe, successThreshold: 1, failureThreshold: 3 };
  for (const unit of units) await start(driver, unit, pod({ containers: [{ readinessProbe: probe }] }));
  for (const unit of units) {
    const { address } = await unitWhere(driver, unit, ready);
    t.match(address, /^127\.0\.0\.1:\d+$/);
    t.match(await told(address), { env: { SLUICE_UNIT: unit } });
  }
  for (const unit of units) await stop(driver, unit);
  for (const unit of units) await until(async () => (await unitOf(driver, unit)) === undefined);
}

const published = /^127\.0\.0\.1:\d+$/;

/** A fleet whose instances are reached at `docker.address`, also by an operator that knows nothing but what lies on the engine. */
async function upgradesFleet(t: Test, here: DockerInstancesPlace): Promise<void> {
  const driver = await here.open();
  await driver.declare(WEB, fleetSpec());
  const created = await create(driver, 'web-1', runs('r1', { image: image('base:1') }));
  t.match(created.address, published);
  t.match((await told(created.address)).env, { NAME: 'base1', PORT: '8080', SLUICE_INSTANCE: 'web-1' });
  const to = runs('r2', { image: image('base:2'), script: script('echo "$NAME $PORT" >>ran') });
  const updated = await update(driver, 'web-1', 'web-1.2.1', to);
  t.match(updated, { applied: ['r1', 'r2'], service: 'in', address: published });
  t.equal((await told(updated.address)).env.NAME, 'base2');
  t.equal(await here.inside('web-1', ['cat', '/instance/ran']), 'base2 8080\n');
  t.match(await driver.verify(WEB, 'web-1', [{ http: { path: '/' } }, { command: ['test', '-f', 'ran'] }], never), {
    pass: true,
  });
  const port = Number(updated.address?.split(':')[1]);
  const routed = () => here.router.config.routes[WEB]?.versions['']?.map(({ port }) => port) ?? [];
  await until(
    () => `${routed()}` === `${port}`,
    () => `${routed()}`,
  );

  await driver.close();
  rmSync(here.dataDir, { recursive: true });
  here.router.config.routes = {};
  const second = await here.open();
  await second.declare(WEB, fleetSpec());
  t.equal((await instanceWhere(second, 'web-1', inService)).address, updated.address, 'found again where it was');
  await until(
    () => `${routed()}` === `${port}`,
    () => `${routed()}`,
  );
  await takeOut(second, 'web-1', 'web-1.3.1');
  t.strictSame(routed(), []);
  await second.start(WEB, { kind: 'remove', unit: 'web-1' }, undefined, never);
  await until(async () => (await instancesOf(second)).length === 0);
}

/** Nodes are reached at `docker.address` from outside, and by their names among themselves. */
async function upgradesCluster(t: Test, here: DockerInstancesPlace): Promise<void> {
  const driver = await here.open();
  await driver.declare(PROD, clusterSpec('1.1.0'));
  await Promise.all([create(driver, 'prod-cp-1', node('1.1.0')), create(driver, 'prod-1', node('1.1.0'))]);
  const upgraded = await update(driver, 'prod-1', 'prod-1.2.1', node('1.2.0'));
  t.match(upgraded, { version: '1.2.0', address: published, cordoned: false });
  for (const [from, to, version] of [
    ['prod-cp-1', 'prod-1', '1.2.0'],
    ['prod-1', 'prod-cp-1', '1.1.0'],
  ]) {
    const { address } = (await instancesOf(driver, PROD)).find(({ id }) => id === from) ?? {};
    t.match(await (await get(address, `/peer/${to}`)).json(), { env: { NODE_IS: version, SLUICE_INSTANCE: to } });
  }
  for (const unit of ['prod-1', 'prod-cp-1']) await driver.start(PROD, { kind: 'remove', unit }, undefined, never);
  await until(async () => (await instancesOf(driver, PROD)).length === 0);
  await driver.start(PROD, { kind: 'forget' }, undefined, never);
  t.strictSame(await here.volumes(), [], 'nothing is left');
}

t.test('an engine over TLS, where each side proves who it is', async (t) => {
  const tls = { ca: at('ca.pem'), cert: at('cert.pem'), key: at('cert-key.pem') };
  const host = `tcp://127.0.0.1:${port}`;
  await serves(t, dockerPlace(t, engine, { host, tls, address: '127.0.0.1' }));
  await t.rejects(dockerPlace(t, engine, { host, address: '127.0.0.1' }).open(), {
    message: /the Docker engine at tcp:\S+ does not answer: /,
  });
  await upgradesFleet(t, dockerInstances(t, engine, { host, tls, address: '127.0.0.1' }));
  await upgradesCluster(t, dockerInstances(t, engine, { host, tls, address: '127.0.0.1' }));
});

t.test('an engine over SSH, whose machine is the one of known_hosts', async (t) => {
  const { hosts, ssh, known } = await startHosts(t, { names: ['engine'], env: [`DOCKER_HOST=${engine.host}`] });
  const [machine] = hosts;
  const { identityFile = '' } = ssh.key as { identityFile?: string };
  const host = `ssh://${process.env.USER ?? 'root'}@127.0.0.1:${machine?.port}`;
  const target = { host, ssh: { identityFile, knownHostsFile: ssh.knownHostsFile }, address: '127.0.0.1' };
  await serves(t, dockerPlace(t, engine, target));
  await upgradesFleet(t, dockerInstances(t, engine, target));
  await upgradesCluster(t, dockerInstances(t, engine, target));
  t.ok((machine?.line.connections() ?? 0) <= 8, 'connections are shared: at most two for each operator');
  await known([]);
  await t.rejects(dockerPlace(t, engine, target).open(), { message: /known/ });
});
