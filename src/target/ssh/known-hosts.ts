/** The file in which OpenSSH keeps the keys of hosts. PURE. */
import { createHash, createHmac } from 'node:crypto';
import { compileGlob } from '../../plan/glob.ts';

interface Entry {
  marker: string | undefined;
  matches(name: string): boolean;
  type: string;
  key: Buffer;
  line: number;
}
export type KnownHosts = Entry[];

/** Lines that are none of its form are passed over, as OpenSSH does. */
export function parseKnownHosts(text: string): KnownHosts {
  return text.split('\n').flatMap((written, index) => {
    const fields = written.trim().split(/\s+/);
    const marker = fields[0]?.startsWith('@') ? fields.shift() : undefined;
    const [names, type, key] = fields;
    if (names === undefined || names.startsWith('#') || type === undefined || key === undefined) return [];
    return [{ marker, matches: matcher(names), type, key: Buffer.from(key, 'base64'), line: index + 1 }];
  });
}

/** What the file calls a host: port 22 is not named. */
const knownName = (address: string, port: number): string =>
  port === 22 ? address.toLowerCase() : `[${address.toLowerCase()}]:${port}`;

function matcher(names: string): (name: string) => boolean {
  if (names.startsWith('|1|')) {
    const [, , salt = '', hash = ''] = names.split('|');
    return (name) => createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash;
  }
  const patterns = names.toLowerCase().split(',');
  const wanted = patterns.filter((pattern) => !pattern.startsWith('!')).map(glob);
  const excluded = patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => glob(pattern.slice(1)));
  return (name) => wanted.some((test) => test(name)) && !excluded.some((test) => test(name));
}

/** Only `*` and `?` mean something here: a bracket is that of an address with a port. */
const glob = (pattern: string) => compileGlob(pattern.replaceAll('[', '[[]'));

const ALGORITHMS: Record<string, readonly string[]> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
};
const NO_KEYS = 'has no key for it';

interface Verdict {
  ok: boolean;
  /** Why not, naming what the host showed. */
  message: string;
}

/** What may be negotiated with one host, and whether the key that it shows is the one of the file. */
export interface Expected {
  /** In the order to prefer them; those of which the file has a key, or all where it has none. */
  algorithms: string[];
  /** Of the file; empty: it has none. */
  types: string[];
  verify(key: Buffer): Verdict;
}

export function expectedKeys(hosts: KnownHosts, file: string, address: string, port: number): Expected {
  const name = knownName(address, port);
  const entries = hosts.filter((entry) => entry.matches(name));
  const trusted = entries.filter(({ marker }) => marker === undefined);
  const types = [...new Set(trusted.map(({ type }) => type))].filter((type) => Object.hasOwn(ALGORITHMS, type));
  const known = types.length > 0 ? types : Object.keys(ALGORITHMS);
  return {
    algorithms: Object.keys(ALGORITHMS).flatMap((type) => (known.includes(type) ? (ALGORITHMS[type] ?? []) : [])),
    types,
    verify(key) {
      const shown = `${keyType(key)} key ${fingerprint(key)}`;
      const revoked = entries.find((entry) => entry.marker === '@revoked' && entry.key.equals(key));
      if (revoked !== undefined)
        return { ok: false, message: `${name} shows the ${shown}, which line ${revoked.line} of ${file} revokes` };
      if (trusted.some((entry) => entry.key.equals(key))) return { ok: true, message: '' };
      const [other] = trusted;
      if (other === undefined) return { ok: false, message: unknown(file, name, address, port, shown, entries) };
      const message =
        `${name} shows the ${shown}, but line ${other.line} of ${file} has ${other.type} key ${fingerprint(other.key)}: ` +
        `somebody may be in between, or the host was installed anew; compare it on the host (ssh-keygen -lf ` +
        `/etc/ssh/ssh_host_*_key.pub), and if it is right, replace the line (ssh-keygen -f ${file} -R '${name}', then add it)`;
      return { ok: false, message };
    },
  };
}

function unknown(file: string, name: string, address: string, port: number, shown: string, entries: Entry[]): string {
  const authority = entries.some(({ marker }) => marker === '@cert-authority');
  const why = authority ? 'has only a certificate authority for it, which is not supported' : NO_KEYS;
  return (
    `${name} shows the ${shown}, and ${file} ${why}; compare it on the host (ssh-keygen -lf ` +
    `/etc/ssh/ssh_host_*_key.pub), then add it (ssh-keyscan -p ${port} ${address} >> ${file})`
  );
}

/** As `ssh-keygen -l` prints it. */
const fingerprint = (key: Buffer): string =>
  `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;

function keyType(key: Buffer): string {
  const length = key.length >= 4 ? key.readUInt32BE(0) : 0;
  return key.subarray(4, 4 + Math.min(length, 64)).toString('latin1');
}
