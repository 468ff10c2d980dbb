/** One backend as the router knows it: its connections, and what is under way on it. */
import { type Dispatcher, Pool } from 'undici';
import { httpUrl } from '../handler.ts';
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

export function createUpstream({ unit, port, host }: Backend): Upstream {
  let pool: Pool | undefined;
  return {
    unit,
    port,
    active: 0,
    dispatch(options, handler) {
      pool ??= new Pool(httpUrl(host ?? '127.0.0.1', port, '/').origin, POOL);
      pool.dispatch(options, handler);
    },
    retire() {
      pool?.close(() => {});
    },
  };
}

export interface Balancer {
  upstreams: Upstream[];
  next: number;
  /** Where the weights differ: the weight of each upstream, and what it has in hand. */
  shares?: { weight: number; credit: number }[];
}

export function createBalancer(upstreams: Upstream[], backends: readonly Backend[], next: number): Balancer {
  const weights = backends.map(({ weight = DEFAULT_WEIGHT }) => weight);
  const balancer = { upstreams, next: next % Math.max(1, upstreams.length) };
  if (weights.every((weight) => weight === weights[0])) return balancer;
  return { ...balancer, shares: weights.map((weight) => ({ weight, credit: 0 })) };
}

const DEFAULT_WEIGHT = 100;

/** One of those not yet `tried`. Of equal weight: the least active, among equals the next in turn; else each by its share. */
export function pick(balancer: Balancer, tried: readonly Upstream[]): Upstream | undefined {
  const { upstreams, shares } = balancer;
  return shares === undefined ? pickIdlest(balancer, tried) : pickByShare(upstreams, shares, tried);
}

/**
 * Each gets its weight in hand, and who then has most is taken and pays for all: over any run of requests each gets its
 * share, well mixed. Weights 3 and 1 → a, a, b, a, a, a, b, a …
 */
function pickByShare(
  upstreams: Upstream[],
  shares: NonNullable<Balancer['shares']>,
  tried: readonly Upstream[],
): Upstream | undefined {
  let total = 0;
  let best: { upstream: Upstream; share: { credit: number } } | undefined;
  for (const [at, upstream] of upstreams.entries()) {
    const share = shares[at];
    if (share === undefined || share.weight <= 0 || tried.includes(upstream)) continue;
    share.credit += share.weight;
    total += share.weight;
    if (best === undefined || share.credit > best.share.credit) best = { upstream, share };
  }
  if (best !== undefined) best.share.credit -= total;
  return best?.upstream;
}

function pickIdlest(balancer: Balancer, tried: readonly Upstream[]): Upstream | undefined {
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
