import { fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { GitError } from '../../src/git/errors.ts';
import { isRefName, listRefs, readRef, setRef, updateRef } from '../../src/git/refs.ts';
import { bareRepository, commitFiles, git, temporary, tipOf } from '../support/git-servers.ts';

const id = (n: number) => n.toString(16).padStart(40, '0');
const COUNTER = 'refs/heads/counter';

/** One of the processes that count: reads the ref and moves it one up, as often as told. */
async function count(gitdir: string, times: number): Promise<void> {
  for (let done = 0; done < times; ) {
    const old = await readRef(gitdir, COUNTER);
    const next = id(Number.parseInt(old ?? '0', 16) + 1);
    try {
      await updateRef(gitdir, { ref: COUNTER, old, new: next });
      done++;
    } catch (error) {
      if (!(error instanceof GitError && error.code === 'ref-moved')) throw error;
    }
  }
}

const [, , task, taskDirectory = '', taskTimes = '0'] = process.argv;
if (task === 'count') {
  await count(taskDirectory, Number(taskTimes));
  process.exit(0);
}

const root = temporary('refs');
t.teardown(() => rm(root, { recursive: true, force: true }));

t.test('two processes with 200 updates each lose none', async (t) => {
  const repository = bareRepository(root, 'count.git');
  const counting = () =>
    new Promise<number | null>((ended) => {
      fork(fileURLToPath(import.meta.url), ['count', repository, '200']).once('exit', ended);
    });
  t.strictSame(await Promise.all([counting(), counting()]), [0, 0]);
  t.equal(await readRef(repository, COUNTER), id(400));
});

t.test('twenty updates at once in one process lose none', async (t) => {
  const repository = bareRepository(root, 'once.git');
  await Promise.all(Array.from({ length: 20 }, () => count(repository, 5)));
  t.equal(await readRef(repository, COUNTER), id(100));
});

t.test('what git wrote is read, and git reads what was written', async (t) => {
  const repository = bareRepository(root, 'both.git');
  const first = commitFiles(repository, { a: '1' });
  const second = commitFiles(repository, { a: '2' });
  git(repository, ['tag', '-a', '-m', 'x', 'v1', first]);
  git(repository, ['branch', 'deep/er/one', first]);
  git(repository, ['pack-refs', '--all']);
  t.equal(await readRef(repository, 'refs/heads/main'), second);
  t.equal(await readRef(repository, 'HEAD'), second, 'through a symbolic ref');
  t.equal(await readRef(repository, 'refs/heads/none'), undefined);
  t.strictSame([...(await listRefs(repository, 'refs/heads/'))].sort(), [
    ['refs/heads/deep/er/one', first],
    ['refs/heads/main', second],
  ]);

  await updateRef(repository, { ref: 'refs/heads/main', old: second, new: first });
  t.equal(tipOf(repository, 'refs/heads/main'), first, 'a packed ref moved');
  await updateRef(repository, { ref: 'refs/heads/deep/er/one', old: first, new: undefined });
  await updateRef(repository, { ref: 'refs/tags/v1', old: await readRef(repository, 'refs/tags/v1'), new: undefined });
  t.equal(git(repository, ['for-each-ref', '--format=%(refname)']), 'refs/heads/main', 'packed refs deleted');
  await setRef(repository, 'refs/heads/new/one', second);
  t.equal(tipOf(repository, 'refs/heads/new/one'), second);
});

t.test('an update that expects something else changes nothing', async (t) => {
  const repository = bareRepository(root, 'cas.git');
  const first = commitFiles(repository, { a: '1' });
  for (const old of [undefined, id(7)])
    await t.rejects(updateRef(repository, { ref: 'refs/heads/main', old, new: id(8) }), { code: 'ref-moved' });
  await t.rejects(updateRef(repository, { ref: 'refs/heads/x', old: first, new: id(8) }), { code: 'ref-moved' });
  t.equal(tipOf(repository, 'refs/heads/main'), first);
  await t.rejects(access(join(repository, 'refs/heads/main.lock')), 'no lock stays');
  await t.rejects(access(join(repository, 'refs/heads/x.lock')), 'no lock stays');
});

t.test('a lock that somebody left behind is named', async (t) => {
  const repository = bareRepository(root, 'locked.git');
  mkdirSync(join(repository, 'refs/sluice'));
  const lock = join(repository, 'refs/sluice/x.lock');
  writeFileSync(lock, '');
  await t.rejects(updateRef(repository, { ref: 'refs/sluice/x', old: undefined, new: id(1) }), {
    code: 'ref-locked',
    message: new RegExp(`${lock}.*remove the file`),
  });
});

t.test('no name leaves the folder of refs', async (t) => {
  for (const name of [
    'refs/heads/main',
    'refs/sluice/keep/service/shop/0123abcd',
    'refs/x/refs%2Fheads%2Fmain',
    'refs/heads/a.b',
  ])
    t.ok(isRefName(name), name);
  for (const name of [
    'HEAD',
    'refs',
    'refs/',
    'refs/../x',
    'refs/heads/..',
    'refs/a..b',
    'refs/.a',
    'refs/a.lock',
    'refs/a/',
    'refs//a',
    'refs/a b',
    'refs/a\n',
    'refs/a:b',
    'refs/a*',
    'refs/a@{1}',
    '/refs/a',
    'refs/a.',
  ])
    t.notOk(isRefName(name), JSON.stringify(name));
  await t.rejects(updateRef(root, { ref: 'refs/../../x', old: undefined, new: id(1) }));
});
