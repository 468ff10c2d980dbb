/**
 * The small part of YAML that status files are written in: block maps and lists, plain words, numbers, JSON strings.
 * `yaml` takes 1 ms to write and 2 ms to read what this does in some hundredths of that; with 10,000 files it counts.
 * Whatever this reads, any YAML reader reads the same; whatever else a file holds, this leaves to `yaml`.
 */

export type Value = string | number | boolean | Value[] | { [key: string]: Value };

/** Entries that are undefined are left out. Throws on what no status holds: null, NaN, infinite numbers. */
export function writeBlock(value: object): string {
  const lines: string[] = [];
  writeMap(value, '', '', lines);
  return `${lines.join('\n')}\n`;
}

/** `first` begins the first line (`- ` or the indent), `indent` all others. */
function writeMap(map: object, first: string, indent: string, lines: string[]): void {
  let start = first;
  for (const [key, value] of Object.entries(map)) {
    if (value === undefined) continue;
    const head = `${start}${keyText(key)}:`;
    start = indent;
    if (typeof value !== 'object' || isEmpty(value)) {
      lines.push(`${head} ${scalar(value)}`);
      continue;
    }
    lines.push(head);
    if (Array.isArray(value)) writeList(value, `${indent}  `, lines);
    else writeMap(value, `${indent}  `, `${indent}  `, lines);
  }
}

function writeList(list: unknown[], indent: string, lines: string[]): void {
  for (const value of list) {
    if (typeof value !== 'object' || isEmpty(value)) lines.push(`${indent}- ${scalar(value)}`);
    else if (Array.isArray(value)) throw new TypeError('a status holds no list of lists');
    else writeMap(value as object, `${indent}- `, `${indent}  `, lines);
  }
}

function isEmpty(value: object | null): boolean {
  if (value === null) throw new TypeError('a status holds no null');
  if (Array.isArray(value)) return value.length === 0;
  for (const key in value) if (value[key as keyof typeof value] !== undefined) return false;
  return true;
}

function scalar(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return isPlain(value) ? value : quote(value);
    case 'number':
      if (Number.isFinite(value)) return String(value);
      break;
    case 'boolean':
      return String(value);
    case 'object':
      return Array.isArray(value) ? '[]' : '{}';
  }
  throw new TypeError(`a status holds no ${String(value)}`);
}

const PLAIN_KEY = /^(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][\w.-]*$/i;
const PLAIN = /^[A-Za-z](?:[\w ./,;()%+=@'"!?*&<>|^$~[\]{}-]|:(?! |$))*$/;
/** What some YAML reader takes for something else than a string. */
const RESERVED = /^(?:y|n|yes|no|on|off|true|false|null)$/i;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]\d+)?$/;

const isReserved = (text: string): boolean => text.length <= LONGEST_RESERVED && RESERVED.test(text);
const LONGEST_RESERVED = 5;

const isPlain = (text: string): boolean => PLAIN.test(text) && !text.endsWith(' ') && !isReserved(text);

/** Nearly all keys are names of fields, which come again and again. */
const keyTexts = new Map<string, string>();
const MOST_KEYS = 1000;

function keyText(key: string): string {
  const known = keyTexts.get(key);
  if (known !== undefined) return known;
  const text = PLAIN_KEY.test(key) ? key : quote(key);
  if (keyTexts.size >= MOST_KEYS) keyTexts.clear();
  keyTexts.set(key, text);
  return text;
}

/** ASCII in which JSON escapes nothing, as in all times and digests. */
const BARE = /^[ !#-[\]-~]*$/;

/** A JSON string without what YAML counts as unprintable. */
function quote(text: string): string {
  if (BARE.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Undefined: the text is not, or not only, what `writeBlock` writes. */
export function readBlock(text: string): Value | undefined {
  if (!text.endsWith('\n')) return undefined;
  const reader: Reader = { lines: text.slice(0, -1).split('\n'), at: -1, column: -1, left: '' };
  try {
    advance(reader);
    const value = reader.column === 0 ? readMap(reader, 0) : otherText();
    return reader.at === reader.lines.length ? value : undefined;
  } catch (error) {
    if (error instanceof OtherText) return undefined;
    throw error;
  }
}

/** A cursor on the text that is `left` of line `at`, which begins in `column`; -1 after the last line. */
interface Reader {
  lines: string[];
  at: number;
  column: number;
  left: string;
}

class OtherText extends Error {}
const otherText = (): never => {
  throw new OtherText();
};

function advance(reader: Reader): void {
  reader.at++;
  const line = reader.lines[reader.at];
  if (line === undefined) {
    reader.column = -1;
    return;
  }
  let column = 0;
  while (line.charCodeAt(column) === 32) column++;
  reader.column = column;
  reader.left = line.slice(column);
}

const KEY = /^(?:([A-Za-z][\w.-]*)|("(?:[^"\\]|\\.)*")):(?: |$)/;

function readMap(reader: Reader, column: number): Value {
  const map: Record<string, Value> = {};
  do {
    const match = KEY.exec(reader.left) ?? otherText();
    const key = match[1] ?? unquote(match[2] ?? '');
    if (key === '__proto__' || Object.hasOwn(map, key) || isReserved(match[1] ?? '')) otherText();
    const rest = match[0].endsWith(' ') ? reader.left.slice(match[0].length) : undefined;
    advance(reader);
    map[key] = rest === undefined ? readNested(reader, column + 2) : scalarOf(rest);
  } while (reader.column === column && !isItem(reader));
  if (reader.column > column) otherText();
  return map;
}

function readNested(reader: Reader, column: number): Value {
  if (reader.column !== column) otherText();
  return isItem(reader) ? readList(reader, column) : readMap(reader, column);
}

const isItem = (reader: Reader): boolean => reader.left.startsWith('- ');

function readList(reader: Reader, column: number): Value {
  const list: Value[] = [];
  do {
    reader.left = reader.left.slice(2);
    if (KEY.test(reader.left)) {
      reader.column += 2;
      list.push(readMap(reader, column + 2));
    } else {
      const item = reader.left;
      advance(reader);
      list.push(scalarOf(item));
    }
  } while (reader.column === column && isItem(reader));
  if (reader.column >= column) otherText();
  return list;
}

function scalarOf(text: string): Value {
  if (text.startsWith('"')) return unquote(text);
  if (isPlain(text)) return text;
  if (NUMBER.test(text)) return Number(text);
  switch (text) {
    case 'true':
      return true;
    case 'false':
      return false;
    case '[]':
      return [];
    case '{}':
      return {};
  }
  return otherText();
}

function unquote(text: string): string {
  const bare = text.slice(1, -1);
  if (text.length >= 2 && text.startsWith('"') && text.endsWith('"') && BARE.test(bare)) return bare;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : otherText();
  } catch {
    return otherText();
  }
}
