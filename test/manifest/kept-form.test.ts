/** A parsed file as a line: nothing is lost, and nothing that is cut off passes for whole. */
import t from 'tap';
import { fromLine, toLine } from '../../src/manifest/kept-form.ts';
import { parseFile } from '../../src/manifest/parse.ts';

const workload = (name: string, greeting: string) => `apiVersion: sluice/v1
kind: Workload
metadata: {name: ${name}}
spec: {template: {spec: {containers: [{name: web, image: "web:1", args: [${greeting}]}]}}}
`;
const MANY = [
  workload('web', '"a\\tb\\n\\"c\\" Grüße, 世界"'),
  'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {tab: "\\t"}\n',
  workload('shop', 'x'),
  workload('wrong', 'x').replace('image', 'imge'),
].join('---\n');

t.test('a file of many documents comes back as it was, from one line', async (t) => {
  const parsed = parseFile(MANY);
  t.equal(parsed.documents.length, 4);
  t.equal(parsed.diagnostics.length > 0, true);
  const line = toLine(parsed);
  t.notMatch(line, /[\r\n]/);
  t.strictSame(fromLine(line), parsed);
});

t.test('a line that lacks a text, or has one too many, is none', async (t) => {
  const line = toLine(parseFile(MANY));
  t.throws(() => fromLine(line.slice(0, line.lastIndexOf('\t'))));
  t.throws(() => fromLine(`${line}\tmore`));
});
