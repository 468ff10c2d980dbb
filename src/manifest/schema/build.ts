/** Short ways to write JSON Schema (draft-07), in which every field has a description. */

export interface Schema {
  $schema?: string;
  $id?: string;
  title?: string;
  description?: string;
  type?: string | string[];
  default?: unknown;
  examples?: unknown[];
  const?: unknown;
  enum?: readonly unknown[];
  pattern?: string;
  /** What a value should look like; editors show it where the pattern does not match, and so do Sluice's errors. */
  patternErrorMessage?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, Schema>;
  required?: readonly string[];
  additionalProperties?: boolean | Schema;
  propertyNames?: Schema;
  minProperties?: number;
  maxProperties?: number;
  oneOf?: { required: string[] }[];
}

type Rest = Omit<Schema, 'type' | 'description'>;

export const text = (description: string, rest: Rest = {}): Schema => ({
  description,
  type: 'string',
  maxLength: 1024,
  ...rest,
});
export const flag = (description: string, fallback: boolean): Schema => ({
  description,
  type: 'boolean',
  default: fallback,
});
export const whole = (description: string, minimum: number, maximum: number, rest: Rest = {}): Schema => ({
  description,
  type: 'integer',
  minimum,
  maximum,
  ...rest,
});
export const choice = (description: string, values: readonly string[], rest: Rest = {}): Schema => ({
  description,
  type: 'string',
  enum: values,
  ...rest,
});
export const list = (description: string, items: Schema, rest: Rest = {}): Schema => ({
  description,
  type: 'array',
  items,
  maxItems: 100,
  ...rest,
});
/** A map from names that people choose. */
export const map = (description: string, values: Schema, rest: Rest = {}): Schema => ({
  description,
  type: 'object',
  additionalProperties: values,
  maxProperties: 1000,
  ...rest,
});
/** Known fields; an unknown one is an error. */
export const fields = (description: string, properties: Record<string, Schema>, rest: Rest = {}): Schema => ({
  description,
  type: 'object',
  properties,
  additionalProperties: false,
  ...rest,
});
/** Known fields of which exactly one is set. */
export const oneOf = (description: string, properties: Record<string, Schema>, rest: Rest = {}): Schema =>
  fields(description, properties, { oneOf: Object.keys(properties).map((name) => ({ required: [name] })), ...rest });

/** Extends a map of fields by a group of which exactly one is set. */
export const oneOfNames = (names: string[]): Rest => ({ oneOf: names.map((name) => ({ required: [name] })) });
