import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { parse } from 'yaml';
import type { State } from '../../src/rollout/state.ts';
import { shop } from '../status/examples.ts';
import { at, commitFile, examples, MAIN, type Workplace, writeStatus } from './cli.ts';

const settledTomcat = (): State => {
  const { rollout: _, ...rest } = shop();
  return { ...rest, settled: { ...rest.settled, goals: [], versions: {} }, operations: {} };
};

async function withStatus(t: Parameters<typeof examples>[0]): Promise<Workplace> {
  const place = await examples(t);
  await writeStatus(place, [
    ['Service/shop', shop()],
    ['Workload/tomcat', settledTomcat()],
  ]);
  return place;
}

t.test('status shows a line for each resource, and all about one; what is paused is 1', async (t) => {
  const place = await withStatus(t);
  const all = await place.sluice('status');
  t.equal(all.code, 1);
  const [head = '', first = '', second = ''] = all.stdout.split('\n');
  t.match(head, /^RESOURCE +HEALTH +ROLLOUT +PROGRESS +MESSAGE$/);
  t.match(
    first,
    /^Service\/shop +Paused +7 Paused \(Step\) +\S+ 1\/1 stage 2 of 3 \(10 %\) +10 % is reached and waits/,
  );
  t.match(second, /^Workload\/tomcat +Healthy +- /);
  t.match(all.stdout, /sluice\/status [0-9a-f]{10}, written .* ago\n$/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no colours in a pipe
  t.notMatch(all.stdout, /\u001b/);

  const one = await place.sluice('status', 'Workload/tomcat');
  t.equal(one.code, 0);
  const detail = await place.sluice('status', 'Service/shop');
  t.match(detail.stdout, /^rollout 7: upgrade to 12e4567890, Paused \(Step\), /m);
  t.match(detail.stdout, /^ {2}Waiting +\S+ 1\/1 +10 %: 10 % to v8, 90 % to v7/m);
  t.match(detail.stdout, /^shop-7-pause-k2f9 +refused .*rollout 7 is paused already$/m);
});

t.test('status as JSON and YAML is the document that the branch holds', async (t) => {
  const place = await withStatus(t);
  const file = parse(await place.git('show', 'sluice/status:status/service/shop.yaml'));
  t.same(JSON.parse((await place.sluice('status', 'Service/shop', '--output', 'json')).stdout), file);
  t.same(parse((await place.sluice('status', 'Service/shop', '--output', 'yaml')).stdout), file);
  const all = JSON.parse((await place.sluice('status', '--output', 'json')).stdout);
  t.same(
    all.map(({ resource }: { resource: string }) => resource),
    ['Service/shop', 'Workload/tomcat'],
  );
});

t.test('a status that somebody spoilt is named, and hides no other', async (t) => {
  const place = await withStatus(t);
  await place.git('checkout', '--quiet', 'sluice/status');
  await commitFile(place, 'status/service/shop.yaml', 'health: fine\n', 'by hand');
  await place.git('checkout', '--quiet', 'main');
  const { stdout, stderr } = await place.sluice('status');
  t.match(stdout, /^Workload\/tomcat +Healthy/m);
  t.notMatch(stdout, 'Service/shop');
  t.match(stderr, /^status\/service\/shop\.yaml.*restore the file/m);
});

t.test('the status of a remote is fetched, and of an address read without a clone', async (t) => {
  const origin = await withStatus(t);
  await origin.git('clone', '--quiet', '.', '../clone');
  const clone = at(origin.home, join(origin.home, 'clone'));
  t.match((await clone.sluice('status', 'Service/shop')).stdout, /Paused \(Step\)/);
  await writeStatus(origin, [['Service/shop', settledTomcat()]]);
  t.match((await clone.sluice('status', 'Service/shop')).stdout, /^Service\/shop {2}Healthy/);
  await clone.git('remote', 'set-url', 'origin', join(origin.home, 'gone'));
  const stale = await clone.sluice('status', 'Service/shop');
  t.match(stale.stdout, /^Service\/shop {2}Healthy/);
  t.match(stale.stderr, /^could not ask origin: /);
});

t.test('status --watch tells a change in a line when nobody looks on', async (t) => {
  const place = await withStatus(t);
  const env = { PATH: process.env.PATH ?? '', HOME: place.home };
  const child = spawn(process.execPath, [MAIN, 'status', '--watch'], { cwd: place.repo, env });
  t.teardown(() => child.kill('SIGKILL'));
  let seen = '';
  child.stdout.on('data', (data) => {
    seen += data;
  });
  const until = async (pattern: RegExp) => {
    for (let tries = 0; !pattern.test(seen); tries++) {
      if (tries > 200) throw new Error(`not seen: ${pattern}\n${seen}`);
      await sleep(50);
    }
  };
  await until(/Service\/shop Paused rollout 7 Paused, 10 % 1\/1: /);
  await writeStatus(place, [
    ['Service/shop', settledTomcat()],
    ['Workload/tomcat', settledTomcat()],
  ]);
  await until(/Service\/shop Healthy/);
  t.equal(seen.match(/Workload\/tomcat/g)?.length, 1, 'what did not change is told once');
  child.kill('SIGINT');
  await once(child, 'close');
});

t.test('history lists rollouts, the newest first', async (t) => {
  const place = await withStatus(t);
  const { code, stdout } = await place.sluice('history', 'Service/shop');
  t.equal(code, 0);
  t.match(
    stdout,
    /^ID +CAUSE.*\n7 +upgrade +Paused +c2c2c2c2c2 .*\n6 +upgrade +Succeeded +1111111111 +ab12cd34ef .* 4s /,
  );
});

t.test('predict asks the observed traffic by the rules of the router', async (t) => {
  const place = await examples(t);
  const match = shop();
  const rules = [{ version: 'v8', query: { beta: '1*' } }];
  const policy = { kind: 'match' as const, rules, default: 'v7' };
  match.settled.goals = [{ kind: 'traffic', policy }];
  await writeStatus(place, [
    ['Service/search', match],
    ['Service/shop', shop()],
  ]);
  const ask = (name: string, url: string) => place.sluice('predict', `Service/${name}`, '--url', url);
  t.equal((await ask('search', 'http://search.localhost/?beta=12')).stdout, 'v8\n');
  t.equal((await ask('search', 'http://search.localhost/?beta=2')).stdout, 'v7\n');
  t.equal((await ask('shop', 'http://shop.localhost/')).stdout, '100 % to v7\n');
});

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
  t.match((await place.sluice('plan', '--format', 'markdown')).stdout, /^### Sluice: 1 resource would change/);
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
