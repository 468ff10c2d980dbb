/** Nothing that somebody may commit stops anything else, and each is told at its place. */
import { symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../support/until.ts';
import { BAD } from './bad-manifests.ts';
import {
  alive,
  clean,
  commit,
  get,
  git,
  image,
  load,
  logged,
  logs,
  operator,
  paused,
  place,
  processes,
  settled,
  sluice,
  status,
  statusOf,
  workload,
} from './support.ts';

const HELLO = { ...image('hello', '7'), ...image('hello', '8') };

t.test('manifests that cannot be used are told at their places, and what is good beside them upgrades', async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7'), ...HELLO });
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Workload/web', 1);

  for (const { file, text } of BAD) writeFileSync(join(at.repo, file), text);
  symlinkSync('web.yaml', join(at.repo, 'link.yaml'));
  symlinkSync('/etc', join(at.repo, 'images/hello/link'));
  writeFileSync(join(at.repo, 'web.yaml'), workload('web', 'hello:8'));
  git(at.repo, 'add', '-A');
  git(at.repo, 'update-index', '--add', '--cacheinfo', `160000,${'a'.repeat(40)},sub.yaml`);
  git(at.repo, 'commit', '-q', '-m', 'much at once');
  await settled(at, 'Workload/web', 2);
  t.same(await get(at, 'web.localhost'), { status: 200, body: '8' });

  const lines = logged(running);
  for (const { says } of BAD)
    t.equal(lines.filter((line) => line.startsWith(`warn ${says}`)).length, 1, `told once: ${says}`);
  t.ok(
    lines.some((line) => line.startsWith('warn link.yaml:1:1: it is a link')),
    'a link',
  );
  t.ok(
    lines.some((line) => line.startsWith('warn sub.yaml:1:1: it is a submodule')),
    'a submodule',
  );
  t.notOk(lines.some((line) => line.includes('hunter2')));
  for (const { says, resource } of BAD) {
    if (resource === undefined) continue;
    const now = await until(`the status of ${resource}`, () => status(at, resource));
    t.match(now, { health: 'Invalid', message: says });
  }
  t.test('validate says the same, and says no', async (t) => {
    const { code, output } = await sluice(at, 'validate');
    t.equal(code, 1);
    for (const { says } of BAD) t.match(output, says);
  });
});

t.test('a valid manifest that turns invalid: the last valid version goes on, also after a restart', async (t) => {
  const at = await place({
    'web.yaml': workload('web', 'hello:7'),
    'other.yaml': workload('other', 'hello:7', 1),
    ...HELLO,
  });
  let running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Workload/web', 1);
  await settled(at, 'Workload/other', 1);
  const before = alive(at, 'Workload/web');
  const traffic = load(at, 'web.localhost');

  commit(at, { 'web.yaml': workload('web', 'hello:8', 2, '  replica: 3\n') }, 'a mistake');
  const invalid = await statusOf(at, 'Workload/web', 'Invalid', (now) => now.health === 'Invalid');
  t.match(invalid.message, 'web.yaml:6:3 spec.replica: unknown field');
  commit(at, { 'web.yaml': 'kind: [\n', 'other.yaml': workload('other', 'hello:8', 1) }, 'not even YAML');
  await settled(at, 'Workload/other', 2);
  await until('the place', () => /web\.yaml:2:1/.test(status(at, 'Workload/web')?.message ?? ''));
  t.same(alive(at, 'Workload/web'), before, 'the same processes');

  running.process.kill('SIGKILL');
  await running.exit;
  const [victim] = processes(at, 'Workload/web');
  running = operator(at);
  await logs(running, /web\.yaml:2:1/);
  const { lost } = await traffic.stop();
  t.same(lost, []);
  if (victim === undefined) throw new Error('no unit runs');
  process.kill(victim.pid, 'SIGKILL');
  await until('the last valid version is repaired', () => {
    const now = alive(at, 'Workload/web');
    return now.size === 2 && !now.has(victim.attempt);
  });
  t.equal(status(at, 'Workload/web').rollout.id, 1);
  commit(at, { 'web.yaml': workload('web', 'hello:8') }, 'mended');
  await settled(at, 'Workload/web', 2);
  t.same(await get(at, 'web.localhost'), { status: 200, body: '8' });
});

t.test('an image whose program is not there fails its precheck, and nothing is touched', async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7'), ...HELLO });
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Workload/web', 1);
  const before = alive(at, 'Workload/web');
  const bad = { 'images/hello/9/image.yaml': 'command: [no-such-program]\n', 'web.yaml': workload('web', 'hello:9') };
  commit(at, bad, 'no such program');
  const failed = await statusOf(at, 'Workload/web', 'fails', (now) => now.rollout?.phase === 'Failed');
  t.equal(failed.health, 'Degraded');
  t.match(failed.message, /images: container web: program no-such-program is not/);
  t.same(alive(at, 'Workload/web'), before);
  t.same(await get(at, 'web.localhost'), { status: 200, body: '7' });
});

t.test('units that cannot run: the resource and the unit are named, what served serves on', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as { port: number };
  const cases: Record<string, { image: string; says: RegExp }> = {
    'not-a-program': { image: 'command: [./image.yaml]', says: /image\.yaml/ },
    exits: { image: 'command: [node, -e, "process.exit(3)"]', says: /exited with code 3/ },
    deaf: { image: 'command: [node, -e, "setInterval(() => {}, 1000)"]', says: /does not listen|not ready|listen/ },
    taken: {
      image: `command: [node, -e, "net.createServer().listen(${port}, '127.0.0.1')"]`,
      says: /exited with code 1/,
    },
    elsewhere: {
      image: `command: [node, -e, "net.createServer().listen(0, '127.0.0.1')"]`,
      says: /listen/,
    },
  };
  const names = Object.keys(cases);
  const slow = '  progressDeadlineSeconds: 3\n';
  const at = await place({
    'good.yaml': workload('good', 'hello:7', 1),
    ...Object.fromEntries(names.map((name) => [`${name}.yaml`, workload(name, 'hello:7', 1)])),
    ...HELLO,
  });
  const running = operator(at);
  t.teardown(async () => {
    await clean(at, running);
    await new Promise((resolve) => taken.close(resolve));
  });
  for (const name of ['good', ...names]) await settled(at, `Workload/${name}`, 1);

  const changes: Record<string, string> = { 'good.yaml': workload('good', 'hello:8', 1) };
  for (const [name, { image }] of Object.entries(cases)) {
    changes[`images/bad/${name}/image.yaml`] = `${image}\n`;
    changes[`${name}.yaml`] = workload(name, `bad:${name}`, 1, slow);
  }
  commit(at, changes, 'all of them');
  await settled(at, 'Workload/good', 2);
  for (const [name, { says }] of Object.entries(cases)) {
    const id = `Workload/${name}`;
    const now = await paused(at, id, 2, 'Failure');
    t.match(now.message, says, id);
    t.match(now.message, new RegExp(`${name}-\\d`), `${id} names the unit`);
    const units = now.rollout.stages.flatMap((stage: { units?: unknown[] }) => stage.units ?? []);
    t.ok(
      units.some((unit: { message?: string }) => says.test(unit.message ?? '')),
      `${id} says it at the unit: ${JSON.stringify(units)}`,
    );
    t.same(await get(at, `${name}.localhost`), { status: 200, body: '7' }, `${id} serves on`);
  }
  t.test('a revert brings each back', async (t) => {
    git(at.repo, 'revert', '--no-edit', 'HEAD');
    for (const name of names) {
      await until(`${name} is back`, () => status(at, `Workload/${name}`)?.health === 'Healthy');
      await until(`${name} has one process`, () => alive(at, `Workload/${name}`).size === 1);
      t.same(await get(at, `${name}.localhost`), { status: 200, body: '7' });
    }
  });
});

t.test('the address of the router is taken: the operator says which, and touches nothing', async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'hello:7'), ...HELLO });
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(at.port, '127.0.0.1', resolve));
  const running = operator(at);
  t.teardown(async () => {
    await clean(at, running);
    await new Promise((resolve) => taken.close(resolve));
  });
  t.equal(await running.exit, 1);
  t.match(running.output(), new RegExp(`127\\.0\\.0\\.1:${at.port}`));
  t.match(running.output(), /--router/);
  t.equal(alive(at, 'Workload/web').size, 0);
});
