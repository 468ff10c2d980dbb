/** Git's smart HTTP protocol: version 2 to read, each question one round trip; the receive-pack request to write. */
import type { Oid } from '../manifest/resource.ts';
import { GitError } from './errors.ts';
import type { HttpRemote } from './http.ts';
import {
  broken,
  brokenOff,
  DELIMITER,
  FLUSH,
  lines,
  type Packet,
  packets,
  pktLine,
  remoteError,
  sideBand,
} from './pkt-line.ts';
import type { RefUpdate } from './types.ts';

const ZERO = '0'.repeat(40);
const V2 = { 'git-protocol': 'version=2' };

export interface Advertisement {
  version: 1 | 2;
  /** Only of version 1, which lists them all. */
  refs: Map<string, Oid>;
  /** Only of version 1: the ref that `HEAD` names. */
  head?: string;
}

/** Asks what the remote speaks; throws `unsupported` for what is not SHA-1. */
export async function discover(remote: HttpRemote, signal: AbortSignal): Promise<Advertisement> {
  const { headers, body } = await remote.ask('GET', 'info/refs?service=git-upload-pack', { headers: V2, signal });
  if (headers['content-type'] !== 'application/x-git-upload-pack-advertisement')
    throw new GitError('bad-answer', `${remote.display}: did not answer as a Git repository; check --repo`);
  const found = lines(packets(body, remote.display)).filter((line) => !line.startsWith('# service='));
  const format = /object-format=(\S+)/.exec(found.join('\n'))?.[1] ?? 'sha1';
  if (format !== 'sha1')
    throw new GitError(
      'unsupported',
      `${remote.display}: its object format is ${format}, which Sluice cannot read; convert it to sha1`,
    );
  if (found[0] === 'version 2') return { version: 2, refs: new Map() };
  if (found.length === 0) throw brokenOff(remote.display);
  const head = /symref=HEAD:(\S+)/.exec(found.join('\n'))?.[1];
  const refs = readRefs(
    found.map((line) => line.replace(/\0.*$/s, '')),
    remote.display,
  );
  return { version: 1, refs, ...(head === undefined ? {} : { head }) };
}

/** The refs below the prefixes, in one round trip. */
export async function lsRefs(remote: HttpRemote, prefixes: string[], signal: AbortSignal): Promise<Map<string, Oid>> {
  const body = command(
    'ls-refs',
    prefixes.map((prefix) => `ref-prefix ${prefix}\n`),
  );
  const answer = await post(remote, 'git-upload-pack', body, signal);
  const section = [...packets(answer, remote.display)];
  if (section.at(-1) !== 'flush') throw brokenOff(remote.display);
  return readRefs(errorsThrown(lines(section), remote.display), remote.display);
}

/** The ref that the remote's `HEAD` names; undefined when it has none, as an empty repository may. */
export async function lsHead(remote: HttpRemote, signal: AbortSignal): Promise<string | undefined> {
  const body = command('ls-refs', ['symrefs\n', 'ref-prefix HEAD\n']);
  const answer = await post(remote, 'git-upload-pack', body, signal);
  const found = errorsThrown(lines(packets(answer, remote.display)), remote.display);
  return found.map((line) => /^[0-9a-f]{40} HEAD symref-target:(\S+)/.exec(line)?.[1]).find((ref) => ref !== undefined);
}

/** The pack that brings `want` to who has `haves`: whole by itself, never thin. */
export async function fetchPack(
  remote: HttpRemote,
  want: Oid,
  haves: readonly Oid[],
  signal: AbortSignal,
): Promise<Buffer> {
  const body = command('fetch', [
    'ofs-delta\n',
    'no-progress\n',
    `want ${want}\n`,
    ...haves.map((oid) => `have ${oid}\n`),
    'done\n',
  ]);
  const answer = packets(await post(remote, 'git-upload-pack', body, signal, { packs: true }), remote.display);
  for (const packet of answer) {
    if (!Buffer.isBuffer(packet)) continue;
    const line = packet.toString('utf8').trim();
    if (line.startsWith('ERR ')) throw remoteError(remote.display, line.slice(4));
    if (line === 'packfile') return sideBand(untilFlush(answer, remote.display), remote.display);
  }
  throw brokenOff(remote.display);
}

/** Moves all refs or none; what the remote says of each ref that it refused, or an empty map. */
export async function receivePack(
  remote: HttpRemote,
  updates: readonly RefUpdate[],
  pack: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const commands = updates.map(({ ref, old, new: oid }, index) =>
    pktLine(
      `${old ?? ZERO} ${oid ?? ZERO} ${ref}${index === 0 ? `\0report-status side-band-64k atomic delete-refs ofs-delta` : ''}\n`,
    ),
  );
  const body = Buffer.concat([...commands, FLUSH, ...pack]);
  const answer = await post(remote, 'git-receive-pack', body, signal, { headers: {}, packs: true });
  return readReport(
    sideBand(untilFlush(packets(answer, remote.display), remote.display), remote.display),
    updates,
    remote.display,
  );
}

function readReport(report: Buffer, updates: readonly RefUpdate[], where: string): Map<string, string> {
  const found = lines(untilFlush(packets(report, where), where));
  const unpack = /^unpack (.*)$/.exec(found[0] ?? '')?.[1];
  if (unpack === undefined) throw brokenOff(where);
  const refused = new Map<string, string>();
  const accepted = new Set<string>();
  for (const line of found.slice(1)) {
    const [, verdict, ref = '', reason = 'refused'] = /^(ok|ng) (\S+)(?: (.*))?$/.exec(line) ?? [];
    if (verdict === 'ok') accepted.add(ref);
    else if (verdict === 'ng') refused.set(ref, reason);
  }
  if (unpack !== 'ok') for (const { ref } of updates) refused.set(ref, `the remote could not unpack: ${unpack}`);
  for (const { ref } of updates)
    if (!accepted.has(ref) && !refused.has(ref)) refused.set(ref, 'the remote said nothing of it');
  return refused;
}

async function post(
  remote: HttpRemote,
  service: 'git-upload-pack' | 'git-receive-pack',
  body: Buffer,
  signal: AbortSignal,
  { headers = V2, packs = false }: { headers?: Record<string, string>; packs?: boolean } = {},
): Promise<Buffer> {
  const answer = await remote.ask('POST', service, {
    headers: {
      ...headers,
      'content-type': `application/x-${service}-request`,
      accept: `application/x-${service}-result`,
    },
    body,
    signal,
    packs,
  });
  return answer.body;
}

function command(name: string, args: string[]): Buffer {
  return Buffer.concat([pktLine(`command=${name}\n`), DELIMITER, ...args.map(pktLine), FLUSH]);
}

function* untilFlush(section: Iterable<Packet>, where: string): Generator<Packet> {
  for (const packet of section) {
    if (packet === 'flush') return;
    yield packet;
  }
  throw brokenOff(where);
}

function errorsThrown(found: string[], where: string): string[] {
  for (const line of found) if (line.startsWith('ERR ')) throw remoteError(where, line.slice(4));
  return found;
}

/** A line that is none of a ref is damage: that ref would seem to be gone. */
function readRefs(found: string[], where: string): Map<string, Oid> {
  const refs = new Map<string, Oid>();
  for (const line of found) {
    const [, oid, ref] = REF_LINE.exec(line) ?? [];
    if (oid === undefined || ref === undefined) throw broken(where, line.slice(0, 60));
    if (ref.startsWith('refs/') && !ref.endsWith('^{}')) refs.set(ref, oid);
  }
  return refs;
}

/** Of an empty repository there is one, of nothing, that only carries what the remote can do. */
const REF_LINE = /^([0-9a-f]{40}) (HEAD|refs\/\S+|capabilities\^\{\})/;
