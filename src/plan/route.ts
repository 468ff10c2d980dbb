/** The one matcher: which version a request goes to. The router and `sluice predict` both ask it. */
import { compileGlob } from './glob.ts';
import type { TrafficPolicy } from './live.ts';

/**
 * `url`: a request target (`/a?b=c`) or a whole URL, of which only the query matters.
 * `random`: in [0, 1); it decides under `percent` alone.
 */
export type Chooser = (url: string, random: number) => string;

/** What decides for a request. `rule`: the index of the first rule that matched; absent: the default. */
export type Explanation =
  | { kind: 'percent'; weights: Record<string, number> }
  | { kind: 'match'; version: string; rule?: number };

/** All that can be worked out beforehand; a request then costs a comparison, or one parse of its query under `match`. */
export function compile(policy: TrafficPolicy): Chooser {
  if (policy.kind === 'percent') return byWeight(policy.weights);
  const { rules } = policy;
  const first = firstMatch(policy);
  return (url) => rules[first(url)]?.version ?? policy.default;
}

export function explain(policy: TrafficPolicy, url: string): Explanation {
  if (policy.kind === 'percent') return { kind: 'percent', weights: policy.weights };
  const rule = firstMatch(policy)(url);
  const matched = policy.rules[rule];
  return matched === undefined
    ? { kind: 'match', version: policy.default }
    : { kind: 'match', version: matched.version, rule };
}

/** Weights are shares of their sum: {v7: 90, v8: 10} sends random < 0.9 to v7; {v8: 10} alone sends all to v8. */
function byWeight(weights: Record<string, number>): Chooser {
  const shares: { version: string; below: number }[] = [];
  let total = 0;
  for (const [version, weight] of Object.entries(weights)) {
    if (weight <= 0) continue;
    total += weight;
    shares.push({ version, below: total });
  }
  const last = shares.at(-1)?.version ?? '';
  if (shares.length < 2) return () => last;
  return (_url, random) => {
    const point = random * total;
    return shares.find(({ below }) => point < below)?.version ?? last;
  };
}

/** The index of the first rule that matches, or -1. */
function firstMatch(policy: TrafficPolicy & { kind: 'match' }): (url: string) => number {
  const rules = policy.rules.map(({ query }) =>
    Object.entries(query).map(([key, glob]) => ({ key, matches: compileGlob(glob) })),
  );
  return (url) => {
    const query = new URLSearchParams(queryOf(url));
    return rules.findIndex((wanted) => wanted.every(({ key, matches }) => query.getAll(key).some(matches)));
  };
}

function queryOf(url: string): string {
  const hash = url.indexOf('#');
  const end = hash === -1 ? url.length : hash;
  const start = url.indexOf('?');
  return start === -1 || start > end ? '' : url.slice(start + 1, end);
}
