/** Values that a JSON Schema allows, for the most part: now and then something else stands in a place. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';

interface Schema {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  oneOf?: Schema[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  required?: string[];
  items?: Schema;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  examples?: unknown[];
  default?: unknown;
}

export const schemaOf = (name: string): Schema =>
  JSON.parse(readFileSync(new URL(`../../../../schemas/${name}.json`, import.meta.url), 'utf8'));

/** What people and attackers write into texts. */
const TEXTS = fc.oneof(
  fc.constantFrom(
    ...['web', 'shop', 'local', 'a', '0', '', '-', '..', '../../etc/passwd', '/', '/a/b', '/proc/self/environ'],
    ...['constructor', '__proto__', 'toString', 'null', 'true', '~', '1e999', '0x10', '50%', '101%', '-1%', '100m'],
    ...['1Gi', '10m', '0s', '9999999d', '* * * * *', '0 2 * * 6', '*/0 * * * *', 'Asia/Shanghai', 'UTC', 'image:1'],
    ...['registry.example/a/b:1', 'a:b:c', 'http://x/', 'https://[::1]:99999/', '\u202e', '\ud800', '\0', '\r\n', '#'],
    ...['$(reboot)', '$(A)', '*a*a*a*a*a*a*a*a', '[', 'x'.repeat(300), '\u{1f4a9}'.repeat(70)],
  ),
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 10 }),
);
const ANYTHING = fc.oneof(
  TEXTS,
  fc.integer(),
  fc.double(),
  fc.constantFrom(null, true, false, [], {}, [[]], -0, 1e308, Number.NaN, 2 ** 53, { a: { b: {} } }),
  fc.jsonValue({ maxDepth: 3 }),
);

export function fromSchema(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  const right = rightly(schema, depth);
  return fc.oneof({ weight: 40, arbitrary: right }, { weight: 1, arbitrary: ANYTHING });
}

function rightly(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const { enum: values, oneOf, anyOf, examples = [] } = schema;
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (values !== undefined) return fc.constantFrom(...values);
  const choices = oneOf ?? anyOf;
  if (choices !== undefined) return fc.oneof(...choices.map((one) => fromSchema(one, depth + 1)));
  const usual = schema.default === undefined ? examples : [...examples, schema.default];
  const typed = typedly(schema, depth);
  return usual.length === 0 ? typed : fc.oneof(typed, fc.constantFrom(...usual));
}

function typedly(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const [type] = [schema.type].flat();
  if (type === 'object') return objectly(schema, depth);
  if (type === 'array')
    return fc.array(schema.items === undefined ? ANYTHING : fromSchema(schema.items, depth + 1), {
      maxLength: depth > 8 ? 1 : 3,
    });
  if (type === 'boolean') return fc.boolean();
  if (type === 'integer' || type === 'number') {
    const { minimum = 0, maximum = 100_000 } = schema;
    return fc.oneof(
      fc.integer({ min: minimum, max: Math.min(maximum, minimum + 20) }),
      fc.constantFrom(minimum, maximum, minimum - 1, maximum + 1),
    );
  }
  return type === 'string' ? textly(schema) : ANYTHING;
}

function textly({ pattern }: Schema): fc.Arbitrary<unknown> {
  if (pattern === undefined) return TEXTS;
  try {
    // What looks ahead cannot be generated; a name that it forbids is rare.
    const matching = fc.stringMatching(new RegExp(pattern.replace(/\(\?[!=][^)]*\)/g, '')), { size: '-1' });
    return fc.oneof(
      { weight: 4, arbitrary: matching },
      { weight: 2, arbitrary: fc.constantFrom('web', 'a') },
      { weight: 1, arbitrary: TEXTS },
    );
  } catch {
    return TEXTS;
  }
}

function objectly(
  { properties = {}, required = [], additionalProperties }: Schema,
  depth: number,
): fc.Arbitrary<unknown> {
  const entries = Object.entries(properties).map(([name, schema]) => {
    const value = fromSchema(schema, depth + 1);
    const isWanted = required.includes(name);
    return fc.option(
      value.map((made) => [name, made] as const),
      { freq: isWanted ? 50 : depth < 3 ? 2 : 1, nil: undefined },
    );
  });
  const rest = typeof additionalProperties === 'object' ? fromSchema(additionalProperties, depth + 1) : ANYTHING;
  const more = fc.dictionary(fc.oneof(TEXTS, fc.constantFrom('A', 'beta')), rest, { maxKeys: 2 });
  const isOpen = typeof additionalProperties === 'object';
  const others = fc.oneof({ weight: isOpen ? 30 : 1, arbitrary: more }, { weight: 20, arbitrary: fc.constant({}) });
  return fc
    .tuple(fc.tuple(...entries), others)
    .map(([made, other]) =>
      Object.fromEntries([...made.filter((entry) => entry !== undefined), ...Object.entries(other)]),
    );
}
