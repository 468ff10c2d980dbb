/**
 * The API of a cluster, as far as Sluice speaks it. Objects stay the JSON that they are: the generated classes of `@kubernetes/client-node` would be
 * built for every object of every list.
 */
import type { Agent, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request as overHttp } from 'node:http';
import { request as overTls, type RequestOptions } from 'node:https';
import { isDeepStrictEqual } from 'node:util';
import { agentFor, forgetIdentity, type Identity, identityOf, type KubeAccess } from './identity.ts';

export interface Metadata {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: { kind: string; name: string; uid: string; controller?: boolean }[];
}
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: Metadata;
}

/** What is not as it should be on the way to the API, or what the API itself answers. */
export class KubeError extends Error {
  /** Of HTTP; absent: no answer came. */
  readonly status?: number;
  /** Of the API: `AlreadyExists`, `Conflict`, `Invalid`, `Forbidden` … */
  readonly reason?: string;
  /** What it says of each single thing that is in the way, e.g. a disruption budget. */
  readonly causes: string[];
  constructor(message: string, answer: { status?: number; reason?: string; causes?: string[] } = {}) {
    super(message);
    this.causes = answer.causes ?? [];
    if (answer.status !== undefined) this.status = answer.status;
    if (answer.reason !== undefined) this.reason = answer.reason;
  }
}

export const statusOf = (error: unknown): number | undefined => (error instanceof KubeError ? error.status : undefined);

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export interface Asking {
  body?: unknown;
  /** Of the body: `application/json-patch+json`, `application/apply-patch+yaml` … */
  type?: string;
  query?: Record<string, string | number | boolean | undefined>;
  signal?: AbortSignal;
  timeoutMs?: number;
}

export interface Kube {
  /** `https://10.0.0.1:6443` */
  server: string;
  /** Rejects with a KubeError. */
  ask<T>(method: Method, path: string, asking?: Asking): Promise<T>;
  /** The same, where 404 is an answer. */
  find<T>(path: string, asking?: Asking): Promise<T | undefined>;
  /** Makes `object` what it says, as the field manager `sluice`, whoever had those fields before. */
  apply<T extends KubeObject>(path: string, object: unknown): Promise<T>;
  /** An answer that goes on until `signal` ends it. */
  stream(path: string, asking: Asking & { signal: AbortSignal }): Promise<IncomingMessage>;
  /** For what a library asks itself. */
  sign(options: RequestOptions): Promise<void>;
  close(): void;
}

export const FIELD_MANAGER = 'sluice';
const TIMEOUT_MS = 30_000;

export async function openKube(access: KubeAccess): Promise<Kube> {
  const { server } = await identityOf(access);
  const proof = prover(access);
  const stream: Kube['stream'] = async (path, asking) => {
    const url = urlOf(server, path, asking.query);
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), TIMEOUT_MS);
    const signal = AbortSignal.any([asking.signal, patience.signal]);
    try {
      const response = await send(url, await proof.now(), 'GET', { ...asking, signal });
      if (response.statusCode === 200) return response;
      if (response.statusCode === 401) proof.renew();
      throw refusal(response, await textOf(response), url);
    } finally {
      clearTimeout(timer);
    }
  };
  const ask: Kube['ask'] = async (method, path, asking = {}) => {
    const url = urlOf(server, path, asking.query);
    const timeout = AbortSignal.timeout(asking.timeoutMs ?? TIMEOUT_MS);
    const signal = asking.signal === undefined ? timeout : AbortSignal.any([asking.signal, timeout]);
    const response = await send(url, await proof.now(), method, { ...asking, signal });
    const text = await textOf(response);
    if ((response.statusCode ?? 500) >= 300) {
      if (response.statusCode === 401) proof.renew();
      throw refusal(response, text, url);
    }
    return parsed(response, text, url);
  };
  return {
    server,
    ask,
    async find(path, asking) {
      try {
        return await ask('GET', path, asking);
      } catch (error) {
        if (statusOf(error) === 404) return undefined;
        throw error;
      }
    },
    apply: (path, object) =>
      ask('PATCH', path, {
        body: object,
        type: 'application/apply-patch+yaml',
        query: { fieldManager: FIELD_MANAGER, force: true },
      }),
    stream,
    async sign(options) {
      const { tls } = await identityOf(access);
      const { headers, agent } = await proof.now();
      Object.assign(options, tls, { headers: { ...options.headers, ...headers }, agent });
    },
    close: () => proof.close(),
  };
}

interface Proof {
  headers: OutgoingHttpHeaders;
  agent: Agent;
}

interface Known {
  identity: Identity;
  proof: Promise<Proof>;
}

/** Who asks, renewed from time to time; connections stay open while nothing of how it is reached changes. */
function prover(access: KubeAccess) {
  let known: Known | undefined;
  return {
    async now(): Promise<Proof> {
      const identity = await identityOf(access);
      if (known?.identity !== identity) known = { identity, proof: renewed(identity, known) };
      return known.proof;
    },
    renew: () => forgetIdentity(access),
    close: () => void known?.proof.then(({ agent }) => agent.destroy()),
  };
}

async function renewed(identity: Identity, before: Known | undefined): Promise<Proof> {
  const { headers, ...way } = identity;
  const agent = (await before?.proof)?.agent;
  const { headers: _, ...wayBefore } = before?.identity ?? { headers: {} };
  if (agent !== undefined && isDeepStrictEqual(way, wayBefore)) return { headers, agent };
  agent?.destroy();
  return { headers, agent: await agentFor(identity) };
}

function urlOf(server: string, path: string, query: Asking['query'] = {}): URL {
  const url = new URL(server + path);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

/** A connection that the other side had closed by the time it was used again is no answer: then it is asked once more. */
async function send(url: URL, proof: Proof, method: Method, asking: Asking): Promise<IncomingMessage> {
  try {
    return await once(url, proof, method, asking);
  } catch (error) {
    if (error !== STALE) throw error;
    return await once(url, proof, method, asking);
  }
}

const STALE = new KubeError('the connection was closed');

function once(url: URL, { agent, headers }: Proof, method: Method, asking: Asking): Promise<IncomingMessage> {
  const body = asking.body === undefined ? undefined : JSON.stringify(asking.body);
  const options: RequestOptions = {
    ...{ method, agent },
    ...(asking.signal !== undefined && { signal: asking.signal }),
    headers: {
      accept: 'application/json',
      ...headers,
      ...(body !== undefined && {
        'content-type': asking.type ?? 'application/json',
        'content-length': Buffer.byteLength(body),
      }),
    },
  };
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'http:' ? overHttp(url, options) : overTls(url, options);
    request.once('socket', (socket) => socket.setKeepAlive(true, 30_000));
    request.once('response', resolve);
    request.once('error', (error: NodeJS.ErrnoException) => {
      const stale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      reject(stale ? STALE : new KubeError(`${url.origin} does not answer: ${whyOf(error)}`));
    });
    request.end(body);
  });
}

const whyOf = (error: NodeJS.ErrnoException): string =>
  error.name === 'AbortError' || error.name === 'TimeoutError'
    ? 'it takes too long'
    : error.message || String(error.code);

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  try {
    for await (const part of response) text += part;
  } catch (error) {
    throw new KubeError(`the answer broke off: ${whyOf(error as NodeJS.ErrnoException)}`);
  }
  return text;
}

function parsed<T>(response: IncomingMessage, text: string, url: URL): T {
  if (!(response.headers['content-type'] ?? '').includes('json')) return text as T;
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new KubeError(`${url.origin}${url.pathname} answered with what is no JSON`);
  }
}

function refusal({ statusCode = 500 }: IncomingMessage, text: string, url: URL): KubeError {
  let answer: { message?: string; reason?: string; details?: { causes?: { message?: string }[] } } = {};
  try {
    answer = JSON.parse(text);
  } catch {}
  const message = answer.message ?? `${url.pathname} was answered with ${statusCode} ${text.slice(0, 200).trim()}`;
  const causes = (answer.details?.causes ?? []).flatMap((cause) => cause.message ?? []);
  return new KubeError(message, { status: statusCode, causes, ...(answer.reason && { reason: answer.reason }) });
}
