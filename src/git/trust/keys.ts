/**
 * The file of `--verify-keys`: whose signatures count. Lines as Git's `gpg.ssh.allowedSignersFile` has them (or only the
 * key), and armored OpenPGP public keys, in any order.
 */
import type { PublicKey } from 'openpgp';
import { fingerprintOf, KEY_TYPES, parseSshKey, SshFormatError } from './ssh-wire.ts';

export interface SshSigner {
  /** As the line has them; the key's comment where it has none. */
  name: string;
  fingerprint: string;
  /** Milliseconds since the epoch; both inclusive. */
  validAfter?: number;
  validBefore?: number;
  /** Patterns; absent: any. */
  namespaces?: string[];
}

export interface TrustedKeys {
  ssh: SshSigner[];
  pgp: PublicKey[];
  /** What in the file cannot be used, although it may be right: `line 3: …`. */
  ignored: string[];
}

const PGP = /^-----BEGIN PGP PUBLIC KEY BLOCK-----[\s\S]*?^-----END PGP PUBLIC KEY BLOCK-----[^\n]*$/gm;

/** Throws with everything that is wrong with the file, a line each. */
export async function parseKeys(text: string, file: string): Promise<TrustedKeys> {
  const keys: TrustedKeys = { ssh: [], pgp: [], ignored: [] };
  const wrong: string[] = [];
  const lines = text.replaceAll('\r', '');
  for (const { 0: block, index } of lines.matchAll(PGP)) {
    const line = lines.slice(0, index).split('\n').length;
    await readPgp(block).then(
      (found) => keys.pgp.push(...found),
      (error: Error) => wrong.push(`${file}:${line}: it is no OpenPGP public key (${error.message})`),
    );
  }
  // Blocks are blanked out, so that lines keep their numbers.
  const rest = lines.replace(PGP, (block) => block.replace(/[^\n]/g, ''));
  for (const [index, line] of rest.split('\n').entries()) {
    const where = `${file}:${index + 1}`;
    try {
      const signer = parseLine(line.trim());
      if (typeof signer === 'string') keys.ignored.push(`${where}: ${signer}; its signatures do not count`);
      else if (signer !== undefined) keys.ssh.push(signer);
    } catch (error) {
      wrong.push(`${where}: ${(error as Error).message}`);
    }
  }
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
  if (keys.ssh.length + keys.pgp.length === 0)
    throw new Error(
      `${file}: it holds no key that can be used; expected lines '<principal> ssh-ed25519 <key>' or armored OpenPGP public keys`,
    );
  return keys;
}

async function readPgp(armoredKeys: string): Promise<PublicKey[]> {
  const { readKeys } = await import('openpgp');
  const found = await readKeys({ armoredKeys });
  if (found.some((key) => key.isPrivate())) throw new Error('it is a private key');
  return found as PublicKey[];
}

const OTHER_TYPE = /^(sk-|ssh-|ecdsa-|rsa-)\S+$/;

/** `<principals> [<options>] <type> <key> [<comment>]`. A text: why the line does not count; undefined: it is empty. */
function parseLine(line: string): SshSigner | string | undefined {
  if (line === '' || line.startsWith('#')) return undefined;
  const words = line.match(/(?:"[^"]*"|\S)+/g) ?? [];
  const at = words.findIndex((word) => KEY_TYPES.includes(word));
  const other = words.find((word) => OTHER_TYPE.test(word) && !KEY_TYPES.includes(word));
  if (at < 0 && other !== undefined) return `keys of type ${other} are not supported`;
  const encoded = words[at + 1];
  if (at < 0 || at > 2 || encoded === undefined)
    throw new Error(`expected '<principal> [<options>] <type> <key>', with a type of ${KEY_TYPES.join(', ')}`);
  const options = at === 2 ? parseOptions(words[1] ?? '') : {};
  if (options === undefined) return 'a cert-authority is not supported';
  const blob = Buffer.from(encoded, 'base64');
  const type = parseKey(blob);
  if (type !== words[at]) throw new Error(`the key is of type ${type}, not ${words[at]}`);
  const name = at === 0 ? words.slice(2).join(' ') : unquoted(words[0] ?? '');
  return { name, fingerprint: fingerprintOf(blob), ...options };
}

function parseKey(blob: Buffer): string {
  try {
    return parseSshKey(blob).type;
  } catch (error) {
    if (error instanceof SshFormatError) throw new Error(`the key cannot be read: ${error.message}`);
    throw error;
  }
}

/** Undefined: an authority whose certificates count, which Sluice cannot check. */
function parseOptions(text: string): Partial<SshSigner> | undefined {
  const options: Partial<SshSigner> = {};
  for (const option of text.match(/(?:"[^"]*"|[^,])+/g) ?? []) {
    const [name = '', value = ''] = option.split(/=(.*)/s).map(unquoted);
    switch (name.toLowerCase()) {
      case 'cert-authority':
        return undefined;
      case 'namespaces':
        options.namespaces = value.split(',');
        break;
      case 'valid-after':
        options.validAfter = instant(value);
        break;
      case 'valid-before':
        options.validBefore = instant(value);
        break;
      default:
        throw new Error(`the option ${name} is not known; expected namespaces, valid-after or valid-before`);
    }
  }
  return options;
}

const unquoted = (text: string): string => text.replace(/^"(.*)"$/s, '$1');

const INSTANT = /^(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2})?)?(Z)?$/;

/** `20261231`, `202612312359`, `20261231235959`; in this machine's time zone unless a `Z` follows. */
function instant(text: string): number {
  const [, year, month, day, hour = '00', minute = '00', second = '00', zone = ''] = INSTANT.exec(text) ?? [];
  const value = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone}`);
  if (Number.isNaN(value)) throw new Error(`${JSON.stringify(text)} is no time; expected YYYYMMDD[HHMM[SS]][Z]`);
  return value;
}
