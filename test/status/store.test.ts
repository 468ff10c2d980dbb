import t from 'tap';
import type { Oid } from '../../src/manifest/resource.ts';
import type { Live } from '../../src/plan/live.ts';
import type { State, UnitRecord } from '../../src/rollout/state.ts';
import { recordOf } from '../../src/rollout/unit-list.ts';
import { type StatusDocument, toDocument } from '../../src/status/document.ts';
import { readStatus, StatusStore } from '../../src/status/store.ts';
import { toText } from '../../src/status/text.ts';
import { AT, C1, C2, shop, shopLive, tomcat, tomcatLive, web, webLive } from './examples.ts';
import { newRepository, type Repository } from './repository.ts';

const HEAD = { commit: C2, at: AT };
const shopDocument = (state: State = shop(), live: Live = shopLive()) =>
  toDocument({ id: 'Service/shop', state, live, health: 'Paused', message: 'waits' });
const tomcatDocument = (health: StatusDocument['health'] = 'Healthy') =>
  toDocument({ id: 'Workload/tomcat', state: tomcat(), live: tomcatLive(), health, message: '' });
const both = () => [
  { id: 'Service/shop' as const, document: shopDocument() },
  { id: 'Workload/tomcat' as const, document: tomcatDocument() },
];

let repository: Repository;
t.beforeEach(async () => {
  repository = await newRepository();
});
t.afterEach(() => repository.remove());

/** A branch with both examples on it. */
async function branchWithBoth(): Promise<Oid> {
  const { store } = await StatusStore.open(repository, undefined);
  const write = store.prepare(both(), HEAD);
  if (write === undefined) throw new Error('nothing was prepared');
  return await repository.save(undefined, write.files, write.message);
}

t.test('what was written is read back whole by an operator that remembers nothing', async (t) => {
  const tip = await branchWithBoth();
  const branch = await readStatus(repository, tip);
  t.strictSame([branch.tip, branch.head, branch.at], [tip, C2, 1_795_213_323_000]);
  t.strictSame([...branch.resources.keys()].sort(), ['Service/shop', 'Workload/tomcat']);
  const read = branch.resources.get('Service/shop');
  t.strictSame(read && 'state' in read && read.state, shop());
});

t.test('only what changed is written, by the same store and by one that read the branch', async (t) => {
  const { store } = await StatusStore.open(repository, undefined);
  const first = store.prepare(both(), HEAD);
  t.strictSame(
    [...(first?.files.keys() ?? [])],
    ['status/service/shop.yaml', 'status/workload/tomcat.yaml', 'STATUS.md'],
  );
  t.strictSame(store.prepare(both(), HEAD)?.files, first?.files, 'not committed: given again');
  first?.committed();
  t.equal(store.prepare(both(), HEAD), undefined, 'committed: nothing left to do');

  const tip = await repository.save(undefined, first?.files ?? new Map(), first?.message ?? '');
  const { store: restarted } = await StatusStore.open(repository, tip);
  t.equal(restarted.prepare(both(), HEAD), undefined, 'a new operator writes nothing either');

  for (const each of [store, restarted]) {
    const write = each.prepare([{ id: 'Workload/tomcat', document: tomcatDocument('Degraded') }], HEAD);
    t.strictSame([...(write?.files.keys() ?? [])], ['status/workload/tomcat.yaml', 'STATUS.md']);
    t.match(write?.message, /^Workload\/tomcat: Degraded\n/);
    t.match(
      write?.files.get('STATUS.md')?.toString(),
      /\[Workload\/tomcat\].*Degraded[\s\S]*\[Service\/shop\].*Paused/,
    );
  }
});

t.test('a head that moved is worth a commit, and only STATUS.md', async (t) => {
  const { store } = await StatusStore.open(repository, await branchWithBoth());
  const write = store.prepare([], { commit: C1, at: AT + 1000 });
  t.strictSame([...(write?.files.keys() ?? [])], ['STATUS.md']);
  t.equal(write?.message, `Observed 1111111111\n\nSluice-Head: ${C1}\n`);
  write?.committed();
  t.equal(store.prepare([], { commit: C1, at: AT + 2000 }), undefined);
});

t.test('a check that is asked again and again is not worth a commit; its outcome is', async (t) => {
  const checked = (checks: NonNullable<State['rollout']>['checks']) => {
    const state = shop();
    state.rollout.checks = checks;
    return [{ id: 'Service/shop' as const, document: shopDocument(state) }];
  };
  const { store } = await StatusStore.open(repository, undefined);
  const first = store.prepare(checked({ failures: 0, askedAt: AT, passedAt: AT, message: 'ok' }), HEAD);
  first?.committed();
  const tip = await repository.save(undefined, first?.files ?? new Map(), first?.message ?? '');
  const { store: restarted } = await StatusStore.open(repository, tip);
  for (const each of [store, restarted]) {
    const later = { failures: 0, askedAt: AT + 9000, passedAt: AT + 9000, message: 'ok' };
    t.equal(each.prepare(checked(later), HEAD), undefined);
    t.not(each.prepare(checked({ ...later, failures: 1, message: '503' }), HEAD), undefined);
    t.not(each.prepare(checked({ failures: 0, askedAt: AT + 9000, message: 'ok' }), HEAD), undefined);
  }
});

t.test('nor is one of a unit', async (t) => {
  const checked = (checks: UnitRecord['checks']) => {
    const state = web();
    Object.assign(recordOf(state.rollout.units, 'web-4') ?? {}, { checks });
    const document = toDocument({ id: 'Fleet/web', state, live: webLive(), health: 'Paused', message: '' });
    return [{ id: 'Fleet/web' as const, document }];
  };
  const { store } = await StatusStore.open(repository, undefined);
  store.prepare(checked({ failures: 0, askedAt: AT, passed: false }), HEAD)?.committed();
  t.equal(store.prepare(checked({ failures: 0, askedAt: AT + 5000, passed: false }), HEAD), undefined);
  t.not(store.prepare(checked({ failures: 1, askedAt: AT + 5000, passed: false }), HEAD), undefined);
});

t.test('a resource that is gone loses its file and its row, once', async (t) => {
  const { store } = await StatusStore.open(repository, await branchWithBoth());
  const write = store.prepare([{ id: 'Service/shop', document: undefined }], HEAD);
  t.equal(write?.files.get('status/service/shop.yaml'), null);
  t.match(write?.message, /^Service\/shop: removed\n/);
  t.notMatch(write?.files.get('STATUS.md')?.toString(), /shop/);
  write?.committed();
  t.equal(store.prepare([{ id: 'Service/shop', document: undefined }], HEAD), undefined);
});

t.test('a branch that somebody filled with other things: what is right is read, the rest is named', async (t) => {
  const tip = await branchWithBoth();
  const good = Buffer.from(toText(shopDocument()));
  const hostile = await repository.save(
    tip,
    new Map([
      ['status/workload/tomcat.yaml', Buffer.from('health: [\n')],
      ['status/workload/copied.yaml', good],
      ['status/service/linked.yaml', Buffer.from('/etc/passwd')],
      ['status/service/Bad_Name.yaml', good],
      ['status/service/..yaml', good],
      ['status/target/prod.yaml', good],
      ['status/notes.txt', good],
      ['elsewhere/service/shop.yaml', good],
    ]),
    'hand-made',
    'status/service/linked.yaml',
  );
  const { store, branch } = await StatusStore.open(repository, hostile);
  t.equal(branch?.head, undefined, 'the commit is not one of ours');
  const outcome = [...(branch?.resources ?? [])].map(([id, read]) => [
    id,
    'error' in read ? read.error.message : 'read',
  ]);
  t.match(Object.fromEntries(outcome), {
    'Service/shop': 'read',
    'Service/linked': /^status\/service\/linked\.yaml: is a link, expected a file/,
    'Workload/tomcat': /^status\/workload\/tomcat\.yaml: is not readable YAML/,
    'Workload/copied': /^status\/workload\/copied\.yaml resource: holds the status of Service\/shop/,
  });
  t.equal(outcome.length, 4);
  const write = store.prepare(both(), HEAD);
  t.strictSame([...(write?.files.keys() ?? [])], ['status/workload/tomcat.yaml', 'STATUS.md'], 'and is written anew');
});

t.test('a branch without a status folder holds nothing', async (t) => {
  const tip = await repository.save(undefined, new Map([['README.md', Buffer.from('x')]]), 'x');
  t.equal((await readStatus(repository, tip)).resources.size, 0);
});
