import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { freePort } from '../../support/git-servers.ts';
import { ready, start, stop, told, unitOf, unitWhere, until } from '../local/fixtures.ts';
import { startHosts } from '../ssh/hosts.ts';
import { startEngine, whyNoEngine } from './engine.ts';
import { type DockerPlace, dockerPlace, pod, SERVER } from './fixtures.ts';

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

async function serves(t: Test, here: DockerPlace): Promise<void> {
  const driver = await here.open();
  const units = ['web-1', 'web-2', 'web-3', 'web-4'];
  const readinessProbe = { exec: { command: ['true'] }, initialDelaySeconds: 0, periodSeconds: 1, timeoutSeconds: 5 };
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

t.test('an engine over TLS, where each side proves who it is', async (t) => {
  const tls = { ca: at('ca.pem'), cert: at('cert.pem'), key: at('cert-key.pem') };
  const host = `tcp://127.0.0.1:${port}`;
  await serves(t, dockerPlace(t, engine, { host, tls, address: '127.0.0.1' }));
  await t.rejects(dockerPlace(t, engine, { host, address: '127.0.0.1' }).open(), {
    message: /the Docker engine at tcp:\S+ does not answer: /,
  });
});

t.test('an engine over SSH, whose machine is the one of known_hosts', async (t) => {
  const { hosts, ssh, known } = await startHosts(t, { names: ['engine'], env: [`DOCKER_HOST=${engine.host}`] });
  const [machine] = hosts;
  const { identityFile = '' } = ssh.key as { identityFile?: string };
  const host = `ssh://${process.env.USER ?? 'root'}@127.0.0.1:${machine?.port}`;
  const target = { host, ssh: { identityFile, knownHostsFile: ssh.knownHostsFile }, address: '127.0.0.1' };
  await serves(t, dockerPlace(t, engine, target));
  t.ok((machine?.line.connections() ?? 0) <= 4, 'connections are shared');
  await known([]);
  await t.rejects(dockerPlace(t, engine, target).open(), { message: /known/ });
});
