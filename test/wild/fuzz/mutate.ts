/** Texts that were whole once: bytes changed, taken out, doubled, cut; or fragments of YAML put somewhere. */
import fc from 'fast-check';

const FRAGMENTS = [
  ...[
    '&a',
    '*a',
    '<<: *a',
    '!!binary ',
    '!!js/function ',
    '!x ',
    '? ',
    ': ',
    '- ',
    '--- ',
    '...\n',
    '%YAML 1.1\n',
    '|\n',
    '>-\n',
  ],
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    '"',
    "'",
    '#',
    '\t',
    '\r',
    '\0',
    '\ufeff',
    '\u2028',
    '\xff',
    '\n  ',
    '\n',
    '__proto__: ',
    'constructor: ',
  ],
  ...[
    '&a [*a, *a]',
    '{a: &x [*x]}',
    '9'.repeat(400),
    '[['.repeat(200),
    '- '.repeat(100),
    '"\\u0000"',
    '~',
    '.nan',
    '1e400',
  ],
];

type Edit = { at: number; kind: number; length: number; fragment: string; byte: number };

const edits = fc.array(
  fc.record<Edit>({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    kind: fc.nat(5),
    length: fc.nat(60),
    fragment: fc.constantFrom(...FRAGMENTS),
    byte: fc.nat(255),
  }),
  { minLength: 0, maxLength: 8 },
);

/** At the place of each edit: a byte changed, some taken out, some doubled, a fragment put in, the rest cut off. */
function edited(bytes: Buffer, { at, kind, length, fragment, byte }: Edit): Buffer {
  const place = Math.floor(at * bytes.length);
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
  if (kind === 0) return Buffer.concat([before, Buffer.from([byte]), after.subarray(1)]);
  if (kind === 1) return Buffer.concat([before, after.subarray(length)]);
  if (kind === 2) return Buffer.concat([before, after.subarray(0, length), after]);
  if (kind === 5 && length > 50) return before;
  return Buffer.concat([before, Buffer.from(fragment), after]);
}

export const mutated = (whole: fc.Arbitrary<string>): fc.Arbitrary<Buffer> =>
  fc.tuple(whole, edits).map(([text, made]) => made.reduce(edited, Buffer.from(text)));
