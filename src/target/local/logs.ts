/** The output of units: files that are appended to, cut back before they pass their size, and readable without an operator. */
import {
  closeSync,
  type FSWatcher,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { parseQuantity } from '../../manifest/quantity.ts';
import type { Container, ResourceId } from '../../manifest/resource.ts';
import { hostFolder, instancesFolder, memberFolder } from '../instances/folders.ts';
import { logsFolder, resourceFolder, unitFolder } from './folders.ts';
import { logFile } from './volumes.ts';

const STDOUT = 'stdout';
export const STDOUT_SIZE = 10 * 2 ** 20;

export interface Capped {
  path: string;
  /** Of the file and of its `.1` together, in bytes. */
  maxSize: number;
}

/** Every log file of a container with its cap. */
export function logFilesOf(unit: string, container: Container): Capped[] {
  const declared = container.logs.map(({ path, maxSize }) => ({
    path: logFile(unit, container.name, path),
    maxSize: parseQuantity(maxSize) ?? STDOUT_SIZE,
  }));
  return [{ path: outputFile(unit, container.name), maxSize: STDOUT_SIZE }, ...declared];
}

export const outputFile = (unit: string, container: string) => join(logsFolder(unit, container), STDOUT);
export const rule = (attempt: string, at: string) => `--- ${at} attempt ${attempt} ---\n`;

/** Opens a container's output for appending, after a line that says which attempt begins; the caller closes it. */
export function openOutput(unit: string, container: string, attempt: string, at: Date): number {
  mkdirSync(logsFolder(unit, container), { recursive: true, mode: 0o755 });
  const file = openSync(outputFile(unit, container), 'a', 0o644);
  writeSync(file, rule(attempt, at.toISOString()));
  return file;
}

/** The last lines that the attempt wrote and that say most: an error where there is one, else the last two. */
export function lastWords(unit: string, container: string, attempt: string): string {
  const text = tail(outputFile(unit, container), 8192);
  const begin = text.lastIndexOf(` attempt ${attempt} ---\n`);
  return wordsOf(begin < 0 ? text : text.slice(text.indexOf('\n', begin) + 1));
}

/** Of what was written at the end of a life. */
export function wordsOf(text: string): string {
  const lines = text.split('\n').filter((line) => /\w/.test(line) && !/^\s+at |^Node\.js v/.test(line));
  const error = lines.findLast((line) => /\b(\w*error|\w*exception|fatal|panic)\b\S*:/i.test(line));
  return plain(error === undefined ? lines.slice(-2).join(' / ') : error)
    .trim()
    .slice(0, 400);
}

/** Without what a terminal would act on. */
const plain = (text: string) => stripVTControlCharacters(text).replace(/\p{Cc}/gu, ' ');

function tail(path: string, size: number): string {
  try {
    const file = openSync(path, 'r');
    try {
      const length = Math.min(size, fstatSync(file).size);
      const bytes = Buffer.alloc(length);
      readSync(file, bytes, 0, length, fstatSync(file).size - length);
      return bytes.toString();
    } finally {
      closeSync(file);
    }
  } catch {
    return '';
  }
}

/**
 * Cuts a file back when it has passed three eighths of its size: its end goes to `.1`, which holds half of the size at most,
 * and it begins anew, in place, because the process goes on writing to it. Returns the size that it then has.
 */
export function rotate({ path, maxSize }: Capped): number {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= cutAt(maxSize)) return size;
  const file = openSync(path, 'r+');
  try {
    const end = fstatSync(file).size;
    const bytes = Buffer.alloc(Math.min(end, Math.floor(maxSize / 2)));
    const read = readSync(file, bytes, 0, bytes.length, end - bytes.length);
    ftruncateSync(file, 0);
    writeFileSync(`${path}.1`, bytes.subarray(0, read));
  } finally {
    closeSync(file);
  }
  return 0;
}

const cutAt = (maxSize: number) => Math.floor((maxSize * 3) / 8);

const SOON_MS = 5;
/** Between two looks at files that grow. */
const LONGEST_MS = 50;
/** Files that have not grown for so long are looked at when the system says that they changed. */
const IDLE_MS = 1000;

/**
 * Keeps files within their size as long as it runs: it looks the sooner the faster they grow. Only a process that writes
 * more than the whole size within 50 ms passes it, and is cut back at once. What fails is told once, and tried again. Returns what ends it.
 */
export function keepWithin(files: Capped[], failed: (error: Error) => void): () => void {
  const sizes = new Map<string, number>();
  const failing = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let watchers: FSWatcher[] = [];
  let last = 0;
  let grewAt = performance.now();

  /** Milliseconds until this file should be looked at again. */
  const lookAt = (file: Capped, passed: number): number => {
    const before = sizes.get(file.path) ?? 0;
    const size = rotate(file);
    sizes.set(file.path, size);
    if (size === before) return LONGEST_MS;
    grewAt = last;
    // 10 KB more in 10 ms, 30 KB left: full in 30 ms, so look in 15 ms.
    const grown = size < before ? cutAt(file.maxSize) : size - before;
    return ((cutAt(file.maxSize) - size) / (grown / passed)) * 0.5;
  };
  const look = () => {
    const now = performance.now();
    const passed = Math.max(1, now - last);
    last = now;
    let wait = LONGEST_MS;
    for (const file of files) {
      try {
        wait = Math.min(wait, lookAt(file, passed));
        failing.delete(file.path);
      } catch (error) {
        if (!failing.has(file.path)) failed(error as Error);
        failing.add(file.path);
      }
    }
    if (now - grewAt > IDLE_MS && awaitChange()) return;
    timer = setTimeout(look, Math.max(SOON_MS, wait));
  };
  const awaitChange = (): boolean => {
    const changed = () => {
      stopWaiting();
      grewAt = performance.now();
      // Twice, soon: how fast it grows is only known from two looks.
      last = grewAt;
      timer = setTimeout(look, SOON_MS);
    };
    try {
      watchers = [...new Set(files.map(({ path }) => dirname(path)))].map((folder) => watch(folder, changed));
      for (const watcher of watchers) watcher.on('error', changed);
      return true;
    } catch {
      stopWaiting();
      return false;
    }
  };
  const stopWaiting = () => {
    for (const watcher of watchers) watcher.close();
    watchers = [];
    clearTimeout(timer);
  };
  timer = setTimeout(look, SOON_MS);
  return stopWaiting;
}

export interface UnitLog {
  unit: string;
  container: string;
  /** `stdout` (with standard error in it), or the path that the manifest gives. */
  source: string;
  /** What is kept of it, oldest first, over all attempts; a line `--- <time> attempt <id> ---` begins each attempt of `stdout`. */
  text: string;
}

/** What the units of a resource wrote, or one of them; needs no operator. Empty where there is nothing. */
export async function readLogs(dataDir: string, resource: ResourceId, unit?: string): Promise<UnitLog[]> {
  if (resource.startsWith('Workload/') || resource.startsWith('Service/')) return readUnitLogs(dataDir, resource, unit);
  const root = instancesFolder(dataDir);
  const logs = await Promise.all([readUnitLogs(root, resource, unit), readScriptLogs(root, resource, unit)]);
  return logs.flat().sort((a, b) => (a.unit < b.unit ? -1 : a.unit > b.unit ? 1 : 0));
}

async function readUnitLogs(dataDir: string, resource: ResourceId, unit: string | undefined): Promise<UnitLog[]> {
  const logs: UnitLog[] = [];
  for (const id of await names(resourceFolder(dataDir, resource))) {
    if (unit !== undefined && id !== unit) continue;
    const folder = unitFolder(dataDir, resource, id);
    for (const container of await names(join(folder, 'logs'))) {
      const files = await names(logsFolder(folder, container));
      for (const file of files) {
        if (file.endsWith('.1') && files.includes(file.slice(0, -2))) continue;
        const path = join(logsFolder(folder, container), file);
        const earlier = await readFile(`${path}.1`, 'utf8').catch(() => '');
        const text = earlier + (await readFile(path, 'utf8').catch(() => ''));
        logs.push({ unit: id, container, source: decodeURIComponent(file), text });
      }
    }
  }
  return logs;
}

/** What is kept of the output of the last scripts of each instance, the oldest attempt first. */
async function readScriptLogs(root: string, resource: ResourceId, unit: string | undefined): Promise<UnitLog[]> {
  const logs: UnitLog[] = [];
  for (const id of await names(memberFolder(root, resource))) {
    if (unit !== undefined && id !== unit) continue;
    const attempts = join(hostFolder(root, resource, id), 'attempts');
    const begun = (await names(attempts)).flatMap((name) => {
      const at = statSync(join(attempts, name, 'begun'), { throwIfNoEntry: false })?.mtimeMs;
      return at === undefined ? [] : [{ name, at }];
    });
    for (const { name } of begun.sort((a, b) => a.at - b.at)) {
      const first = await readFile(join(attempts, name, 'output'), 'utf8').catch(() => '');
      const last = await readFile(join(attempts, name, 'output.end'), 'utf8').catch(() => '');
      const text = last === '' ? first : `${first}\n... only the first and the last of it are kept ...\n${last}`;
      logs.push({ unit: id, container: name, source: 'stdout', text });
    }
  }
  return logs;
}

async function names(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}
