/** Git's wire framing: four hex digits of length, then the line; 0000 ends a request, 0001 parts its sections. */
import { GitError } from './errors.ts';

export const FLUSH = Buffer.from('0000');
export const DELIMITER = Buffer.from('0001');

export function pktLine(text: string): Buffer {
  const body = Buffer.from(text);
  return Buffer.concat([Buffer.from((body.length + 4).toString(16).padStart(4, '0')), body]);
}

export type Packet = Buffer | 'flush' | 'delimiter' | 'end';

/** Throws `bad-answer` where the bytes break off in the middle of a packet or are no packets at all. */
export function* packets(bytes: Buffer, where: string): Generator<Packet> {
  let at = 0;
  while (at < bytes.length) {
    const digits = bytes.toString('latin1', at, at + 4);
    if (!/^[0-9a-f]{4}$/i.test(digits)) throw broken(where, bytes.subarray(at, at + 60).toString('utf8'));
    const length = Number.parseInt(digits, 16);
    if (length < 4) {
      at += 4;
      yield length === 0 ? 'flush' : length === 1 ? 'delimiter' : 'end';
      continue;
    }
    if (at + length > bytes.length) throw brokenOff(where);
    yield bytes.subarray(at + 4, at + length);
    at += length;
  }
}

/** The lines up to the end of the section, without their newlines. */
export function lines(section: Iterable<Packet>): string[] {
  const found: string[] = [];
  for (const packet of section) if (Buffer.isBuffer(packet)) found.push(packet.toString('utf8').replace(/\n$/, ''));
  return found;
}

/** Joins band 1 of a side-band stream; what the remote says on band 3 is an error. */
export function sideBand(packets: Iterable<Packet>, where: string): Buffer {
  const data: Buffer[] = [];
  for (const packet of packets) {
    if (!Buffer.isBuffer(packet)) continue;
    if (packet[0] === 1) data.push(packet.subarray(1));
    else if (packet[0] === 3) throw remoteError(where, packet.subarray(1).toString('utf8'));
  }
  return Buffer.concat(data);
}

export function remoteError(where: string, said: string): GitError {
  return new GitError('bad-answer', `${where}: the remote says: ${said.trim().slice(0, 300)}`);
}

export function brokenOff(where: string): GitError {
  return new GitError('bad-answer', `${where}: broke off in the middle of an answer; asking again`);
}

export function broken(where: string, seen: string): GitError {
  return new GitError(
    'bad-answer',
    `${where}: did not answer as a Git repository (${JSON.stringify(seen)}); check --repo`,
  );
}
