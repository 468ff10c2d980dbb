/** Every operation as a person gives it, through the command line, to an operator that runs. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../support/until.ts';
import {
  alive,
  clean,
  commit,
  get,
  git,
  image,
  operator,
  type Place,
  paused,
  place,
  type Running,
  settled,
  sluice,
  status,
  statusOf,
  workload,
} from './support.ts';

const HELLO = { ...image('hello', '7'), ...image('hello', '8', 300), ...image('hello', '9', 300) };

interface Started {
  at: Place;
  running: Running;
}

async function started(t: Test, files: Record<string, string>, ids: string[] = ['Workload/web']): Promise<Started> {
  const at = await place({ ...HELLO, ...files });
  const running = operator(at);
  t.teardown(() => clean(at, running));
  for (const id of ids) await settled(at, id, 1);
  return { at, running };
}

async function command(t: Test, at: Place, ...args: string[]): Promise<void> {
  const { code, output } = await sluice(at, ...args);
  t.equal(code, 0, `sluice ${args.join(' ')}: ${output}`);
}

const serves = async (t: Test, at: Place, body: string) =>
  t.same(await get(at, 'web.localhost'), { status: 200, body });

/** The outcome of the last operation, as the status has it. */
const outcomes = (at: Place, action: string): { outcome: string; message: string }[] =>
  (status(at, 'Workload/web')?.operations ?? []).filter(({ name }: { name: string }) => name.includes(`-${action}-`));

/** A server that starts only when a person has mended what is outside of it. */
const needy = (needed: string) => ({
  'images/needy/1/image.yaml': 'command: [node, server.js]\n',
  'images/needy/1/server.js': `
if (!require('node:fs').existsSync(${JSON.stringify(needed)})) throw new Error('it is not there');
require('node:http').createServer((_, response) => response.end('needy')).listen(process.env.PORT, '127.0.0.1');
`,
});

/** So that there is time for a command in the middle of it. */
const SLOWLY = '  minReadySeconds: 3\n';

t.test('pause, continue, pause, cancel, retry', async (t) => {
  const { at } = await started(t, { 'web.yaml': workload('web', 'hello:7', 3) });
  commit(at, { 'web.yaml': workload('web', 'hello:8', 3, SLOWLY) }, 'web 8');
  await statusOf(at, 'Workload/web', 'rolls', (now) => now.rollout.id === 2 && now.rollout.phase === 'Progressing');
  await command(t, at, 'pause', 'Workload/web', '--reason', 'the error rate rises');
  const held = await paused(at, 'Workload/web', 2, 'Operator');
  t.equal(held.health, 'Paused');
  await until(
    'the unit under way has finished',
    () => alive(at, 'Workload/web').size === 4 || alive(at, 'Workload/web').size === 3,
  );
  await command(t, at, 'continue', 'Workload/web');
  await settled(at, 'Workload/web', 2);
  await serves(t, at, '8');

  commit(at, { 'web.yaml': workload('web', 'hello:9', 3, SLOWLY) }, 'web 9');
  await statusOf(at, 'Workload/web', 'rolls', (now) => now.rollout.id === 3 && now.rollout.phase === 'Progressing');
  await command(t, at, 'pause', 'Workload/web');
  await paused(at, 'Workload/web', 3, 'Operator');
  await command(t, at, 'cancel', 'Workload/web');
  const canceled = await statusOf(at, 'Workload/web', 'is canceled', (now) => now.rollout.phase === 'Canceled');
  t.equal(canceled.rollout.id, 3);
  t.equal(canceled.health, 'Degraded');
  t.equal((await get(at, 'web.localhost')).status, 200);
  t.notMatch(git(at.repo, 'tag', '-l'), 'sluice/workload/web/3');
  await command(t, at, 'retry', 'Workload/web');
  await settled(at, 'Workload/web', 4);
  await serves(t, at, '9');

  t.equal(outcomes(at, 'pause').length, 2);
  t.match(outcomes(at, 'pause')[0], { outcome: 'applied', message: 'paused; units under way finish' });
  t.match(outcomes(at, 'cancel')[0], { outcome: 'applied' });
  t.match(outcomes(at, 'retry')[0], { outcome: 'applied' });

  await t.test('what makes no sense is refused, and says why; files that go change nothing', async (t) => {
    await command(t, at, 'continue', 'Workload/web');
    const refused = await until('it is refused', () =>
      outcomes(at, 'continue').find(({ outcome }) => outcome === 'refused'),
    );
    t.match(refused.message, 'rollout 4 has ended: Succeeded');
    t.equal((await sluice(at, 'pause', 'Workload/other')).code, 2);
    t.equal((await sluice(at, 'pause')).code, 2);
    const before = status(at, 'Workload/web');
    git(at.repo, 'rm', '-q', '-r', 'operations');
    const removed = commit(at, { 'note.txt': 'tidied' }, 'tidy');
    await until('it is seen', () => git(at.repo, 'show', 'sluice/status:STATUS.md').includes(removed.slice(0, 10)));
    t.match(status(at, 'Workload/web'), { rollout: { id: 4 }, health: 'Healthy', settled: before.settled });
  });
});

t.test('a failed rollout pauses, and retry tries it again', async (t) => {
  const at = await place({ ...HELLO, 'web.yaml': workload('web', 'hello:7', 1) });
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Workload/web', 1);
  const needed = join(at.root, 'needed');
  const files = { ...needy(needed), 'web.yaml': workload('web', 'needy:1', 1, '  progressDeadlineSeconds: 5\n') };
  commit(at, files, 'needy');
  await paused(at, 'Workload/web', 2, 'Failure');
  // It is started again and again: while it starts there is nothing to be told of it.
  await until('its reason is told', () => /it is not there/.test(status(at, 'Workload/web')?.message ?? ''));
  await serves(t, at, '7');
  writeFileSync(needed, '');
  await command(t, at, 'retry', 'Workload/web', '--reason', 'it is there now');
  await settled(at, 'Workload/web', 2);
  await serves(t, at, 'needy');
});

t.test('onFailure: rollback goes back by itself, and Git is ahead until a commit', async (t) => {
  const more = '  onFailure: rollback\n  progressDeadlineSeconds: 5\n';
  const { at } = await started(t, { 'web.yaml': workload('web', 'hello:7', 2, more), ...needy('/nowhere/at/all') });
  const before = alive(at, 'Workload/web');
  commit(at, { 'web.yaml': workload('web', 'needy:1', 2, more) }, 'needy');
  const back = await statusOf(at, 'Workload/web', 'rolls back', (now) => now.rollout?.phase === 'RolledBack');
  t.match(back, { health: 'Degraded', rollout: { id: 2, cause: 'upgrade' } });
  t.match(back.message, /it is not there|no progress/);
  await serves(t, at, '7');
  t.same(alive(at, 'Workload/web'), before, 'only what was updated went back');
  t.notMatch(git(at.repo, 'tag', '-l'), 'sluice/workload/web/2');
  commit(at, { 'web.yaml': workload('web', 'hello:8', 2, more) }, 'another way');
  await settled(at, 'Workload/web', 3);
  await serves(t, at, '8');
});

t.test('onFailure: revert also proposes a branch that merges cleanly and restores the inputs', async (t) => {
  const more = '  onFailure: revert\n  progressDeadlineSeconds: 5\n';
  const { at } = await started(t, { 'web.yaml': workload('web', 'hello:7', 1, more), ...needy('/nowhere/at/all') });
  commit(at, { 'web.yaml': workload('web', 'needy:1', 1, more), 'note.txt': 'stays' }, 'needy');
  await statusOf(at, 'Workload/web', 'rolls back', (now) => now.rollout?.phase === 'RolledBack');
  const branch = 'sluice/revert/workload-web-2';
  await until('the branch', () => git(at.repo, 'branch', '--list', branch) !== '');
  t.match(git(at.repo, 'log', '-1', '--format=%B', branch), /Revert Workload\/web/);
  commit(at, { 'other.txt': 'meanwhile' }, 'meanwhile');
  git(at.repo, 'merge', '-q', '--no-edit', branch);
  t.equal(git(at.repo, 'diff', '--name-only', 'HEAD^1'), 'web.yaml', 'only this resource');
  t.equal(git(at.repo, 'show', 'HEAD:web.yaml'), workload('web', 'hello:7', 1, more).trim());
  const healthy = await statusOf(at, 'Workload/web', 'is Healthy', (now) => now.health === 'Healthy');
  t.equal(healthy.rollout.id, 2, 'what runs is what is declared: no rollout is needed');
  await serves(t, at, '7');
});

t.test(
  'the operation rollback turns the rollout; the command rollback commits what restores the one before',
  async (t) => {
    const { at } = await started(t, { 'web.yaml': workload('web', 'hello:7', 3) });
    commit(at, { 'web.yaml': workload('web', 'hello:8', 3) }, 'web 8');
    await statusOf(at, 'Workload/web', 'rolls', (now) => now.rollout.id === 2 && now.rollout.phase === 'Progressing');
    const turn =
      'apiVersion: sluice/v1\nkind: Operation\nmetadata: {name: back}\nspec: {resource: Workload/web, rollout: 2, action: rollback}\n';
    commit(at, { 'operations/back.yaml': turn }, 'back');
    await statusOf(at, 'Workload/web', 'rolls back', (now) => now.rollout.phase === 'RolledBack');
    await serves(t, at, '7');
    await command(t, at, 'retry', 'Workload/web');
    await settled(at, 'Workload/web', 3);
    await serves(t, at, '8');

    await command(t, at, 'rollback', 'Workload/web', '--reason', 'orders fail');
    const back = await settled(at, 'Workload/web', 4);
    t.equal(back.rollout.cause, 'rollback');
    t.match(git(at.repo, 'log', '-1', '--format=%B'), /orders fail/);
    await serves(t, at, '7');
  },
);

t.test('a commit that deletes the last of a kind waits for confirmDeletion', async (t) => {
  const { at } = await started(
    t,
    { 'web.yaml': workload('web', 'hello:7'), 'two.yaml': workload('two', 'hello:7', 1) },
    ['Workload/web', 'Workload/two'],
  );
  const deleted = commit(at, { 'web.yaml': '', 'two.yaml': '' }, 'away with them');
  const waits = await statusOf(at, 'Workload/web', 'waits', (now) => /confirmDeletion/.test(now.message));
  t.match(waits.message, deleted.slice(0, 10));
  t.equal(alive(at, 'Workload/web').size, 2);
  await serves(t, at, '7');
  const confirm = `apiVersion: sluice/v1\nkind: Operation\nmetadata: {name: yes}\nspec: {action: confirmDeletion, commit: ${deleted}}\n`;
  commit(at, { 'operations/yes.yaml': confirm }, 'yes');
  await until('all are gone', () =>
    ['Workload/web', 'Workload/two'].every((id) => alive(at, id).size === 0 && status(at, id) === undefined),
  );
  t.equal((await get(at, 'web.localhost')).status, 404);
  t.match(git(at.repo, 'tag', '-l'), 'sluice/workload/web/1', 'its history stays');
});
