/** The published schemas: current, complete for an editor, and of one mind with every example. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv, type ValidateFunction } from 'ajv';
import t from 'tap';
import { parseAllDocuments, parseDocument } from 'yaml';
import { parseFile } from '../../src/manifest/parse.ts';
import type { Schema } from '../../src/manifest/schema/build.ts';
import { generatedFiles } from '../../src/manifest/schema/reference.ts';
import { SCHEMAS } from '../../src/manifest/schema/schemas.ts';

const TOP = fileURLToPath(new URL('../../..', import.meta.url));
const read = (path: string) => readFileSync(join(TOP, path), 'utf8');
const published = readdirSync(join(TOP, 'schemas')).filter((name) => name.endsWith('.json'));

t.test('what is published is what the code generates', async (t) => {
  const generated = generatedFiles();
  for (const [path, content] of Object.entries(generated))
    t.equal(
      read(path),
      content,
      `${path} is current; if not: npx tsc --outDir build && node build/schemas/generate.js`,
    );
  t.strictSame(
    published.map((name) => `schemas/${name}`).sort(),
    Object.keys(generated)
      .filter((path) => path.startsWith('schemas/'))
      .sort(),
    'nothing else lies there',
  );
});

/** Every schema within, with its path. */
function* within(schema: Schema, path = ''): Generator<[path: string, schema: Schema]> {
  yield [path, schema];
  for (const [name, field] of Object.entries(schema.properties ?? {})) yield* within(field, `${path}.${name}`);
  if (schema.items !== undefined) yield* within(schema.items, `${path}[]`);
  if (typeof schema.additionalProperties === 'object') yield* within(schema.additionalProperties, `${path}.*`);
}

for (const [name, schema] of Object.entries(SCHEMAS))
  t.test(`${name}: an editor has something to say at every place`, async (t) => {
    for (const [path, field] of within(schema)) {
      t.match(field.description, /\S.*[.:]`?$/s, `${path} is described`);
      const types = [field.type ?? []].flat();
      if (types.includes('array')) t.type(field.maxItems, 'number', `${path} is bounded`);
      if (types.includes('string') && field.enum === undefined) t.type(field.maxLength, 'number', `${path} is bounded`);
      if (types.includes('integer')) t.type(field.maximum, 'number', `${path} is bounded`);
      if (types.includes('object') && typeof field.additionalProperties === 'object')
        t.type(field.maxProperties, 'number', `${path} is bounded`);
      if (field.pattern !== undefined) t.type(field.patternErrorMessage, 'string', `${path} says what is right`);
    }
  });

const ajv = new Ajv({ strict: false });
for (const name of published) ajv.addSchema(JSON.parse(read(`schemas/${name}`)), name);
const validator = (name: string): ValidateFunction => {
  const found = ajv.getSchema(name);
  if (found === undefined) throw new Error(`no schema ${name}`);
  return found;
};
const accepts = (name: string, value: unknown): string =>
  validator(name)(value) ? '' : ajv.errorsText(validator(name).errors);

t.test('the published schemas accept the examples in them, and Sluice finds nothing wrong either', async (t) => {
  for (const name of published) {
    const { examples } = JSON.parse(read(`schemas/${name}`));
    if (name === 'manifest.json') continue;
    t.ok(examples.length > 0, `${name} has an example`);
    for (const example of examples) {
      t.equal(accepts(name, example), '', name);
      if (name === 'image.json') continue;
      t.equal(accepts('manifest.json', example), '', `${name} by its kind`);
      t.strictSame(parseFile(JSON.stringify(example)).diagnostics, [], name);
    }
  }
});

t.test('the published schemas accept every file of the example repository', async (t) => {
  const paths = readdirSync(join(TOP, 'examples-repo'), { recursive: true, encoding: 'utf8' });
  const manifests = paths.filter(
    (path) => /\.ya?ml$/.test(path) && !path.startsWith('images/') && !/(^|\/)\./.test(path),
  );
  const images = paths.filter((path) => path.endsWith('/image.yaml'));
  t.ok(manifests.length > 0 && images.length > 0);
  for (const path of manifests)
    for (const document of parseAllDocuments(read(`examples-repo/${path}`))) {
      if ('empty' in document) continue;
      t.equal(accepts('manifest.json', document.toJS()), '', path);
    }
  for (const path of images)
    t.equal(accepts('image.json', parseDocument(read(`examples-repo/${path}`)).toJS()), '', path);
});

t.test(
  'one schema for all kinds refuses what that of the kind refuses, and leaves other documents alone',
  async (t) => {
    const document = { apiVersion: 'sluice/v1', kind: 'Workload', metadata: { name: 'web' }, spec: {} };
    t.match(accepts('manifest.json', document), /template/);
    t.equal(accepts('manifest.json', { ...document, apiVersion: 'apps/v1' }), '');
  },
);

t.test('no pattern takes long to refuse a long text', { timeout: 60_000 }, async (t) => {
  const patterns = new Set<string>();
  for (const schema of Object.values(SCHEMAS))
    for (const [, { pattern, propertyNames }] of within(schema))
      for (const found of [pattern, propertyNames?.pattern]) if (found !== undefined) patterns.add(found);
  t.ok(patterns.size > 15);
  // In each of the forms that the patterns repeat: one that is not linear takes hours over so many characters.
  const starts = ['', '/', 'http://', "metadata.labels['", 'Workload/'];
  const parts = ['a', '0', ' ', '\t', '-', '.', '/', '=', 'a.', 'a/', 'a-', ':1/', 'a:'];
  let refused = 0;
  for (const pattern of patterns) {
    const expression = new RegExp(pattern);
    for (const start of starts)
      for (const part of parts) if (!expression.test(`${start}${part.repeat(2 ** 18 / part.length)}\u0001!`)) refused++;
  }
  t.ok(refused > patterns.size * parts.length, 'most patterns refuse most of them');
});
