/** Counts of one version: requests, errors, and a histogram of latencies in fixed space. */
import type { VersionCounts } from './config.ts';

/** Each bucket is 10 % wider than the one before: 1 µs to one hour in 231 buckets. */
const GROWTH = Math.log(1.1);
const BUCKETS = 232;

export interface Counter {
  requests: number;
  errors: number;
  /** Made with the first latency. */
  buckets?: Uint32Array;
}

export const newCounter = (): Counter => ({ requests: 0, errors: 0 });

export function recordLatency(counter: Counter, milliseconds: number): void {
  counter.buckets ??= new Uint32Array(BUCKETS);
  const bucket = Math.min(BUCKETS - 1, Math.max(0, Math.floor(Math.log(milliseconds * 1000) / GROWTH)));
  counter.buckets[bucket] = (counter.buckets[bucket] ?? 0) + 1;
}

export function summarize({ requests, errors, buckets }: Counter): VersionCounts {
  return { requests, errors, latency: { p50: quantile(buckets, 0.5), p99: quantile(buckets, 0.99) } };
}

function quantile(buckets: Uint32Array | undefined, share: number): number {
  if (buckets === undefined) return 0;
  let left = buckets.reduce((sum, count) => sum + count, 0) * share;
  const bucket = buckets.findIndex((count) => {
    left -= count;
    return left <= 0;
  });
  // The middle of the bucket, in milliseconds to 3 decimals.
  return Math.round(Math.exp((bucket + 0.5) * GROWTH)) / 1000;
}
