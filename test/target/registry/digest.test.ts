import { execFileSync } from 'node:child_process';
import { createSign, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { digestAt } from '../../../src/target/registry/digest.ts';
import { parseReference } from '../../../src/target/registry/reference.ts';
import { freePort } from '../../support/ports.ts';
import { startRegistry } from '../docker/registry.ts';

const LOGIN = { username: 'deploy', password: 'opensesame' };

t.test('a name is read as Docker reads it', async (t) => {
  const digest = `sha256:${'a'.repeat(64)}`;
  t.strictSame(parseReference('shop'), { registry: 'docker.io', repository: 'library/shop', tag: 'latest' });
  t.match(parseReference('team/shop:8'), { registry: 'docker.io', repository: 'team/shop', tag: '8' });
  t.match(parseReference('docker.io/shop:8'), { registry: 'docker.io', repository: 'library/shop', tag: '8' });
  t.match(parseReference('localhost/shop'), { registry: 'localhost', repository: 'shop', tag: 'latest' });
  t.strictSame(parseReference(`r.example.org:5000/team/shop:8@${digest}`), {
    ...{ registry: 'r.example.org:5000', repository: 'team/shop', tag: '8', digest },
  });
});

t.test('a registry that asks for a password says what a tag stands for to who has it', async (t) => {
  const registry = await startRegistry();
  t.teardown(() => registry.end());
  const digest = await registry.put('team/shop', '8', 'one');
  const image = `${registry.address}/team/shop:8`;
  t.equal(await digestAt(image, LOGIN), digest);
  const said = (text: string) => ({ message: `registry ${registry.address}: ${text}` });
  await t.rejects(digestAt(image, undefined), said('it asks for a password; name it with a secret under `registries`'));
  await t.rejects(digestAt(image, { ...LOGIN, password: 'wrong' }), said('it answers 401 for team/shop:8'));
  await t.rejects(digestAt(`${registry.address}/team/shop:9`, LOGIN), said('it has no team/shop:9'));
  const nobody = `127.0.0.1:${await freePort()}`;
  await t.rejects(digestAt(`${nobody}/team/shop:8`, LOGIN), {
    message: `registry ${nobody}: it cannot be reached (ECONNREFUSED)`,
  });
});

t.test('a registry that sends for a token is asked with one; a password goes to nobody unprotected', async (t) => {
  const folder = t.testdir();
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const made = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=tokens', '-days', '2'];
  execFileSync('openssl', ['req', ...made, '-keyout', key, '-out', cert], { stdio: 'pipe' });
  const seen: { authorization: string | undefined; scope: string | null }[] = [];
  const tokens = createServer((request, response) => {
    const scope = new URL(request.url ?? '', 'http://here').searchParams.get('scope');
    seen.push({ authorization: request.headers.authorization, scope });
    const isOpen = scope?.startsWith('repository:open/');
    if (!isOpen && request.headers.authorization !== basic(LOGIN)) return response.writeHead(401).end();
    return response.end(JSON.stringify({ token: tokenFor(scope ?? '', { key, cert }) }));
  });
  await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
  t.teardown(() => tokens.close());
  const realm = `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token`;
  const registry = await startRegistry({ auth: { token: { ...NAMES, realm, rootcertbundle: cert } } });
  t.teardown(() => registry.end());
  const [open, closed] = [`${registry.address}/open/shop:8`, `${registry.address}/closed/shop:8`];

  await t.rejects(digestAt(open, undefined), { message: /it has no open\/shop:8/ }, 'the token is taken');
  await t.rejects(digestAt(closed, LOGIN), { message: /it has no closed\/shop:8/ });
  t.strictSame(seen, [
    { authorization: undefined, scope: 'repository:open/shop:pull' },
    { authorization: basic(LOGIN), scope: 'repository:closed/shop:pull' },
  ]);
  await t.rejects(digestAt(closed, undefined), {
    message: /127\.0\.0\.1:\d+ answers 401 when it is asked for a token/,
  });

  const elsewhere = await startRegistry({
    auth: { token: { ...NAMES, realm: 'http://auth.example.org/token', rootcertbundle: cert } },
  });
  t.teardown(() => elsewhere.end());
  await t.rejects(digestAt(`${elsewhere.address}/team/shop:8`, LOGIN), {
    message: /it sends to http:\/\/auth\.example\.org\/token for a token, which nothing protects/,
  });
});

t.test('a registry that does not say a digest is read; one that says what is none is not believed', async (t) => {
  let told: string | undefined;
  const server = createServer((request, response) => {
    if (told !== undefined) response.setHeader('docker-content-digest', told);
    response.end(request.method === 'HEAD' ? undefined : '{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const image = `127.0.0.1:${(server.address() as AddressInfo).port}/shop:8`;
  t.equal(await digestAt(image, undefined), 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
  told = 'sha256:../../other';
  await t.rejects(digestAt(image, undefined), { message: /it says that shop:8 is "sha256:\.\.\/\.\.\/other"/ });
});

const NAMES = { service: 'test', issuer: 'tokens' };

const basic = ({ username, password }: typeof LOGIN) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

/** As the registry verifies it: signed with the key of a certificate that it is told of. */
function tokenFor(scope: string, { key, cert }: { key: string; cert: string }): string {
  const [type = '', name = '', actions = ''] = scope.split(':');
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const der = readFileSync(cert, 'utf8').replace(/-----[^-]+-----|\n/g, '');
  const times = { exp: now + 300, nbf: now - 10, iat: now, jti: randomUUID() };
  const claims = { iss: NAMES.issuer, sub: '', aud: NAMES.service, ...times };
  const access = [{ type, name, actions: actions.split(',') }];
  const head = part({ typ: 'JWT', alg: 'RS256', x5c: [der] });
  const signed = `${head}.${part({ ...claims, access })}`;
  return `${signed}.${createSign('sha256').update(signed).sign(readFileSync(key)).toString('base64url')}`;
}
