/** Globs, as traffic rules and known hosts have them: `*`, `?`, `[a-z]`. */

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
export function compileGlob(glob: string): (value: string) => boolean {
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
