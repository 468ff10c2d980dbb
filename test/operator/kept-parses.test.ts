import { appendFile, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parseFile } from '../../src/manifest/parse.ts';
import { openKeptParses } from '../../src/operator/kept-parses.ts';

const manifest = (name: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {greeting: "Grüße, 世界"}\n`;
const oidOf = (index: number) => index.toString(16).padStart(40, '0');

/** Blobs by id, and which of them were read. */
function objects(texts: Map<string, string>) {
  const read: string[] = [];
  return {
    read,
    async blobs(oids: string[], each: (oid: string, content: Buffer) => void) {
      for (const oid of oids) {
        read.push(oid);
        each(oid, Buffer.from(texts.get(oid) ?? ''));
      }
    },
  };
}

const [a, b] = [oidOf(10), oidOf(11)];
const texts = new Map([
  [a, manifest('a')],
  [b, manifest('b')],
]);
const fileIn = async (folder: string) => join(folder, (await readdir(folder))[0] ?? '');

t.test('a blob is read once, and never again after a restart', async (t) => {
  const folder = t.testdir();
  const first = objects(texts);
  const before = await openKeptParses(folder);
  const parsed = await before.parse([a, b], first);
  t.strictSame(parsed.get(a), parseFile(manifest('a')));
  t.strictSame(first.read, [a, b]);
  t.equal((await before.parse([a], first)).get(a), parsed.get(a), 'the same object while it is in use');
  const second = objects(texts);
  const after = await (await openKeptParses(folder)).parse([a, b], second);
  t.strictSame(second.read, []);
  t.strictSame(after, parsed);
});

t.test('what was cut off or is not whole is read again, the rest is not', async (t) => {
  const folder = t.testdir();
  await (await openKeptParses(folder)).parse([a, b], objects(texts));
  const file = await fileIn(folder);
  const whole = (await stat(file)).size;
  for (const [what, spoil] of Object.entries({
    'cut off': () => truncate(file, whole - 10),
    'cut off, and written on': async () => {
      await truncate(file, whole - 10);
      await (await openKeptParses(folder)).parse([oidOf(12)], objects(texts));
    },
    'not whole': async () => writeFile(file, `${await readFile(file, 'utf8')}${b} {"documents":[\n`),
  })) {
    await spoil();
    const again = objects(texts);
    const parsed = await (await openKeptParses(folder)).parse([a, b], again);
    t.strictSame(again.read, [b], what);
    t.strictSame(parsed.get(b), parseFile(manifest('b')), what);
  }
});

t.test('a line that is as long as it was and cannot be read is read again', async (t) => {
  const folder = t.testdir();
  await (await openKeptParses(folder)).parse([a, b], objects(texts));
  const file = await fileIn(folder);
  const text = await readFile(file, 'utf8');
  const at = text.indexOf('{', text.indexOf(b));
  await writeFile(file, `${text.slice(0, at)}x${text.slice(at + 1)}`);
  const again = objects(texts);
  const parsed = await (await openKeptParses(folder)).parse([a, b], again);
  t.strictSame(again.read, [b]);
  t.strictSame(parsed.get(b), parseFile(manifest('b')));
});

t.test('where a crash left holes all is read again', async (t) => {
  const folder = t.testdir();
  await (await openKeptParses(folder)).parse([a, b], objects(texts));
  const file = await fileIn(folder);
  const bytes = await readFile(file);
  await writeFile(file, bytes.fill(0, bytes.lastIndexOf('greeting'), bytes.lastIndexOf('Gr')));
  const again = objects(texts);
  const parsed = await (await openKeptParses(folder)).parse([a, b], again);
  t.strictSame(again.read, [a, b]);
  t.strictSame(parsed.get(b), parseFile(manifest('b')));
});

t.test('a file that cannot be written costs nothing but time', async (t) => {
  const folder = t.testdir();
  const parses = await openKeptParses(folder);
  await rm(folder, { recursive: true });
  t.strictSame((await parses.parse([a], objects(texts))).get(a), parseFile(manifest('a')));
});

t.test('lines of blobs that no commit uses any more are dropped once there are many', async (t) => {
  const folder = t.testdir();
  await (await openKeptParses(folder)).parse([a], objects(texts));
  const file = await fileIn(folder);
  const stale = `"${'x'.repeat(1024 * 1024)}"`;
  for (let index = 100; index < 110; index++) await appendFile(file, `${oidOf(index)} ${stale}\n`);
  const again = objects(texts);
  await (await openKeptParses(folder)).parse([a, b], again);
  t.strictSame(again.read, [b]);
  t.ok((await stat(file)).size < 10_000);
  const last = objects(texts);
  await (await openKeptParses(folder)).parse([a, b], last);
  t.strictSame(last.read, [], 'what is used is still there');
});
