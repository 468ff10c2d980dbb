/** Inputs of all kinds, others each day, for a short while; `npm run fuzz` goes on for longer. And what it has found, for ever. */
import t from 'tap';
import { campaign, told } from './fuzz/campaign.ts';
import { SUBJECTS } from './fuzz/subjects.ts';

const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Date.now() / 86_400_000));
const MS = 15_000;

const key = new Uint8Array(0);
/** By what was wrong. */
const FOUND: Record<string, [subject: string, input: unknown]> = {
  'a pattern of host keys that took for ever': [
    'hosts',
    [`${'*a'.repeat(30)} ssh-ed25519 AAAA\n[h*]:22 ssh-ed25519 AAAA`, `${'a'.repeat(250)}b`, key],
  ],
};

t.test('what was found before', async (t) => {
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
