import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { parseFile } from '../../src/manifest/parse.ts';
import type { State } from '../../src/rollout/state.ts';
import { NEW, OLD, shop, web } from '../status/examples.ts';
import { at, commitFile, examples, type Workplace, writeStatus } from './cli.ts';

/** Somebody in the middle of something: staged, changed and new files. */
async function busy({ repo, git }: Workplace) {
  writeFileSync(join(repo, 'README.md'), 'staged\n');
  await git('add', 'README.md');
  writeFileSync(join(repo, 'README.md'), 'changed again\n');
  writeFileSync(join(repo, 'search.yaml'), 'changed: true\n');
  writeFileSync(join(repo, 'new.txt'), 'new\n');
  const state = () => git('status', '--porcelain');
  return { state, before: await state() };
}

t.test('an operation commits its one file and leaves what is staged and changed alone', async (t) => {
  const place = await examples(t);
  await writeStatus(place, [['Service/shop', shop()]]);
  const { state, before } = await busy(place);
  const head = await place.git('rev-parse', 'HEAD');

  const { code, stdout } = await place.sluice('continue', 'service/shop', '--reason', 'error rate: fine');
  t.equal(code, 0);
  t.equal(await state(), before);
  t.equal(await place.git('show', ':README.md'), 'staged');
  t.equal(await place.git('rev-parse', 'HEAD^'), head);
  const path = await place.git('diff', '--name-status', 'HEAD^', 'HEAD');
  t.match(path, /^A\toperations\/shop-7-continue-[0-9a-z]{4}\.yaml$/);
  t.match(stdout, /^[0-9a-f]{10} Service\/shop: continue rollout 7: operations\/.*, on main\n$/);
  t.match(await place.git('log', '-1', '--format=%an|%B'), 'Ada|Service/shop: continue rollout 7\n\nerror rate: fine');

  const text = readFileSync(join(place.repo, path.slice(2)), 'utf8');
  t.match(parse(text), {
    kind: 'Operation',
    spec: { resource: 'Service/shop', rollout: 7, action: 'continue', reason: 'error rate: fine' },
  });
  t.same(parseFile(text).diagnostics, [], 'it is a valid manifest');
});

t.test('long names stay names, and what the operator would refuse is told before it is committed', async (t) => {
  const place = await examples(t);
  const long = `Workload/${'long-name-'.repeat(6)}xyz` as const;
  await writeStatus(place, [[long, shop()]]);
  for (const action of ['pause', 'continue', 'retry', 'cancel']) {
    t.equal((await place.sluice(action, long)).code, 0, action);
    const text = await place.git('show', `HEAD:${await place.git('diff', '--name-only', 'HEAD^', 'HEAD')}`);
    t.match(parse(text), { spec: { action, rollout: 7 } });
    t.same(parseFile(text).diagnostics, []);
  }
  const head = await place.git('rev-parse', 'HEAD');
  const unit = await place.sluice('retry', long, 'some-3');
  t.equal(unit.code, 2);
  t.match(unit.stderr, /are interchangeable: leave some-3 out to retry the whole rollout/);
  const skip = await place.sluice('skip', long, 'some-3');
  t.equal(skip.code, 2);
  t.match(skip.stderr, /^error: skip is for units of/);
  t.equal(await place.git('rev-parse', 'HEAD'), head);
});

t.test('units of a fleet are named, and only those that there are', async (t) => {
  const place = await examples(t);
  await writeStatus(place, [['Fleet/web', web()]]);
  const head = await place.git('rev-parse', 'HEAD');
  const cases: [string[], RegExp][] = [
    [['retry', 'Fleet/web'], /name the unit to retry: sluice retry Fleet\/web web-3; failed: web-3/],
    [['skip', 'fleet/web'], /name the unit to skip: sluice skip Fleet\/web web-3; failed: web-3/],
    [['cancel', 'Fleet/web', 'db-1'], /rollout 7 of Fleet\/web has no unit db-1; it has web-1\.\.5/],
  ];
  for (const [args, problem] of cases) {
    const { code, stderr } = await place.sluice(...args);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, problem);
  }
  t.equal(await place.git('rev-parse', 'HEAD'), head);
});

t.test('an operation on one unit of a fleet says which', async (t) => {
  const place = await examples(t);
  await writeStatus(place, [['Fleet/web', web()]]);
  for (const action of ['retry', 'skip', 'cancel']) {
    const { code, stderr } = await place.sluice(action, 'Fleet/web', 'web-3');
    t.equal(code, 0, stderr);
    const path = await place.git('diff', '--name-only', 'HEAD^', 'HEAD');
    t.match(path, new RegExp(`^operations/web-7-${action}-web-3-[0-9a-z]{4}\\.yaml$`));
    t.match(parse(await place.git('show', `HEAD:${path}`)), {
      spec: { resource: 'Fleet/web', rollout: 7, action, unit: 'web-3' },
    });
  }
  t.equal((await place.sluice('cancel', 'Fleet/web')).code, 0, 'without a unit: the rollout');
});

t.test('where there is a remote, the commit goes there, and nothing of what was not pushed', async (t) => {
  const origin = await examples(t);
  await writeStatus(origin, [['Service/shop', shop()]]);
  await origin.git('config', 'receive.denyCurrentBranch', 'ignore');
  await origin.git('clone', '--quiet', '.', '../clone');
  const place = at(origin.home, join(origin.home, 'clone'));

  const first = await place.sluice('pause', 'Service/shop');
  t.equal(first.code, 0);
  t.match(first.stdout, /on main of origin\n$/);
  t.equal(await place.git('rev-parse', 'HEAD'), await origin.git('rev-parse', 'main'));
  t.equal(await place.git('status', '--porcelain'), '');

  const own = await commitFile(place, 'notes.txt', 'not ready\n', 'draft');
  const second = await place.sluice('continue', 'Service/shop');
  t.equal(second.code, 0);
  t.match(second.stderr, /does not have it yet: git pull/);
  t.equal(await place.git('rev-parse', 'HEAD'), own, 'the local branch stays');
  t.equal(
    await origin.git('log', '-2', '--format=%s', 'main'),
    'Service/shop: continue rollout 7\nService/shop: pause rollout 7',
  );

  await place.git('remote', 'set-url', 'origin', join(origin.home, 'gone'));
  const third = await place.sluice('pause', 'Service/shop');
  t.equal(third.code, 1);
  t.match(third.stderr, /^error: git fetch: /m);
  t.equal(await place.git('rev-parse', 'HEAD'), own);
});

t.test('a bare repository can be operated on', async (t) => {
  const source = await examples(t);
  await writeStatus(source, [['Service/shop', shop()]]);
  await source.git('clone', '--quiet', '--bare', '.', '../bare.git');
  const bare = at(source.home, join(source.home, 'bare.git'));
  t.equal((await bare.sluice('pause', 'Service/shop')).code, 0);
  t.match(await bare.git('diff', '--name-only', 'main^', 'main'), /^operations\/shop-7-pause-/);
});

t.test('what cannot be meant is refused', async (t) => {
  const place = await examples(t);
  const none = await place.sluice('pause', 'Service/shop');
  t.equal(none.code, 1);
  t.match(none.stderr, /has no branch sluice\/status yet/);
  const { rollout: _, ...fresh } = shop();
  await writeStatus(place, [['Service/shop', fresh as State]]);
  const early = await place.sluice('pause', 'Service/shop');
  t.equal(early.code, 1);
  t.match(early.stderr, 'Service/shop has had no rollout yet');
  const unknown = await place.sluice('pause', 'Service/other');
  t.equal(unknown.code, 2);
  t.match(unknown.stderr, 'nothing is known of Service/other; known: Service/shop');
  t.equal(await place.git('rev-list', '--count', 'HEAD'), '1');
});

/** The status after two rollouts that succeeded, of the commits that asked for them. */
function history(first: string, second: string): State {
  const { rollout, history } = shop();
  const [entry] = history;
  if (entry === undefined) throw new Error('the example has a history');
  const done = {
    ...rollout,
    commit: second,
    phase: 'Succeeded' as const,
    finishedAt: rollout.startedAt + 9000,
    stage: 3,
  };
  const times = [1, 2, 3].map((n) => ({ begun: rollout.startedAt + n, done: rollout.startedAt + n + 1 }));
  const { reason: __, reachedAt: ___, ...ended } = done;
  return {
    ...shop(),
    rollout: { ...ended, times },
    history: [
      { ...entry, commit: first, revision: OLD },
      { ...entry, id: 7, commit: second, revision: NEW },
    ],
  };
}

t.test('rollback restores what the resource was made from, and nothing else', async (t) => {
  const place = await examples(t);
  const { repo, git } = place;
  const first = await git('rev-parse', 'HEAD');
  mkdirSync(join(repo, 'images/shop/3'));
  writeFileSync(join(repo, 'images/shop/3/image.yaml'), 'command: [node, three.mjs]\n');
  writeFileSync(join(repo, 'images/shop/1/extra.txt'), 'an image that was changed in place\n');
  await git('add', '.');
  const manifest = readFileSync(join(repo, 'shop.yaml'), 'utf8');
  await commitFile(
    place,
    'shop-settings.yaml',
    readFileSync(join(repo, 'shop-settings.yaml'), 'utf8').replace('EUR', 'CHF'),
    'francs',
  );
  const second = await commitFile(place, 'shop.yaml', manifest.replace('shop:1', 'shop:3'), 'shop 3');
  await commitFile(
    place,
    'tomcat.yaml',
    readFileSync(join(repo, 'tomcat.yaml'), 'utf8').replace('tomcat:7', 'tomcat:8'),
    'tomcat 8',
  );
  await writeStatus(place, [['Service/shop', history(first, second)]]);

  writeFileSync(join(repo, 'shop.yaml'), 'half an edit');
  const refused = await place.sluice('rollback', 'Service/shop');
  t.equal(refused.code, 1);
  t.match(refused.stderr, /^error: changed here and not committed: shop\.yaml; commit or stash that first/);
  await git('checkout', '--quiet', 'shop.yaml');

  writeFileSync(join(repo, 'README.md'), 'mine\n');
  await git('add', 'README.md');
  const { code, stdout, stderr } = await place.sluice('rollback', 'Service/shop', '--reason', 'orders fail');
  t.equal(code, 0, stderr);
  t.match(stdout, /^[0-9a-f]{10} Service\/shop: back to rollout 6, on main\n/);
  t.equal(
    await git('diff', '--name-status', 'HEAD^', 'HEAD'),
    'D\timages/shop/1/extra.txt\nM\tshop-settings.yaml\nM\tshop.yaml',
  );
  t.equal(await git('diff', first, 'HEAD', '--', 'shop.yaml', 'shop-settings.yaml', 'images/shop/1'), '');
  t.equal(await git('status', '--porcelain'), 'M  README.md', 'files and index came along, what was staged stayed');
  t.match(await git('log', '-1', '--format=%B'), /orders fail\n\nRestores what commit [0-9a-f]{40} declared\./);
});

t.test('rollback refuses what would take something else away', async (t) => {
  const place = await examples(t);
  const { repo, git } = place;
  const first = await git('rev-parse', 'HEAD');
  const moved = readFileSync(join(repo, 'search.yaml'), 'utf8');
  const manifest = readFileSync(join(repo, 'shop.yaml'), 'utf8').replace('shop:1', 'shop:2');
  await git('rm', '--quiet', 'search.yaml');
  const second = await commitFile(place, 'shop.yaml', `${manifest}---\n${moved}`, 'shop 2, in one file with search');
  await writeStatus(place, [['Service/shop', history(first, second)]]);
  const { code, stderr } = await place.sluice('rollback', 'Service/shop');
  t.equal(code, 1);
  t.match(stderr, /^error: Service\/search would be deleted or invalid with it; nothing was changed/);
  t.equal(await git('rev-parse', 'HEAD'), second);
  t.equal(await git('status', '--porcelain'), '');
});

t.test('rollback says so when there is nothing to go back to', async (t) => {
  const place = await examples(t);
  const head = await place.git('rev-parse', 'HEAD');
  await writeStatus(place, [['Service/shop', { ...history(head, head), history: [] }]]);
  const none = await place.sluice('rollback', 'Service/shop');
  t.equal(none.code, 1);
  t.match(none.stderr, 'has no earlier rollout that succeeded');
  t.equal(await place.git('rev-parse', 'HEAD'), head);
});
