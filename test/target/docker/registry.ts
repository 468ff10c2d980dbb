/** A registry of the test's own, on a loopback port, that asks for a password. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { freePort } from '../../support/ports.ts';

export interface TestRegistry {
  /** `127.0.0.1:41233` */
  address: string;
  user: { username: Buffer; password: Buffer };
  /** Pushes an image of the engine under `name`, which begins with the address, and takes it off the engine. */
  push(docker: Docker, image: string, name: string): Promise<void>;
  /** Puts an image that says `text`, without an engine; of a registry that asks for a password. Returns its digest. */
  put(repository: string, tag: string, text: string): Promise<string>;
  end(): Promise<void>;
}

/** `auth` of the registry's configuration; default: a user with a password. */
export interface RegistryOptions {
  auth?: object;
}

const PROGRAM = '/usr/bin/docker-registry';
const PASSWORD = 'opensesame';
/** bcrypt of it. */
const HASH = '$2y$05$abcdefghijklmnopqrstuuQbLfdQZSxZ9gjhA5V9o8Tyc6aQRO0Qi';

export async function startRegistry({ auth }: RegistryOptions = {}): Promise<TestRegistry> {
  if (!existsSync(PROGRAM)) throw new Error(`there is no ${PROGRAM}: apt-get install docker-registry`);
  const root = mkdtempSync(join(tmpdir(), 'sluice-registry-'));
  const address = `127.0.0.1:${await freePort()}`;
  writeFileSync(join(root, 'users'), `deploy:${HASH}\n`);
  const config = {
    ...{ version: 0.1, log: { level: 'error' }, http: { addr: address } },
    storage: { filesystem: { rootdirectory: join(root, 'data') } },
    auth: auth ?? { htpasswd: { realm: 'test', path: join(root, 'users') } },
  };
  writeFileSync(join(root, 'config.yml'), JSON.stringify(config));
  const registry = spawn(PROGRAM, ['serve', join(root, 'config.yml')], { stdio: 'ignore' });
  const answers = () =>
    fetch(`http://${address}/v2/`)
      .then(({ status }) => status === 401)
      .catch(() => false);
  for (let waited = 0; !(await answers()); waited += 50) {
    if (waited > 30_000) throw new Error('the registry does not answer');
    await sleep(50);
  }
  return {
    address,
    user: { username: Buffer.from('deploy'), password: Buffer.from(`${PASSWORD}\n`) },
    async push(docker, image, name) {
      const colon = name.lastIndexOf(':');
      await docker.getImage(image).tag({ repo: name.slice(0, colon), tag: name.slice(colon + 1) });
      const authconfig = { username: 'deploy', password: PASSWORD, serveraddress: address };
      const stream = await docker.getImage(name).push({ authconfig });
      await new Promise<void>((resolve, reject) => {
        docker.modem.followProgress(stream, (error: Error | null) => (error === null ? resolve() : reject(error)));
      });
      await docker.getImage(name).remove();
    },
    put: (repository, tag, text) => putImage(`http://${address}/v2/${repository}`, tag, text),
    async end() {
      const ended = once(registry, 'exit');
      registry.kill('SIGTERM');
      await ended;
      rmSync(root, { recursive: true, force: true });
    },
  };
}

async function putImage(base: string, tag: string, text: string): Promise<string> {
  const headers = { authorization: `Basic ${Buffer.from(`deploy:${PASSWORD}`).toString('base64')}` };
  const config = JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Labels: { text } }, rootfs: {} });
  const digest = (content: string) => `sha256:${createHash('sha256').update(content).digest('hex')}`;
  const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST', headers });
  const upload = new URL(begun.headers.get('location') ?? '', base);
  upload.searchParams.set('digest', digest(config));
  await fetch(upload, { method: 'PUT', headers, body: config });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const described = { mediaType: 'application/vnd.oci.image.config.v1+json', size: config.length };
  const manifest = JSON.stringify({
    ...{ schemaVersion: 2, mediaType, layers: [] },
    config: { ...described, digest: digest(config) },
  });
  const sent = { ...headers, 'content-type': mediaType };
  const { status } = await fetch(`${base}/manifests/${tag}`, { method: 'PUT', headers: sent, body: manifest });
  if (status !== 201) throw new Error(`the registry does not take an image: ${status}`);
  return digest(manifest);
}
