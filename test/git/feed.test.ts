import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { isAccepted } from '../../src/git/accepted.ts';
import { openClone } from '../../src/git/clone.ts';
import { list } from '../../src/git/compare.ts';
import { type Feed, type FeedEvent, type FeedOptions, openFeed } from '../../src/git/feed.ts';
import { bareRepository, commitFiles, git, serveHttp, temporary } from '../support/git-servers.ts';

const root = temporary('feed');
const http = await serveHttp(root);
t.teardown(async () => {
  await http.close();
  await rm(root, { recursive: true, force: true });
});

const MAIN = 'refs/heads/main';
let count = 0;

/** A feed whose events are awaited one by one. */
async function watched(repo: string, options: Partial<FeedOptions> = {}, stateDir = join(root, `state-${count++}`)) {
  const clone = await openClone({ stateDir, repo });
  const events: FeedEvent[] = [];
  let arrived = () => {};
  const feed: Feed = await openFeed({
    clock: systemClock,
    clone,
    ref: MAIN,
    intervalMs: 50,
    acceptRewrite: false,
    ...options,
    report(event) {
      events.push(event);
      arrived();
    },
  });
  const close = async () => {
    await feed.close();
    await clone.close();
  };
  t.teardown(close);
  return {
    feed,
    clone,
    stateDir,
    close,
    events,
    async next(kind?: FeedEvent['kind']): Promise<FeedEvent> {
      for (;;) {
        const at = events.findIndex((event) => kind === undefined || event.kind === kind);
        const [event] = at < 0 ? [] : events.splice(0, at + 1).slice(-1);
        if (event !== undefined) return event;
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
      }
    },
  };
}

function repository(name = `r${count++}.git`) {
  const path = bareRepository(root, name);
  return { path, url: `${http.url}/${name}` };
}

t.test('a remote: each new head, errors and recovery, a rewritten branch held until a descendant', async (t) => {
  const { path, url } = repository();
  const first = commitFiles(path, { a: '1' });
  const watch = await watched(url);
  t.strictSame(await watch.next(), { kind: 'head', commit: first, previous: undefined });
  const second = commitFiles(path, { a: '2' });
  t.strictSame(await watch.next(), { kind: 'head', commit: second, previous: first });

  http.fail({ kind: 'status', status: 503, headers: { 'retry-after': '0' } });
  t.match(await watch.next(), { kind: 'error', error: { code: 'busy', retryAfterMs: 0 }, failures: 1 });
  t.match(await watch.next(), { kind: 'error', failures: 2 });
  http.fail(undefined);
  t.strictSame(await watch.next('head'), { kind: 'head', commit: second, previous: second }, 'told again after errors');

  git(path, ['update-ref', MAIN, first]);
  t.strictSame(await watch.next(), { kind: 'rewritten', held: second, head: first }, 'set back');
  const other = commitFiles(path, { a: 'other' });
  t.strictSame(await watch.next(), { kind: 'rewritten', held: second, head: other }, 'and gone elsewhere');
  git(path, ['update-ref', MAIN, second]);
  watch.feed.hint();
  t.strictSame(await watch.next('head'), { kind: 'head', commit: second, previous: second }, 'put back');
  const third = commitFiles(path, { a: '3' });
  t.strictSame(await watch.next('head'), { kind: 'head', commit: third, previous: second }, 'a descendant');

  git(path, ['update-ref', '-d', MAIN]);
  t.match(await watch.next(), { kind: 'error', error: { code: 'empty-repository' } });
  commitFiles(path, { x: '1' }, { branch: 'other', orphan: true });
  watch.feed.hint();
  let event = await watch.next('error');
  while (event.kind === 'error' && (event.error as { code?: string }).code !== 'no-branch')
    event = await watch.next('error');
  t.match(event, { error: { message: /no branch main \(it has other\)/ } });
  git(path, ['update-ref', MAIN, third]);
  watch.feed.hint();
  t.strictSame(await watch.next('head'), { kind: 'head', commit: third, previous: third }, 'nothing was lost');
});

t.test(
  'the last good commit is there after a restart, while the remote is down; --accept-rewrite takes the new one',
  async (t) => {
    const { path, url } = repository();
    const first = commitFiles(path, { a: '1' });
    const before = await watched(url);
    await before.next();
    await before.close();

    http.fail({ kind: 'status', status: 500 });
    const down = await watched(url, {}, before.stateDir);
    t.strictSame(await down.next(), { kind: 'head', commit: first, previous: undefined });
    t.match(await down.next(), { kind: 'error', error: { code: 'server' } });
    await down.close();
    http.fail(undefined);

    const rewritten = commitFiles(path, { a: 'new' }, { orphan: true });
    const held = await watched(url, {}, before.stateDir);
    t.match(await held.next(), { kind: 'head', commit: first });
    t.match(await held.next(), { kind: 'rewritten', held: first, head: rewritten });
    await held.close();
    const accepting = await watched(url, { acceptRewrite: true }, before.stateDir);
    t.strictSame(await accepting.next(), { kind: 'head', commit: rewritten, previous: first });
    const again = commitFiles(path, { a: 'newer' }, { orphan: true });
    t.match(await accepting.next(), { kind: 'rewritten', held: rewritten, head: again }, 'it accepts once');
  },
);

t.test('a clone that is behind tells of nothing older than what the remote has', async (t) => {
  const repository = bareRepository(root, 'behind.git');
  const url = `${http.url}/behind.git`;
  const first = commitFiles(repository, { 'web.yaml': 'one\n' });
  const before = await watched(url);
  t.match(await before.next(), { kind: 'head', commit: first });
  await before.close();
  const second = commitFiles(repository, { 'web.yaml': 'two\n' });
  const after = await watched(url, {}, before.stateDir);
  t.strictSame(await after.next(), { kind: 'head', commit: second, previous: first }, 'another operator acted on it');
});

t.test('a clone that is lost or broken while it is used is made again', async (t) => {
  const { path, url } = repository();
  for (const repo of [url, path]) {
    commitFiles(path, { a: '1' });
    const watch = await watched(repo);
    await watch.next();
    await rm(watch.clone.gitdir, { recursive: true });
    const second = commitFiles(path, { a: `${Math.random()}` });
    watch.feed.hint();
    let event = await watch.next('head');
    while (event.kind === 'head' && event.commit !== second) event = await watch.next('head');
    const [entry] = await list(watch.clone.objects, second);
    t.match((await watch.clone.objects.blob(entry?.oid ?? '')).toString(), /^0\./, repo);

    for (const folder of readdirSync(join(watch.clone.gitdir, 'objects')))
      await rm(join(watch.clone.gitdir, 'objects', folder), { recursive: true });
    const third = commitFiles(path, { b: '1' });
    watch.feed.hint();
    event = await watch.next('head');
    while (event.kind === 'head' && event.commit !== third) event = await watch.next('head');
    t.equal((await watch.clone.objects.commit(third)).parents[0], second);
    await watch.close();
  }
});

t.test('a remote that asks for time is left alone for it', async (t) => {
  const { path, url } = repository();
  commitFiles(path, { a: '1' });
  const watch = await watched(url);
  await watch.next();
  http.fail({ kind: 'status', status: 429, headers: { 'retry-after': '3600' } });
  t.match(await watch.next(), { kind: 'error', retryInMs: 3_600_000 });
  http.fail(undefined);
});

t.test('a local repository is looked at as soon as its refs move, and followed when amended', async (t) => {
  const { path } = repository();
  const first = commitFiles(path, { a: '1' });
  const watch = await watched(path, { intervalMs: 3_600_000 });
  t.match(await watch.next(), { kind: 'head', commit: first });
  const second = commitFiles(path, { a: '2' });
  t.match(await watch.next(), { kind: 'head', commit: second, previous: first });
  const amended = commitFiles(path, { a: 'amended' }, { from: first });
  t.match(await watch.next(), { kind: 'head', commit: amended, previous: second });
  git(path, ['pack-refs', '--all']);
  const tips = Array.from({ length: 15 }, (_, n) => commitFiles(path, { a: `burst ${n}` }));
  for (;;) {
    const event = await watch.next();
    if (event.kind === 'head' && event.commit === tips.at(-1)) break;
  }
  t.pass('the last of a burst is seen');
});

t.test('two that watch through one clone are each told of every commit', async (t) => {
  const { path, url } = repository();
  const first = commitFiles(path, { a: '1' });
  const one = await watched(url);
  t.match(await one.next(), { commit: first });
  const other = await watched(url, {}, one.stateDir);
  t.match(await other.next(), { commit: first });
  const second = commitFiles(path, { a: '2' });
  t.match(await one.next(), { commit: second });
  t.match(await other.next(), { commit: second });
});

t.test('what runs is read from commits of the config branch alone, those that it has left included', async (t) => {
  const { path } = repository();
  const first = commitFiles(path, { a: '1' });
  const second = commitFiles(path, { a: '2' });
  const watch = await watched(path);
  await watch.next('head');
  const amended = commitFiles(path, { a: '3' }, { orphan: true });
  watch.feed.hint();
  t.match(await watch.next('head'), { commit: amended });
  const foreign = commitFiles(path, { a: 'evil' }, { branch: 'sluice/status' });
  await watch.clone.transport.fetch('refs/heads/sluice/status', new AbortController().signal);
  const accepted = (commit: string) => isAccepted(watch.clone, MAIN, false, commit);
  t.equal(await accepted(amended), true);
  t.equal(await accepted(second), true, 'a head that was amended');
  t.equal(await accepted(first), true, 'what that one followed');
  t.equal((await watch.clone.objects.commit(foreign)).message, 'change', 'it is in the clone');
  t.equal(await accepted(foreign), false, 'whoever can write to another branch');
  t.equal(await accepted('1'.repeat(40)), false);
  t.equal(await isAccepted(watch.clone, MAIN, true, amended), false, 'nor what was not verified, where that is asked');
});
