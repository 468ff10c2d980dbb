/** What the operator writes: commits, tags and refs in one push, beside others who write; the lease; the clone as a cache. */
import { appendFileSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { type Clone, openClone } from '../../src/git/clone.ts';
import { list } from '../../src/git/compare.ts';
import { LEASE_REF, readLease, takeLease } from '../../src/git/lease.ts';
import { openPublisher } from '../../src/git/publish.ts';
import { looseRefs } from '../../src/git/refs.ts';
import { bareRepository, commitFiles, git, serveHttp, temporary, tipOf } from '../support/git-servers.ts';

const root = temporary('publish');
const http = await serveHttp(root);
t.teardown(async () => {
  await http.close();
  await rm(root, { recursive: true, force: true });
});

const STATUS = 'refs/heads/sluice/status';
const author = { name: 'Sluice', email: 'sluice@localhost' };
const signal = AbortSignal.timeout(100_000);
const text = (content: string) => Buffer.from(content);
const commit = (files: Record<string, string | null>, message = 'status') => ({
  changes: new Map(Object.entries(files).map(([path, content]) => [path, content === null ? null : text(content)])),
  message,
  author,
  at: 1_700_000_000_000,
});
const files = (repository: string, ref: string) => git(repository, ['ls-tree', '-r', '--name-only', ref]).split('\n');

let count = 0;
async function setUp(over: 'http' | 'file' = 'http') {
  const name = `r${count++}.git`;
  const repository = bareRepository(root, name);
  const first = commitFiles(repository, { 'a.yaml': 'a: 1\n' });
  const repo = over === 'http' ? `${http.url}/${name}` : repository;
  const stateDir = join(root, `state-${count}`);
  const open = () => openClone({ stateDir, repo });
  const clone = await open();
  t.teardown(() => clone.close());
  return { repository, first, clone, open, repo };
}

for (const over of ['http', 'file'] as const) {
  t.test(`several commits, tags and refs go in one push (${over})`, async (t) => {
    const { repository, first, clone } = await setUp(over);
    await clone.transport.fetch('refs/heads/main', signal);
    const publisher = openPublisher(clone);
    t.throws(() => publisher.tip(STATUS), /read it first/);
    t.equal(await publisher.reread(STATUS, signal), undefined);
    t.notOk(publisher.pending());

    await publisher.commit(
      STATUS,
      commit({ 'STATUS.md': '1', 'status/service/shop.yaml': '1', 'status/service/x.yaml': '1' }, 'one'),
    );
    await publisher.commit(STATUS, commit({ 'status/service/shop.yaml': '2', 'status/service/x.yaml': null }, 'two'));
    const last = await publisher.commit(STATUS, commit({ 'status/workload/tomcat.yaml': '3' }, 'three'));
    t.equal(
      await publisher.commit(STATUS, commit({ 'status/workload/tomcat.yaml': '3', none: null })),
      last,
      'nothing changed',
    );
    const tag = await clone.objects.writeTag({
      name: 'sluice/service/shop/1',
      object: first,
      message: 'x',
      tagger: author,
      at: 0,
    });
    publisher.update({ ref: 'refs/tags/sluice/service/shop/1', old: undefined, new: tag });
    publisher.update({ ref: 'refs/sluice/keep/service/shop/0123456789', old: undefined, new: first });
    t.ok(publisher.pending());
    const asked = http.requests.length;
    await publisher.push(signal);
    if (over === 'http') t.equal(http.requests.length - asked, 1, 'one request');
    t.notOk(publisher.pending());

    t.equal(tipOf(repository, STATUS), last);
    t.equal(git(repository, ['log', '--format=%s', STATUS]), 'three\ntwo\none');
    t.strictSame(files(repository, STATUS), ['STATUS.md', 'status/service/shop.yaml', 'status/workload/tomcat.yaml']);
    t.equal(tipOf(repository, 'refs/tags/sluice/service/shop/1^{commit}'), first);
    t.doesNotThrow(() => git(repository, ['fsck', '--strict', '--full']));

    await publisher.commit(
      STATUS,
      commit({ 'status/service/shop.yaml': null, 'status/workload/tomcat.yaml': null, 'STATUS.md': null }),
    );
    await publisher.push(signal);
    t.equal(git(repository, ['ls-tree', '-r', STATUS]), '', 'an empty tree at last');
  });
}

t.test('another writer makes the push fail whole; read again, it goes', async (t) => {
  const { repository, first, clone } = await setUp();
  await clone.transport.fetch('refs/heads/main', signal);
  const publisher = openPublisher(clone);
  await publisher.reread(STATUS, signal);
  await publisher.commit(STATUS, commit({ mine: '1' }));
  await publisher.push(signal);
  const theirs = commitFiles(repository, { theirs: '1' }, { branch: 'sluice/status' });
  await publisher.commit(STATUS, commit({ mine: '2' }));
  publisher.update({ ref: 'refs/sluice/keep/a/b/c', old: undefined, new: first });
  await t.rejects(publisher.push(signal), { code: 'push-rejected', refs: [{ ref: STATUS, actual: theirs }] });
  t.equal(tipOf(repository, 'refs/sluice/keep/a/b/c'), undefined);
  t.notOk(publisher.pending(), 'what was rejected is forgotten');
  t.throws(() => publisher.tip(STATUS), /read it first/);
  t.equal(await publisher.reread(STATUS, signal), theirs);
  await publisher.commit(STATUS, commit({ mine: '2' }));
  await publisher.push(signal);
  t.strictSame(files(repository, STATUS), ['mine', 'theirs']);
});

t.test('two writers that always read again lose nothing of each other', async (t) => {
  const { repository, clone, repo } = await setUp();
  const second = await openClone({ stateDir: join(root, 'second'), repo });
  t.teardown(() => second.close());
  const write = async (who: Clone, name: string) => {
    const publisher = openPublisher(who);
    for (let n = 0; n < 8; ) {
      await publisher.reread(STATUS, signal);
      await publisher.commit(STATUS, commit({ [`${name}-${n}`]: name }));
      await publisher.push(signal).then(
        () => n++,
        (error) => t.equal(error.code, 'push-rejected'),
      );
    }
  };
  await Promise.all([write(clone, 'one'), write(second, 'two')]);
  t.equal(files(repository, STATUS).length, 16);
  t.equal(git(repository, ['rev-list', '--count', STATUS]), '16');
});

t.test('while the remote is down commits gather; a push whose answer was lost is recognized', async (t) => {
  const { repository, clone } = await setUp();
  const publisher = openPublisher(clone);
  await publisher.reread(STATUS, signal);
  const one = await publisher.commit(STATUS, commit({ a: '1' }));
  http.fail({ kind: 'status', status: 500 });
  await t.rejects(publisher.push(signal), { code: 'server' });
  t.equal(publisher.tip(STATUS), one, 'nothing is lost');
  http.fail({ kind: 'half' }, (request) => request.includes('receive-pack'));
  await t.rejects(publisher.push(signal), { code: 'bad-answer' });
  t.equal(tipOf(repository, STATUS), one, 'the remote took it, and nobody was told');
  http.fail(undefined);
  const two = await publisher.commit(STATUS, commit({ a: '2' }));
  await publisher.push(signal);
  t.equal(tipOf(repository, STATUS), two);
});

t.test('what cannot be the path of a file is refused', async (t) => {
  const { clone } = await setUp();
  const publisher = openPublisher(clone);
  await publisher.reread(STATUS, signal);
  for (const path of ['../x', 'a//b', '/a', 'a/', '.git/config', 'a/./b', ''])
    await t.rejects(publisher.commit(STATUS, commit({ [path]: 'x' })), { code: 'failed' }, path);
});

t.test('each lease is the next; of operators that start together each gets its own', async (t) => {
  const { repository, clone, repo } = await setUp();
  t.equal(await readLease(clone, signal), undefined);
  t.match(await takeLease(clone, 'host:1', 5, signal), { epoch: 1, holder: 'host:1', at: 5 });
  const others = await Promise.all([1, 2, 3].map((n) => openClone({ stateDir: join(root, `lease-${n}`), repo })));
  const leases = await Promise.all(others.map((other) => takeLease(other, 'host:2', 6, signal)));
  t.strictSame(leases.map(({ epoch }) => epoch).sort(), [2, 3, 4]);
  t.equal((await readLease(clone, signal))?.epoch, 4, 'the first one sees that it is lost');
  t.equal((await takeLease(clone, 'host:5', 7, signal, 4)).epoch, 5);
  t.equal((await takeLease(clone, 'host:6', 8, signal, 40)).epoch, 40, 'where a target has seen later ones');
  await Promise.all(others.map((other) => other.close()));
  commitFiles(repository, { x: '1' }, { branch: 'x', message: 'not a lease' });
  git(repository, ['update-ref', LEASE_REF, tipOf(repository, 'refs/heads/x') ?? '']);
  await t.rejects(readLease(clone, signal), { code: 'bad-lease' });
});

t.test('the clone is a cache: lost, cut short or overwritten, it is made again', async (t) => {
  const { repository, first, clone, open } = await setUp();
  await clone.transport.fetch('refs/heads/main', signal);
  await clone.close();
  const cut = () => {
    const objects = join(clone.gitdir, 'objects');
    for (const entry of readdirSync(objects, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) truncateSync(join(entry.parentPath, entry.name), 20);
  };
  const noObjects = () => rmSync(join(clone.gitdir, 'objects'), { recursive: true });
  const badRef = () => {
    const good = join(clone.gitdir, 'refs/sluice-internal/fetched');
    for (const name of readdirSync(good)) appendFileSync(join(good, name), 'no id');
  };
  const lost = () => rmSync(clone.gitdir, { recursive: true });
  for (const [what, harm] of Object.entries({ cut, noObjects, badRef, lost, nothing: () => {} })) {
    harm();
    const again = await open();
    t.equal(await again.transport.fetch('refs/heads/main', signal), first, what);
    t.equal((await list(again.objects, first)).length, 1, what);
    await again.close();
  }
  t.equal(tipOf(repository, 'refs/heads/main'), first);
});

t.test('an object that goes missing under a running operator comes again with the next fetch', async (t) => {
  const { repository, clone } = await setUp();
  await clone.transport.fetch('refs/heads/main', signal);
  const objects = join(clone.gitdir, 'objects');
  for (const folder of readdirSync(objects)) if (folder !== 'info') rmSync(join(objects, folder), { recursive: true });
  clone.objects.close();
  const second = commitFiles(repository, { 'b.yaml': 'b: 1\n' });
  t.equal(await clone.transport.fetch('refs/heads/main', signal), second);
  t.strictSame(
    (await list(clone.objects, second)).map(({ path }) => path),
    ['a.yaml', 'b.yaml'],
  );
});

t.test('a thousand commits are packed in the background', async (t) => {
  const { repository, clone } = await setUp('file');
  const publisher = openPublisher(clone);
  await publisher.reread(STATUS, signal);
  const loose = () => Number(/^count: (\d+)/m.exec(git(clone.gitdir, ['count-objects', '-v']))?.[1]);
  clone.tidy.committed(990);
  for (let n = 0; n < 20; n++) await publisher.commit(STATUS, commit({ [`f${n}`]: `${n}` }));
  await publisher.push(signal);
  await clone.tidy.idle();
  t.ok(loose() < 20, `${loose()} loose objects left`);
  t.equal(files(repository, STATUS).length, 20);
});

t.test('refs that are pushed to a repository on this machine are packed there', async (t) => {
  const { repository, clone, first } = await setUp('file');
  await clone.transport.fetch('refs/heads/main', signal);
  const publisher = openPublisher(clone);
  await publisher.reread(STATUS, signal);
  const loose = async () => (await looseRefs(repository, 'refs/sluice/')).length;
  const names: string[] = [];
  const push = async (from: number, to: number) => {
    for (let n = from; n < to; n++) {
      const ref = `refs/sluice/keep/workload/w${n}/0123456789`;
      names.push(ref);
      publisher.update({ ref, old: undefined, new: first });
    }
    await publisher.push(signal);
  };
  await push(0, 499);
  await clone.tidy.idle();
  t.equal(await loose(), 499, 'few are left as they are');
  await push(499, 500);
  let packed = false;
  const packing = clone.tidy.idle().then(() => {
    packed = true;
  });
  do t.equal((await clone.transport.refs(['refs/sluice/keep/'], signal)).size, 500);
  while (!packed);
  await packing;
  t.equal(await loose(), 0);
  t.strictSame([...(await clone.transport.refs(['refs/sluice/keep/'], signal)).keys()].sort(), names.sort());
  t.equal(tipOf(repository, 'refs/heads/main'), first);
});

t.test('many objects of one push are one pack, few are left loose', async (t) => {
  const { repository, clone } = await setUp('file');
  const publisher = openPublisher(clone);
  await publisher.reread(STATUS, signal);
  const count = (what: string) =>
    Number(new RegExp(`^${what}: (\\d+)`, 'm').exec(git(clone.gitdir, ['count-objects', '-v']))?.[1]);
  const [loose, packs] = [count('count'), count('packs')];
  const many = Array.from({ length: 150 }, (_, n) => [`folder-${n % 7}/f${n}`, `${n}\n`.repeat(n)] as const);
  await publisher.commit(STATUS, commit(Object.fromEntries(many)));
  t.equal(count('count'), loose, 'nothing is written before it is pushed');
  await publisher.push(signal);
  t.same([count('count'), count('packs')], [loose, packs + 1]);
  git(clone.gitdir, ['fsck', '--strict']);
  t.match(git(clone.gitdir, ['verify-pack', '-v', ...packsOf(clone.gitdir)]), /: ok$/m);
  t.equal(files(repository, STATUS).length, 150);
  await publisher.commit(STATUS, commit({ one: '1\n' }));
  await publisher.push(signal);
  t.same([count('count'), count('packs')], [loose + 3, packs + 1], 'a file, its tree, a commit');
  t.equal(files(repository, STATUS).length, 151);
});

const packsOf = (gitdir: string): string[] =>
  readdirSync(join(gitdir, 'objects/pack'))
    .filter((name) => name.endsWith('.idx'))
    .map((name) => join(gitdir, 'objects/pack', name));
