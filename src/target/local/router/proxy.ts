/** The HTTP server in front of the routes. */
import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { hasBody, proxy, refuse } from './exchange.ts';
import type { Table } from './table.ts';
import { inTurn, isBusy } from './turns.ts';

/**
 * Node takes every request with an `Upgrade` header for one that leaves HTTP. Here only those that can: HTTP/2 in the clear is not spoken
 * (a server may ignore that offer, and Java's client makes it with every first request), a body would be lost, and the answer before
 * it still needs the connection.
 */
class Request extends IncomingMessage {
  private offered = false;

  get upgrade(): boolean {
    // Node ends the connection of one that nobody listens for. It is no request that could be sent on, whatever its headers say.
    if (this.method === 'CONNECT') return this.offered;
    return this.offered && !/^h2c?\b/i.test(this.headers.upgrade ?? '') && !hasBody(this) && !isBusy(this.socket);
  }
  set upgrade(offered: boolean | null) {
    this.offered = offered === true;
  }
}

/** Heads must come within 15 s; bodies and answers may take as long as client and backend like. */
export function createProxy(table: Table): Server {
  const server = createServer({
    IncomingMessage: Request,
    headersTimeout: 15_000,
    requestTimeout: 0,
    connectionsCheckingInterval: 5000,
    keepAliveTimeout: 75_000,
    // A client that vanished from an upgraded connection would otherwise be under way for ever.
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    // Node would answer of its own accord, and what waits behind that answer would not know.
    requireHostHeader: false,
  });
  const serve = (request: IncomingMessage, response: ServerResponse) =>
    inTurn(request, response, () => proxy(table, request, response));
  server.on('request', serve);
  server.on('checkContinue', serve);
  server.on('checkExpectation', (request, response) =>
    inTurn(request, response, () => refuse(response, 417, 'only 100-continue can be expected')),
  );
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    socket.on('error', () => {});
    response.assignSocket(socket);
    // What the server does for its own sockets it does no longer for this one.
    socket.on('drain', () => response.emit('drain'));
    response.once('finish', () => socket.destroySoon());
    // Until it is answered, nobody else reads from it and would see its client leave.
    socket.once('end', () => {
      if (response.socket === socket) socket.destroy();
    });
    socket.read(0);
    proxy(table, request, response, { protocol: request.headers.upgrade ?? '', socket, head });
  });
  return server;
}
