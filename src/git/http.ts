/** One HTTP client for a remote: credentials, proxies, timeouts, and errors for people. */
import { readFileSync } from 'node:fs';
import type { Dispatcher } from 'undici';
import type { Address } from './address.ts';
import { GitError, httpError } from './errors.ts';
import { createRest, type Rest } from './rest.ts';

export interface HttpAnswer {
  headers: Record<string, string>;
  body: Buffer;
}

export interface AskOptions {
  headers?: Record<string, string>;
  body?: Buffer;
  signal: AbortSignal;
  /** The answer is packs: it may be big, and take its time. */
  packs?: boolean;
}

export interface HttpRemote {
  url: string;
  /** Redacted, for messages. */
  display: string;
  /** `path` is below the repository's address. Throws `GitError`, without asking while the host is to be left alone; answers only 200. */
  ask(method: 'GET' | 'POST', path: string, options: AskOptions): Promise<HttpAnswer>;
  close(): Promise<void>;
}

/** Without a byte for this long the remote counts as dead. */
const SILENCE_MS = 30_000;
const CONNECT_MS = 10_000;
/** The whole of an answer: its time and its size. A pack may be as big as a first clone, and is in memory whole. */
const ANSWER = { ms: 60_000, mib: 64 };
const PACKS = { ms: 30 * 60_000, mib: 1024 };
const MIB = 1024 * 1024;
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

export function openHttp(address: Address & { kind: 'http' }, now = () => performance.now()): HttpRemote {
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
  const rest = createRest(now);
  return {
    url: address.url,
    display: address.display,
    async ask(method, path, { headers, body, signal, packs = false }) {
      const { request, agent } = await opening;
      rest.check(address.display);
      const bounds = packs ? PACKS : ANSWER;
      const deadline = within(bounds.ms, signal);
      try {
        const response = await request(`${address.url}/${path}`, {
          method,
          dispatcher: agent,
          headers: { 'user-agent': 'git/sluice', ...authorization, ...headers },
          ...(body === undefined ? {} : { body }),
          signal: deadline.signal,
        });
        return await answer(response, address.display, bounds.mib, rest);
      } catch (error) {
        signal.throwIfAborted();
        if (deadline.signal.aborted) throw lateError(address.display, bounds.ms);
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

async function answer(response: Dispatcher.ResponseData, where: string, mib: number, rest: Rest): Promise<HttpAnswer> {
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, String(value ?? '')]),
  );
  const { statusCode } = response;
  if (statusCode !== 200) {
    await response.body.dump();
    if (statusCode >= 300 && statusCode < 400) throw moved(where, headers.location);
    const error = httpError(statusCode, where, headers['retry-after']);
    throw error.code === 'busy' || error.retryAfterMs !== undefined ? rest.begin(statusCode, error) : error;
  }
  rest.end();
  return { headers, body: await whole(response.body, where, mib) };
}

async function whole(body: AsyncIterable<Buffer>, where: string, mib: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > mib * MIB)
      throw new GitError(
        'bad-answer',
        `${where}: its answer is more than ${mib} MiB, and is not read on; asking again`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
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
  if (error.name === 'HTTPParserError' || code === 'UND_ERR_HEADERS_OVERFLOW')
    return new GitError('bad-answer', `${where}: did not answer in HTTP (${error.message}); check --repo`);
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
