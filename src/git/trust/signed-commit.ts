/** A commit's bytes, parted into what was signed and the signature. */
import type { Oid } from '../../manifest/resource.ts';

export interface SignedCommit {
  /** The raw commit without its `gpgsig` header: what the signature is over. */
  payload: Buffer;
  /** Armored; absent: it is not signed. */
  signature?: string;
  parents: Oid[];
  /** When it was committed, as it says itself: milliseconds since the epoch. */
  committedAt: number;
}

const LF = 10;
const SPACE = 32;

/** Bytes, not text: what was signed need not be UTF-8. A second `gpgsig` stays in the payload, so that nothing matches it. */
export function signedCommit(content: Buffer): SignedCommit {
  const kept: Buffer[] = [];
  const parents: Oid[] = [];
  let signature: string[] | undefined;
  let inSignature = false;
  let committedAt = 0;
  let at = 0;
  while (at < content.length) {
    const newline = content.indexOf(LF, at);
    const end = newline < 0 ? content.length : newline + 1;
    if (newline === at) break;
    const line = content.toString('latin1', at, newline < 0 ? end : newline);
    inSignature = content[at] === SPACE ? inSignature : signature === undefined && line.startsWith('gpgsig ');
    if (!inSignature) kept.push(content.subarray(at, end));
    else if (content[at] === SPACE) signature?.push(line.slice(1));
    else signature = [line.slice('gpgsig '.length)];
    if (line.startsWith('parent ')) parents.push(line.slice('parent '.length));
    if (line.startsWith('committer ')) committedAt = Number(/ (\d+) [+-]\d+$/.exec(line)?.[1] ?? 0) * 1000;
    at = end;
  }
  kept.push(content.subarray(at));
  return {
    payload: Buffer.concat(kept),
    ...(signature !== undefined && { signature: `${signature.join('\n')}\n` }),
    parents,
    committedAt,
  };
}
