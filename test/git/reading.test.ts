/** Reading commits: objects, compare, list, history, materialize; through git and in process alike. */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { compare, entryAt, list } from '../../src/git/compare.ts';
import { isAncestor, newestChange } from '../../src/git/history.ts';
import { materialize } from '../../src/git/materialize.ts';
import type { ObjectStore } from '../../src/git/objects.ts';
import { openIsomorphicObjects } from '../../src/git/objects-isomorphic.ts';
import { openNativeObjects } from '../../src/git/objects-native.ts';
import { gitEnvironment } from '../../src/git/program.ts';
import { openLocalReader } from '../../src/git/revision.ts';
import type { TreeEntry } from '../../src/git/types.ts';
import { bareRepository, commitFiles, git, temporary } from '../support/git-servers.ts';

const root = temporary('reading');
t.teardown(() => rm(root, { recursive: true, force: true }));

/** The same numbers each time. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
}

const readers: Record<string, (gitdir: string) => ObjectStore> = {
  'through git': (gitdir) => openNativeObjects({ path: 'git', gitdir, env: gitEnvironment() }),
  'in process': openIsomorphicObjects,
};

/** Commits of random changes, among names that sort differently as files and as directories. */
function randomHistory(repository: string, seed: number, commits: number): string[] {
  const pick = random(seed);
  const names = ['a', 'a.b', 'a-b', 'a0', 'B', 'é', '\u{1f600}', 'z'];
  const path = () => Array.from({ length: 1 + pick(3) }, () => names[pick(names.length)]).join('/');
  const there = new Set<string>();
  return Array.from({ length: commits }, (_, n) => {
    const files: Record<string, string | null> = {};
    for (let changes = 1 + pick(6); changes > 0; changes--) {
      const name = path();
      const gone = [...there].filter((other) => other.startsWith(`${name}/`) || name.startsWith(`${other}/`));
      for (const other of gone) there.delete(other);
      if (there.has(name) && pick(2) === 0) {
        there.delete(name);
        files[name] = null;
      } else {
        there.add(name);
        files[name] = `${pick(4)}`;
      }
    }
    return commitFiles(repository, files, { message: `commit ${n}` });
  });
}

for (const [name, open] of Object.entries(readers)) {
  t.test(`${name}: compare is git diff-tree, list is git ls-tree`, async (t) => {
    for (const seed of [1, 2, 3]) {
      const repository = bareRepository(root, `${name.replace(/ /g, '-')}-${seed}.git`);
      const commits = randomHistory(repository, seed, 12);
      const objects = open(repository);
      t.teardown(() => objects.close());
      const zero = '0'.repeat(40);
      for (const [index, after] of commits.entries()) {
        const before = commits[Math.max(0, index - (1 + (seed % 3)))] ?? after;
        const ours = (await compare(objects, before, after)).map(
          ({ path, before, after }) => `${before?.oid ?? zero} ${after?.oid ?? zero} ${path}`,
        );
        const theirs = git(repository, [
          '-c',
          'core.quotepath=off',
          'diff-tree',
          '-r',
          '--no-renames',
          '-z',
          before,
          after,
        ])
          .split(':')
          .filter((line) => line !== '')
          .map((line) => {
            const [info = '', path = ''] = line.split('\0');
            const [, , was, is] = info.split(' ');
            return `${was} ${is} ${path}`;
          });
        t.strictSame(ours.sort(), theirs.sort());
        const listed = (await list(objects, after)).map(({ path, oid }) => `${oid} ${path}`);
        const known = git(repository, [
          '-c',
          'core.quotepath=off',
          'ls-tree',
          '-r',
          '-z',
          '--format=%(objectname) %(path)',
          after,
        ]).split('\0');
        t.strictSame(
          listed,
          known.filter((line) => line !== ''),
          'in the same order',
        );
      }
    }
  });
}

t.test('one directory alone, one entry, one left out', async (t) => {
  const repository = bareRepository(root, 'under.git');
  const first = commitFiles(repository, { 'x/a': '1', 'x/y/b': '1', 'xy/c': '1', 'run.sh': '' });
  const second = commitFiles(repository, { 'x/a': '2', 'x/y/b': '2', 'xy/c': '2' });
  const objects = openIsomorphicObjects(repository);
  const paths = (changes: { path: string }[]) => changes.map(({ path }) => path);
  t.strictSame(paths(await compare(objects, first, second, 'x')), ['x/a', 'x/y/b']);
  t.strictSame(paths(await compare(objects, first, second, 'x/y/')), ['x/y/b']);
  t.strictSame(paths(await compare(objects, undefined, second, '.')), ['run.sh', 'x/a', 'x/y/b', 'xy/c']);
  t.strictSame(paths(await compare(objects, first, second, 'none')), []);
  t.strictSame(paths(await list(objects, second, 'x', (directory) => directory !== 'x/y')), ['x/a']);
  t.match(await entryAt(objects, second, 'run.sh'), { mode: 'executable', name: 'run.sh' });
  t.match(await entryAt(objects, second, 'x/y'), { mode: 'tree' });
  t.equal(await entryAt(objects, second, 'x/a/b'), undefined);
  t.equal(await entryAt(objects, second, 'nothing'), undefined);
});

t.test("objects written in process are git's own", async (t) => {
  const repository = bareRepository(root, 'write.git');
  for (const open of Object.values(readers)) {
    const objects = open(repository);
    t.teardown(() => objects.close());
    const file = await objects.writeBlob(Buffer.from('content\n'));
    t.equal(file, git(repository, ['hash-object', '--stdin'], 'content\n'));
    t.equal((await objects.blob(file)).toString(), 'content\n');
    const entry = (name: string, mode: TreeEntry['mode'], oid: string): TreeEntry => ({ name, mode, oid });
    const inner = await objects.writeTree([entry('f', 'executable', file)]);
    const tree = await objects.writeTree([
      entry('a0', 'file', file),
      entry('a', 'tree', inner),
      entry('a.b', 'link', file),
    ]);
    const author = { name: 'A <evil>\n', email: 'a@b' };
    const commit = await objects.writeCommit({
      tree,
      parents: [],
      message: 'subject\n\nbody',
      author,
      at: 1_700_000_000_123,
    });
    const tag = await objects.writeTag({
      name: 'x',
      object: commit,
      message: 'm',
      tagger: author,
      at: 1_700_000_000_000,
    });
    await objects.settle();
    t.equal(git(repository, ['cat-file', '-t', tag]), 'tag');
    git(repository, ['update-ref', 'refs/tags/x', tag]);
    t.doesNotThrow(() => git(repository, ['fsck', '--strict']), 'sound');
    t.match(await objects.commit(commit), {
      tree,
      parents: [],
      message: 'subject\n\nbody\n',
      author: { name: 'A evil', email: 'a@b' },
      at: 1_700_000_000_000,
    });
    t.strictSame(
      (await objects.tree(tree)).map(({ name }) => name),
      ['a.b', 'a', 'a0'],
      "in git's order",
    );
    await t.rejects(objects.blob('1'.repeat(40)), { code: 'missing-object' });
    await t.rejects(objects.blob(commit), { code: 'missing-object' });
    await t.rejects(objects.writeTree([entry('a/b', 'file', file)]), { code: 'bad-tree' });
  }
});

t.test('bulk reads survive the death of the git process', async (t) => {
  const repository = bareRepository(root, 'bulk.git');
  const commit = commitFiles(
    repository,
    Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`f${n}`, 'x'.repeat(n * 7)])),
  );
  const objects = openNativeObjects({ path: 'git', gitdir: repository, env: gitEnvironment() });
  t.teardown(() => objects.close());
  const entries = await list(objects, commit);
  const pids = () =>
    readdirSync('/proc').filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return line.includes('cat-file') && line.includes(repository);
      } catch {
        return false;
      }
    });
  t.equal(pids().length, 1, 'one process');
  for (const pid of pids()) process.kill(Number(pid), 'SIGKILL');
  const sizes = new Map<string, number>();
  await objects.blobs(
    entries.map(({ oid }) => oid),
    (oid, content) => sizes.set(oid, content.length),
  );
  for (const [n, { oid }] of entries.map((entry) => [Number(entry.name.slice(1)), entry] as const))
    if (sizes.get(oid) !== n * 7) t.fail(`f${n} has ${sizes.get(oid)} bytes`);
  t.equal(pids().length, 1, 'one process again');
});

t.test("the newest change of each group is git log's", async (t) => {
  const repository = bareRepository(root, 'history.git');
  const commits = randomHistory(repository, 9, 40);
  const head = commits.at(-1) ?? '';
  const objects = openIsomorphicObjects(repository);
  const groups = new Map([
    ['one', ['a']],
    ['two', ['a/a', 'B']],
    ['three', ['z/z/z', 'é']],
    ['never', ['nowhere']],
  ]);
  const found = await newestChange(objects, head, groups);
  for (const [group, paths] of groups) {
    const log = git(repository, ['log', '--first-parent', '-1', '--format=%H', head, '--', ...paths]);
    t.equal(found.get(group), log || commits[0], group);
  }
  const stop = commits[commits.length - 3] ?? '';
  const since = await newestChange(objects, head, groups, { stop });
  for (const [group, paths] of groups) {
    const log = git(repository, ['log', '--first-parent', '-1', '--format=%H', `${stop}..${head}`, '--', ...paths]);
    t.equal(since.get(group), log || undefined, `${group} since`);
  }
});

t.test('ancestry holds over merges and clocks that jumped', async (t) => {
  const repository = bareRepository(root, 'ancestry.git');
  const base = commitFiles(repository, { a: '1' }, { at: 2_000_000_000 });
  const left = commitFiles(repository, { a: '2' }, { at: 1_000_000_000 });
  const right = commitFiles(repository, { b: '1' }, { branch: 'other', from: base, at: 1_900_000_000 });
  const merge = git(repository, ['commit-tree', '-p', left, '-p', right, '-m', 'merge', `${left}^{tree}`]);
  const alone = commitFiles(repository, { c: '1' }, { branch: 'alone', orphan: true });
  const objects = openIsomorphicObjects(repository);
  const pairs: [string, string, boolean][] = [
    [base, base, true],
    [base, left, true],
    [base, merge, true],
    [right, merge, true],
    [left, right, false],
    [merge, base, false],
    [alone, merge, false],
    ['1'.repeat(40), merge, false],
  ];
  for (const [ancestor, descendant, expected] of pairs)
    t.equal(await isAncestor(objects, ancestor, descendant), expected);
});

t.test('a tree becomes a folder, whole or not at all, and nothing outside of it', async (t) => {
  const repository = bareRepository(root, 'image.git');
  const objects = openIsomorphicObjects(repository);
  const blob = (text: string) => objects.writeBlob(Buffer.from(text));
  const link = async (name: string, target: string): Promise<TreeEntry> => ({
    name,
    mode: 'link',
    oid: await blob(target),
  });
  const file = async (name: string): Promise<TreeEntry> => ({ name, mode: 'file', oid: await blob(name) });
  const bin = await objects.writeTree([
    { name: 'start', mode: 'executable', oid: await blob('#!/bin/sh\n') },
    await link('lib', '../lib/l.js'),
  ]);
  const lib = await objects.writeTree([await file('l.js'), await file('same')]);
  const good = await objects.writeTree([
    { name: 'bin', mode: 'tree', oid: bin },
    { name: 'lib', mode: 'tree', oid: lib },
    await file('same'),
    await link('self', '.'),
  ]);
  const place = join(root, 'made', 'here');
  await materialize(objects, good, place);
  t.equal(readFileSync(join(place, 'bin/lib'), 'utf8'), 'l.js', 'through a link');
  t.equal(statSync(join(place, 'bin/start')).mode & 0o777, 0o755);
  t.equal(statSync(join(place, 'same')).mode & 0o777, 0o644);
  t.equal(readlinkSync(join(place, 'self')), '.');
  await materialize(objects, good, place);
  t.strictSame(readdirSync(join(root, 'made')), ['here'], 'a second time changes nothing');

  const hostile: Record<string, TreeEntry[]> = {
    'an absolute link': [await link('x', '/etc/passwd')],
    'a link out': [await link('x', '../x')],
    'a link out by a way round': [await link('s', '.'), await link('x', 's/../../etc')],
    'an empty link': [await link('x', '')],
    'a submodule': [{ name: 'x', mode: 'submodule', oid: '1'.repeat(40) }],
    '..': [await file('..')],
    '.git': [await file('.git')],
    '.GIT': [await file('.GIT')],
    'a backslash': [await file('a\\b')],
  };
  for (const [what, entries] of Object.entries(hostile)) {
    const tree = await objects.writeTree([...entries, await file('fine')]);
    await t.rejects(materialize(objects, tree, join(root, 'made', 'bad')), { code: 'bad-tree' }, what);
  }
  const inner = await objects.writeTree([await link('x', '../../x')]);
  const deep = await objects.writeTree([{ name: 'd', mode: 'tree', oid: inner }]);
  await t.rejects(materialize(objects, deep, join(root, 'made', 'bad')), { code: 'bad-tree', message: /^d\/x: / });
  const lost = await objects.writeTree([await file('fine'), { name: 'x', mode: 'file', oid: '2'.repeat(40) }]);
  await t.rejects(materialize(objects, lost, join(root, 'made', 'bad')), { code: 'missing-object' });
  t.strictSame(readdirSync(join(root, 'made')), ['here'], 'nothing of it stays');
});

t.test('links and submodules are reported as what they are', async (t) => {
  const repository = bareRepository(root, 'kinds.git');
  const objects = openIsomorphicObjects(repository);
  const oid = await objects.writeBlob(Buffer.from('/etc/passwd'));
  const tree = await objects.writeTree([
    { name: 'l', mode: 'link', oid },
    { name: 's', mode: 'submodule', oid: '1'.repeat(40) },
  ]);
  const commit = await objects.writeCommit({
    tree,
    parents: [],
    message: 'x',
    author: { name: 'a', email: 'b' },
    at: 0,
  });
  t.match(await list(objects, commit), [
    { path: 'l', mode: 'link' },
    { path: 's', mode: 'submodule' },
  ]);
});

t.test("a user's own repository is read where it is, worktrees and alternates too", async (t) => {
  const work = join(root, 'work');
  mkdirSync(work);
  git(work, ['init', '--quiet', '--initial-branch=main']);
  writeFileSync(join(work, 'a'), '1');
  git(work, ['add', 'a']);
  git(work, ['commit', '--quiet', '-m', 'first']);
  const first = git(work, ['rev-parse', 'HEAD']);
  git(work, ['commit', '--quiet', '--allow-empty', '-m', 'second']);
  git(work, ['tag', '-a', 'v1', '-m', 'v1', first]);
  git(work, ['worktree', 'add', '--quiet', '-b', 'side', join(root, 'side'), first]);
  git(root, ['clone', '--quiet', '--shared', work, join(root, 'shared')]);
  mkdirSync(join(work, 'deeper'));
  symlinkSync(work, join(root, 'linked'));
  for (const [path, head] of [
    [work, undefined],
    [join(work, 'deeper'), undefined],
    [join(root, 'side'), first],
    [join(root, 'shared'), undefined],
    [join(root, 'linked'), undefined],
  ] as const) {
    const reader = await openLocalReader(path);
    t.equal(await reader.resolve('v1'), first);
    t.equal(await reader.resolve(head === undefined ? 'HEAD~1' : 'HEAD'), first, path);
    t.equal((await reader.objects.commit(first)).message, 'first\n');
    await t.rejects(reader.resolve('--all'), { code: 'no-branch' });
    await t.rejects(reader.resolve('none'), { code: 'no-branch' });
    reader.close();
  }
  const { PATH } = process.env;
  process.env.PATH = '/nonexistent';
  const reader = await openLocalReader(work);
  process.env.PATH = PATH;
  for (const name of ['v1', 'main~1', 'HEAD^', first.slice(0, 8)]) t.equal(await reader.resolve(name), first, name);
  await t.rejects(reader.resolve('main~9'), { code: 'no-branch' });
  rmSync(join(root, 'side'), { recursive: true });
});
