import { readdirSync } from 'node:fs';
import t from 'tap';
import { clean, commit, git, image, operator, place, service, settled, sluice, status, until } from '../e2e/support.ts';

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
