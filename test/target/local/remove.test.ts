import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { removeTree } from '../../../src/target/local/remove.ts';

function folder(t: Test): string {
  const made = mkdtempSync(join(tmpdir(), 'sluice-remove-'));
  t.teardown(() => rmSync(made, { recursive: true }));
  return made;
}

for (const files of [0, 3, 99, 100, 1000]) {
  t.test(`a folder of ${files} files and a folder goes as a whole, and nothing beside it`, async (t) => {
    const at = folder(t);
    mkdirSync(join(at, 'run', 'inside', 'deeper'), { recursive: true });
    for (let file = 0; file < files; file++) writeFileSync(join(at, 'run', 'inside', `${file}`), 'x');
    writeFileSync(join(at, 'run-not'), 'kept');
    await removeTree(join(at, 'run'));
    t.strictSame(readdirSync(at), ['run-not']);
  });
}

for (const beside of [0, 200]) {
  t.test(`a link goes, what it leads to stays (${beside} files beside it)`, async (t) => {
    const at = folder(t);
    for (const name of ['run', 'volume']) mkdirSync(join(at, name));
    writeFileSync(join(at, 'volume', 'data'), 'kept');
    symlinkSync('../volume', join(at, 'run', 'data'));
    for (let file = 0; file < beside; file++) writeFileSync(join(at, 'run', `${file}`), 'x');
    await removeTree(join(at, 'run'));
    t.notOk(existsSync(join(at, 'run')));
    t.strictSame(readdirSync(join(at, 'volume')), ['data']);
  });
}

t.test('a file goes, and what is not there is gone already', async (t) => {
  const at = folder(t);
  writeFileSync(join(at, 'unit.json'), '{}');
  await removeTree(join(at, 'unit.json'));
  await removeTree(join(at, 'unit.json'));
  await removeTree(join(at, 'never', 'there'));
  t.strictSame(readdirSync(at), []);
});
