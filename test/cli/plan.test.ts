import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { shop } from '../status/examples.ts';
import { at, commitFile, examples, writeStatus } from './cli.ts';

t.test('plan tells what a branch would do, changes nothing, and is the same twice', async (t) => {
  const place = await examples(t);
  await place.git('checkout', '--quiet', '-b', 'next');
  const manifest = readFileSync(join(place.repo, 'shop.yaml'), 'utf8');
  await commitFile(place, 'shop.yaml', manifest.replace('shop:1', 'shop:2'), 'shop 2');
  const refs = await place.git('for-each-ref');
  const text = await place.sluice('plan', '--from', 'main', '--to', 'next');
  t.equal(text.code, 0);
  t.match(text.stdout, /^Service\/shop is upgraded: [0-9a-f]{10} → [0-9a-f]{10} as v/);
  t.match(text.stdout, /10 % to \S+, 90 % to v1; then soak 10 s, check GET \/health/);
  t.notMatch(text.stdout, 'Workload/tomcat');
  t.match(text.stderr, 'what --from declares is assumed to be settled');
  t.equal((await place.sluice('plan', '--from', 'main', '--to', 'next')).stdout, text.stdout);
  const markdown = await place.sluice('plan', '--from', 'main', '--format', 'markdown');
  t.match(markdown.stdout, /^### Sluice: 1 resource would change/);
  const json = JSON.parse((await place.sluice('plan', '--from', 'main', '--format', 'json')).stdout);
  t.match(json, { changes: [{ resource: 'Service/shop', change: 'upgrade' }], errors: [] });
  t.equal(await place.git('for-each-ref'), refs);
  t.equal(await place.git('status', '--porcelain'), '');

  await commitFile(place, 'tomcat.yaml', 'apiVersion: sluice/v1\nkind: [\n', 'broken');
  const broken = await place.sluice('plan', '--from', 'main');
  t.equal(broken.code, 1);
  t.match(broken.stderr, /^tomcat\.yaml:\d+:\d+/m);
  t.notMatch(broken.stdout, /tomcat is removed/, 'what cannot be read is not deleted');
});

t.test('plan without --from starts from what the operator saw last; where there was none, from nothing', async (t) => {
  const place = await examples(t);
  const first = await place.sluice('plan');
  t.equal(first.code, 0);
  t.equal(first.stdout.match(/^\w+\/\w+ is rolled out for the first time: [0-9a-f]{10}/gm)?.length, 5);
  t.match(first.stderr, 'nothing runs yet');

  await writeStatus(place, [['Service/shop', shop()]]);
  t.match((await place.sluice('plan')).stdout, 'nothing changes');
  const manifest = readFileSync(join(place.repo, 'tomcat.yaml'), 'utf8');
  await commitFile(place, 'tomcat.yaml', manifest.replace('tomcat:7', 'tomcat:8'), 'tomcat 8');
  t.match((await place.sluice('plan')).stdout, /^Workload\/tomcat is upgraded/);

  await place.git('checkout', '--quiet', 'sluice/status');
  await commitFile(place, 'note', 'hello\n', 'by hand');
  await place.git('checkout', '--quiet', 'main');
  const foreign = await place.sluice('plan');
  t.equal(foreign.code, 2);
  t.match(foreign.stderr, /name what to start from with --from/);
});

t.test(
  'in a clone with no branch checked out, as in a workflow, plan and validate work and know what runs',
  async (t) => {
    const origin = await examples(t);
    await writeStatus(origin, [['Service/shop', shop()]]);
    await origin.git('switch', '--quiet', '--create', 'next');
    const manifest = readFileSync(join(origin.repo, 'shop.yaml'), 'utf8');
    await commitFile(origin, 'shop.yaml', manifest.replace('shop:1', 'shop:2'), 'shop 2');
    await origin.git('clone', '--quiet', '.', '../clone');
    const clone = at(origin.home, join(origin.home, 'clone'));
    await clone.git('checkout', '--quiet', '--detach', 'origin/next');
    t.equal((await clone.sluice('validate', '--format', 'github')).code, 0);
    const { code, stdout, stderr } = await clone.sluice('plan', '--from', 'origin/main', '--to', 'HEAD');
    t.equal(code, 0);
    t.match(stdout, /^Service\/shop is upgraded/);
    t.match(stderr, /^what runs: sluice\/status [0-9a-f]{10}/m);
    await clone.git('switch', '--quiet', '--create', 'unpushed');
    t.match((await clone.sluice('plan', '--from', 'origin/main')).stderr, /^what runs: sluice\/status/m);
    t.match((await clone.sluice('status', 'Service/shop')).stdout, /^rollout 7: /m);
    await clone.git('checkout', '--quiet', '--detach');
    const pause = await clone.sluice('pause', 'Service/shop');
    t.equal(pause.code, 2);
    t.match(pause.stderr, /no branch checked out; check one out, or name the config branch with --branch/);
  },
);
