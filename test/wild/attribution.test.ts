/** A lost request is held against a replica that was killed only where nothing else can be true. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { attributed, OF_THE_KILLED } from './attribution.ts';

const HOSTS = ['web.localhost', 'shop.localhost'];
/** Request 2 goes to the first host, and was under way from 5000 to 5040. */
const LOST = { number: 2, began: 5000, ended: 5040, what: '502' };
const killed = (pid: number, at: number, host = 'web.localhost') => ({ pid, at, host });

const CASES: Record<string, { notes: Record<string, string>; kills: ReturnType<typeof killed>[]; counts: boolean }> = {
  'it was on the killed one': { notes: { 'web-1.a-7': '0\nanswered 0\n2\n' }, kills: [killed(7, 5020)], counts: true },
  'the killed one had answered it just then': {
    notes: { 'web-1.a-7': '2\nanswered 2\n' },
    kills: [killed(7, 5020)],
    counts: true,
  },
  'the killed one had answered it long before': {
    notes: { 'web-1.a-7': '2\nanswered 2\n' },
    kills: [killed(7, 9000)],
    counts: false,
  },
  'one that lives had it': { notes: { 'web-1.a-7': '2\n' }, kills: [killed(8, 5020)], counts: false },
  'one that lives had it too': {
    notes: { 'web-1.a-7': '2\n', 'web-2.b-8': '2\n' },
    kills: [killed(7, 5020)],
    counts: false,
  },
  'nobody read it, and one was killed': { notes: { 'web-1.a-7': '0\n' }, kills: [killed(7, 5020)], counts: true },
  'nobody read it, and one of another host was killed': {
    notes: { 'web-1.a-7': '0\n' },
    kills: [killed(9, 5020, 'shop.localhost')],
    counts: false,
  },
  'nobody read it, and none was killed then': {
    notes: { 'web-1.a-7': '0\n' },
    kills: [killed(7, 2000), killed(8, 5041)],
    counts: false,
  },
  'nobody read it, one was killed and another was stopped': {
    notes: { 'web-1.a-7': '0\n', 'web-2.b-8': '0\nstops 4900\n' },
    kills: [killed(7, 5020)],
    counts: false,
  },
  'nobody read it, one was killed and one of another host was stopped': {
    notes: { 'web-1.a-7': '0\n', 'shop-2.b-8': '1\nstops 4900\n' },
    kills: [killed(7, 5020)],
    counts: true,
  },
};

const root = mkdtempSync(join(tmpdir(), 'sluice-attribution-'));
t.teardown(() => rmSync(root, { recursive: true }));
for (const [what, { notes, kills, counts }] of Object.entries(CASES))
  t.test(what, async (t) => {
    const folder = join(root, what);
    mkdirSync(folder);
    for (const [name, text] of Object.entries(notes)) writeFileSync(join(folder, name), text);
    const found = [...attributed([LOST], HOSTS, kills, folder)];
    t.equal(found.length, 1);
    t.equal(OF_THE_KILLED.has(found[0]?.[0] ?? ''), counts, found[0]?.[0] ?? '');
    t.same(found[0]?.[1], [LOST]);
  });
