/** What the load balancer of a target does now, looked at again and again so that nobody has to wait for it. */
import type { SshTarget } from '../../manifest/target.ts';
import { type BalancedServer, type HaproxyRuntime, openHaproxyRuntime, openUnixSocket } from '../haproxy/runtime.ts';
import type { Connections } from './connections.ts';

export interface Balancer {
  /** Undefined: it has not answered yet, or does not any more. */
  seen(): Map<string, BalancedServer[]> | undefined;
  /** Why it is not seen. */
  trouble(): string | undefined;
  /** Looks now; throws when it does not answer. */
  refresh(): Promise<Map<string, BalancedServer[]>>;
  /** `allowed` is asked right before, and throws where it may not be done. */
  setWeights(server: string, weights: Weights, allowed: () => Promise<unknown>): Promise<void>;
  /** Looks more often while something is about to change there. */
  hurry(): void;
  close(): void;
}

/** Backend → weight. */
export type Weights = Record<string, number>;

/** As it is kept beside the unit: `web=100 api=50`. */
export const writeWeights = (servers: BalancedServer[]): string =>
  servers.map(({ backend, weight }) => `${backend}=${weight}`).join(' ');

export function readWeights(text: string): Weights {
  const pairs = text.split(' ').flatMap((pair): [string, number][] => {
    const at = pair.lastIndexOf('=');
    const weight = Number(pair.slice(at + 1));
    return at > 0 && Number.isInteger(weight) ? [[pair.slice(0, at), weight]] : [];
  });
  return Object.fromEntries(pairs);
}

export interface BalancerOptions {
  runtime: HaproxyRuntime;
  /** Whether something is about to change there. */
  busy(): boolean;
  changed(): void;
}

const IDLE_MS = 5_000;
const BUSY_MS = 200;
/** One look that fails is an accident; a longer time is trouble. */
const FAILURES = 2;

function watchBalancer({ runtime, busy, changed }: BalancerOptions): Balancer {
  let seen: Map<string, BalancedServer[]> | undefined;
  let trouble: string | undefined;
  let failures = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let looking = false;

  async function refresh(): Promise<Map<string, BalancedServer[]>> {
    try {
      seen = await runtime.servers();
      trouble = undefined;
      failures = 0;
      return seen;
    } catch (error) {
      failures++;
      trouble = (error as Error).message;
      if (failures >= FAILURES) seen = undefined;
      throw error;
    } finally {
      if (!closed) changed();
    }
  }

  async function look(): Promise<void> {
    if (looking || closed) return;
    looking = true;
    clearTimeout(timer);
    await refresh().catch(() => {});
    looking = false;
    if (closed) return;
    const waits = failures > 0 ? Math.min(IDLE_MS, BUSY_MS * 2 ** failures) : busy() ? BUSY_MS : IDLE_MS;
    timer = setTimeout(look, waits);
  }
  void look();

  return {
    seen: () => seen,
    trouble: () => trouble,
    refresh,
    async setWeights(server, weights, allowed) {
      for (const [backend, weight] of Object.entries(weights))
        await runtime.setWeight(backend, server, weight, allowed);
    },
    hurry() {
      void look();
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** That of a target, where it has one. */
export function openBalancer(
  { loadBalancer }: SshTarget,
  connections: Connections,
  watching: { busy(): boolean; changed(): void },
): Balancer | undefined {
  if (loadBalancer === undefined) return undefined;
  const { socket, host, backends } = loadBalancer;
  const open = () => (host === undefined ? openUnixSocket(socket) : connections.openSocket(host, socket));
  return watchBalancer({ runtime: openHaproxyRuntime({ backends, open }), ...watching });
}
