/**
 * Globs over a query as regular expressions for HAProxy, which matches bytes. PURE.
 *
 * What they are matched against is `shop.localhost&beta=12&x=a b&`: the host, and the query decoded, where an `&` that was encoded
 * is the byte 01 and a `=` that was encoded is 02, so that the others part the parameters.
 */
import { type GlobToken, tokenize } from '../../../plan/glob.ts';

type Rule = Record<string, string>;

/** `(?s)^shop\x2elocalhost(?=&)(?=.*?&beta=1[^&]*&)`: every key that the rule names, with a value of which the glob is true. Throws where HAProxy cannot be told. */
export function ruleExpression(host: string, rule: Rule): string {
  const wanted = Object.entries(rule).map(([key, glob]) => {
    const wrong = whyNoExpression(glob);
    if (wrong !== undefined) throw new Error(`HAProxy cannot match ${JSON.stringify(glob)}: ${wrong}`);
    const tokens = tokenize(glob);
    const isEmpty = tokens.every((token) => token === 'many');
    const value = `=${valueExpression(tokens)}`;
    return `(?=.*?&${exactly(key, 'key')}${isEmpty ? `(?:${value})?` : value}&)`;
  });
  return `(?s)^${exactly(host, 'value')}(?=&)${wanted.join('')}`;
}

/** Why HAProxy cannot be given this glob; undefined where it can. */
export function whyNoExpression(glob: string): string | undefined {
  const wrong = tokenize(glob).find((token) => typeof token === 'object' && !isSimple(token));
  return wrong === undefined
    ? undefined
    : 'a set in brackets can hold letters, digits and signs of ASCII only, as HAProxy compares bytes';
}

const isSimple = ({ negated, ranges }: Exclude<GlobToken, string>): boolean =>
  ranges.every(({ low, high }) => high <= ASCII || (low === high && !negated));

const ASCII = 0x7f;
const WIDE = '[\\xc2-\\xf4][\\x80-\\xbf]+';
/** One character, whatever it is. */
const ANY = `(?:[\\x00-\\x25\\x27-\\x7f]|${WIDE})`;
const RUN = '[^&]*';

/** Greedy as `plan/route.ts` is: a part that is found early is never looked for again, so that no value takes long. */
function valueExpression(tokens: GlobToken[]): string {
  const parts: string[] = [''];
  for (const token of tokens) {
    if (token === 'many') parts.push('');
    else parts.push((parts.pop() ?? '') + (token === 'any' ? ANY : setExpression(token)));
  }
  const [first = '', ...others] = parts;
  const last = others.pop();
  if (last === undefined) return first;
  const between = others.filter((part) => part !== '').map((part) => `(?>${RUN}?${part})`);
  return `${first}${between.join('')}${RUN}${last}`;
}

function setExpression({ negated, ranges }: Exclude<GlobToken, string>): string {
  const narrow = Array.from({ length: ASCII + 1 }, (_, code) => code).filter(
    (code) => ranges.some(({ low, high }) => low <= code && code <= high) !== negated,
  );
  const bytes = new Set(narrow.flatMap((code) => coded(String.fromCharCode(code), 'value')));
  const wide = negated
    ? [WIDE]
    : ranges.flatMap(({ low }) => (low > ASCII ? [coded(String.fromCodePoint(low), 'value').join('')] : []));
  const [only = ''] = bytes;
  if (wide.length === 0 && bytes.size === 1) return only;
  const set = bytes.size === 0 ? [] : [`[${[...bytes].join('')}]`];
  // Of a set that nothing is in: never true.
  return set.length + wide.length === 0 ? '(?!)' : `(?:${[...set, ...wide].join('|')})`;
}

type Place = 'key' | 'value';

function exactly(text: string, place: Place): string {
  return Array.from(text, (character) => {
    const bytes = coded(character, place);
    return character === '=' && place === 'value' ? `[${bytes.join('')}]` : bytes.join('');
  }).join('');
}

/** The bytes that stand for one character: of several, for a `=` in a value, either. */
function coded(character: string, place: Place): string[] {
  if (character === '&') return ['\\x01'];
  if (character === '=') return place === 'key' ? ['\\x02'] : ['=', '\\x02'];
  if (/[a-zA-Z0-9]/.test(character)) return [character];
  return [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`);
}
