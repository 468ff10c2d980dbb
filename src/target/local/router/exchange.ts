/** One request on its way to a backend and back, with as many attempts as are safe. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { type Counter, recordLatency } from './counts.ts';
import { answerHeaders, type Head, requestHead } from './headers.ts';
import type { Destination, Table } from './table.ts';
import type { Upstream } from './upstream.ts';

/** How often a request goes out that may have been served; one that never left tries every backend. */
const ATTEMPTS = 3;
const noop = () => {};
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS']);

export interface Upgrade {
  protocol: string;
  socket: Socket;
  head: Buffer;
}

export function proxy(table: Table, request: IncomingMessage, response: ServerResponse, upgrade?: Upgrade): void {
  const head = requestHead(request);
  if (head === undefined) {
    // What follows on the connection may be as wrong.
    response.shouldKeepAlive = false;
    refuse(response, 400, 'the request must name one host and a path on it');
    return;
  }
  const exchange = new Exchange(table, request, response, head, upgrade);
  response.once('close', () => exchange.clientClosed());
  exchange.attempt();
}

/** A class, as undici calls its methods on each request: closures would be made anew for each. */
class Exchange implements Dispatcher.DispatchHandler {
  private readonly started = performance.now();
  private readonly random = Math.random();
  private readonly tried: Upstream[] = [];
  private attempts = 0;
  private timesSent = 0;
  private readonly options: Dispatcher.DispatchOptions;
  private readonly body: Readable | null;
  private counter: Counter | undefined;
  private upstream: Upstream | undefined;
  private abort: ((error?: Error) => void) | undefined;
  private resume: () => void = noop;
  /** The attempt under way: its first byte may have been sent; the first byte of its answer came. */
  private sent = false;
  private answered = false;
  private continued = false;
  private clientGone = false;

  private readonly table: Table;
  private readonly request: IncomingMessage;
  private readonly response: ServerResponse;
  private readonly host: string;
  private readonly upgrade: Upgrade | undefined;

  constructor(
    table: Table,
    request: IncomingMessage,
    response: ServerResponse,
    { host, path, headers }: Head,
    upgrade: Upgrade | undefined,
  ) {
    this.table = table;
    this.request = request;
    this.response = response;
    this.host = host;
    this.upgrade = upgrade;
    this.body = hasBody(request) ? detached(request) : null;
    this.options = {
      path,
      method: request.method ?? 'GET',
      headers,
      body: this.body,
      upgrade: upgrade?.protocol ?? null,
    };
  }

  attempt(): void {
    const found = this.find();
    if (found === undefined) {
      this.refuse(404, 'no such host');
      return;
    }
    this.count(found.counter);
    if (found.upstream !== undefined) this.forward(found.upstream);
    else if (this.attempts > 0) this.refuse(502, 'the backend did not answer');
    else this.refuse(503, 'nothing is ready to serve this host; try again soon');
  }

  /** Each backend once, however many there are; where they are few, they are asked again. */
  private find(): Destination | undefined {
    const { path } = this.options;
    const found = this.table.find(this.host, path, this.random, this.tried);
    if (found?.upstream !== undefined || this.attempts === 0 || this.attempts >= ATTEMPTS) return found;
    this.tried.length = 0;
    return this.table.find(this.host, path, this.random, this.tried);
  }

  private forward(upstream: Upstream): void {
    this.upstream = upstream;
    this.tried.push(upstream);
    this.attempts++;
    this.sent = false;
    upstream.active++;
    upstream.dispatch(this.options, this);
  }

  /** Once for a request, however many attempts it takes. */
  private count(counter: Counter | undefined): void {
    if (counter === undefined || this.counter !== undefined) return;
    this.counter = counter;
    counter.requests++;
  }

  clientClosed(): void {
    if (this.upstream === undefined) return;
    this.clientGone = true;
    this.abort?.();
  }

  onConnect(abort: (error?: Error) => void): void {
    this.sent = true;
    this.timesSent++;
    this.abort = abort;
    if (this.clientGone) {
      abort();
      return;
    }
    if (this.request.headers.expect !== undefined && !this.continued) {
      this.continued = true;
      this.response.writeContinue();
    }
  }

  onResponseStarted(): void {
    this.answered = true;
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void, statusText: string): boolean {
    // Interim answers are between the router and the backend.
    if (status < 200) return true;
    const { response } = this;
    this.resume = resume;
    this.settle(status);
    response.writeHead(status, statusText, answerHeaders(raw));
    // A body that came with the head is written with it; a stream that has nothing to say yet shows its head at once.
    queueMicrotask(() => {
      if (!response.writableEnded) response.flushHeaders();
    });
    return true;
  }

  onData(chunk: Buffer): boolean {
    if (this.response.write(chunk)) return true;
    this.response.once('drain', this.resume);
    return false;
  }

  onComplete(): void {
    this.release();
    this.response.end();
  }

  onUpgrade(status: number, raw: Buffer[] | string[] | null, backend: Duplex): void {
    const { upgrade, response } = this;
    if (upgrade === undefined || raw === null) return void backend.destroy();
    this.settle(status);
    const client = upgrade.socket;
    response.detachSocket(client);
    // As it is: its `Connection` and `Upgrade` are what the client waits for.
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
    for (let at = 0; at < raw.length; at += 2)
      head += `${raw[at]?.toString('latin1')}: ${raw[at + 1]?.toString('latin1')}\r\n`;
    client.write(`${head}\r\n`, 'latin1');
    if (upgrade.head.length > 0) backend.write(upgrade.head);
    join(client, backend as Socket, () => this.release());
  }

  onError(error: Error): void {
    const { response } = this;
    this.release();
    if (this.clientGone) return;
    if (response.headersSent) {
      this.fail();
      response.destroy();
    } else if ('code' in error && error.code === 'UND_ERR_INVALID_ARG') this.refuse(400, 'the request is malformed');
    else if (this.maySendAgain()) this.attempt();
    else this.refuse(502, 'the backend did not answer');
  }

  /** What was never sent may go again, whatever it is; what was sent only if it is safe twice and nothing came back. */
  private maySendAgain(): boolean {
    if (!this.sent) return true;
    return this.timesSent < ATTEMPTS && !this.answered && this.body === null && IDEMPOTENT.has(this.options.method);
  }

  private settle(status: number): void {
    if (this.counter === undefined) return;
    recordLatency(this.counter, performance.now() - this.started);
    if (status >= 500) this.fail();
  }

  private fail(): void {
    if (this.counter === undefined) return;
    this.counter.errors++;
    this.counter = undefined;
  }

  private release(): void {
    if (this.upstream !== undefined) this.upstream.active--;
    this.upstream = undefined;
    this.abort = undefined;
  }

  private refuse(status: number, message: string): void {
    this.fail();
    this.body?.destroy();
    refuse(this.response, status, message);
  }
}

export function refuse(response: ServerResponse, status: number, message: string): void {
  const text = `${message}\n`;
  response.writeHead(status, [
    'content-type',
    'text/plain; charset=utf-8',
    'content-length',
    String(Buffer.byteLength(text)),
    ...(status === 503 ? ['retry-after', '1'] : []),
  ]);
  response.end(text);
}

export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/**
 * The body for undici, which destroys what it was given when a backend fails or answers early. That must not cut the client off:
 * the rest of its body is then read and dropped, and the client gets its answer.
 */
function detached(request: IncomingMessage): Readable {
  const body = new Readable({
    read: () => void request.resume(),
    destroy(error, done) {
      request.removeAllListeners('data');
      request.resume();
      done(error);
    },
  });
  request.on('data', (chunk) => {
    if (!body.push(chunk)) request.pause();
  });
  request.once('end', () => body.push(null));
  request.on('error', noop);
  request.pause();
  return body;
}

/** Pipes both ways; `ended` is called once, when both are closed. */
function join(client: Socket, backend: Socket, ended: () => void): void {
  let open = 2;
  const bind = (one: Socket, other: Socket) => {
    one.on('error', noop);
    one.once('close', () => {
      other.destroySoon();
      if (--open === 0) ended();
    });
    one.pipe(other);
  };
  bind(client, backend);
  bind(backend, client);
}
