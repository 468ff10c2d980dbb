import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openKube } from '../../../src/target/kubernetes/client.ts';
import { forgetIdentity, identityOf } from '../../../src/target/kubernetes/identity.ts';
import { startApi } from './api.ts';

/** A kubeconfig whose user asks a login helper, a shell script, for a token. */
function withHelper(folder: string, server: string, script: string): string {
  const helper = join(folder, 'helper');
  writeFileSync(helper, `#!/bin/sh\n${script}\n`);
  chmodSync(helper, 0o700);
  const file = join(folder, 'kubeconfig');
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: helper, interactiveMode: 'Never' };
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config' },
    clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: { exec } }],
    contexts: [{ name: 'test', context: { cluster: 'c', user: 'u' } }],
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

const credential = (token: string) =>
  `printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "${token}"`;

t.test(
  'a login helper is asked, gets what leads to the cloud and nothing else, and is asked again when it is not believed',
  async (t) => {
    const api = await startApi();
    t.teardown(() => api.close());
    const folder = t.testdir();
    process.env.AWS_PROFILE = 'shop';
    process.env.SLUICE_TEST_SECRET = 'not for it';
    t.teardown(() => {
      delete process.env.AWS_PROFILE;
      delete process.env.SLUICE_TEST_SECRET;
    });
    const count = `echo x >> ${folder}/asked; `;
    const token = `\${AWS_PROFILE}.\${SLUICE_TEST_SECRET-none}.$(wc -l < ${folder}/asked | tr -d ' ')`;
    const access = { context: 'test', kubeconfig: withHelper(folder, api.url, count + credential(token)) };
    const kube = await openKube(access);
    t.teardown(() => kube.close());
    const token1 = (await identityOf(access)).headers;
    t.strictSame(token1, { Authorization: 'Bearer shop.none.1' });
    await kube.find('/api/v1/namespaces/shop');
    t.strictSame((await identityOf(access)).headers, token1, 'it is asked once');
    api.refuse('GET', /namespaces/, 401, 'Unauthorized');
    await t.rejects(kube.find('/api/v1/namespaces/shop'), { status: 401 } as never);
    t.strictSame((await identityOf(access)).headers, { Authorization: 'Bearer shop.none.2' });
  },
);

t.test('what is wrong is told, and nothing of it is kept', async (t) => {
  const folder = t.testdir();
  const kubeconfig = withHelper(folder, 'https://127.0.0.1:1', 'echo "session expired, log in" >&2; exit 3');
  await t.rejects(openKube({ context: 'other', kubeconfig }), {
    message: /kubeconfig has no context other; it has test/,
  });
  await t.rejects(openKube({ context: 'test', kubeconfig: join(folder, 'none') }), {
    message: /none cannot be read: ENOENT/,
  });
  await t.rejects(openKube({ context: 'test', kubeconfig }), { message: /session expired, log in/ });
  withHelper(folder, 'https://127.0.0.1:1', credential('now'));
  t.match(await identityOf({ context: 'test', kubeconfig }), { headers: { Authorization: 'Bearer now' } });
  forgetIdentity({ context: 'test', kubeconfig });
  await t.rejects(identityOf({}), { message: /kubernetes.context is missing, and the operator runs in no cluster/ });
});
