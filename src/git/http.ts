/** One HTTP client for a remote: credentials, proxies, timeouts, and errors for people. */
import { readFileSync } from 'node:fs';
import type { Dispatcher } from 'undici';
import type { Address } from './address.ts';
import { GitError, httpError } from './errors.ts';

export interface HttpAnswer {
  headers: Record<string, string>;
  body: Buffer;
}

export interface HttpRemote {
  url: string;
  /** Redacted, for messages. */
  display: string;
  /** `path` is below the repository's address. Throws `GitError`; answers only 200. */
  ask(
    method: 'GET' | 'POST',
    path: string,
    options: { headers?: Record<string, string>; body?: Buffer; signal: AbortSignal; timeoutMs?: number },
  ): Promise<HttpAnswer>;
  close(): Promise<void>;
}

/** Without a byte for this long the remote counts as dead. */
const SILENCE_MS = 30_000;
const CONNECT_MS = 10_000;
/** The whole of a question; what carries packs is given its own time. */
const ASK_MS = 60_000;
/** Connections are kept between polls. */
const KEEP_ALIVE_MS = 60_000;

const UNREACHABLE: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'its name cannot be looked up',
  EHOSTUNREACH: 'no route to it',
  ENETUNREACH: 'no network',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
};

export function openHttp(address: Address & { kind: 'http' }): HttpRemote {
  const agentOptions = {
    headersTimeout: SILENCE_MS,
    bodyTimeout: SILENCE_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    connect: { timeout: CONNECT_MS, ...authorities() },
  };
  // Loaded with the first remote: a repository on this machine needs no HTTP.
  const opening = import('undici').then(({ EnvHttpProxyAgent, request }) => ({
    request,
    agent: new EnvHttpProxyAgent(agentOptions),
  }));
  const authorization = authorizationOf(address);
  return {
    url: address.url,
    display: address.display,
    async ask(method, path, { headers, body, signal, timeoutMs = ASK_MS }) {
      const { request, agent } = await opening;
      const deadline = within(timeoutMs, signal);
      try {
        const response = await request(`${address.url}/${path}`, {
          method,
          dispatcher: agent,
          headers: { 'user-agent': 'git/sluice', ...authorization, ...headers },
          ...(body === undefined ? {} : { body }),
          signal: deadline.signal,
        });
        return await answer(response, address.display);
      } catch (error) {
        signal.throwIfAborted();
        if (deadline.signal.aborted) throw lateError(address.display, timeoutMs);
        throw error instanceof GitError ? error : networkError(error as Error & { code?: string }, address.display);
      } finally {
        deadline.clear();
      }
    },
    close: async () => (await opening).agent.destroy(),
  };
}

/** As `AbortSignal.any` with a timeout, without holding on to a signal that lives as long as the operator. */
function within(ms: number, signal: AbortSignal): { signal: AbortSignal; clear(): void } {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, ms);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort);
  return {
    signal: controller.signal,
    clear() {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    },
  };
}

async function answer(response: Dispatcher.ResponseData, where: string): Promise<HttpAnswer> {
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, String(value ?? '')]),
  );
  if (response.statusCode !== 200) {
    await response.body.dump();
    if (response.statusCode >= 300 && response.statusCode < 400) throw moved(where, headers.location);
    throw httpError(response.statusCode, where, headers['retry-after']);
  }
  return { headers, body: Buffer.from(await response.body.arrayBuffer()) };
}

/** Not followed: credentials never go where nobody sent them. */
function moved(where: string, location: string | undefined): GitError {
  const target =
    location === undefined || !URL.canParse(location, where) ? 'elsewhere' : withoutService(new URL(location, where));
  return new GitError('not-found', `${where}: has moved to ${target}; give that address to --repo`);
}

function withoutService(url: URL): string {
  return `${url.origin}${url.pathname.replace(/\/(info\/refs|git-upload-pack|git-receive-pack)$/, '')}`;
}

function networkError(error: Error & { code?: string }, where: string): GitError {
  const code = error.code ?? (error.cause as { code?: string } | undefined)?.code ?? '';
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return lateError(where, SILENCE_MS);
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE')
    return new GitError('bad-answer', `${where}: the connection broke off in the middle of an answer; asking again`);
  const why = UNREACHABLE[code] ?? (code || error.message);
  return new GitError('unreachable', `${where}: cannot be reached (${why}); check the network and --repo`);
}

function lateError(where: string, ms: number): GitError {
  return new GitError('timeout', `${where}: no answer in ${ms / 1000} s; asking again later`);
}

function authorizationOf({ credentials }: Address & { kind: 'http' }): Record<string, string> {
  if (credentials === undefined) return {};
  const basic = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64');
  return { authorization: `Basic ${basic}` };
}

/** The certificate authorities that git is told of count here too. */
function authorities(): { ca?: string } {
  const file = process.env.GIT_SSL_CAINFO;
  return file === undefined || file === '' ? {} : { ca: readFileSync(file, 'utf8') };
}
