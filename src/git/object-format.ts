/** Git's object formats: bytes of trees, commits and tags to data and back. Pure. */
import { createHash } from 'node:crypto';
import type { Oid } from '../manifest/resource.ts';
import { GitError } from './errors.ts';
import type { CommitData, Person, TreeEntry } from './types.ts';

export type ObjectType = 'commit' | 'tree' | 'blob' | 'tag';
export interface RawObject {
  type: ObjectType;
  content: Buffer;
}
export interface TagData {
  name: string;
  object: Oid;
  message: string;
  tagger: Person;
  /** Milliseconds since the epoch. */
  at: number;
}

const MODES: Record<TreeEntry['mode'], string> = {
  tree: '40000',
  file: '100644',
  executable: '100755',
  link: '120000',
  submodule: '160000',
};
const KINDS = new Map<string, TreeEntry['mode']>([
  ['40000', 'tree'],
  ['040000', 'tree'],
  ['100644', 'file'],
  ['100664', 'file'],
  ['100755', 'executable'],
  ['120000', 'link'],
  ['160000', 'submodule'],
]);

export function hashObject(type: ObjectType, content: Buffer): Oid {
  return createHash('sha1').update(`${type} ${content.length}\0`).update(content).digest('hex');
}

/** Entries in Git's own order; throws `bad-tree` for bytes that are no tree. */
export function parseTree(oid: Oid, bytes: Buffer): TreeEntry[] {
  const entries: TreeEntry[] = [];
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(32, at);
    const end = space < 0 ? -1 : bytes.indexOf(0, space);
    const mode = end < 0 ? undefined : KINDS.get(bytes.toString('latin1', at, space));
    if (mode === undefined || end + 21 > bytes.length) throw new GitError('bad-tree', `tree ${oid}: cannot be read`);
    entries.push({ name: bytes.toString('utf8', space + 1, end), mode, oid: bytes.toString('hex', end + 1, end + 21) });
    at = end + 21;
  }
  return entries;
}

/** Git compares names as bytes, a directory's as if it ended with a slash: `a.b` < `a/` < `a0`. */
export function compareEntries(a: TreeEntry, b: TreeEntry): number {
  const left = a.mode === 'tree' ? `${a.name}/` : a.name;
  const right = b.mode === 'tree' ? `${b.name}/` : b.name;
  return compareNames(left, right);
}

/** By UTF-8 bytes; UTF-16 order differs only where surrogates are. */
function compareNames(left: string, right: string): number {
  if (left === right) return 0;
  const smaller = left < right ? -1 : 1;
  return SURROGATE.test(left) || SURROGATE.test(right)
    ? Buffer.compare(Buffer.from(left), Buffer.from(right))
    : smaller;
}
const SURROGATE = /[\ud800-\udfff]/;

export function formatTree(entries: readonly TreeEntry[]): Buffer {
  const sorted = [...entries].sort(compareEntries);
  const parts: Buffer[] = [];
  for (const entry of sorted) {
    if (entry.name === '' || /[/\0]/.test(entry.name))
      throw new GitError('bad-tree', `${JSON.stringify(entry.name)} cannot be the name of a file in a tree`);
    parts.push(Buffer.from(`${MODES[entry.mode]} ${entry.name}\0`), Buffer.from(entry.oid, 'hex'));
  }
  return Buffer.concat(parts);
}

export function parseCommit(oid: Oid, content: Buffer): CommitData {
  const text = content.toString('utf8');
  const split = text.indexOf('\n\n');
  const headers = (split < 0 ? text : text.slice(0, split)).split('\n');
  const parents: Oid[] = [];
  let tree: Oid | undefined;
  let author: Person = { name: '', email: '' };
  let at = 0;
  for (const line of headers) {
    const [key, value] = cut(line);
    if (key === 'tree') tree = value;
    else if (key === 'parent') parents.push(value);
    else if (key === 'author') author = parseSignature(value).person;
    else if (key === 'committer') at = parseSignature(value).at;
  }
  if (tree === undefined) throw new GitError('missing-object', `commit ${oid}: cannot be read`);
  return { tree, parents, author, at, message: split < 0 ? '' : text.slice(split + 2) };
}

function cut(line: string): [string, string] {
  const space = line.indexOf(' ');
  return [line.slice(0, space), line.slice(space + 1)];
}

function parseSignature(value: string): { person: Person; at: number } {
  const match = /^(.*?) ?<([^>]*)> (-?\d+)/.exec(value);
  if (match === null) return { person: { name: value, email: '' }, at: 0 };
  return { person: { name: match[1] ?? '', email: match[2] ?? '' }, at: Number(match[3]) * 1000 };
}

export function formatCommit(commit: CommitData): Buffer {
  const signature = formatSignature(commit.author, commit.at);
  const lines = [
    `tree ${commit.tree}`,
    ...commit.parents.map((parent) => `parent ${parent}`),
    `author ${signature}`,
    `committer ${signature}`,
  ];
  return Buffer.from(`${lines.join('\n')}\n\n${withNewline(commit.message)}`);
}

export function formatTag(tag: TagData, type: ObjectType): Buffer {
  const lines = [
    `object ${tag.object}`,
    `type ${type}`,
    `tag ${tag.name}`,
    `tagger ${formatSignature(tag.tagger, tag.at)}`,
  ];
  return Buffer.from(`${lines.join('\n')}\n\n${withNewline(tag.message)}`);
}

/** The object that an annotated tag names. */
export function taggedObject(content: Buffer): Oid | undefined {
  return /^object ([0-9a-f]{40})\n/.exec(content.toString('latin1', 0, 48))?.[1];
}

function formatSignature(person: Person, at: number): string {
  const clean = (text: string) => text.replace(/[<>\0\r\n]/g, '').trim();
  return `${clean(person.name)} <${clean(person.email)}> ${Math.floor(at / 1000)} +0000`;
}

function withNewline(message: string): string {
  return message.endsWith('\n') ? message : `${message}\n`;
}
