/** A status file back from its text. Nothing is trusted: the branch may have been edited by anybody. */
import { createRequire } from 'node:module';
import type { ResourceId } from '../manifest/resource.ts';
import { readBlock, type Value } from './block.ts';
import type { StatusDocument } from './document.ts';
import { statusPath } from './names.ts';
import { wrongIn } from './schema.ts';
import { StatusFileError } from './text.ts';

/** A resource with 10,000 failing replicas stays below this. */
const MAX_BYTES = 16 * 1024 * 1024;
/** What Sluice did not write is read by `yaml`, which takes 4 s for a map of 20,000 keys. */
const MAX_EDITED_BYTES = 64 * 1024;

/** Of documents that are read together: texts that are equal are one, since most of ten thousand say the same. */
export type Texts = Map<string, string>;

/** Throws `StatusFileError` for whatever is not the status of `id`. */
export function fromText(id: ResourceId, content: Buffer, texts: Texts = new Map()): StatusDocument {
  const file = statusPath(id);
  if (content.length > MAX_BYTES) {
    throw new StatusFileError(file, '', `is too large: ${content.length} bytes, at most ${MAX_BYTES}`);
  }
  const value = shared(parsed(file, content), texts);
  const wrong = wrongIn(value);
  if (wrong !== undefined) throw new StatusFileError(file, wrong.path, wrong.problem);
  const document = value as StatusDocument;
  if (document.resource !== id) {
    throw new StatusFileError(file, 'resource', `holds the status of ${document.resource}, expected ${id}`);
  }
  return document;
}

function parsed(file: string, content: Buffer): unknown {
  const text = content.toString('utf8');
  const own = readBlock(text);
  if (own !== undefined) return apartFrom(own);
  if (content.length > MAX_EDITED_BYTES) {
    throw new StatusFileError(
      file,
      '',
      `was edited and is too large: ${content.length} bytes, at most ${MAX_EDITED_BYTES}`,
    );
  }
  const value = editedValue(file, text);
  const path = protoPath(value, '');
  if (path !== undefined) throw new StatusFileError(file, path, 'the key `__proto__` is refused');
  return value;
}

/** A copy that does not hold the whole text in memory: V8's slices of a string do. Halves what 10,000 states take. */
const apartFrom = (value: Value): Value => JSON.parse(JSON.stringify(value));

/** In place. */
function shared<T>(value: T, texts: Texts): T {
  if (typeof value === 'string') {
    const known = texts.get(value) ?? value;
    texts.set(known, known);
    return known as T;
  }
  if (typeof value !== 'object' || value === null) return value;
  for (const [key, inner] of Object.entries(value)) (value as Record<string, unknown>)[key] = shared(inner, texts);
  return value;
}

function editedValue(file: string, text: string): unknown {
  // What Sluice wrote needs no parser but its own.
  const { parse, YAMLError } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  try {
    return parse(text, { maxAliasCount: 0, stringKeys: true, logLevel: 'error' });
  } catch (error) {
    const reason = error instanceof YAMLError ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new StatusFileError(file, '', `is not readable YAML (${reason.replace(/:$/, '')})`);
  }
}

/** Where a key `__proto__` stands; undefined: nowhere. `yaml` makes it a property of its own, so nothing was changed by it. */
function protoPath(value: unknown, path: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Object.hasOwn(value, '__proto__')) return path;
  for (const [key, inner] of Object.entries(value)) {
    const found = protoPath(inner, path === '' ? key : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
