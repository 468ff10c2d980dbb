/** Loopback ports for units, chosen where no outgoing connection can take them. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Container } from '../../manifest/resource.ts';

const LOWEST = 20_000;
const TRIES = 200;

/** Below the range that the system gives to outgoing connections, e.g. 20000–32767 where that begins at 32768. */
function range(): { from: number; to: number } {
  const first = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0]);
  return first > LOWEST + 1000 ? { from: LOWEST, to: first - 1 } : { from: first, to: 65_535 };
}

/** One that nobody listens on now and that `taken` does not hold; it does then. Somebody else may take it before it is used. */
export async function freePort(taken: Set<number>): Promise<number> {
  const { from, to } = range();
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const port = from + Math.floor(Math.random() * (to - from + 1));
    if (taken.has(port)) continue;
    taken.add(port);
    if (await canListen(port)) return port;
    taken.delete(port);
  }
  throw new Error(
    `no free port between ${from} and ${to} after ${TRIES} tries; see what listens there with \`ss -ltn\``,
  );
}

/** The port once more, where nobody has taken it meanwhile; it is in `taken` then. */
export async function portAgain(taken: Set<number>, port: number | undefined): Promise<number | undefined> {
  if (port === undefined || taken.has(port)) return undefined;
  taken.add(port);
  if (await canListen(port)) return port;
  taken.delete(port);
  return undefined;
}

/** The port that is kept for this one alone. Throws where another program listens there. */
export async function keptPort(port: number): Promise<number> {
  if (await canListen(port)) return port;
  throw new Error(
    `port ${port}, which it keeps for its life, is taken by another program; see which with \`ss -ltnp 'sport = :${port}'\` and end that`,
  );
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** The `containerPort`s that a container needs; `0` stands for the one of a first container that declares none. */
export function wantedPorts(container: Container, first: boolean): number[] {
  if (container.ports.length > 0) return container.ports.map((port) => port.containerPort);
  return first ? [0] : [];
}

/** The loopback port that a probe or a check means by a number or a name; a number that is not declared is taken as it is. */
export function resolvePort(container: Container, ports: Record<string, number>, port: number | string): number {
  const declared = container.ports.find((entry) => entry.name === port || String(entry.containerPort) === String(port));
  const found = declared === undefined ? Number(port) : ports[declared.containerPort];
  if (found !== undefined && Number.isInteger(found) && found > 0) return found;
  throw new Error(`container ${container.name} has no port ${port}; name one of its \`ports\``);
}

/** What a container serves at first: its first declared port, or the `PORT` that it was given without declaring one. */
export function mainPort(container: Container, ports: Record<string, number>): number | undefined {
  return ports[container.ports[0]?.containerPort ?? 0];
}
