/**
 * What a client sends before it has its answers is served one at a time, in its order: a request may build on what the one before it
 * did (RFC 9112 §9.3.2). Node tells of all of them at once, and only sends the answers in order.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const latest = new WeakMap<Socket, ServerResponse>();

/** An earlier request of the connection has no whole answer yet. */
export const isBusy = (socket: Socket): boolean => latest.get(socket)?.closed === false;

/** Calls `serve` at once or after the request before; not at all where the connection is closed, or about to be, by then. */
export function inTurn({ socket }: IncomingMessage, response: ServerResponse, serve: () => void): void {
  const before = latest.get(socket);
  latest.set(socket, response);
  if (before === undefined || before.closed) {
    serve();
    return;
  }
  before.once('close', () => {
    if (socket.writable) serve();
  });
}
