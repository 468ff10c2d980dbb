/** A value against its schema: defaults filled in, and each error as a sentence for people. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { formatPath, type PathSegment, quote } from './diagnostic.ts';
import { nearest } from './nearest.ts';
import type { FileDiagnostic } from './parsed.ts';
import type { Schema } from './schema/build.ts';
import { SCHEMAS, type SchemaName } from './schema/schemas.ts';
import type { YamlDocument } from './yaml.ts';

export type Locate = YamlDocument['locate'];

const MAX_ERRORS = 100;

let ajv: Ajv | undefined;
const validators = new Map<SchemaName, ValidateFunction>();

/** Compiled when first needed: most runs need few of them, a start from kept parses none. */
function validator(name: SchemaName): ValidateFunction {
  ajv ??= new Ajv({
    allErrors: true,
    allowUnionTypes: true,
    strict: true,
    strictRequired: false,
    useDefaults: true,
    verbose: true,
    // Twice as quick to compile, and no slower to run.
    code: { optimize: false },
  }).addVocabulary(['patternErrorMessage']);
  let validate = validators.get(name);
  if (validate === undefined) {
    validate = ajv.compile(SCHEMAS[name]);
    validators.set(name, validate);
  }
  return validate;
}

/**
 * Fills defaults into `value` and reports what the schema does not allow. What is of a wrong type is then taken out of `value`, so that
 * checks of meaning can still be made on what is left: there every field may be absent, but none is of a wrong type.
 */
export function validate(name: SchemaName, value: unknown, locate: Locate): FileDiagnostic[] {
  const check = validator(name);
  if (check(value)) return [];
  const found = (check.errors ?? []).filter(isOwn);
  const wrong = found.slice(0, MAX_ERRORS).map((error) => problem(error, value));
  const diagnostics = wrong.map(
    ({ path, part, code, message }): FileDiagnostic => ({
      at: locate(part === 'above' ? path.slice(0, -1) : path, part === 'value' ? 'value' : 'key'),
      path: formatPath(path),
      severity: 'error',
      code,
      message,
    }),
  );
  for (const { keyword, instancePath } of found)
    if (keyword === 'type' || keyword === 'enum') remove(value, segments(instancePath, value));
  if (found.length > MAX_ERRORS)
    diagnostics.push({
      at: locate([], 'value'),
      path: '',
      severity: 'error',
      code: 'too-many-errors',
      message: `${found.length - MAX_ERRORS} more errors in this document are not shown; mend these first`,
    });
  return diagnostics;
}

/** A branch of `oneOf` and the frame of `propertyNames` only repeat what another error says. */
const isOwn = (error: ErrorObject) => !error.schemaPath.includes('/oneOf/') && error.keyword !== 'propertyNames';

interface Problem {
  path: PathSegment[];
  /** What the place is of: the value, its key, or (for what is not there) the key above. */
  part: 'value' | 'key' | 'above';
  code: string;
  message: string;
}

function problem(error: ErrorObject, document: unknown): Problem {
  const path = segments(error.instancePath, document);
  const schema = error.parentSchema as Schema;
  if (error.propertyName !== undefined)
    return {
      path: [...path, error.propertyName],
      part: 'key',
      code: 'bad-value',
      message: `not allowed as a name here; expected ${schema.patternErrorMessage ?? limits(schema)}`,
    };
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownField(path, String(error.params.additionalProperty), schema);
    case 'required':
      return missingField(path, String(error.params.missingProperty), schema);
    case 'oneOf':
      return { path, part: 'key', code: 'exactly-one', message: exactlyOne(schema, error.data) };
    case 'type':
      return { path, part: 'value', code: 'wrong-type', message: wrongType(schema, error.data) };
    case 'enum':
      return { path, part: 'value', code: 'bad-value', message: notAmong(schema.enum ?? [], error.data) };
    case 'pattern':
      return {
        path,
        part: 'value',
        code: 'bad-value',
        message: wrongForm(schema, error.data),
      };
    default:
      return { path, part: 'value', code: 'bad-value', message: outOfBounds(error.keyword, schema, error.data) };
  }
}

function unknownField(path: PathSegment[], field: string, schema: Schema): Problem {
  const known = Object.keys(schema.properties ?? {});
  const guess = nearest(field, known);
  const hint = guess === undefined ? `known here: ${known.join(', ')}` : `did you mean ${quote(guess)}?`;
  return {
    path: [...path, field],
    part: 'key',
    code: 'unknown-field',
    message: `unknown field ${quote(field)}; ${hint}`,
  };
}

function missingField(path: PathSegment[], field: string, schema: Schema): Problem {
  const description = schema.properties?.[field]?.description ?? '';
  const message = `missing; add ${quote(field)}${description === '' ? '' : `: ${firstSentence(description)}`}`;
  return { path: [...path, field], part: 'above', code: 'missing-field', message };
}

/** Without its full stop, to stand after a colon. */
function firstSentence(text: string): string {
  const sentence = /^.*?(?<!e\.g)[.:](?=\s|$)/.exec(text)?.[0].slice(0, -1) ?? text;
  return /^[A-Z][a-z ]/.test(sentence) ? sentence.charAt(0).toLowerCase() + sentence.slice(1) : sentence;
}

function wrongForm(schema: Schema, data: unknown): string {
  if (data === 'constructor') return 'the name "constructor" is not allowed; choose another';
  return `expected ${schema.patternErrorMessage ?? 'another form'}, found ${quote(data)}`;
}

function exactlyOne(schema: Schema, data: unknown): string {
  const names = (schema.oneOf ?? []).flatMap(({ required }) => required);
  const set = names.filter((name) => typeof data === 'object' && data !== null && Object.hasOwn(data, name));
  return `expected exactly one of ${names.join(', ')}, found ${set.length === 0 ? 'none' : set.join(' and ')}`;
}

const TYPE_NAMES: Record<string, string> = {
  object: 'a map of fields',
  array: 'a list',
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

function wrongType(schema: Schema, data: unknown): string {
  const types = [schema.type ?? []].flat();
  const expected = `expected ${types.map((type) => TYPE_NAMES[type] ?? type).join(' or ')}`;
  if (data === null) return `${expected}, found nothing; give a value or remove the line`;
  const isPlain = typeof data !== 'object';
  // The value itself stays out where text is expected: it may be what nobody should read in a log.
  if (isPlain && types.includes('string')) return `${expected}, found ${typeName(data)}; put it in quotes`;
  return `${expected}, found ${isPlain ? quote(data) : typeName(data)}`;
}

function typeName(data: unknown): string {
  if (Array.isArray(data)) return 'a list';
  if (typeof data === 'object') return 'a map of fields';
  if (typeof data === 'boolean') return 'true or false';
  return typeof data === 'number' ? 'a number' : 'text';
}

function notAmong(values: readonly unknown[], data: unknown): string {
  const guess = typeof data === 'string' ? nearest(data, values.map(String)) : undefined;
  const expected = values.length === 1 ? String(values[0]) : `one of ${values.join(', ')}`;
  return `expected ${expected}, found ${quote(data)}${guess === undefined ? '' : `; did you mean ${quote(guess)}?`}`;
}

/** What each bound is about, and whether it is the lower one. */
const BOUNDS: Record<string, [field: keyof Schema, unit: string, word: string]> = {
  minimum: ['minimum', '', 'at least'],
  maximum: ['maximum', '', 'at most'],
  minLength: ['minLength', ' characters', 'at least'],
  maxLength: ['maxLength', ' characters', 'at most'],
  minItems: ['minItems', ' entries', 'at least'],
  maxItems: ['maxItems', ' entries', 'at most'],
  minProperties: ['minProperties', ' entries', 'at least'],
  maxProperties: ['maxProperties', ' entries', 'at most'],
};

function outOfBounds(keyword: string, schema: Schema, data: unknown): string {
  const bound = BOUNDS[keyword];
  if (bound === undefined) return `not allowed here: ${quote(data)}`;
  const [field, unit, word] = bound;
  const limit = Number(schema[field]);
  return `expected ${word} ${limit}${limit === 1 ? unit.replace(/ies$/, 'y').replace(/s$/, '') : unit}, found ${size(data)}`;
}

function size(data: unknown): string {
  if (typeof data === 'number') return String(data);
  if (typeof data === 'string') return data === '' ? 'empty text' : String([...data].length);
  return String(Array.isArray(data) ? data.length : Object.keys(data as object).length);
}

const limits = (schema: Schema) => `${schema.minLength ?? 0} to ${schema.maxLength ?? 'any number of'} characters`;

/** `/spec/containers/0` as `['spec', 'containers', 0]`. */
function segments(pointer: string, document: unknown): PathSegment[] {
  let at = document;
  return pointer
    .split('/')
    .slice(1)
    .map((part) => {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
      const segment = Array.isArray(at) ? Number(key) : key;
      at = (at as Record<PathSegment, unknown> | undefined)?.[segment];
      return segment;
    });
}

function remove(document: unknown, path: PathSegment[]): void {
  let parent = document;
  for (const segment of path.slice(0, -1)) {
    if (typeof parent !== 'object' || parent === null) return;
    parent = (parent as Record<PathSegment, unknown>)[segment];
  }
  const last = path.at(-1);
  if (last === undefined || typeof parent !== 'object' || parent === null) return;
  // A list keeps its places, so that what follows still has the right path.
  if (Array.isArray(parent)) parent[Number(last)] = undefined;
  else delete (parent as Record<PathSegment, unknown>)[last];
}
