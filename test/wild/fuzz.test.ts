/** Inputs of all kinds, others each day, for a short while; `npm run fuzz` goes on for longer. And what it has found, for ever. */
import t from 'tap';
import { campaign, told } from './fuzz/campaign.ts';
import { closeRouters } from './fuzz/router.ts';
import { SUBJECTS } from './fuzz/subjects.ts';

const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Date.now() / 86_400_000));
const MS = 15_000;

const key = new Uint8Array(0);
const HOST = 'Host: shop.localhost';
/** By what was wrong. */
const FOUND: Record<string, [subject: string, input: unknown]> = {
  'a pattern of host keys that took for ever': [
    'hosts',
    [`${'*a'.repeat(30)} ssh-ed25519 AAAA\n[h*]:22 ssh-ed25519 AAAA`, `${'a'.repeat(250)}b`, key],
  ],
  'a client that leaves while its second request waits for its turn': [
    'router',
    {
      bytes: `POST / HTTP/1.1\r\n${HOST}\r\n\r\nGET /a HTTP/1.1\r\n${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n5`,
      cuts: [1],
      leaves: 'at once',
    },
  ],
  'an upgrade behind a request that is under way': [
    'router',
    {
      bytes: `GET / HTTP/1.1\r\n${HOST}\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n`,
      cuts: [],
      leaves: 'by itself',
    },
  ],
  'a CONNECT that claims a body': [
    'router',
    {
      bytes: `CONNECT / HTTP/1.1\r\n${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      cuts: [],
      leaves: 'by itself',
    },
  ],
  'a request behind one that is refused': [
    'router',
    {
      bytes: `PUT / HTTP/1.1\r\n\r\nPUT / HTTP/1.1\r\n${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n`,
      cuts: [],
      leaves: 'by itself',
    },
  ],
  'control characters in what a diagnostic cites': ['manifests', '*a\u0001'],
  'control characters in the name of a resource': [
    'manifests',
    'apiVersion: sluice/v1\nkind: Operation\nspec:\n  resource: "\\0"\n  action: skip\n---\nnull\n',
  ],
  'control characters after a backslash': ['manifests', 'a: "\\\u0001"\n'],
};

t.test('what was found before', async (t) => {
  t.teardown(closeRouters);
  for (const [what, [subject, input]] of Object.entries(FOUND)) {
    const before = process.cpuUsage().user;
    await SUBJECTS[subject]?.check(input as never);
    t.ok(process.cpuUsage().user - before < 1e6, what);
  }
});

t.test(`seed ${SEED}; FUZZ_SEED repeats it`, async (t) => {
  const done = await campaign(Object.keys(SUBJECTS), SEED, MS);
  t.same(done.flatMap(({ findings }) => findings).map(told), []);
  t.ok(
    done.some(({ tried }) => tried > 0),
    'inputs were tried',
  );
});
