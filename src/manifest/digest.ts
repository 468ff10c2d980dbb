import { hash } from 'node:crypto';
import canonicalize from 'canonicalize';

// The package is CommonJS, but its types say `export default`.
const canonical = canonicalize as unknown as (value: unknown) => string | undefined;

/** SHA-256 over canonical JSON (RFC 8785), in hex: the same whatever the order of keys. */
export const digest = (value: unknown): string => hash('sha256', canonical(value) ?? '');
