/** A wire that misbehaves: a TCP proxy on loopback before a real server, each connection with a fault of its own. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What becomes of what the server says, counted in its bytes on one connection; what it is told goes through until then. */
export type WireFault =
  | { kind: 'cut'; after: number }
  | { kind: 'corrupt'; at: number }
  | { kind: 'delay'; ms: number }
  /** Nothing is forwarded any more, in either direction, and nobody is told. */
  | { kind: 'freeze'; after: number };

export interface BadNetwork {
  port: number;
  connections(): number;
  /** From now on, asked for every connection that is made and, of those that are open, for every piece of an answer. */
  weather(next: () => WireFault | undefined): void;
  close(): Promise<void>;
}

export async function badNetwork(target: number): Promise<BadNetwork> {
  let weather: () => WireFault | undefined = () => undefined;
  let count = 0;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    count++;
    const far = connect(target, '127.0.0.1');
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        open.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    forward(near, far, () => weather());
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => count,
    weather(next) {
      weather = next;
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function forward(near: Socket, far: Socket, weather: () => WireFault | undefined): void {
  let fault = weather();
  let frozen = false;
  let passed = 0;
  near.on('data', (chunk) => {
    if (!frozen) far.write(chunk);
  });
  far.on('data', (chunk) => {
    fault ??= weather();
    const from = passed;
    passed += chunk.length;
    if (frozen) return;
    if (fault?.kind === 'corrupt' && fault.at < passed) {
      const at = Math.max(0, fault.at - from);
      chunk[at] = (chunk[at] ?? 0) ^ 0x21;
      fault = undefined;
    } else if (fault?.kind === 'cut' && fault.after <= passed) {
      near.end(chunk.subarray(0, Math.max(0, fault.after - from)));
      far.destroy();
      return;
    } else if (fault?.kind === 'freeze' && fault.after <= passed) {
      frozen = true;
      return;
    } else if (fault?.kind === 'delay') {
      far.pause();
      setTimeout(() => far.resume(), fault.ms);
      fault = undefined;
    }
    near.write(chunk);
  });
  near.on('end', () => far.end());
  far.on('end', () => near.end());
}
