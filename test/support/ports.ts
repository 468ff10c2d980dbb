/** Ports of loopback for servers that are told their port before they listen. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below those that the kernel gives out (32768 and up): no connection of another test comes to lie on it meanwhile. */
const FIRST = 10_000;
const END = 32_768;

/** A port of loopback that nothing listens on, drawn by lot, so that two test files at the same time do not get the same. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END);
    const server = createServer().listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
