/** What is read and checked, but refused as long as nothing carries it out. */

export type NotYet = 'Fleet' | 'Cluster' | 'ssh';

/** Take one out, raise `PARSE_VERSION`, and manifests of it are declared: see `Resolved.instances`. */
export const NOT_YET: ReadonlySet<NotYet> = new Set<NotYet>(['Fleet', 'Cluster', 'ssh']);
