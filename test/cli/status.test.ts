import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { parse } from 'yaml';
import { resolveAddress } from '../../src/git/clone.ts';
import type { State } from '../../src/rollout/state.ts';
import { openRouter, stopRouter } from '../../src/target/local/router/client.ts';
import { shop, shopLive } from '../status/examples.ts';
import { ask, backend, shop as routed } from '../target/local/router/fixtures.ts';
import { at, commitFile, examples, MAIN, type Workplace, writeStatus } from './cli.ts';

const settledTomcat = (): State => {
  const { rollout: _, ...rest } = shop();
  return { ...rest, settled: { ...rest.settled, goals: [], versions: {} }, operations: {} };
};

async function withStatus(t: Parameters<typeof examples>[0]): Promise<Workplace> {
  const place = await examples(t);
  await writeStatus(place, [
    ['Service/shop', shop(), shopLive()],
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
  t.match(detail.stdout, /^v8 +12e4567890 +1\/2 +v8\.shop\.localhost$/m);
  t.match(detail.stdout, /^shop-7-pause-k2f9 +refused .*rollout 7 is paused already$/m);
});

t.test('a commit that nobody takes up is named, once it is not on its way any more', async (t) => {
  const place = await withStatus(t);
  const hourAgo = { GIT_COMMITTER_DATE: `${Math.floor(Date.now() / 1000) - 3600} +0000` };
  const then = at(place.home, place.repo, hourAgo);
  const aged = await then.git(
    ...['commit-tree', 'sluice/status^{tree}', '-m', await place.git('show', '-s', '--format=%B', 'sluice/status')],
  );
  await place.git('update-ref', 'refs/heads/sluice/status', aged);
  t.notMatch((await place.sluice('status')).stderr, /Behind/, 'all is taken up');
  await commitFile(place, 'fresh.txt', 'x', 'fresh');
  t.notMatch((await place.sluice('status')).stderr, /Behind/, 'it may be on its way');
  await then.git('commit', '--quiet', '--amend', '--no-edit');
  const tip = await place.git('rev-parse', 'HEAD');
  t.match(
    (await place.sluice('status')).stderr,
    `Behind  commit ${tip.slice(0, 10)} of main, made 1h ago, is not taken up: see that the operator runs`,
  );
  await place.git('branch', 'other', 'HEAD~1');
  t.notMatch((await place.sluice('status')).stderr, /Behind/, 'the operator is at another branch');
});

t.test('what was not observed is not claimed', async (t) => {
  const place = await examples(t);
  await writeStatus(place, [['Service/shop', shop()]]);
  const { stdout } = await place.sluice('status', 'Service/shop');
  t.match(stdout, /^revision {2}none observed$/m);
  t.match(stdout, /^ {2}Waiting +\? +10 %: /m);
  t.match(stdout, /^v8 +12e4567890 +not observed$/m);
  t.notMatch(stdout, /^traffic/m);
});

t.test('what the router of this machine has counted stands beside the status, and only while it answers', async (t) => {
  const place = await withStatus(t);
  const { key } = await resolveAddress(place.repo);
  const data = join(place.home, 'data');
  await mkdir(join(data, key), { recursive: true });
  const router = await openRouter({ dataDir: join(data, key), listen: { host: '127.0.0.1', port: 0 } });
  t.teardown(() => stopRouter(join(data, key)));
  const good = await backend(t, (_, response) => response.end('good'));
  const bad = await backend(t, (_, response) => response.writeHead(500).end());
  await router.set('Service/shop', routed({ v7: [good.port], v8: [bad.port] }));
  await router.set('Workload/tomcat', { ...routed({ '': [good.port] }), host: 'tomcat.localhost' });
  const { port } = router.address();
  for (const host of ['v7', 'v7', 'v8']) await ask(port, { host: `${host}.shop.localhost` });
  await ask(port, { host: 'tomcat.localhost' });
  await router.close();

  const text = await place.sluice('status', 'Service/shop', '--data-dir', data);
  t.match(text.stdout, /^VERSION +REVISION +READY +REQUESTS +ERRORS +P50 +P99 +ADDRESS$/m);
  t.match(text.stdout, /^v7 +ab12cd34ef +2\/2 +2 +0 +[\d.]+ ms +[\d.]+ ms +v7\.shop\.localhost$/m);
  t.match(text.stdout, /^v8 +12e4567890 +1\/2 +1 +1 +/m);
  const workload = await place.sluice('status', 'Workload/tomcat', '--data-dir', data);
  t.match(workload.stdout, /^requests {2}1, 0 errors, p50 [\d.]+ ms, p99 [\d.]+ ms$/m);

  const committed = parse(await place.git('show', 'sluice/status:status/service/shop.yaml'));
  const json = await place.sluice('status', 'Service/shop', '--data-dir', data, '--output', 'json');
  const { router: counted, ...rest } = JSON.parse(json.stdout);
  t.same(rest, committed);
  t.match(counted, [
    { version: 'v7', requests: 2, errors: 0 },
    { version: 'v8', requests: 1, errors: 1 },
  ]);
  const yaml = await place.sluice('status', '--data-dir', data, '--output', 'yaml');
  t.match(parse(yaml.stdout), [{ router: counted }, { router: [{ requests: 1, errors: 0 }] }]);

  await stopRouter(join(data, key));
  const without = await place.sluice('status', 'Service/shop', '--data-dir', data);
  t.match(without.stdout, /^VERSION +REVISION +READY +ADDRESS$/m);
  const nothing = await place.sluice('status', 'Service/shop', '--data-dir', data, '--output', 'json');
  t.same(JSON.parse(nothing.stdout), committed);
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
  const rules = [{ version: 'v8', query: { beta: '1*' } }];
  const policy = { kind: 'match' as const, rules, default: 'v7' };
  await writeStatus(place, [
    ['Service/search', shop(), { ...shopLive(), traffic: policy }],
    ['Service/shop', shop(), shopLive()],
    ['Service/idle', shop()],
  ]);
  const ask = (name: string, url: string) => place.sluice('predict', name, '--url', url);
  t.equal((await ask('search', 'http://search.localhost/?beta=12')).stdout, 'v8\n');
  t.equal((await ask('Service/search', 'http://search.localhost/?beta=2')).stdout, 'v7\n');
  t.equal((await ask('shop', 'http://shop.localhost/')).stdout, '90 % to v7, 10 % to v8\n');
  const idle = await ask('idle', 'http://idle.localhost/');
  t.same([idle.code, idle.stdout], [1, '']);
  t.match(idle.stderr, /^error: Service\/idle takes no traffic yet/m);
  const unknown = await ask('other', 'http://other.localhost/');
  t.equal(unknown.code, 2);
  t.match(unknown.stderr, /nothing is known of Service\/other; known: Service\/idle, /);
});
