/** Asks a registry what a tag stands for, as the OCI distribution specification has it. */
import { createHash } from 'node:crypto';
import type { Dispatcher, Response } from 'undici';
import type { Login } from './login.ts';
import { parseReference, type Reference } from './reference.ts';

/** The digest of what `image` stands for now: `sha256:…`. Throws why that is not known, naming the registry. */
export type AskDigest = (image: string, login: Login | undefined) => Promise<string>;

const ALL_MS = 10_000;
const CONNECT_MS = 5000;
const LARGEST_MANIFEST = 4 * 1024 * 1024;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** What a tag may stand for: an image, or one for each platform. */
const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');
/** Where Docker's own registry answers. */
const HOSTS: Record<string, string> = {
  'docker.io': 'registry-1.docker.io',
  'index.docker.io': 'registry-1.docker.io',
};

export const digestAt: AskDigest = async (image, login) => {
  const reference = parseReference(image);
  const { registry } = reference;
  const { Agent, EnvHttpProxyAgent, fetch } = await import('undici');
  const connect = { timeout: CONNECT_MS };
  // As Docker does: one on this machine is asked without a proxy, and without TLS where it has none.
  const isHere = isLoopback(registry);
  const dispatcher: Dispatcher = isHere ? new Agent({ connect }) : new EnvHttpProxyAgent({ connect });
  const signal = AbortSignal.timeout(ALL_MS);
  const ask: Ask = (url, method, headers) => fetch(url, { method, headers, dispatcher, signal });
  const host = HOSTS[registry] ?? registry;
  try {
    return await asked({ reference, login, ask, base: `https://${host}` }).catch((error) => {
      if (!isHere || !isNetworkError(error)) throw error;
      return asked({ reference, login, ask, base: `http://${host}` });
    });
  } catch (error) {
    throw new Error(`registry ${registry}: ${signal.aborted ? `no answer in ${ALL_MS / 1000} s` : why(error)}`);
  } finally {
    await dispatcher.destroy();
  }
};

type Ask = (url: string, method: 'HEAD' | 'GET', headers: Record<string, string>) => Promise<Response>;

interface Asking {
  reference: Reference;
  login: Login | undefined;
  ask: Ask;
  base: string;
}

async function asked(asking: Asking): Promise<string> {
  const { reference, ask, base } = asking;
  const { repository, tag } = reference;
  const url = `${base}/v2/${repository}/manifests/${tag}`;
  const first = await ask(url, 'HEAD', { accept: ACCEPT });
  const headers: Record<string, string> = { accept: ACCEPT };
  if (first.status === 401) headers.authorization = await authorization(asking, first);
  const answer = first.status === 401 ? await ask(url, 'HEAD', headers) : first;
  if (answer.status === 404) throw new Error(`it has no ${repository}:${tag}`);
  if (answer.status !== 200) throw new Error(`it answers ${answer.status} for ${repository}:${tag}`);
  const told = answer.headers.get('docker-content-digest');
  // It need not say it: what is named by its digest has that digest.
  const digest = told ?? (await digestOf(await ask(url, 'GET', headers)));
  if (!DIGEST.test(digest)) throw new Error(`it says that ${repository}:${tag} is ${JSON.stringify(digest)}`);
  return digest;
}

async function digestOf(answer: Response): Promise<string> {
  if (answer.status !== 200) throw new Error(`it answers ${answer.status} for a manifest`);
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    size += chunk.length;
    if (size > LARGEST_MANIFEST) throw new Error('its manifest is larger than 4 MiB');
    hash.update(chunk);
  }
  return `sha256:${hash.digest('hex')}`;
}

/** What answers `Basic realm="…"`, or `Bearer realm="https://auth.example.org/token",service="…",scope="…"`: a token is fetched for it. */
async function authorization({ reference, login, ask, base }: Asking, refusal: Response): Promise<string> {
  const challenge = refusal.headers.get('www-authenticate') ?? '';
  const basic = login && `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  if (!/^bearer\b/i.test(challenge)) {
    if (basic === undefined) throw new Error('it asks for a password; name it with a secret under `registries`');
    return basic;
  }
  const { realm = '', service, scope } = parameters(challenge);
  const url = new URL(realm);
  if (url.protocol !== 'https:' && !(base.startsWith('http:') && isLoopback(url.host)))
    throw new Error(`it sends to ${realm} for a token, which nothing protects`);
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', scope ?? `repository:${reference.repository}:pull`);
  const answer = await ask(url.href, 'GET', basic === undefined ? {} : { authorization: basic });
  if (answer.status !== 200) throw new Error(`${url.origin} answers ${answer.status} when it is asked for a token`);
  const { token, access_token: other } = (await answer.json()) as { token?: string; access_token?: string };
  const given = token ?? other;
  if (given === undefined) throw new Error(`${url.origin} gives no token`);
  return `Bearer ${given}`;
}

const parameters = (challenge: string): Record<string, string> =>
  Object.fromEntries([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]));

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(host);

/** Nobody answered, or not in the protocol that was spoken. */
const isNetworkError = (error: unknown): boolean => error instanceof TypeError && error.message === 'fetch failed';

function why(error: unknown): string {
  const { message, cause } = error as Error & { cause?: Error & { code?: string } };
  if (!isNetworkError(error)) return message;
  return `it cannot be reached (${cause?.code ?? cause?.message ?? message})`;
}
