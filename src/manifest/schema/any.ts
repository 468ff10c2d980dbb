/** One schema for files that hold documents of several kinds: which one counts, `kind` says. */
import type { Schema } from './build.ts';
import { SCHEMAS } from './schemas.ts';

/** The schemas of the kinds that a config repository holds, by the file that they are written to. */
export const FILES: Record<string, Schema> = {
  'workload.json': SCHEMAS.Workload,
  'service.json': SCHEMAS.Service,
  'fleet.json': SCHEMAS.Fleet,
  'cluster.json': SCHEMAS.Cluster,
  'target.json': SCHEMAS.Target,
  'operation.json': SCHEMAS.Operation,
  'config-map.json': SCHEMAS.ConfigMap,
};

const choices = Object.entries(FILES).map(([file, schema]) => ({
  file,
  apiVersion: constant(schema.properties?.apiVersion?.enum),
  kind: constant(schema.properties?.kind?.enum),
}));

/** A document of another kind is left alone, as Sluice does. */
export const anyKind = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Manifest',
  description: 'Any document that Sluice reads.',
  type: 'object',
  properties: {
    apiVersion: {
      description: 'The version of the format.',
      type: 'string',
      examples: [...new Set(choices.map(({ apiVersion }) => apiVersion))],
    },
    kind: {
      description: 'What the document declares.',
      type: 'string',
      examples: choices.map(({ kind }) => kind),
    },
  },
  allOf: choices.map(({ file, apiVersion, kind }) => ({
    if: { properties: { apiVersion: { const: apiVersion }, kind: { const: kind } }, required: ['apiVersion', 'kind'] },
    // biome-ignore lint/suspicious/noThenProperty: a word of JSON Schema
    then: { $ref: file },
  })),
};

function constant(values: readonly unknown[] | undefined): unknown {
  return values?.[0];
}
