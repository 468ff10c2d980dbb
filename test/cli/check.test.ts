import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { targetOf } from '../e2e/hosts.ts';
import {
  clean,
  commit,
  git,
  image,
  operator,
  type Place,
  place,
  service,
  settled,
  sluice,
  status,
} from '../e2e/support.ts';
import { until } from '../support/until.ts';
import { noSshd, startHosts } from '../target/ssh/hosts.ts';

t.test('check asks what a rollout would ask, says it line by line, and changes nothing', async (t) => {
  const at = await place({ 'shop.yaml': service('shop', 'hello:1'), ...image('hello', '1') });
  const check = (...args: string[]) => sluice(at, 'check', ...args, '--state-dir', at.state, '--data-dir', at.data);
  const early = await check('Service/shop');
  t.equal(early.code, 1);
  t.match(early.output, /^error: .* there is no .*targets\/local|^error: no router runs for .*sluice run/);

  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Service/shop', 1);
  const refs = git(at.repo, 'for-each-ref');
  const units = readdirSync(at.data, { recursive: true }).length;
  const passed = await check('service/shop');
  t.equal(passed.code, 0, passed.output);
  t.match(passed.output, /^pass {2}references +/m);
  t.match(passed.output, /^pass {2}images +1 found$/m);
  t.match(passed.output, /^pass {2}router +/m);
  t.notMatch(passed.output, /^fail/m);
  t.equal(git(at.repo, 'for-each-ref'), refs);
  t.equal(readdirSync(at.data, { recursive: true }).length, units);

  const broken = { 'images/hello/2/image.yaml': 'command: [no-such-program]\n' };
  commit(at, { 'shop.yaml': service('shop', 'hello:2'), ...broken }, 'shop 2');
  const failed = await check('Service/shop');
  t.equal(failed.code, 1);
  t.match(failed.output, /^fail {2}images .*no-such-program is not on this machine's PATH; correct/m);
  t.match(failed.output, /^pass {2}secrets +/m, 'all are asked, whatever the others say');
  await until('the rollout fails for the same reason', () => status(at, 'Service/shop').rollout.phase === 'Failed');
  const told = status(at, 'Service/shop').rollout.prechecks.find(({ name }: { name: string }) => name === 'images');
  t.match(failed.output, told.message);

  const unknown = await check('Service/other');
  t.equal(unknown.code, 2);
  t.match(unknown.output, /^error: Service\/other is not declared; declared: Service\/shop$/m);

  commit(at, { 'shop.yaml': service('shop', 'hello:2', '  replicaz: 3\n') }, 'invalid');
  const invalid = await check('Service/shop');
  t.equal(invalid.code, 1);
  t.match(invalid.output, /^error: the declared manifest of Service\/shop is invalid: sluice validate$/m);
});

const fleet = (more: string) => `apiVersion: sluice/v1\nkind: Fleet\nmetadata: {name: web}\nspec:\n${more}`;
const cluster = (version: string, more: string) =>
  `apiVersion: sluice/v1\nkind: Cluster\nmetadata: {name: prod}\nspec:\n  version: ${version}\n${more}`;

const check = (at: Place, id: string) => sluice(at, 'check', id, '--state-dir', at.state, '--data-dir', at.data);
const filesBelow = (folder: string) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
/** `pass`, `warn`, `fail`: those of them that some line begins with. */
const outcomes = (output: string) => [
  ...new Set(output.split('\n').flatMap((line) => /^(pass|warn|fail) {2}/.exec(line)?.[1] ?? [])),
];

t.test('a fleet of this machine is checked over its instances, which stay as they are', async (t) => {
  const at = await place({ 'web.yaml': fleet('  size: 2\n  image: hello:1\n'), ...image('hello', '1') });
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Fleet/web', 1);
  const before = filesBelow(at.data);
  const passed = await check(at, 'fleet/web');
  t.equal(passed.code, 0, passed.output);
  t.match(passed.output, /^pass {2}instances +2 in service$/m);
  t.match(passed.output, /^pass {2}images +hello:1$/m);
  t.strictSame(outcomes(passed.output), ['pass']);
  t.strictSame(filesBelow(at.data), before);

  commit(at, { 'web.yaml': fleet('  size: 2\n  script: {interpreter: bat, run: up}\n') }, 'bat');
  const failed = await check(at, 'Fleet/web');
  t.equal(failed.code, 1);
  t.match(failed.output, /^fail {2}scripts +this machine cannot run a bat script.*; install it, or write/m);
});

t.test('a cluster of this machine: what its nodes run, and what the manifest asks of each', async (t) => {
  const at = await place({ ...image('node', '1.35.0'), ...image('node', '1.34.0') });
  const asks = `  upgrade: {versionCommand: [echo, 1.35.0]}\n  prechecks: [{command: [test, -e, ${at.root}/well]}]\n`;
  const prod = (version: string) => cluster(version, `  image: node\n  nodes: 1\n${asks}`);
  commit(at, { 'prod.yaml': prod('1.35.0') }, 'prod');
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Cluster/prod', 1);
  const ill = await check(at, 'Cluster/prod');
  t.equal(ill.code, 1);
  t.match(ill.output, /^fail {2}prechecks\[0\] +prod-cp-1: /m);
  t.match(ill.output, /^fail {2}prechecks\[0\] +prod-node-1: /m);
  writeFileSync(join(at.root, 'well'), '');
  const well = await check(at, 'Cluster/prod');
  t.equal(well.code, 0, well.output);
  t.match(well.output, /^pass {2}version +1\.35\.0 may follow/m);
  t.match(well.output, /^pass {2}nodes +2 ready$/m);

  commit(at, { 'prod.yaml': prod('1.34.0') }, 'down');
  const down = await check(at, 'Cluster/prod');
  t.equal(down.code, 1);
  t.match(
    down.output,
    /^fail {2}version +a cluster is never downgraded: 1\.34\.0 is below what runs on prod-cp-1 \(1\.35\.0\)/m,
  );
});

t.test('hosts are checked without an operator, and nothing is left on them', { skip: noSshd }, async (t) => {
  const labels = (name: string) => ({ role: name === 'm-1' ? 'control-plane' : 'node' });
  const hosts = await startHosts(t, { names: ['m-1', 'n-1'], labels });
  for (const { home } of hosts.hosts) writeFileSync(join(home, 'version'), '1.35.0\n');
  const upgrade = '  upgrade: {script: {run: exit 1}, versionCommand: [cat, version]}\n';
  const prod = (version: string) => cluster(version, `  target: hosts\n${upgrade}`);
  const at = await place({ 'hosts.yaml': targetOf(hosts), 'prod.yaml': prod('1.36.0') });
  t.teardown(() => clean(at));
  const passed = await check(at, 'Cluster/prod');
  t.equal(passed.code, 0, passed.output);
  t.match(passed.output, /^pass {2}version +1\.36\.0 may follow/m);
  t.match(passed.output, /^pass {2}hosts +all 2 answer$/m);
  for (const { home } of hosts.hosts) t.strictSame(filesBelow(home), ['version']);

  commit(at, { 'prod.yaml': prod('1.38.0') }, 'too far');
  const far = await check(at, 'Cluster/prod');
  t.equal(far.code, 1);
  t.match(far.output, /^fail {2}version +from m-1 \(1\.35\.0\) to 1\.38\.0 is more than one minor; upgrade one/m);

  const web = fleet('  target: hosts\n  selector: {role: node}\n  script: {interpreter: bat, run: up}\n');
  commit(at, { 'prod.yaml': '', 'web.yaml': web }, 'a fleet');
  const bat = await check(at, 'Fleet/web');
  t.equal(bat.code, 1);
  t.match(bat.output, /^pass {2}instances +1 in service$/m);
  t.match(bat.output, /^fail {2}interpreter +n-1 \(no cmd\.exe\); install cmd\.exe there, or write/m);
  await hosts.hosts[1]?.stop();
  const silent = await check(at, 'Fleet/web');
  t.equal(silent.code, 1);
  t.match(silent.output, /^fail {2}instances +none is in service; bring them up/m);
});
