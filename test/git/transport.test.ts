/** One suite over every way to a remote: HTTP in process (with and without git, both protocol versions), git over HTTP, ssh and file. */
import { execFileSync } from 'node:child_process';
import { rename, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress } from '../../src/git/address.ts';
import { type Clone, openClone } from '../../src/git/clone.ts';
import { GitError, PushRejected } from '../../src/git/errors.ts';
import type { ClosableTransport } from '../../src/git/transport.ts';
import { openNativeTransport } from '../../src/git/transport-native.ts';
import {
  bareRepository,
  commitFiles,
  git,
  type HttpGitServer,
  serveHttp,
  serveSsh,
  temporary,
  tipOf,
} from '../support/git-servers.ts';
import { freePort } from '../support/ports.ts';

const MAIN = 'refs/heads/main';
const me = { name: 'Sluice', email: 'sluice@example.test' };
const signal = AbortSignal.timeout(100_000);

/** What one way to the remote needs to be tested. */
interface Way {
  name: string;
  /** A fresh clone's way to the repository at `path`. */
  open(path: string): Promise<{ clone: Clone; transport: ClosableTransport }>;
  http?: HttpGitServer;
}

const root = temporary('transport');
const auth = { username: 'x-access-token', password: 'right' };
process.env.SLUICE_GIT_TOKEN = auth.password;
const http = await serveHttp(root, { auth });
const old = await serveHttp(root, { auth, version1: true });
const ssh = await serveSsh();
if (ssh === undefined) t.comment('SKIPPED: ssh, because no sshd is installed (apt-get install openssh-server)');
else process.env.GIT_SSH_COMMAND = ssh.command;

t.teardown(async () => {
  await Promise.all([http.close(), old.close(), ssh?.close()]);
  await rm(root, { recursive: true, force: true });
});

const nameOf = (path: string) => path.slice(root.length + 1);
const states = () => temporary('state');

async function opened(repo: string) {
  const clone = await openClone({ stateDir: states(), repo });
  return { clone, transport: clone.transport };
}

/** As on a machine without the `git` program. */
async function withoutGit<T>(work: () => Promise<T>): Promise<T> {
  const { PATH } = process.env;
  process.env.PATH = '/nonexistent';
  try {
    return await work();
  } finally {
    process.env.PATH = PATH;
  }
}

const ways: Way[] = [
  { name: 'http in process', http, open: (path) => opened(`${http.url}/${nameOf(path)}`) },
  { name: 'http without git', http, open: (path) => withoutGit(() => opened(`${http.url}/${nameOf(path)}`)) },
  {
    name: 'http without git, protocol 1',
    http: old,
    open: (path) => withoutGit(() => opened(`${old.url}/${nameOf(path)}`)),
  },
  {
    name: 'git over http',
    http,
    async open(path) {
      const { clone } = await opened(`${http.url}/${nameOf(path)}`);
      if (clone.git === undefined) throw new Error('git is not installed');
      const address = await parseAddress(`${http.url}/${nameOf(path)}`, auth);
      return { clone, transport: openNativeTransport({ git: clone.git, address }, clone.objects) };
    },
  },
  { name: 'file', open: (path) => opened(path) },
  ...(ssh === undefined ? [] : [{ name: 'ssh', open: (path: string) => opened(ssh.url(path)) }]),
];

async function failure(work: Promise<unknown>): Promise<GitError> {
  const error = await work.then(
    () => undefined,
    (thrown) => thrown,
  );
  if (!(error instanceof GitError)) throw error ?? new Error('it did not fail');
  return error;
}

/** A commit on `parent` with one file more, made in the clone. */
async function commitOn(clone: Clone, parent: string | undefined, file: string, content: string): Promise<string> {
  const { objects } = clone;
  const entries = parent === undefined ? [] : await objects.tree((await objects.commit(parent)).tree);
  const blob = await objects.writeBlob(Buffer.from(content));
  const kept = entries.filter((entry) => entry.name !== file);
  const tree = await objects.writeTree([...kept, { name: file, mode: 'file', oid: blob }]);
  const parents = parent === undefined ? [] : [parent];
  return await objects.writeCommit({ tree, parents, message: `write ${file}`, author: me, at: Date.now() });
}

for (const [index, way] of ways.entries()) {
  t.test(way.name, async (t) => {
    const path = bareRepository(root, `repo-${index}.git`);
    const first = commitFiles(path, { 'a.yaml': 'a: 1\n', 'dir/b.yaml': 'b: 1\n', 'run.sh': '#!/bin/sh\n' });
    const { clone, transport } = await way.open(path);
    t.teardown(async () => {
      await transport.close();
      await clone.close();
    });

    t.equal(await transport.head(MAIN, signal), first, 'the head is known');
    t.equal(await transport.head('refs/heads/none', signal), undefined, 'no such branch');
    t.equal(await transport.head('refs/heads/mai', signal), undefined, 'a name that is only the start of one');
    t.equal(await transport.fetch('refs/heads/none', signal), undefined, 'nothing to fetch of no such branch');
    t.equal(await transport.fetch(MAIN, signal), first);
    const { tree, message } = await clone.objects.commit(first);
    t.equal(message, 'change');
    t.match(await clone.objects.tree(tree), [
      { name: 'a.yaml', mode: 'file' },
      { name: 'dir', mode: 'tree' },
      { name: 'run.sh', mode: 'executable' },
    ]);

    const second = commitFiles(path, { 'a.yaml': 'a: 2\n' });
    t.equal(await transport.head(MAIN, signal), second);
    t.equal(await transport.fetch(MAIN, signal), second, 'an update');
    t.equal(await transport.fetch(MAIN, signal), second, 'again, with nothing new');
    const changed = (await clone.objects.tree((await clone.objects.commit(second)).tree))[0];
    t.equal((await clone.objects.blob(changed?.oid ?? '')).toString(), 'a: 2\n');

    // An orphan branch, an annotated tag on an old commit and a ref outside of branches and tags, in one push.
    const status = 'refs/heads/sluice/status';
    const commit = await commitOn(clone, undefined, 'STATUS.md', 'all is well');
    const tag = await clone.objects.writeTag({
      name: 'sluice/workload/a/1',
      object: first,
      message: 'done',
      tagger: me,
      at: 0,
    });
    const tagRef = 'refs/tags/sluice/workload/a/1';
    const keepRef = 'refs/sluice/keep/workload/a/0123456789';
    await transport.push(
      [
        { ref: status, old: undefined, new: commit },
        { ref: tagRef, old: undefined, new: tag },
        { ref: keepRef, old: undefined, new: first },
      ],
      signal,
    );
    t.equal(tipOf(path, status), commit);
    t.equal(git(path, ['cat-file', '-t', tagRef]), 'tag');
    t.equal(tipOf(path, `${tagRef}^{commit}`), first);
    t.equal(tipOf(path, keepRef), first);
    t.doesNotThrow(() => git(path, ['fsck', '--strict', '--full']), 'what was pushed is whole');
    const below = await transport.refs(['refs/tags/sluice/', 'refs/sluice/'], signal);
    t.strictSame(
      [...below].sort(),
      [
        [keepRef, first],
        [tagRef, tag],
      ],
      'refs below prefixes, tags not peeled',
    );
    t.equal(await transport.fetch(keepRef, signal), first, 'a ref outside of branches');
    t.equal(await transport.fetch(tagRef, signal), tag, 'an annotated tag');

    // Somebody else moves the status branch: nothing of a push that expects otherwise is taken.
    const theirs = commitFiles(path, { 'STATUS.md': 'by hand' }, { branch: 'sluice/status' });
    const mine = await commitOn(clone, commit, 'STATUS.md', 'all is still well');
    const other = 'refs/tags/sluice/workload/a/2';
    const rejected = await failure(
      transport.push(
        [
          { ref: status, old: commit, new: mine },
          { ref: other, old: undefined, new: tag },
        ],
        signal,
      ),
    );
    t.ok(rejected instanceof PushRejected);
    t.strictSame(
      (rejected as PushRejected).refs.map(({ ref, expected, actual }) => ({ ref, expected, actual })),
      [{ ref: status, expected: commit, actual: theirs }],
    );
    t.equal(tipOf(path, status), theirs);
    t.equal(tipOf(path, other), undefined, 'all or nothing');

    t.equal(await transport.fetch(status, signal), theirs);
    const merged = await commitOn(clone, theirs, 'STATUS.md', 'all is well again');
    await transport.push([{ ref: status, old: theirs, new: merged }], signal);
    t.equal(tipOf(path, status), merged, 'on top of theirs it is taken');

    for (const [what, update] of Object.entries({
      'a tag that is there': { ref: tagRef, old: undefined, new: first },
      'a tag that would move': { ref: tagRef, old: tag, new: second },
      'a branch that would go back': { ref: status, old: merged, new: theirs },
      'a branch that would go': { ref: status, old: merged, new: undefined },
      'a keep ref that holds something else': { ref: keepRef, old: second, new: undefined },
    }))
      t.ok((await failure(transport.push([update], signal))) instanceof PushRejected, what);
    t.equal(tipOf(path, status), merged);
    t.equal(tipOf(path, tagRef), tag);

    const third = await commitOn(clone, merged, 'STATUS.md', 'said twice');
    const twice = [
      { ref: status, old: merged, new: third },
      { ref: tagRef, old: undefined, new: tag },
    ];
    await transport.push(twice, signal);
    await transport.push(twice, signal);
    t.equal(tipOf(path, status), third, 'a push whose answer was lost may be repeated');

    await transport.push(
      [
        { ref: keepRef, old: first, new: undefined },
        { ref: tagRef, old: tag, new: undefined },
      ],
      signal,
    );
    t.equal(tipOf(path, keepRef), undefined, 'deleted');
    t.equal(tipOf(path, tagRef), undefined, 'deleted');

    // A rewritten branch, and one that went.
    const rewritten = commitFiles(path, { 'a.yaml': 'a: 3\n' }, { orphan: true });
    t.equal(await transport.fetch(MAIN, signal), rewritten);
    git(path, ['update-ref', '-d', MAIN]);
    t.equal(await transport.head(MAIN, signal), undefined);
    t.equal(await transport.fetch(MAIN, signal), undefined);
  });
}

for (const way of ways.filter(({ http }) => http !== undefined)) {
  t.test(`${way.name}: a server that fails`, async (t) => {
    const server = way.http as HttpGitServer;
    const path = bareRepository(root, `bad-${ways.indexOf(way)}.git`);
    const first = commitFiles(path, { 'a.yaml': 'a: 1\n' });
    const { clone, transport } = await way.open(path);
    t.teardown(async () => {
      server.fail(undefined);
      await transport.close();
      await clone.close();
    });
    t.equal(await transport.fetch(MAIN, signal), first);
    const second = commitFiles(path, { 'a.yaml': `a: ${'2'.repeat(3000)}\n` });

    for (const [status, code] of [
      [401, 'auth'],
      [404, 'not-found'],
      [500, 'server'],
      [503, 'busy'],
      [429, 'busy'],
    ] as const) {
      server.fail({ kind: 'status', status, headers: { 'retry-after': '0' } });
      const error = await failure(transport.fetch(MAIN, signal));
      t.equal(error.code, code, `${status} is ${code}`);
      t.notMatch(error.message, /right|Basic/, 'no secret in it');
      t.match(error.message, 'http://127.0.0.1', 'it names the remote');
    }
    server.fail({ kind: 'half' }, (request) => request.startsWith('POST'));
    t.equal((await failure(transport.fetch(MAIN, signal))).code, 'bad-answer', 'half a pack');
    server.fail({ kind: 'silence' });
    const short = AbortSignal.timeout(300);
    await t.rejects(transport.head(MAIN, short), 'an answer that never comes ends with the signal');
    server.fail(undefined);
    t.equal(await transport.fetch(MAIN, signal), second, 'then all is well');
  });
}

t.test('retry-after is data', async (t) => {
  const path = bareRepository(root, 'limited.git');
  const answered = async (status: number, headers: Record<string, string>) => {
    const { clone, transport } = await opened(`${http.url}/${nameOf(path)}`);
    t.teardown(() => clone.close());
    http.fail({ kind: 'status', status, headers });
    const { code, retryAfterMs } = await failure(transport.head(MAIN, signal));
    http.fail(undefined);
    return { code, retryAfterMs };
  };
  t.same(await answered(429, { 'retry-after': '7' }), { code: 'busy', retryAfterMs: 7000 });
  t.same(await answered(403, { 'retry-after': '60' }), { code: 'busy', retryAfterMs: 60_000 });
  t.match(await answered(403, {}), { code: 'auth' });
});

t.test('a poll is one round trip, a fetch one more, a push one', async (t) => {
  const path = bareRepository(root, 'trips.git');
  commitFiles(path, { a: '1' });
  const { clone, transport } = await opened(`${http.url}/${nameOf(path)}`);
  t.teardown(() => clone.close());
  await transport.fetch(MAIN, signal);
  await transport.head(MAIN, signal);
  const count = async (work: () => Promise<unknown>) => {
    const before = http.requests.length;
    await work();
    return http.requests.length - before;
  };
  t.equal(await count(() => transport.head(MAIN, signal)), 1);
  const tip = commitFiles(path, { a: '2' });
  t.equal(
    await count(async () => {
      await transport.head(MAIN, signal);
      await transport.fetch(MAIN, signal);
    }),
    2,
  );
  const next = await commitOn(clone, tip, 'a', '3');
  const tag = await clone.objects.writeTag({ name: 'x', object: tip, message: 'x', tagger: me, at: 0 });
  t.equal(
    await count(() =>
      transport.push(
        [
          { ref: MAIN, old: tip, new: next },
          { ref: 'refs/tags/x', old: undefined, new: tag },
        ],
        signal,
      ),
    ),
    1,
  );
  t.equal(tipOf(path, MAIN), next);
});

t.test('a fetch brings what changed, not the repository', async (t) => {
  const path = bareRepository(root, 'wide.git');
  const files = Object.fromEntries(
    Array.from({ length: 3000 }, (_, n) => [`d${n % 30}/f${n}.yaml`, `n: ${n} ${'x'.repeat(200)}\n`]),
  );
  commitFiles(path, files);
  const { clone, transport } = await withoutGit(() => opened(`${http.url}/${nameOf(path)}`));
  t.teardown(() => clone.close());
  await transport.fetch(MAIN, signal);
  commitFiles(path, { 'd1/f1.yaml': 'n: other\n' });
  const before = http.sent();
  await transport.fetch(MAIN, signal);
  t.ok(http.sent() - before < 10_000, `${http.sent() - before} bytes`);
});

t.test('of a repository on this machine nothing is fetched that the clone holds already', async (t) => {
  const path = bareRepository(root, 'there.git');
  commitFiles(path, { 'a.yaml': 'one\n' });
  const { clone, transport } = await opened(path);
  const tip = await transport.fetch(MAIN, signal);
  const tree = await clone.objects.writeTree([]);
  const made = await clone.objects.writeCommit({ tree, parents: [], message: 'made here\n', author: me, at: 0 });
  await transport.push([{ ref: 'refs/heads/made', old: undefined, new: made }], signal);
  commitFiles(path, { 'a.yaml': 'two\n' });
  // From now on git cannot read it, and so cannot be asked.
  await rename(join(path, 'objects'), join(path, 'objects.away'));
  t.equal(await transport.fetch('refs/heads/made', signal), made);
  await t.rejects(transport.fetch(MAIN, signal), GitError, 'what it does not hold');
  await rename(join(path, 'objects.away'), join(path, 'objects'));
  t.not(await transport.fetch(MAIN, signal), tip);
});

t.test('what is no repository, or none that can be read, is said', async (t) => {
  const at = (repo: string) => opened(repo).then(({ transport }) => transport.head(MAIN, signal));
  t.match(await failure(at(`http://127.0.0.1:${await freePort()}/x.git`)), {
    code: 'unreachable',
    message: /connection refused/,
  });
  t.match(await failure(at(`${http.url}/none.git`)), { code: 'not-found' });
  t.match(await failure(at(join(root, 'nowhere'))), { code: 'not-found', message: /git init/ });
  t.match(await failure(at('ftp://host/x')), { code: 'bad-address' });
  t.match(await failure(at('--upload-pack=touch')), { code: 'bad-address' });
  t.match(await failure(at('http://user:secret@127.0.0.1:1/x.git')), { code: 'unreachable', message: /^(?!.*secret)/ });
  delete process.env.SLUICE_GIT_TOKEN;
  t.match(await failure(at(`${http.url}/repo-0.git`)), { code: 'auth', message: /SLUICE_GIT_TOKEN/ });
  process.env.SLUICE_GIT_TOKEN = 'wrong';
  t.match(await failure(at(`${http.url}/repo-0.git`)), { code: 'auth', message: /^(?!.*wrong)/ });
  process.env.SLUICE_GIT_TOKEN = auth.password;

  const sha256 = join(root, 'sha256.git');
  git(root, ['init', '--quiet', '--bare', '--object-format=sha256', sha256]);
  t.match(await failure(at(sha256)), { code: 'unsupported', message: /sha256/ });
  t.match(await failure(at(`${http.url}/sha256.git`)), { code: 'unsupported', message: /sha256/ });
  const reftable = bareRepository(root, 'reftable.git');
  git(reftable, ['config', 'extensions.refStorage', 'reftable']);
  t.match(await failure(at(reftable)), { code: 'unsupported', message: /reftable/ });
  t.match(await failure(withoutGit(() => at(join(root, 'repo-0.git')))), { code: 'no-git', message: /install git/ });
  t.match(await failure(withoutGit(() => at('git@host:x.git'))), { code: 'no-git' });
});

t.test('a repository of another user says what to do', { skip: process.getuid?.() !== 0 }, async (t) => {
  const path = bareRepository(root, 'foreign.git');
  commitFiles(path, { a: '1' });
  execFileSync('chown', ['-R', 'nobody', path]);
  const { clone, transport } = await opened(path);
  t.teardown(() => clone.close());
  t.match(await failure(transport.fetch(MAIN, signal)), { code: 'auth', message: /safe\.directory/ });
});

t.test('more refs than one argument vector holds', async (t) => {
  const path = bareRepository(root, 'many.git');
  const tip = commitFiles(path, { a: '1' });
  const { clone, transport } = await opened(path);
  t.teardown(() => clone.close());
  await transport.fetch(MAIN, signal);
  const next = await commitOn(clone, tip, 'a', '2');
  const updates = Array.from({ length: 4500 }, (_, n) => ({
    ref: `refs/sluice/keep/workload/w/${n}`,
    old: undefined,
    new: tip,
  }));
  await transport.push([{ ref: MAIN, old: tip, new: next }, ...updates], signal);
  t.equal((await transport.refs(['refs/sluice/'], signal)).size, 4500);
  t.equal(tipOf(path, MAIN), next);
});

t.test('ssh: a key that is refused, a server that is gone', { skip: ssh === undefined }, async (t) => {
  const url = ssh?.url(join(root, 'repo-0.git')) ?? '';
  process.env.GIT_SSH_COMMAND = ssh?.strangerCommand ?? '';
  const stranger = await opened(url);
  t.match(await failure(stranger.transport.head(MAIN, signal)), { code: 'auth' });
  process.env.GIT_SSH_COMMAND = ssh?.command ?? '';
  const nowhere = await opened(`ssh://nobody@127.0.0.1:${await freePort()}/x.git`);
  t.match(await failure(nowhere.transport.head(MAIN, signal)), { code: 'unreachable' });
  await stranger.clone.close();
  await nowhere.clone.close();
});

t.test('a server that takes the connection and says nothing does not hold anybody for ever', async (t) => {
  const mute = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((listening) => mute.listen(0, '127.0.0.1', listening));
  t.teardown(() => mute.close());
  const { port } = mute.address() as { port: number };
  const { clone, transport } = await opened(`http://127.0.0.1:${port}/x.git`);
  await t.rejects(transport.head(MAIN, AbortSignal.timeout(200)));
  await clone.close();
});
