/** Text → plain values with places, whatever the text: bounded in time and memory, and nothing in it can reach a prototype. */
import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  Parser,
} from 'yaml';
import { formatPath, type PathSegment, quote } from './diagnostic.ts';
import type { FileDiagnostic, Position } from './parsed.ts';

const MIB = 2 ** 20;
const MAX_DOCUMENT = MIB;
/** In bytes; nobody need read a greater file before it is refused. */
export const MAX_FILE = 32 * MIB;
const MAX_DEPTH = 50;
/** Values in a document, aliases counted as often as they are used. */
const MAX_VALUES = 20_000;
/** A value takes about five: its key, a colon, spaces, itself, the end of the line. */
const MAX_LEXEMES = 5 * MAX_VALUES;
const MAX_ERRORS = 20;

export interface YamlDocument {
  /** Undefined when there are errors. */
  value: unknown;
  errors: FileDiagnostic[];
  /** Of the value at the path, or of its key; of the nearest thing above where there is none. */
  locate(path: readonly PathSegment[], part: 'key' | 'value'): Position;
}

export const TOO_LARGE = 'the file is larger than 32 MiB; split it, or keep it outside of the manifests';

export function readYaml(content: string | Uint8Array): YamlDocument[] {
  const text = decode(content);
  if (typeof text !== 'string') return [text];
  return [...pieces(text)].flatMap(({ text, line }) => readPiece(text, line));
}

/** The text without its byte order mark, or why it is none. */
function decode(content: string | Uint8Array): string | YamlDocument {
  if (content.length > MAX_FILE) return broken([1, 1], 'too-large', TOO_LARGE);
  let text: string;
  try {
    text = typeof content === 'string' ? content : new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    return broken(
      [1, 1],
      'not-text',
      'the file is not UTF-8 text; save it as UTF-8, or keep it outside of the manifests',
    );
  }
  const nul = text.indexOf('\0');
  if (nul >= 0)
    return broken(
      [1, 1],
      'not-text',
      `the file is binary (byte 0 at character ${nul}); keep it outside of the manifests`,
    );
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}

const broken = (at: Position, code: string, message: string): YamlDocument => ({
  value: undefined,
  errors: [{ at, path: '', severity: 'error', code, message }],
  locate: () => at,
});

/**
 * The text cut at every `---`, which can stand at the start of a line nowhere else, so that sizes are known before anything is
 * parsed. Directives (`%YAML`) fall away with the piece before the first document: manifests are YAML 1.2 with core tags.
 */
function* pieces(text: string): Generator<{ text: string; line: number }> {
  let from = 0;
  let line = 1;
  for (const { index } of text.matchAll(/^---(?=[ \t\r\n]|$)/gm)) {
    if (index === 0) continue;
    const piece = text.slice(from, index);
    yield { text: piece, line };
    line += countLines(piece);
    from = index;
  }
  yield { text: text.slice(from), line };
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

const NOTHING = /^(?:[ \t]*(?:#[^\n]*)?\r?\n|%[^\n]*\n)*[ \t]*(?:#[^\n]*)?$/;

function readPiece(text: string, firstLine: number): YamlDocument[] {
  if (text.length > MAX_DOCUMENT || new TextEncoder().encode(text).length > MAX_DOCUMENT)
    return [broken([firstLine, 1], 'too-large', 'the document is larger than 1 MiB; split it')];
  if (text.length < 4096 && NOTHING.test(text)) return [];
  const lines = new LineCounter();
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return [Math.max(line, 1) + firstLine - 1, Math.max(col, 1)];
  };
  try {
    const documents = new Composer(OPTIONS).compose(tokens(text, lines.addNewLine), false, text.length);
    return [...documents].map((document) => readDocument(document, position));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return [broken(position(error.offset), error.code, error.message)];
  }
}

const OPTIONS = {
  version: '1.2',
  uniqueKeys: false,
  stringKeys: true,
  prettyErrors: false,
  logLevel: 'silent',
} as const;

class Refused extends Error {
  readonly offset: number;
  readonly code: string;
  constructor(offset: number, code: string, message: string) {
    super(message);
    this.offset = offset;
    this.code = code;
  }
}

const TOO_DEEP = `the document is nested too deeply; ${MAX_DEPTH} levels are allowed`;
const TOO_MANY = `the document holds more than ${MAX_VALUES} values (aliases count each time they are used); split it`;

/**
 * What `Parser.parse` yields, but stopped before anything is composed where it gets too deep or too much: the composer works by
 * recursion, and near the end of the stack V8 may end the whole process instead of throwing; and it makes an error for every
 * wrong character, at 20 µs each.
 */
function* tokens(text: string, onNewLine: (offset: number) => void): Generator<CST.Token> {
  const parser = new Parser(onNewLine);
  let lexemes = 0;
  onNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    // A level takes two entries at most: a map and a list in it.
    if (parser.stack.length > 2 * MAX_DEPTH + 4) throw new Refused(parser.offset, 'too-deep', TOO_DEEP);
    if (++lexemes > MAX_LEXEMES) throw new Refused(parser.offset, 'too-many-values', TOO_MANY);
  }
  yield* parser.end();
}

function readDocument(document: Document.Parsed, position: (offset: number) => Position): YamlDocument {
  const problems = [...document.errors, ...document.warnings];
  if (problems.length > 0) {
    const errors = problems.slice(0, MAX_ERRORS).map(
      ({ pos, message }): FileDiagnostic => ({
        at: position(pos[0]),
        path: '',
        severity: 'error',
        code: 'bad-yaml',
        message: `not valid YAML: ${sentence(message)}`,
      }),
    );
    return { value: undefined, errors, locate: () => [1, 1] };
  }
  const reader = new ValueReader(position);
  const value = reader.read(document.contents, []);
  return {
    value: reader.errors.length > 0 ? undefined : value,
    errors: reader.errors,
    locate: (path, part) => position(offsetAt(document.contents, path, part, reader.targets)),
  };
}

const sentence = (message: string) => {
  const text = message.replace(/\s+/g, ' ').slice(0, 200);
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
};

/** Keys that plain objects answer for without having them. */
const RESERVED_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

class TooMuch extends Error {}

/** Turns nodes into values: own code, because it must count aliases, bound the work, and say where things are. */
class ValueReader {
  readonly errors: FileDiagnostic[] = [];
  /** What each alias stands for. */
  readonly targets = new Map<Node, Node>();
  readonly #position: (offset: number) => Position;
  /** Absent value: the anchor's node is still being read. */
  readonly #anchors = new Map<string, { node: Node; value?: { read: unknown; count: number } }>();
  #count = 0;

  constructor(position: (offset: number) => Position) {
    this.#position = position;
  }

  read(root: Node | null, path: PathSegment[]): unknown {
    try {
      return this.#read(root, path);
    } catch (error) {
      if (!(error instanceof TooMuch)) throw error;
      return undefined;
    }
  }

  #fail(node: Node | null, path: readonly PathSegment[], code: string, message: string): undefined {
    const at = this.#position(node?.range?.[0] ?? 0);
    this.errors.push({ at, path: formatPath(path), severity: 'error', code, message });
    if (this.errors.length >= MAX_ERRORS) throw new TooMuch();
  }

  #spend(count: number, node: Node | null, path: PathSegment[]): void {
    this.#count += count;
    if (this.#count <= MAX_VALUES) return;
    this.#fail(node, path, 'too-many-values', TOO_MANY);
    throw new TooMuch();
  }

  #read(node: Node | null, path: PathSegment[]): unknown {
    this.#spend(1, node, path);
    if (path.length > MAX_DEPTH) {
      this.#fail(node, [], 'too-deep', TOO_DEEP);
      throw new TooMuch();
    }
    if (node === null) return null;
    if (isAlias(node)) return this.#alias(node, node.source, path);
    const { anchor } = node as { anchor?: string };
    if (!anchor) return this.#content(node, path);
    const before = this.#count;
    const entry: { node: Node; value?: { read: unknown; count: number } } = { node };
    this.#anchors.set(anchor, entry);
    const read = this.#content(node, path);
    entry.value = { read, count: this.#count - before };
    return read;
  }

  #alias(node: Node, name: string, path: PathSegment[]): unknown {
    const anchor = this.#anchors.get(name);
    if (anchor?.value === undefined)
      return this.#fail(
        node,
        path,
        'bad-alias',
        `*${name} stands for itself or for nothing; it must follow the &${name} that it names`,
      );
    this.targets.set(node, anchor.node);
    this.#spend(anchor.value.count, node, path);
    return structuredClone(anchor.value.read);
  }

  #content(node: Node, path: PathSegment[]): unknown {
    if (isScalar(node)) return this.#scalar(node, node.value, path);
    if (isSeq<Node | null>(node)) return node.items.map((item, index) => this.#read(item, [...path, index]));
    if (isMap<Node, Node | null>(node)) {
      const map: Record<string, unknown> = {};
      for (const { key, value } of node.items) this.#entry(map, key, value, path);
      return map;
    }
    return this.#fail(node, path, 'bad-yaml', 'expected a value');
  }

  #scalar(node: Node, value: unknown, path: PathSegment[]): unknown {
    if (typeof value !== 'number' || Number.isFinite(value)) return value;
    return this.#fail(
      node,
      path,
      'wrong-type',
      `${value} is not a number that can be used; put it in quotes if it is text`,
    );
  }

  #entry(map: Record<string, unknown>, node: Node, value: Node | null, path: PathSegment[]): void {
    const key = isScalar(node) && typeof node.value === 'string' ? node.value : undefined;
    if (key === undefined) this.#fail(node, path, 'bad-key', 'a key must be plain text; put it in quotes');
    else if (RESERVED_KEYS.has(key))
      this.#fail(node, path, 'bad-key', `the key ${quote(key)} is not allowed; rename it`);
    else if (Object.hasOwn(map, key))
      this.#fail(node, [...path, key], 'duplicate-key', `the key ${quote(key)} is there twice; remove one`);
    else map[key] = this.#read(value, [...path, key]);
  }
}

/** Of the value or key at `path`; of the key of the nearest map above, where there is none. */
function offsetAt(
  root: Node | null,
  path: readonly PathSegment[],
  part: 'key' | 'value',
  targets: Map<Node, Node>,
): number {
  let node = root;
  let key = root?.range?.[0] ?? 0;
  let offset = key;
  for (const segment of path) {
    const parent = node && (targets.get(node) ?? node);
    if (isSeq<Node | null>(parent)) {
      node = parent.items[Number(segment)] ?? null;
      key = node?.range?.[0] ?? key;
    } else {
      const pair = isMap<Node, Node | null>(parent)
        ? parent.items.find((pair) => isNamed(pair.key, segment))
        : undefined;
      if (pair === undefined) return key;
      node = pair.value;
      key = pair.key.range?.[0] ?? key;
    }
    // A value that is not there (`key:`) has a place after the colon; its key says more.
    offset = node === null || isEmpty(node) ? key : (node.range?.[0] ?? key);
  }
  return part === 'key' ? key : offset;
}

const isNamed = (key: Node, name: PathSegment) => isScalar(key) && key.value === name;
const isEmpty = ({ range }: Node) => range !== undefined && range !== null && range[0] === range[1];
