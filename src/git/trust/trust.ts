/**
 * `--verify-keys`: which head may be worked from. Every commit that becomes reachable with it, through merges too, must be
 * signed by a key of the file; the first head, where there is none before it, must be itself.
 */
import { readFile } from 'node:fs/promises';
import type { Oid } from '../../manifest/resource.ts';
import { isAncestor } from '../history.ts';
import type { ObjectStore } from '../objects.ts';
import { type Judgement, judge } from './judge.ts';
import { parseKeys, type TrustedKeys } from './keys.ts';
import { newCommits } from './new-commits.ts';
import type { SignedCommit } from './signed-commit.ts';

export interface Refusal {
  commit: Oid;
  /** What was seen, and what to do. */
  why: string;
}

export interface CommitTrust {
  /** The first commit of `head`, and not of `good`, that is not to be trusted. */
  refused(good: Oid | undefined, head: Oid): Promise<Refusal | undefined>;
  /** The file has changed since it was asked last: what was refused may hold now. */
  changed(): Promise<boolean>;
}

type Objects = Pick<ObjectStore, 'raw' | 'has' | 'commit'>;

/** Throws when the file cannot be used. It is read again for each head, so that keys come and go without a restart. */
export async function openTrust(
  file: string,
  objects: Objects,
  { now, warn }: { now(): number; warn(message: string): void },
): Promise<CommitTrust> {
  let read: { text: string; keys: TrustedKeys } | undefined;

  async function current(): Promise<TrustedKeys> {
    const text = await textOf(file);
    if (text === read?.text) return read.keys;
    const keys = await parseKeys(text, file);
    for (const line of keys.ignored) warn(line);
    read = { text, keys };
    return keys;
  }

  await current();
  return {
    async refused(good, head) {
      const keys = await current();
      const found = await firstUntrusted(objects, good, head, (commit) => judge(commit, keys, now()));
      return found && { commit: found.oid, why: `${found.why}; ${remedy(found.oid, head, file)}` };
    },
    changed: async () => (await textOf(file)) !== read?.text,
  };
}

async function textOf(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((error: Error) => {
    throw new Error(`--verify-keys ${file} cannot be read: ${error.message}`);
  });
}

const remedy = (commit: Oid, head: Oid, file: string): string =>
  commit === head
    ? `sign it (git commit --amend --no-edit -S) and push it again, or put the key into ${file}`
    : `sign it (git rebase --exec 'git commit --amend --no-edit -S' ${commit.slice(0, 10)}~) and push again, or put the key into ${file}`;

interface Untrusted {
  oid: Oid;
  why: string;
}

/** The first head must hold by itself: what it was made from is whatever its signer took it for. */
async function firstUntrusted(
  objects: Objects,
  good: Oid | undefined,
  head: Oid,
  judged: (commit: SignedCommit) => Promise<Judgement>,
): Promise<Untrusted | undefined> {
  const walk = await newCommits(objects, good, head);
  for (let next = await walk.next(); next !== undefined; next = await walk.next()) {
    const { oid, commit } = next;
    const why = await judged(commit);
    const isOld = why !== undefined && good !== undefined && (await isAncestor(objects, oid, good));
    if (why !== undefined && !isOld) return { oid, why };
    if (good === undefined) return undefined;
    await walk.enter(oid, commit, isOld);
  }
  return undefined;
}
