/** What a proxy changes in the head of a request and of an answer. All else passes byte for byte. */
import type { IncomingMessage } from 'node:http';

/** Between two neighbours, never passed on. `expect` is answered by the router itself. */
const HOP_BY_HOP = new Set([
  'te',
  'expect',
  'trailer',
  'upgrade',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'proxy-authenticate',
  'proxy-authorization',
]);
const FORWARDED = new Set(['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto']);
const REQUEST_SPECIAL = new Set([...HOP_BY_HOP, ...FORWARDED, 'host']);
const lengthsOf = (names: Set<string>) => new Set([...names].map((name) => name.length));
/** Most names are told apart by their length alone, which spares making them lower case. */
const REQUEST_LENGTHS = lengthsOf(REQUEST_SPECIAL);
const ANSWER_LENGTHS = lengthsOf(HOP_BY_HOP);

export interface Head {
  /** In lower case, without port: what a route is looked up by. */
  host: string;
  path: string;
  /** For the backend, as a flat list. */
  headers: string[];
}

/**
 * The head of the request to the backend; undefined when the client's does not say where it goes, or says it twice. What a proxy on this
 * machine says in `x-forwarded-*` is believed and added to; from anybody else it is replaced.
 */
export function requestHead({ url = '', rawHeaders, socket }: IncomingMessage): Head | undefined {
  const headers: string[] = [];
  const said: Record<string, string> = {};
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    const value = rawHeaders[at + 1] as string;
    const known = REQUEST_LENGTHS.has(name.length) ? name.toLowerCase() : '';
    if (REQUEST_SPECIAL.has(known)) said[known] = said[known] === undefined ? value : `${said[known]}, ${value}`;
    else headers.push(name, value);
  }
  const target = targetOf(url, said.host);
  if (target === undefined) return undefined;
  const client = addressOf(socket.remoteAddress);
  const believed = client === '127.0.0.1' || client === '::1' ? said : {};
  const earlier = believed['x-forwarded-for'];
  const kept = withoutNamed(headers, said.connection);
  kept.push(
    'host',
    target.authority,
    'x-forwarded-for',
    earlier === undefined ? client : `${earlier}, ${client}`,
    'x-forwarded-host',
    believed['x-forwarded-host'] ?? target.authority,
    'x-forwarded-proto',
    believed['x-forwarded-proto'] ?? 'http',
  );
  return { host: hostOf(target.authority), path: target.path, headers: kept };
}

/** The authority as the client wrote it, and the path. Several Host headers come joined by commas, which no host has. */
function targetOf(url: string, host: string | undefined): { authority: string; path: string } | undefined {
  if (host === undefined || host.includes(',')) return undefined;
  if (url.startsWith('/')) return { authority: host, path: url };
  // The absolute form, whose authority stands before the Host header (RFC 9112, 3.2.2).
  const [, authority, rest = ''] = /^http:\/\/([^/?#@]+)([/?#].*)?$/i.exec(url) ?? [];
  return authority === undefined ? undefined : { authority, path: rest.startsWith('/') ? rest : `/${rest}` };
}

/** `Shop.localhost:8080` → `shop.localhost`; `[::1]:80` → `[::1]`; one final dot is dropped. */
function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(':');
  const end = colon > authority.lastIndexOf(']') ? colon : authority.length;
  return (authority[end - 1] === '.' ? authority.slice(0, end - 1) : authority.slice(0, end)).toLowerCase();
}

/** The head of the answer to the client, from the raw bytes of the backend's. */
export function answerHeaders(raw: readonly Buffer[]): string[] {
  const headers: string[] = [];
  let connection = '';
  for (let at = 0; at < raw.length; at += 2) {
    const name = (raw[at] as Buffer).toString('latin1');
    if (ANSWER_LENGTHS.has(name.length)) {
      const known = name.toLowerCase();
      if (known === 'connection') connection = (raw[at + 1] as Buffer).toString('latin1');
      if (HOP_BY_HOP.has(known)) continue;
    }
    headers.push(name, (raw[at + 1] as Buffer).toString('latin1'));
  }
  return withoutNamed(headers, connection);
}

const USUAL_CONNECTION = /^(keep-alive|close|upgrade|)$/i;

/** Headers that the `Connection` header names are between two neighbours, too. */
function withoutNamed(headers: string[], connection = ''): string[] {
  if (USUAL_CONNECTION.test(connection)) return headers;
  const named = new Set(connection.split(',').map((name) => name.trim().toLowerCase()));
  return headers.filter((_, at) => !named.has((headers[at - (at % 2)] as string).toLowerCase()));
}

const addressOf = (address = '') => (address.startsWith('::ffff:') ? address.slice(7) : address);
