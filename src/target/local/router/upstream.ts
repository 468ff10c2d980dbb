/** One backend as the router knows it: its connections, and what is under way on it. */
import { type Dispatcher, Pool } from 'undici';
import type { Backend } from './config.ts';

export interface Upstream extends Backend {
  /** Requests and upgraded connections under way. */
  active: number;
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
  /** For good: closes idle connections at once, the others when what they serve has ended. */
  retire(): void;
}

/**
 * How long an answer takes is between client and backend, so nothing but connecting is timed here. An idle connection is kept for
 * 4 s, or 2 s less than the backend says, so that the router closes it first and no request meets a closing one.
 */
const POOL: Pool.Options = {
  pipelining: 1,
  headersTimeout: 0,
  bodyTimeout: 0,
  connectTimeout: 5000,
  keepAliveTimeout: 4000,
};

export function createUpstream({ unit, port }: Backend): Upstream {
  let pool: Pool | undefined;
  return {
    unit,
    port,
    active: 0,
    dispatch(options, handler) {
      pool ??= new Pool(`http://127.0.0.1:${port}`, POOL);
      pool.dispatch(options, handler);
    },
    retire() {
      pool?.close(() => {});
    },
  };
}

/** The least active of those not yet `tried`; among equals the next in turn. */
export interface Balancer {
  upstreams: Upstream[];
  next: number;
}

export function pick(balancer: Balancer, tried: readonly Upstream[]): Upstream | undefined {
  const { upstreams } = balancer;
  const count = upstreams.length;
  let best: Upstream | undefined;
  let bestAt = 0;
  for (let step = 0; step < count; step++) {
    const at = (balancer.next + step) % count;
    const upstream = upstreams[at] as Upstream;
    if (tried.length > 0 && tried.includes(upstream)) continue;
    if (best === undefined || upstream.active < best.active) {
      best = upstream;
      bestAt = at;
    }
    if (best.active === 0) break;
  }
  balancer.next = count === 0 ? 0 : (bestAt + 1) % count;
  return best;
}
