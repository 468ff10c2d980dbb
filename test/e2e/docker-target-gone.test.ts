/** What serves for a target goes when the target does, and not before. */
import { readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findMaster } from '../../src/target/haproxy/router/process.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/until.ts';
import { startEngine, whyNoEngine } from '../target/docker/engine.ts';
import { noHaproxy } from '../target/haproxy/haproxy.ts';
import { clean, commit, get, image, logged, logs, operator, place, settled, status, workload } from './support.ts';

const missing = whyNoEngine() ?? (noHaproxy || undefined);
if (missing !== undefined) throw new Error(missing);
const engine = await startEngine();
t.teardown(() => engine.end());
await engine.image(
  'hello:7',
  `require('node:http').createServer((_, response) => response.end('7')).listen(process.env.PORT);
process.on('SIGTERM', () => process.exit());`,
);

const ENDED = /info target containers is not declared any more and nothing is on it: its HAProxy was ended/;
const onContainers = workload('web', 'hello:7', 1, '  target: containers\n');

t.test('the HAProxy of a target that is gone is ended, when nothing is on the target any more', async (t) => {
  const routed = await freePort();
  const target = `apiVersion: sluice/v1
kind: Target
metadata: {name: containers}
spec: {docker: {host: "${engine.host}", router: haproxy, listen: "127.0.0.1:${routed}"}}
`;
  // Others stay, so that nothing is the last of its kind.
  const others = {
    'a.yaml': workload('a', 'hello:7', 1),
    'b.yaml': workload('b', 'hello:7', 1),
    ...image('hello', '7'),
  };
  const at = await place({ ...others, 'target.yaml': target, 'web.yaml': onContainers });
  const served = { ...at, routed };
  let running = operator(at);
  t.teardown(() => clean(at, running));
  const folder = () => {
    const [key = ''] = readdirSync(at.data);
    return join(at.data, key, 'targets/containers/router');
  };
  const serves = () => findMaster(realpathSync(folder())) !== undefined;
  await settled(at, 'Workload/web', 1);
  t.match(await get(served, 'web.localhost'), { status: 200, body: '7' });

  commit(at, { 'target.yaml': '' }, 'gone, and web is still there');
  await logs(
    running,
    /warn target containers is not declared any more, but its HAProxy goes on: Workload\/web is there/,
  );
  t.match(await get(served, 'web.localhost'), { status: 200, body: '7' });

  commit(at, { 'web.yaml': '' }, 'web goes');
  await logs(running, ENDED);
  t.notOk(serves());
  await t.rejects(get(served, 'web.localhost'), /ECONNREFUSED/);
  await until('web is gone', () => status(at, 'Workload/web') === undefined);

  commit(at, { 'target.yaml': target, 'web.yaml': onContainers }, 'both again');
  await until('it is served again', () =>
    get(served, 'web.localhost').then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
  commit(at, { 'web.yaml': '' }, 'web goes again');
  await until('web is gone again', () => status(at, 'Workload/web') === undefined);

  for (const [wrong, where] of [
    [target.replace('spec: {', 'spec: '), /target\.yaml:4:7:? .*not valid YAML/],
    [target.replace('name: containers', 'name: [containers]'), /target\.yaml:3:\d+ metadata\.name/],
    [target.replace('router: haproxy', 'router: nginx'), /target\.yaml:4:\d+ spec\.docker\.router/],
  ] as const) {
    commit(at, { 'target.yaml': wrong }, 'not valid');
    await logs(running, where);
    t.ok(serves(), 'a target that cannot be read is not gone');
  }
  running.process.kill('SIGKILL');
  await running.exit;
  commit(at, { 'target.yaml': '' }, 'gone while no operator runs');
  running = operator(at);
  await logs(running, ENDED);
  t.notOk(serves());
  t.equal(logged(running).filter((line) => ENDED.test(line)).length, 1);
});
