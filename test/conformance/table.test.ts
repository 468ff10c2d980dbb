import { readFileSync } from 'node:fs';
import t from 'tap';
import { BEGIN, END, tables } from './table.ts';

t.test('docs/targets.md says what each driver does', async (t) => {
  const text = readFileSync(new URL('../../../docs/targets.md', import.meta.url), 'utf8');
  const told = text.slice(text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END)).trim();
  t.equal(told, tables(), 'else: node build/test/conformance/table.js docs/targets.md');
});
