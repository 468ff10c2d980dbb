/** The one matcher: which version a request goes to. The router and `sluice predict` both ask it. */
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

/** One of the characters between two code points, or one of all others. */
interface CharacterSet {
  negated: boolean;
  ranges: { low: number; high: number }[];
}
export type GlobToken = 'any' | 'many' | CharacterSet;

/**
 * Whole value, case matters. `*`: any run of characters, also none; `?`: any one; `[a-z]`: one of; `[!a-z]`: one of the others;
 * a special character stands for itself in brackets (`[*]`), a `[` that is never closed for itself.
 * Takes at most (length of value) × (length of glob) steps, whatever they hold.
 */
function compileGlob(glob: string): (value: string) => boolean {
  if (!/[*?[]/.test(glob)) return (value) => value === glob;
  const tokens = tokenize(glob);
  return (value) => matchTokens(tokens, Array.from(value));
}

export function tokenize(glob: string): GlobToken[] {
  const characters = Array.from(glob);
  const tokens: GlobToken[] = [];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] as string;
    const close = character === '[' ? closing(characters, at) : -1;
    if (close !== -1) {
      tokens.push(oneOf(characters.slice(at + 1, close)));
      at = close;
    } else if (character === '*') tokens.push('many');
    else if (character === '?') tokens.push('any');
    else tokens.push({ negated: false, ranges: [range(character, character)] });
  }
  return tokens;
}

/** Where the bracket at `open` is closed. A `]` that comes first stands for itself: `[]a]` is a set of two. */
function closing(characters: string[], open: number): number {
  const first = characters[open + 1] === '!' ? open + 2 : open + 1;
  return characters.indexOf(']', first + 1);
}

function oneOf(set: string[]): CharacterSet {
  const negated = set[0] === '!';
  const members = negated ? set.slice(1) : set;
  const ranges: CharacterSet['ranges'] = [];
  for (let at = 0; at < members.length; at++) {
    const from = members[at] as string;
    const to = members[at + 1] === '-' ? members[at + 2] : undefined;
    ranges.push(range(from, to ?? from));
    if (to !== undefined) at += 2;
  }
  return { negated, ranges };
}

const range = (from: string, to: string) => ({ low: from.codePointAt(0) ?? 0, high: to.codePointAt(0) ?? 0 });

function isIn({ negated, ranges }: CharacterSet, character: string): boolean {
  const point = character.codePointAt(0) ?? 0;
  return ranges.some(({ low, high }) => low <= point && point <= high) !== negated;
}

/** Greedy: only the last `*` is ever tried again, one character further, as what an earlier one took need never change. */
function matchTokens(tokens: GlobToken[], value: string[]): boolean {
  let token = 0;
  let at = 0;
  let star = -1;
  let starEnd = 0;
  while (at < value.length) {
    const wanted = tokens[token];
    if (wanted === 'many') {
      star = token++;
      starEnd = at;
    } else if (wanted === 'any' || (wanted !== undefined && isIn(wanted, value[at] as string))) {
      token++;
      at++;
    } else if (star !== -1) {
      token = star + 1;
      at = ++starEnd;
    } else return false;
  }
  while (tokens[token] === 'many') token++;
  return token === tokens.length;
}
