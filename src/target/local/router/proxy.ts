/** The HTTP server in front of the routes. */
import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { hasBody, proxy } from './exchange.ts';
import type { Table } from './table.ts';

/**
 * Node takes every request with an `Upgrade` header for one that leaves HTTP. Here only those that can: HTTP/2 in the clear is not spoken
 * (a server may ignore that offer, and Java's client makes it with every first request), and a body would be lost.
 */
class Request extends IncomingMessage {
  private offered = false;

  get upgrade(): boolean {
    return this.offered && !/^h2c?\b/i.test(this.headers.upgrade ?? '') && !hasBody(this);
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
  });
  server.on('request', (request, response) => proxy(table, request, response));
  server.on('checkContinue', (request, response) => proxy(table, request, response));
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    socket.on('error', () => {});
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
